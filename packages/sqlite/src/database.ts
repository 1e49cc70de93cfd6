import { CheckpointError } from "@waymark/core";
import { type Database, type DomainSchema, keepWords, Shared, type SharedUse } from "@waymark/core/kit";
import { connector } from "./connection.ts";
import { classify } from "./errors.ts";
import type { Handle } from "./handle.ts";
import { migrateSchema } from "./migrate.ts";
import type { ResolvedOptions } from "./options.ts";

/** The driver refuses a value or row above SQLite's own limit of 10^9 bytes, with a less clear message than ours. */
const MAX_STATEMENT_BYTES = 900_000_000;

/** One connection, which the domains that stand on it share: opened at first use, closed with the last of them. */
export function shareConnection(options: ResolvedOptions): Shared<Handle> {
  return new Shared(connector(options), async (handle) => {
    if (options.database === null) handle.close();
  });
}

/**
 * Returns the open database. If its file has been deleted or replaced, the call fails: nobody takes for stored what is in a
 * file that no other process finds. What is at the path now is not opened instead: it would be given the log (`-wal`) of
 * the file before.
 */
export async function openHandle(connection: SharedUse<Handle>, signal: AbortSignal): Promise<Handle> {
  const handle = await connection.get(signal);
  const state = handle.file?.state() ?? "same";
  if (state === "same") return handle;
  const path = handle.file?.path;
  const what = state === "gone" ? "deleted" : "replaced";
  const message = `the database file ${path} was ${what} while it was open: put it back, or delete ${path}-wal and restart the process`;
  throw new CheckpointError("UNAVAILABLE", message);
}

/** The database of one domain: its schema, on a shared connection. */
export function databaseOn(connection: SharedUse<Handle>, schema: DomainSchema, options: ResolvedOptions): Database {
  const { tablePrefix, migrate } = options;

  async function migrateIn(mode: "apply" | "verify" | "sql", signal: AbortSignal): Promise<string[]> {
    const handle = await openHandle(connection, signal);
    try {
      return migrateSchema(handle, schema, tablePrefix, mode);
    } catch (error) {
      throw keepWords(error); // SQLite names a column that is not unique, and shows no value
    }
  }

  return {
    name: "sqlite",
    ...locationOf(options),
    collection: `${tablePrefix}${schema.tables[0]?.name}`,
    isSynchronous: true,
    apiVersion: 1,
    async open(signal) {
      if (migrate !== "off") await migrateIn(migrate === "auto" ? "apply" : "verify", signal);
      const handle = await openHandle(connection, signal);
      return { maxStatementBytes: MAX_STATEMENT_BYTES, driver: handle.driver, created: handle.isNew };
    },
    migrate: migrateIn,
    ping: async (signal) => void (await openHandle(connection, signal)).value("select 1"),
    classify,
    close: () => connection.close(),
  };
}

function locationOf({ databasePath }: ResolvedOptions): Pick<Database, "location"> {
  return databasePath === null || databasePath === ":memory:" ? {} : { location: databasePath };
}
