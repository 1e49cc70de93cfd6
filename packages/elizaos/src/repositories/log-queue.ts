import { CheckpointError, insertRecords, unref } from "@waymark/core/records";
import type { Database } from "../database.ts";
import { LOGS, type LogRow } from "../tables.ts";

/** Time for which logs are gathered, in milliseconds. */
const GATHERED_MS = 50;

/** The most logs of an insert, and their bytes unless one alone has more. */
const ROWS_AT_ONCE = 200;
const BYTES_AT_ONCE = 4 * 2 ** 20;

/** The most logs that wait, and the bytes of their bodies. */
const MAX_ROWS = 10_000;
const MAX_BYTES = 64 * 2 ** 20;

/** Waiting logs from which on callers wait a little: those that log in a loop would leave no time to store them. */
const CROWD = 1_000;

/** Time until a database that takes no logs is asked again, in milliseconds; it doubles each time. */
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;

/** Errors of an insert that may be due to one of its rows. All others are the database's, and pass. */
const MAY_BE_ONE_ROW: readonly CheckpointError["code"][] = [
  "STATE_TOO_LARGE",
  "CONFLICT",
  "DATABASE_ERROR",
  "INVALID_ARGUMENT",
];

interface Waiting {
  readonly row: LogRow;
  readonly bytes: number;
}

/** Counts of logs, of one adapter. */
export interface LogStats {
  /** Logs that wait. */
  readonly waiting: number;
  readonly stored: number;
  /** Logs that are not stored, and never will be. */
  readonly dropped: number;
}

/**
 * Logs on their way to the database: gathered for some milliseconds, and inserted many at once. While the database takes none they wait, up
 * to a bound; further ones are dropped. A log that the database refuses is dropped alone. Nothing here rejects.
 */
export class LogQueue {
  readonly #database: Database;
  readonly #onStored: (count: number) => void;
  readonly #waiting: Waiting[] = [];
  #bytes = 0;
  #stored = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  /** Time until the next attempt; `null`: the database takes logs. */
  #retryMs: number | null = null;
  #isClosed = false;
  #saidOverflow = false;
  #saidRefusal = false;

  /** `onStored` is called with the number of logs of each insert. */
  constructor(database: Database, onStored: (count: number) => void) {
    this.#database = database;
    this.#onStored = onStored;
  }

  get stats(): LogStats {
    return { waiting: this.#waiting.length, stored: this.#stored, dropped: this.#dropped };
  }

  /** Whether so many wait that callers should too. Never while the database takes none. */
  get isCrowded(): boolean {
    return this.#waiting.length >= CROWD && this.#retryMs === null && !this.#isClosed;
  }

  add(row: LogRow): void {
    const bytes = Buffer.byteLength(row.body);
    if (this.#isClosed || this.#waiting.length >= MAX_ROWS || this.#bytes + bytes > MAX_BYTES) {
      this.#overflow(1);
      return;
    }
    this.#waiting.push({ row, bytes });
    this.#bytes += bytes;
    if (this.#retryMs !== null) return;
    if (this.#waiting.length >= ROWS_AT_ONCE) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), GATHERED_MS);
  }

  /** Counts a log that is no row: its arguments are not as documented. */
  refuse(): void {
    this.#dropped += 1;
    if (this.#saidRefusal) return;
    this.#saidRefusal = true;
    warn("A log was dropped: its room or entity is not there, or it is not as documented, or too large.");
  }

  /** Tries to store all logs that wait. Resolves when they are stored or dropped, or when the database takes none. */
  flush(): Promise<void> {
    this.#stopTimer();
    this.#sending ??= this.#sendAll();
    return this.#sending;
  }

  /** Flushes once more. What the database does not take then is dropped, as are all later logs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
    this.#stopTimer();
    if (this.#waiting.length > 0) this.#overflow(this.#take(this.#waiting.length));
  }

  async #sendAll(): Promise<void> {
    await null; // until `#sending` is set
    try {
      let size = ROWS_AT_ONCE;
      while (this.#waiting.length > 0) {
        const rows = this.#next(size);
        const outcome = await this.#insert(rows);
        if (outcome === "away") return this.#retryLater();
        this.#retryMs = null;
        if (outcome === "refused" && rows.length > 1) {
          size = Math.ceil(rows.length / 2); // to find those that it refuses
          continue;
        }
        size = Math.min(size * 2, ROWS_AT_ONCE);
        this.#take(rows.length);
        if (outcome === "refused") this.refuse();
        else this.#hasStored(rows.length);
      }
    } finally {
      this.#sending = null; // before anybody else's turn: a log that is added then is not seen here
    }
  }

  /** Returns the first logs that wait. */
  #next(size: number): LogRow[] {
    let bytes = 0;
    const end = this.#waiting.slice(0, size).findIndex((one, at) => {
      bytes += one.bytes;
      return at > 0 && bytes > BYTES_AT_ONCE;
    });
    return this.#waiting.slice(0, end === -1 ? size : end).map(({ row }) => row);
  }

  async #insert(rows: readonly LogRow[]): Promise<"stored" | "refused" | "away"> {
    const database = this.#database;
    try {
      return await database.run("store logs", async (records, signal) => {
        try {
          await records.change([insertRecords(LOGS, rows, "ignore")], signal);
          return "stored";
        } catch (error) {
          if (database.isForeignKey(error)) return "refused";
          throw error;
        }
      });
    } catch (error) {
      return error instanceof CheckpointError && MAY_BE_ONE_ROW.includes(error.code) ? "refused" : "away";
    }
  }

  /** Removes the first logs that wait, and returns their number. */
  #take(count: number): number {
    for (const { bytes } of this.#waiting.splice(0, count)) this.#bytes -= bytes;
    return count;
  }

  #hasStored(count: number): void {
    this.#saidOverflow = false;
    this.#stored += count;
    this.#onStored(count);
  }

  #retryLater(): void {
    this.#retryMs = Math.min(this.#retryMs === null ? FIRST_RETRY_MS : this.#retryMs * 2, MAX_RETRY_MS);
    if (this.#isClosed) return;
    this.#stopTimer();
    this.#timer = unref(setTimeout(() => void this.flush(), this.#retryMs));
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #overflow(count: number): void {
    this.#dropped += count;
    if (this.#saidOverflow) return;
    this.#saidOverflow = true;
    warn(`Logs are dropped: ${this.#isClosed ? "the adapter is closed" : "too many wait for the database"}.`);
  }
}

function warn(message: string): void {
  const advice = "getConnectionInfo().droppedLogs counts them";
  process.emitWarning(`${message} ${advice}`, { type: "WaymarkWarning", code: "WAYMARK_ELIZA_LOGS_DROPPED" });
}
