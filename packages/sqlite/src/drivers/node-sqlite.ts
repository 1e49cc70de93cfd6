import { property } from "@waymark/core/kit";
import { CannotRun, type Driver, type DriverDatabase, type Statement } from "./driver.ts";
import { codeName, codeOfWords } from "./result-codes.ts";

/** The parts of `node:sqlite` that we use. Members that older versions lack are optional. */
interface DatabaseSync {
  /** Since Node 22.15. */
  readonly isOpen?: boolean;
  /** Since Node 22.16. */
  readonly isTransaction?: boolean;
  prepare(sql: string): StatementSync;
  exec(sql: string): void;
  /** Since Node 22.13. */
  enableLoadExtension?(allow: boolean): void;
  loadExtension?(path: string): void;
  close(): void;
}

interface StatementSync {
  run(...values: unknown[]): { readonly changes: number | bigint };
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  setReadBigInts(enabled: boolean): void;
  /** Since Node 22.16. */
  setReturnArrays?(enabled: boolean): void;
}

/** Node's own SQLite, which Deno has too. */
export const nodeSqlite: Driver = {
  name: "node:sqlite",

  async load() {
    // Not by `import`: bundlers would look for it, and older versions of Node have none.
    const module = process.getBuiltinModule("node:sqlite") as
      | { DatabaseSync: new (path: string, options: object) => DatabaseSync }
      | undefined;
    if (module === undefined) throw new CannotRun(`Node ${process.versions.node} has none`, "run Node 22.13 or later");
    return (path) =>
      wrap(
        // Extensions are loaded by us alone, see `loadExtension`: no SQL can.
        named(() => new module.DatabaseSync(path, { allowExtension: true })),
        false,
      );
  },

  adopt(database) {
    // Without `isTransaction` a store within a transaction of the owner's would be acknowledged, and lost by a rollback. It is
    // not read: since Node 26 it throws for a database that is closed.
    return "isOpen" in database && "isTransaction" in database ? wrap(database as DatabaseSync, true) : null;
  },
};

function wrap(database: DatabaseSync, isAdopted: boolean): DriverDatabase {
  let isOpen = true;
  return {
    driver: "node:sqlite",
    prepare: (sql) => statementOf(database, sql),
    exec: (sql) => named(() => database.exec(sql)),
    loadExtension(path) {
      database.enableLoadExtension?.(true);
      try {
        database.loadExtension?.(path);
      } finally {
        database.enableLoadExtension?.(false);
      }
    },
    isOpen: () => database.isOpen ?? isOpen,
    // Nobody but us begins transactions on a database that we have opened.
    inTransaction: () => isAdopted && database.isTransaction === true,
    close() {
      isOpen = false;
      database.close();
    },
  };
}

function statementOf(database: DatabaseSync, sql: string): Statement {
  const statement = prepare(database, sql);
  let arrays: Statement | null = null;
  return {
    run: (...values) => named(() => statement.run(...values)),
    get: (...values) => named(() => statement.get(...values)),
    all: (...values) => named(() => statement.all(...values)),
    raw() {
      arrays ??= arraysOf(database, sql);
      return arrays;
    },
  };
}

/** A second statement: each has one form of rows. */
function arraysOf(database: DatabaseSync, sql: string): Statement {
  const statement = prepare(database, sql);
  statement.setReturnArrays?.(true);
  const toArray = (row: unknown) => (Array.isArray(row) || row === undefined ? row : Object.values(row as object));
  const arrays: Statement = {
    run: (...values) => named(() => statement.run(...values)),
    get: (...values) => toArray(named(() => statement.get(...values))),
    all: (...values) => named(() => statement.all(...values)).map(toArray),
    raw: () => arrays,
  };
  return arrays;
}

function prepare(database: DatabaseSync, sql: string): StatementSync {
  const statement = named(() => database.prepare(sql));
  statement.setReadBigInts(false); // whatever the database's owner has set
  return statement;
}

/** Gives errors SQLite's name of their code. Deno leaves the number out of some. */
function named<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (property(error, "code") === "ERR_SQLITE_ERROR") {
      const number = property(error, "errcode");
      const words = String(property(error, "message"));
      Object.assign(error as object, { code: typeof number === "number" ? codeName(number) : codeOfWords(words) });
    }
    throw error;
  }
}
