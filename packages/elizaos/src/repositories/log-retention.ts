import { removeKeys, type Where } from "@waymark/core/records";
import type { Database } from "../database.ts";
import { BY_AGE } from "../orders.ts";
import { LOGS } from "../tables.ts";

/** How many logs of an agent stay. `null`: no limit. */
export interface LogLimits {
  /** Logs that are older go. */
  readonly keepDays: number | null;
  /** The newest that stay. */
  readonly keepRows: number | null;
}

const DAY_MS = 86_400_000;

/** Shortest time between two passes, in milliseconds. */
const PASS_MS = 60_000;

/** Passes after which logs are looked for from the beginning: others may have come late, with an earlier time. */
const PASSES_FROM_OLDEST = 10;

/** Logs that a commit removes. */
const REMOVED_AT_ONCE = 1_000;

/** Share of `keepRows` that is stored before the agent's logs are counted again. */
const SURPLUS = 0.01;

/** Removes an agent's logs that are too old, or too many: some time after others are stored, in the background. It never fails. */
export class LogRetention {
  readonly #database: Database;
  readonly #limits: LogLimits;
  /** Logs that were stored since the last count. */
  #storedSince = Number.POSITIVE_INFINITY;
  /** The agent has no logs that are older: reads begin there, behind those of other agents. */
  #oldest = 0;
  #lastPass = Number.NEGATIVE_INFINITY;
  #passes = 0;
  #pass: Promise<void> | null = null;
  #isClosed = false;

  constructor(database: Database, limits: LogLimits) {
    this.#database = database;
    this.#limits = limits;
  }

  /** Says that logs were stored. */
  hasStored(count: number): void {
    const { keepDays, keepRows } = this.#limits;
    if (this.#isClosed || (keepDays === null && keepRows === null)) return;
    this.#storedSince += count;
    if (this.#pass !== null || performance.now() - this.#lastPass < PASS_MS) return;
    this.#lastPass = performance.now();
    this.#pass = this.#run()
      .catch(() => {}) // the next pass tries again
      .finally(() => {
        this.#pass = null;
      });
  }

  /** Ends a pass after the commit that it is at, and begins no other. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pass;
  }

  async #run(): Promise<void> {
    const { keepDays, keepRows } = this.#limits;
    if (this.#passes++ % PASSES_FROM_OLDEST === 0) this.#oldest = 0;
    if (keepDays !== null) {
      const since = Date.now() - keepDays * DAY_MS;
      await this.#remove({ from: this.#oldest, below: since }, Number.POSITIVE_INFINITY);
      this.#oldest = Math.max(this.#oldest, since);
    }
    if (keepRows === null || this.#storedSince < keepRows * SURPLUS) return;
    const agent = this.#database.agentId;
    const count = await this.#database.run("count logs", (records, signal) => records.count(LOGS, { agent }, signal));
    this.#storedSince = 0;
    this.#oldest = await this.#remove({ from: this.#oldest }, count - keepRows);
  }

  /** Removes the oldest logs of a time, and returns when the last of them was made. */
  async #remove(createdAt: NonNullable<Where<typeof LOGS>["createdAt"]>, count: number): Promise<number> {
    const where = { agent: this.#database.agentId, createdAt };
    let last = this.#oldest;
    for (let left = count; left > 0 && !this.#isClosed; ) {
      const limit = Math.min(left, REMOVED_AT_ONCE);
      const removed = await this.#database.run("remove logs", async (records, signal) => {
        const query = { where, columns: ["id", "createdAt"], order: BY_AGE, limit } as const;
        const rows = await records.find(LOGS, query, signal);
        if (rows.length > 0) await records.change([removeKeys(LOGS, rows)], signal);
        return rows;
      });
      last = removed.at(-1)?.createdAt ?? last;
      left = removed.length < limit ? 0 : left - limit;
    }
    return last;
  }
}
