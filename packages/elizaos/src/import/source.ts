import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, openRecordStore, property } from "@waymark/core/records";
import type * as Orm from "drizzle-orm";
import type * as PgCore from "drizzle-orm/pg-core";
import { importInstalled, type Module } from "../modules.ts";
import type { DialectOptions } from "../options.ts";
import { SCHEMAS } from "../schemas.ts";
import { type SourceRow, type SourceTable, type SourceTables, sourceTables } from "./source-tables.ts";

/** Reading a database of plugin-sql. Nothing is written to it. */

export const OPERATION = "import plugin-sql";

/** A database of plugin-sql 1.7: by a URL, by a folder, or as a Drizzle database. */
export type ImportSource =
  | { readonly postgresUrl: string; readonly database?: DialectOptions | undefined }
  /** Opened with the PGlite of plugin-sql, which has to be installed: another version may not read its files. */
  | { readonly pgliteDataDir: string }
  /** For PostgreSQL, by any driver; it is never closed here. */
  | { readonly db: unknown };

type Database = PgCore.PgDatabase<PgCore.PgQueryResultHKT>;

/** A database, and what closes it. */
interface Opened {
  readonly database: unknown;
  close(): Promise<void>;
}

/** A database of plugin-sql. */
export class Source {
  readonly #database: Database;
  readonly #orm: typeof Orm;
  readonly #tables: SourceTables;
  readonly #close: () => Promise<void>;

  constructor({ database, close }: Opened, orm: typeof Orm, tables: SourceTables) {
    this.#database = database as Database;
    this.#orm = orm;
    this.#tables = tables;
    this.#close = close;
  }

  async count(name: SourceTable): Promise<number> {
    const query = this.#database.select({ rows: this.#orm.count() }).from(this.#tableOf(name));
    return Number((await reading(name, query))[0]?.rows);
  }

