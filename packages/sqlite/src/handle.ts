import { LruCache } from "@waymark/core/kit";
import { BetterSQLiteSession } from "drizzle-orm/better-sqlite3/session";
import { BaseSQLiteDatabase, SQLiteSyncDialect } from "drizzle-orm/sqlite-core";
import type { DriverDatabase, DriverName, Statement } from "./drivers/driver.ts";
import { FileWatch } from "./file-watch.ts";

/** An open database of any driver that prepares each text once, and keeps the statement. */
export interface Handle {
  readonly driver: DriverName;
  /** The database's file; `null`: it is in memory. */
  readonly file: FileWatch | null;
  /** Set where we have created the file. */
  readonly isNew: boolean;
  prepare(sql: string): Statement;
  /** Runs statements to their end. */
  exec(sql: string): void;
  /** Returns the first column of the first row. */
  value(sql: string): unknown;
  /** Runs `work` in a transaction that takes the write lock first: one that reads first may be refused when it writes. */
  transaction<Result>(work: () => Result): Result;
  /** Loads an extension of SQLite. Absent: the driver cannot, or the database is the user's. */
  loadExtension?(path: string): void;
  isOpen(): boolean;
  /** Returns whether a transaction is under way: within our calls ours, else one of the database's owner. */
  inTransaction(): boolean;
  close(): void;
}

/** `own`: the file that we have opened; `null` for a database of the user's. */
export function handleOn(
  database: DriverDatabase,
  own: { readonly path: string | null; readonly isNew: boolean } | null,
): Handle {
  const statements = new LruCache<string, Statement>();
  const prepare = (sql: string) => statements.get(sql, () => database.prepare(sql));
  const value = (sql: string) => Object.values((prepare(sql).get() as Record<string, unknown> | undefined) ?? {})[0];

  return {
    driver: database.driver,
    file: FileWatch.of(value("select file from pragma_database_list where name = 'main'"), own?.path ?? null),
    isNew: own?.isNew ?? false,
    prepare,
    exec: (sql) => database.exec(sql),
    value,
    transaction(work) {
      prepare("begin immediate").run();
      try {
        const result = work();
        prepare("commit").run();
        return result;
      } catch (error) {
        rollBack(prepare);
        throw error;
      }
    },
    ...(own !== null && database.loadExtension !== undefined && { loadExtension: database.loadExtension }),
    isOpen: () => database.isOpen(),
    inTransaction: () => database.inTransaction(),
    close: () => database.close(),
  };
}

function rollBack(prepare: Handle["prepare"]): void {
  try {
    prepare("rollback").run();
  } catch {
    // SQLite has rolled back by itself, as it does when the disk is full
  }
}

/** A Drizzle database on a handle, whatever the driver. */
export type DrizzleDatabase = BaseSQLiteDatabase<"sync", { readonly changes: number | bigint }>;

/**
 * Makes a Drizzle database on a handle, so that it gets kept statements: by itself it prepares one for every query. Drizzle's
 * session of better-sqlite3 asks its client for no more than this. Its entry module is not used: it loads better-sqlite3.
 */
export function drizzleOn({ prepare, transaction }: Handle): DrizzleDatabase {
  const client = {
    prepare,
    transaction: (work: (tx: unknown) => unknown) => ({ immediate: (tx: unknown) => transaction(() => work(tx)) }),
  };
  const dialect = new SQLiteSyncDialect();
  return new BaseSQLiteDatabase(
    "sync",
    dialect,
    new BetterSQLiteSession(client as never, dialect, undefined),
    undefined,
  ) as never;
}

/** Pages that one step of a vacuum returns. */
const VACUUM_PAGES = 500;

/** The value of `auto_vacuum` for files that return free pages on request. Ours do; files of users seldom do. */
const INCREMENTAL = 2;

/** Returns free pages to the file system, a few at a time. `true`: there are more. */
export function vacuum(handle: Handle): boolean {
  const freePages = () => Number(handle.value("pragma freelist_count"));
  // In a transaction of the handle's owner it would be rolled back with that.
  if (handle.inTransaction() || Number(handle.value("pragma auto_vacuum")) !== INCREMENTAL) return false;
  const before = freePages();
  if (before === 0) return false;
  // By `exec`, which runs it to its end: a prepared statement stops after its first page. So does `exec` of Deno.
  handle.transaction(() => {
    for (let left = before; left > Math.max(0, before - VACUUM_PAGES); ) {
      handle.exec(`pragma incremental_vacuum(${VACUUM_PAGES})`);
      if (freePages() >= left) break; // another process's reader needs them
      left = freePages();
    }
  });
  if (freePages() > 0) return true;
  // In WAL mode a file shrinks at a checkpoint, which SQLite makes by itself only after many more pages.
  handle.exec("pragma wal_checkpoint");
  return false;
}
