import type { Database, Statement } from "better-sqlite3";
import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3";

/** A better-sqlite3 database that prepares each text once, and keeps the statement. */
export interface Handle {
  readonly database: Database;
  prepare(sql: string): Statement<unknown[]>;
  exec(sql: string): void;
  /** Returns the first column of the first row. */
  value(sql: string): unknown;
  transaction: Database["transaction"];
}

/**
 * Handles that must not become garbage while the process lives. Since Node 24.19, better-sqlite3 12 ends the process when the
 * collector meets one of its objects while no JavaScript runs (https://github.com/WiseLibs/better-sqlite3/issues/1515);
 * version 13 does not. So each opened database costs a few kilobytes for ever there, and our SQL texts are few and
 * fixed: no lists of values in them, and no `pragma()`, which prepares anew each time.
 */
const KEEP = Number.parseInt(process.versions.node, 10) >= 24;
const kept = new Set<Handle>();

export function handleOn(database: Database): Handle {
  const statements = new Map<string, Statement<unknown[]>>();
  const handle: Handle = {
    database,
    prepare(sql) {
      const existing = statements.get(sql);
      if (existing !== undefined) return existing;
      const statement = database.prepare<unknown[]>(sql);
      statements.set(sql, statement);
      return statement;
    },
    exec: (sql) => void database.exec(sql),
    value: (sql) => Object.values((handle.prepare(sql).get() as Record<string, unknown> | undefined) ?? {})[0],
    transaction: database.transaction.bind(database) as Database["transaction"],
  };
  if (KEEP) kept.add(handle);
  return handle;
}

/** Makes a Drizzle database on a handle, so that it gets kept statements: by itself it prepares one for every query. */
export function drizzleOn({ prepare, transaction }: Handle): BetterSQLite3Database {
  return drizzle({ client: { prepare, transaction } as unknown as Database });
}

/** Pages that one step of a vacuum returns. */
const VACUUM_PAGES = 500;

/** The value of `auto_vacuum` for files that return free pages on request. Ours do; files of users seldom do. */
const INCREMENTAL = 2;

/** Returns free pages to the file system, a few at a time. `true`: there are more. */
export function vacuum(handle: Handle): boolean {
  const freePages = () => Number(handle.value("pragma freelist_count"));
  // In a transaction of the handle's owner it would be rolled back with that.
  if (handle.database.inTransaction || Number(handle.value("pragma auto_vacuum")) !== INCREMENTAL) return false;
  if (freePages() === 0) return false;
  // By `exec`, which runs it to its end: a prepared statement stops after its first page.
  handle.exec(`pragma incremental_vacuum(${VACUUM_PAGES})`);
  if (freePages() > 0) return true;
  // In WAL mode a file shrinks at a checkpoint, which SQLite makes by itself only after many more pages.
  handle.exec("pragma wal_checkpoint");
  return false;
}
