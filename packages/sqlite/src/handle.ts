import type { Database, Statement } from "better-sqlite3";
import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3";

/** A better-sqlite3 database whose statements are prepared once each, by their text, and kept. */
export interface Handle {
  readonly database: Database;
  prepare(sql: string): Statement<unknown[]>;
  exec(sql: string): void;
  /** The first column of the first row. */
  value(sql: string): unknown;
  transaction: Database["transaction"];
}

/**
 * What must not become garbage while the process lives. Since Node 24.19, better-sqlite3 12 ends the process when the
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
      const known = statements.get(sql);
      if (known !== undefined) return known;
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

/** Drizzle on a handle: it makes a new statement of every query, unless it is given the known one. */
export function drizzleOn({ prepare, transaction }: Handle): BetterSQLite3Database {
  return drizzle({ client: { prepare, transaction } as unknown as Database });
}

/** Pages of one step. */
const RECLAIM_PAGES = 500;

/** The `auto_vacuum` of a file that gives free pages back when it is asked to, as ours do; few of a user's own do. */
const INCREMENTAL = 2;

/** Gives free pages back to the file system, a few at a time. `true` if there are more. */
export function reclaim(handle: Handle): boolean {
  const freePages = () => Number(handle.value("pragma freelist_count"));
  // Within a transaction of the handle's owner it would be undone with that.
  if (handle.database.inTransaction || Number(handle.value("pragma auto_vacuum")) !== INCREMENTAL) return false;
  if (freePages() === 0) return false;
  // By `exec`, which runs it to its end: a prepared one stops after its first page.
  handle.exec(`pragma incremental_vacuum(${RECLAIM_PAGES})`);
  if (freePages() > 0) return true;
  // In WAL mode a file gets shorter at a checkpoint, which comes by itself only after so many more pages.
  handle.exec("pragma wal_checkpoint");
  return false;
}
