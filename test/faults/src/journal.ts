import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import type { DigestedWrite } from "./writes.ts";

/**
 * Journal of an agent's operations, outside of the databases. A worker writes a line before an operation begins and when it has
 * ended. Each line is handed to the operating system at once, so that SIGKILL loses none.
 */

export type Intent =
  /** `id`: `null` if the storage makes it. */
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

/** An operation of one agent. It begins only after the operation before it, or that one's process, has ended. */
export interface Entry {
  readonly intent: Intent;
  /** `null`: the process ended before the operation did. */
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

/** Parses a line. Returns `null` for one that SIGKILL has cut off: its operation counts as not begun, or not ended. */
function parse(text: string): Line | null {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return null;
  }
}
