import { setTimeout as pause } from "node:timers/promises";
import { integer, removeRecords } from "@waymark/core/records";
import { checkObject, checkUuid, optionalUuid } from "../checks.ts";
import type { Log, LogQuery, NewLog, RunQuery, RunSummaries, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { NEWEST_FIRST } from "../orders.ts";
import { LOGS } from "../tables.ts";
import { LogQueue } from "./log-queue.ts";
import { type LogLimits, LogRetention } from "./log-retention.ts";
import { checkLogType, LOG_COLUMNS, logOf, newLogRow } from "./log-rows.ts";
import { getAgentRunSummaries } from "./runs.ts";

const DEFAULT_COUNT = 10;

/** Logs, whose bodies may be large, that one statement reads. */
const ROWS_AT_ONCE = 200;

/** Logs of actions, models and runs. They are stored soon, many at once, and those of this adapter are, before it reads. */
export class Logs {
  readonly #database: Database;
  readonly #queue: LogQueue;
  readonly #retention: LogRetention;

  constructor(database: Database, limits: LogLimits = { keepDays: null, keepRows: null }) {
    this.#database = database;
    this.#retention = new LogRetention(database, limits);
    this.#queue = new LogQueue(database, (count) => this.#retention.hasStored(count));
  }

  /** Logs of this adapter that were dropped: refused, or too many while the database was away. */
  get dropped(): number {
    return this.#queue.stats.dropped;
  }

  /**
   * Takes a log, to store it soon. Never rejects: the runtime does not await it, and would end the process. Waits for no database; a caller
   * that logs in a loop waits a millisecond where many logs wait already.
   */
  async log(params: NewLog): Promise<void> {
    try {
      this.#queue.add(newLogRow(params, this.#database.agentId));
    } catch {
      this.#queue.refuse();
    }
    if (this.#queue.isCrowded) await pause(1);
  }

  /** Returns logs, those of other agents too; the newest first. `count`: default 10. */
  async getLogs(params: LogQuery): Promise<Log[]> {
    const { entityId, roomId, type, count = DEFAULT_COUNT, offset = 0 } = checkObject("params", params);
    const [entity, room] = [optionalUuid("entityId", entityId), optionalUuid("roomId", roomId)];
    const where = {
      ...(entity !== null && { entity }),
      ...(room !== null && { room }),
      ...(type && { type: checkLogType("type", type) }),
    };
    const limit = integer("count", count, 0, Number.MAX_SAFE_INTEGER, "logs");
    const skipped = integer("offset", offset, 0, Number.MAX_SAFE_INTEGER, "logs");
    await this.flush();
    const logs: Log[] = [];
    for (let last: Log | undefined; logs.length < limit; last = logs.at(-1)) {
      const place = last === undefined ? { offset: skipped } : { after: [last.createdAt.getTime(), last.id] };
      const size = Math.min(limit - logs.length, ROWS_AT_ONCE);
      const query = { where, columns: LOG_COLUMNS, order: NEWEST_FIRST, limit: size, ...place };
      const rows = await this.#database.run("get logs", (records, signal) => records.find(LOGS, query, signal));
      for (const row of rows) logs.push(logOf(row));
      if (rows.length < size) break;
    }
    return logs;
  }

  async deleteLog(logId: UUID): Promise<void> {
    const id = checkUuid("logId", logId);
    await this.flush();
    await this.#database.run("delete log", (records, signal) => records.change([removeRecords(LOGS, { id })], signal));
  }

  /** Returns the newest runs of this agent, by their logs. `limit`: default 20, at most 100. */
  async getAgentRunSummaries(params: RunQuery = {}): Promise<RunSummaries> {
    await this.flush();
    return await getAgentRunSummaries(this.#database, params);
  }

  /** Tries to store the logs that wait. Never rejects. */
  async flush(): Promise<void> {
    await this.#queue.flush();
  }

  /** Stores the logs that wait, if the database takes them. Later ones are dropped. Never rejects. */
  async close(): Promise<void> {
    await this.#queue.close();
    await this.#retention.close();
  }
}
