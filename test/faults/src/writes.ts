import type { CheckpointWrite } from "@waymark/core";
import { digestOf } from "./states.ts";

/** A write of a checkpoint, as journals have it. */
export interface DigestedWrite {
  readonly task: string;
  readonly index: number;
  readonly digest: string;
}

export function digested({ taskId, index, value }: CheckpointWrite): DigestedWrite {
  return { task: taskId, index, digest: digestOf(value) };
}

/** Of one checkpoint: there is room for one write there. */
export function placeOf({ task, index }: Pick<DigestedWrite, "task" | "index">): string {
  return `${task}[${index}]`;
}

/** What is there of one task and index of a checkpoint. */
export class Place {
  /** Digests of what it may be; `null`: nothing. */
  readonly #may = new Set<string | null>([null]);
  readonly #tried = new Set<string>();

  /** Of attempts whose end nobody knows each may have been the first, or the last. */
  append({ index, digest }: DigestedWrite, acknowledged: boolean): void {
    this.#tried.add(digest);
    if (index >= 0 && !this.#may.has(null)) return; // what was written first stays
    if (acknowledged) {
      if (index < 0) this.#may.clear(); // what was written last does
      this.#may.delete(null);
    }
    this.#may.add(digest);
  }

  /** What is wrong with a digest, or with nothing, that was found there; `null`: all is well. */
  complaint(found: string | null): string | null {
    if (this.#may.has(found)) return null;
    if (found === null) return "is missing";
    return this.#tried.has(found) ? "is one that should not have stayed" : "has another content";
  }

  /** The same where it may be from some time before. */
  staleComplaint(found: string | null): string | null {
    return found === null || this.#tried.has(found) ? null : "has another content";
  }
}
