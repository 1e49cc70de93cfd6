import type { CheckpointWrite } from "@waymark/core";
import { digestOf } from "./states.ts";

/** A write of a checkpoint, as recorded in a journal. */
export interface DigestedWrite {
  readonly task: string;
  readonly index: number;
  readonly digest: string;
}

export function toDigestedWrite({ taskId, index, value }: CheckpointWrite): DigestedWrite {
  return { task: taskId, index, digest: digestOf(value) };
}

/** Returns the name of a place: a task and index of a checkpoint, which keep one write. */
export function placeOf({ task, index }: Pick<DigestedWrite, "task" | "index">): string {
  return `${task}[${index}]`;
}

/** Place of a checkpoint's write: one task and index. Follows which value is kept there. */
export class Place {
  /** Digests of the values that may be kept; `null`: none. */
  readonly #may = new Set<string | null>([null]);
  readonly #tried = new Set<string>();

  /** Records an append. One that was not acknowledged may have been done or not, at any time from now on. */
  append({ index, digest }: DigestedWrite, acknowledged: boolean): void {
    this.#tried.add(digest);
    if (index >= 0 && !this.#may.has(null)) return; // the first write is kept
    if (acknowledged) {
      if (index < 0) this.#may.clear(); // the last write is kept
      this.#may.delete(null);
    }
    this.#may.add(digest);
  }

  /** Returns the problem with a digest that was found here, or with none (`null`). `null`: there is no problem. */
  problemWith(found: string | null): string | null {
    if (this.#may.has(found)) return null;
    if (found === null) return "is missing";
    return this.#tried.has(found) ? "should not have been kept" : "has other content";
  }

  /** Returns the problem with a digest that may be an old one. `null`: there is no problem. */
  problemWithStale(found: string | null): string | null {
    return found === null || this.#tried.has(found) ? null : "has other content";
  }
}