  /** Reads a table in pages, in the order of `key`, whose columns tell its rows apart. Rows with `null` in one of them are left out. */
  async *pages<Name extends SourceTable>(
    name: Name,
    key: readonly (keyof SourceRow<Name> & string)[],
    size: number,
  ): AsyncGenerator<SourceRow<Name>[]> {
    const columns = this.#columnsOf(name, key);
    const { and, isNotNull } = this.#orm;
    const given = columns.filter((column) => !column.notNull).map((column) => isNotNull(column));
    let last: SourceRow<Name> | undefined;
    do {
      const values = last === undefined ? null : key.map((column) => (last as SourceRow<Name>)[column]);
      const where = and(...given, values === null ? undefined : this.#behind(columns, values));
      const query = this.#database
        .select()
        .from(this.#tableOf(name))
        .where(where)
        .orderBy(...columns)
        .limit(size);
      const rows = (await reading(name, query)) as SourceRow<Name>[];
      if (rows.length > 0) yield rows;
      last = rows.length < size ? undefined : rows.at(-1);
    } while (last !== undefined);
  }

  /** Returns the ids of rows that have `null` in one of these columns. */
  async lacking<Name extends SourceTable>(
    name: Name,
    columns: readonly (keyof SourceRow<Name> & string)[],
  ): Promise<string[]> {
    const { isNull, or } = this.#orm;
    const [id] = this.#columnsOf(name, ["id"]) as [PgCore.AnyPgColumn];
    const query = this.#database
      .select({ id })
      .from(this.#tableOf(name))
      .where(or(...this.#columnsOf(name, columns).map((column) => isNull(column))));
    return (await reading(name, query)).map((row) => row.id as string);
  }

  /** Reads the embeddings of memories, the oldest first. */
  async embeddings(memoryIds: readonly string[]): Promise<SourceRow<"embeddings">[]> {
    const { embeddings } = this.#tables;
    const query = this.#database
      .select()
      .from(embeddings)
      .where(this.#orm.inArray(embeddings.memoryId, [...memoryIds]))
      .orderBy(embeddings.createdAt, embeddings.id);
    return await reading("embeddings", query);
  }

  close(): Promise<void> {
    return this.#close();
  }

  #tableOf(name: SourceTable): PgCore.PgTable {
    return this.#tables[name];
  }

  #columnsOf(name: SourceTable, columns: readonly string[]): PgCore.AnyPgColumn[] {
    const all: Readonly<Record<string, PgCore.AnyPgColumn>> = this.#orm.getTableColumns(this.#tableOf(name));
    return columns.map((column) => all[column] as PgCore.AnyPgColumn);
  }

  /** Selects the rows behind the one with these values. */
  #behind(columns: readonly PgCore.AnyPgColumn[], values: readonly unknown[]): Orm.SQL | undefined {
    const { and, eq, gt, or } = this.#orm;
    const steps = columns.map((column, at) =>
      and(...columns.slice(0, at).map((one, index) => eq(one, values[index])), gt(column, values[at])),
    );
    return or(...steps);
  }
}

/** Waits for a query. The words of Drizzle's errors have the statement and its values. */
async function reading<Result>(table: string, query: PromiseLike<Result>): Promise<Result> {
  try {
    return await query;
  } catch (error) {
    const code = property(property(error, "cause"), "code") ?? property(error, "code");
    const advice =
      code === "42P01" || code === "42703"
        ? ": expected the tables of plugin-sql 1.7, in the schema public; one of an older version has to be started with 1.7 once"
        : "";
    const shown = typeof code === "string" ? ` (${code})` : "";
    throw new CheckpointError("DATABASE_ERROR", `${OPERATION}: reading the table ${table} failed${shown}${advice}`);
  }
}

/** Opens a database of plugin-sql. @throws CheckpointError `INVALID_CONFIG` if a package is missing */
export async function openSource(source: ImportSource): Promise<Source> {
  const [orm, pgCore] = await Promise.all(["drizzle-orm", "drizzle-orm/pg-core"].map(load));
  const opened = await openDatabase(source);
  return new Source(opened, orm as unknown as typeof Orm, sourceTables(pgCore as unknown as typeof PgCore));
}

async function openDatabase(source: ImportSource): Promise<Opened> {
  if ("db" in source) return { database: source.db, close: async () => {} };
  if ("pgliteDataDir" in source) return await openPglite(source.pgliteDataDir);
  const store = await openRecordStore({
    source: OPERATION,
    field: "options.from.postgresUrl",
    url: source.postgresUrl,
    options: { ...source.database, migrate: "off" },
    optionsField: "options.from.database",
    schemas: { postgres: SCHEMAS.postgres },
    from: [fileURLToPath(import.meta.url)],
  });
  try {
    await store.run("open database of plugin-sql", async () => {}); // a failure to connect says which database it was
    return { database: await store.drizzle(), close: () => store.close() };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The parts of PGlite that are used here. */
interface Pglite {
  readonly PGlite: { create(options: object): Promise<{ close(): Promise<void> }> };
}

/** Version of PostgreSQL in the PGlite of plugin-sql 1.7. */
const PLUGIN_SQL_VERSION = "17";

/** Returns the version of PostgreSQL that has written a folder; `null`: it is no database. */
function versionOf(dataDir: string): string | null {
  const file = join(dataDir.replace(/^file:\/\//, ""), "PG_VERSION");
  return existsSync(file) ? readFileSync(file, "utf8").trim() : null;
}

async function openPglite(dataDir: string): Promise<Opened> {
  const version = versionOf(dataDir);
  if (version !== PLUGIN_SQL_VERSION) {
    const got = version === null ? "one without the file PG_VERSION" : `one of PostgreSQL ${version}`; // PGlite would make one
    const expected = `the folder of a database that plugin-sql has written, with PostgreSQL ${PLUGIN_SQL_VERSION}`;
    const message = `expected options.from.pgliteDataDir to be ${expected}, got ${got}`;
    throw new CheckpointError("INVALID_CONFIG", `${OPERATION}: ${message}`);
  }
  const [{ PGlite }, { vector }, { drizzle }] = (await Promise.all(
    ["@electric-sql/pglite", "@electric-sql/pglite/vector", "drizzle-orm/pglite"].map(load),
  )) as unknown as [Pglite, Module, { drizzle(options: object): unknown }];
  const client = await PGlite.create({ dataDir, extensions: { vector } });
  return { database: drizzle({ client }), close: () => client.close() };
}

/** Imports a package of plugin-sql's, or of the dialect's. */
async function load(name: string): Promise<Module> {
  const module = (await importInstalled(name, PLUGIN_SQL)) ?? (await importInstalled(name, "@waymark/postgres"));
  if (module !== null) return module;
  throw new CheckpointError("INVALID_CONFIG", `${OPERATION}: ${name} is not installed: npm install ${PLUGIN_SQL}`);
}

const PLUGIN_SQL = "@elizaos/plugin-sql";
