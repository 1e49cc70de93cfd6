import type { ExpectStep, RemoveStep, UpdateStep } from "./records.ts";
import type { TableDefinition } from "./tables.ts";

/** The parts of a change and of a modification that are the same whatever the database is. */

type Row = Readonly<Record<string, unknown>>;

/** Ends a transaction whose guard was not met, of records and of checkpoints. */
export class GuardMissed extends Error {}

/** Returns how many rows a step concerned. @throws GuardMissed if it expects another number */
export function guarded({ expect }: UpdateStep | RemoveStep | ExpectStep, count: number): number {
  if (expect !== null && count !== expect) throw new GuardMissed();
  return count;
}

/** Returns the result of a change that was ended: `null`, if a guard was not met. Any other error is thrown again. */
export function refusal(error: unknown): null {
  if (error instanceof GuardMissed) return null;
  throw error;
}

/** Returns a row as it is to be, and the step that makes it so; `null`: it is so already. */
export function modification(
  table: TableDefinition,
  row: Row,
  decide: (row: never) => Row | null,
): { readonly modified: Row; readonly step: UpdateStep | null } {
  const given = Object.entries(decide(row as never) ?? {}).filter(([, value]) => value !== undefined);
  if (given.length === 0) return { modified: row, step: null };
  const set = Object.fromEntries(given);
  const where = Object.fromEntries(table.key.map((name) => [name, row[name]]));
  return { modified: { ...row, ...set }, step: { verb: "update", table, where, set, expect: null } };
}
