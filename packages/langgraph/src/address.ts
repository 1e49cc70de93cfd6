/** The history of a thread in one namespace. Waymark's timeline: a thread is an agent. */
export interface Timeline {
  readonly threadId: string;
  readonly namespace: string;
}

/** The address of a LangGraph checkpoint, whose id is unique only in its timeline. */
export interface CheckpointAddress extends Timeline {
  readonly checkpointId: string;
}

/** Returns the key of a timeline for a Map. */
export function timelineKey({ threadId, namespace }: Timeline): string {
  return JSON.stringify([threadId, namespace]);
}

/** Returns the key of a checkpoint for a Map. */
export function checkpointKey({ threadId, namespace, checkpointId }: CheckpointAddress): string {
  return JSON.stringify([threadId, namespace, checkpointId]);
}
