import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import type { DigestedWrite } from "./writes.ts";

/**
 * What a worker writes down outside of the databases: each operation before it is asked for, and how it ended. A line is in
 * the system's hands before the operation begins, and when the worker learns of its end: SIGKILL takes none back.
 */

export type Intent =
  /** `id`: `null` lets the storage make one. */
  | { readonly kind: "store"; readonly turn: number; readonly id: string | null; readonly digest: string }
  | { readonly kind: "delete"; readonly id: string }
  | { readonly kind: "prune"; readonly keepLast: number }
  | { readonly kind: "latest"; readonly allowStale: boolean }
  | { readonly kind: "retrieve"; readonly id: string }
  | { readonly kind: "list"; readonly allowStale: boolean }
  | { readonly kind: "append"; readonly id: string; readonly writes: readonly DigestedWrite[] }
  | { readonly kind: "list writes"; readonly id: string; readonly allowStale: boolean };

export interface Found {
  readonly id: string;
  readonly digest: string;
}

export type Outcome =
  | { readonly id: string }
  | { readonly found: Found | null; readonly source: string | null }
  | { readonly ids: readonly string[]; readonly source: string | null }
  | { readonly writes: readonly DigestedWrite[] }
  | { readonly done: true }
  | { readonly failed: string; readonly retryable: boolean; readonly message: string };

/** Of one agent. None begins before the one before has ended, or the process with it. */
export interface Entry {
  readonly intent: Intent;
  /** `null`: the process ended before it knew. */
  readonly outcome: Outcome | null;
}

type Line = { readonly intent: Intent } | { readonly outcome: Outcome };

export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  begin(intent: Intent): void {
    this.#write({ intent });
  }

  end(outcome: Outcome): void {
    this.#write({ outcome });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(line: Line): void {
    writeSync(this.#file, `\n${JSON.stringify(line)}`);
  }
}

export function readJournal(path: string): Entry[] {
  if (!existsSync(path)) return [];
  const entries: Entry[] = [];
  for (const text of readFileSync(path, "utf8").split("\n")) {
    const line = parse(text);
    if (line === null) continue;
    if ("intent" in line) entries.push({ ...line, outcome: null });
    else entries.push({ ...(entries.pop() as Entry), outcome: line.outcome });
  }
  return entries;
}

/** A line that SIGKILL has cut is as good as none: what it would have said was not known yet. */
function parse(text: string): Line | null {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return null;
  }
}
