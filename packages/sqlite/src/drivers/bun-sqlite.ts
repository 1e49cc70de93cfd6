import { property } from "@waymark/core/kit";
import { CannotRun, type Driver, type DriverDatabase, type Statement } from "./driver.ts";

/** The parts of `bun:sqlite` that we use. */
interface BunDatabase {
  readonly inTransaction: boolean;
  prepare(sql: string): BunStatement;
  exec(sql: string): unknown;
  loadExtension(path: string): unknown;
  close(): void;
}

interface BunStatement {
  run(...values: unknown[]): { readonly changes: number };
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  values(...values: unknown[]): unknown[];
  finalize(): void;
}

export const bunSqlite: Driver = {
  name: "bun:sqlite",

  async load() {
    // Not by `import`: other runtimes and bundlers do not know the scheme.
    const module = isBun() ? process.getBuiltinModule("bun:sqlite") : undefined;
    if (module === undefined) throw new CannotRun("this is not Bun", "run Bun 1.2 or later");
    const { Database } = module as unknown as { Database: new (path: string) => BunDatabase };
    return (path) => wrap(new Database(path), false);
  },

  adopt: (database) =>
    typeof property(database, "clearQueryCache") === "function" ? wrap(database as BunDatabase, true) : null,
};

function isBun(): boolean {
  return property(process.versions, "bun") !== undefined;
}

function wrap(database: BunDatabase, isAdopted: boolean): DriverDatabase {
  let isOpen = true;
  // By their texts. A statement that is not finalized keeps the file open after `close`.
  const statements = new Map<string, BunStatement>();
  return {
    driver: "bun:sqlite",
    prepare(sql) {
      const statement = statements.get(sql) ?? database.prepare(sql);
      statements.set(sql, statement);
      return statementOf(statement);
    },
    exec: (sql) => void database.exec(sql),
    loadExtension: (path) => void database.loadExtension(path),
    isOpen: () => (isAdopted ? answers(database) : isOpen),
    inTransaction: () => database.inTransaction,
    close() {
      isOpen = false;
      for (const statement of statements.values()) statement.finalize();
      database.close();
    },
  };
}

/** Bun does not say whether a database is open. */
function answers(database: BunDatabase): boolean {
  try {
    database.prepare("select 1").finalize();
    return true;
  } catch {
    return false;
  }
}

function statementOf(statement: BunStatement): Statement {
  const arrays: Statement = {
    run: (...values) => statement.run(...values),
    get: (...values) => statement.values(...values)[0],
    all: (...values) => statement.values(...values),
    raw: () => arrays,
  };
  return {
    run: arrays.run,
    get: (...values) => statement.get(...values) ?? undefined,
    all: (...values) => statement.all(...values),
    raw: () => arrays,
  };
}
