import { CheckpointError, type Records, type RecordWork, type Step, type Where } from "@waymark/core/records";
import type { Database } from "./database.ts";

/**
 * Runs work on a database that gathers its changes, and applies them at once when the work is done, all or none, in the order in which its
 * calls were made. Reads see what is stored, and nothing of these changes. A row cannot be changed by what it is (`modify`).
 * @throws CheckpointError `CONFLICT` if a key is taken, `NOT_FOUND` if a row names one that is not there, `CONTENTION` if a row has changed,
 * `CLOSED` for a call that is made when the work is done
 */
export async function inOneChange<Result>(
  database: Database,
  work: (gathering: Database) => Promise<Result>,
): Promise<Result> {
  const gatherer = new Gatherer(database);
  const result = await work({ ...database, run: (operation, inner) => gatherer.run(operation, inner) });
  await apply(database, await gatherer.end());
  return result;
}

/** Gathers the changes of calls. */
class Gatherer {
  readonly #database: Database;
  /** Steps of each call, in the order in which the calls were made. */
  readonly #calls: Promise<Step[]>[] = [];
  #hasEnded = false;

  constructor(database: Database) {
    this.#database = database;
  }

  async run<Result>(operation: string, work: RecordWork<Result>): Promise<Result> {
    if (this.#hasEnded) throw new CheckpointError("CLOSED", `${operation}: the transaction is over`);
    let steps: Step[] = [];
    const running = this.#database.run(operation, (records, signal) => {
      steps = []; // it is run again after a fault
      return work(gatheringRecords(records, steps), signal);
    });
    this.#calls.push(
      running.then(
        () => steps,
        () => [], // its caller knows
      ),
    );
    return await running;
  }

  /** Refuses further calls, and returns the steps of all that were made. */
  async end(): Promise<Step[]> {
    this.#hasEnded = true;
    return (await Promise.all(this.#calls)).flat();
  }
}

async function apply(database: Database, steps: readonly Step[]): Promise<void> {
  let isRetry = false;
  await database.run("transaction", async (records, signal) => {
    const mayBeDone = isRetry; // a connection may have been lost after the commit
    isRetry = true;
    try {
      if ((await records.change(steps, signal)) !== null) return;
    } catch (error) {
      if (database.isForeignKey(error)) throw noParent();
      if (!database.isDuplicate(error)) throw error;
      if (mayBeDone && (await isApplied(records, steps, signal))) return;
      throw error;
    }
    if (mayBeDone && (await isApplied(records, steps, signal))) return;
    throw new CheckpointError("CONTENTION", "transaction: a row has changed meanwhile");
  });
}

function noParent(): CheckpointError {
  return new CheckpointError("NOT_FOUND", "transaction: an agent, entity or room that a row names is not there");
}

/** Returns whether a row is there that only this transaction inserts: then all of it was applied. */
async function isApplied(records: Records, steps: readonly Step[], signal: AbortSignal): Promise<boolean> {
  for (const step of steps) {
    if (step.verb !== "insert" || step.onConflict !== "fail") continue;
    const [row] = step.rows;
    if (row !== undefined) return (await records.count(step.table, row as Where<typeof step.table>, signal)) > 0;
  }
  return false;
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
    async modify() {
      throw new CheckpointError("INVALID_ARGUMENT", "transaction: expected a change that does not depend on the row");
    },
  };
}

/** Number of rows that a step will concern, as far as it says so. */
function rowsOf(step: Step): number {
  if (step.verb === "insert") return step.rows.length;
  return step.verb === "remove keys" ? step.keys.length : (step.expect ?? 1);
}
