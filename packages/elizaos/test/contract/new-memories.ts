import type { Memory } from "../../src/index.ts";
import { type Home, newId } from "./bench.ts";

/** A memory of a home's entity, in its room. */
export function memoryOf(
  { entityId, roomId }: Home,
  members: Partial<Memory> = {},
): Memory & { id: NonNullable<Memory["id"]> } {
  return { id: newId(), entityId, roomId, content: { text: "hello" }, ...members };
}

/** Stores memories one after the other, the oldest first, a second apart. */
export async function addMemories(
  home: Home,
  table: string,
  members: readonly Partial<Memory>[],
): Promise<(Memory & { id: NonNullable<Memory["id"]> })[]> {
  const memories = members.map((one, at) => memoryOf(home, { createdAt: (at + 1) * 1_000, ...one }));
  for (const memory of memories) await home.adapter.createMemory(memory, table);
  return memories;
}

export const idsOf = (memories: readonly Memory[]) => memories.map(({ id }) => id);
