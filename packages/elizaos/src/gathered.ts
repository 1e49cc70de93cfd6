import { CheckpointError, type Records, type RecordWork, type Step, updateRecords } from "@waymark/core/records";
import type { Database } from "./database.ts";

/**
 * Runs work on a database that gathers its changes, and applies them at once when the work is done, all or none. Reads see what is stored,
 * and nothing of these changes.
 * @throws CheckpointError `CONFLICT` if a key is taken, `NOT_FOUND` if a row names one that is not there, `CONTENTION` if a row has changed
 */
export async function inOneChange<Result>(
  database: Database,
  work: (gathering: Database) => Promise<Result>,
): Promise<Result> {
  const steps: Step[] = [];
  const result = await work({ ...database, run: (operation, inner) => gather(database, steps, operation, inner) });
  await database.run("transaction", async (records, signal) => {
    const applied = await records.change(steps, signal).catch((error: unknown) => {
      if (!database.isForeignKey(error)) throw error;
      throw new CheckpointError("NOT_FOUND", "transaction: an agent, entity or room that a row names is not there");
    });
    if (applied === null) throw new CheckpointError("CONTENTION", "transaction: a row has changed meanwhile");
  });
  return result;
}

async function gather<Result>(
  database: Database,
  steps: Step[],
  operation: string,
  work: RecordWork<Result>,
): Promise<Result> {
  let gathered: Step[] = [];
  const result = await database.run(operation, (records, signal) => {
    gathered = []; // it is run again after a fault
    return work(gatheringRecords(records, gathered), signal);
  });
  steps.push(...gathered);
  return result;
}

function gatheringRecords(records: Records, steps: Step[]): Records {
  return {
    find: (...given) => records.find(...given),
    nearest: (...given) => records.nearest(...given),
    count: (...given) => records.count(...given),
    async change(given) {
      steps.push(...given);
      return given.map(rowsOf);
    },
    async modify(table, where, decide, signal) {
      const [row] = await records.find(table, { where, limit: 1 }, signal);
      if (row === undefined) return null;
      const found = row as Parameters<typeof decide>[0];
      const set = decide(found) ?? {};
      const key = Object.fromEntries(table.key.map((name) => [name, found[name as keyof typeof found]]));
      if (Object.keys(set).length > 0) steps.push(updateRecords(table, key as never, set as never, 1));
      return { ...found, ...set };
    },
  };
}

/** Number of rows that a step will concern, as far as it says so. */
function rowsOf(step: Step): number {
  if (step.verb === "insert") return step.rows.length;
  return step.verb === "remove keys" ? step.keys.length : (step.expect ?? 1);
}
