import {
  CheckpointError,
  insertRecords,
  type RecordOf,
  removeRecords,
  type Step,
  type TableDefinition,
  type Where,
} from "@waymark/core/records";
import type { Database } from "./database.ts";
import type { AGENTS, COMPONENTS, RELATIONSHIPS, TASKS } from "./tables.ts";

/** Ways to write that several repositories have in common. */

/** An error for a row that names another which is not there. `kinds`: what the row names. */
export function noSuch(operation: string, kinds: string): CheckpointError {
  return new CheckpointError("NOT_FOUND", `${operation}: there is no such ${kinds}`);
}

/**
 * Applies steps. `kinds`: what their rows name.
 * @throws CheckpointError `NOT_FOUND` if a row names one that is not there
 */
export async function applySteps(
  database: Database,
  operation: string,
  steps: readonly Step[],
  kinds: string | null = null,
): Promise<void> {
  await database.run(operation, async (records, signal) => {
    try {
      await records.change(steps, signal);
    } catch (error) {
      throw kinds !== null && database.isForeignKey(error) ? noSuch(operation, kinds) : error;
    }
  });
}

type TableWithId = typeof AGENTS | typeof COMPONENTS | typeof RELATIONSHIPS | typeof TASKS;

/**
 * Inserts a row, and returns whether its keys were free. `kinds`: what it names.
 * @throws CheckpointError `NOT_FOUND` if it names one that is not there
 */
export async function insertNew<const Table extends TableWithId>(
  database: Database,
  operation: string,
  table: Table,
  row: RecordOf<Table>,
  kinds: string,
): Promise<boolean> {
  const steps = [insertRecords(table, [row])];
  let isRetry = false;
  return await database.run(operation, async (records, signal) => {
    const mayBeOurs = isRetry; // a connection may have been lost after the commit
    isRetry = true;
    try {
      await records.change(steps, signal);
      return true;
    } catch (error) {
      if (database.isForeignKey(error)) throw noSuch(operation, kinds);
      if (!database.isDuplicate(error)) throw error;
      return mayBeOurs && (await records.count(table, row as Where<Table>, signal)) > 0;
    }
  });
}

/** Removes rows, and returns whether there were any. */
export async function removeFound<const Table extends TableDefinition>(
  database: Database,
  operation: string,
  table: Table,
  where: Where<Table>,
): Promise<boolean> {
  let wereThere = false; // also where a connection was lost after the commit, and the retry finds none
  await database.run(operation, async (records, signal) => {
    if ((await records.count(table, where, signal)) === 0) return;
    wereThere = true;
    await records.change([removeRecords(table, where)], signal);
  });
  return wereThere;
}
