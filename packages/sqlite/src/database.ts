import { type Database, type DomainSchema, Shared, type SharedUse } from "@waymark/core/kit";
import { connect } from "./connection.ts";
import { classify } from "./errors.ts";
import type { Handle } from "./handle.ts";
import { migrateSchema } from "./migrate.ts";
import type { ResolvedOptions } from "./options.ts";

/** The driver refuses a value or row above SQLite's own limit of 10^9 bytes, with a less clear message than ours. */
const MAX_STATEMENT_BYTES = 900_000_000;

/** One connection, which the domains that stand on it share: opened at first use, closed with the last of them. */
export function shareConnection(options: ResolvedOptions): Shared<Handle> {
  return new Shared(
    (signal) => connect(options, signal),
    async ({ database }) => {
      if (options.database === null) database.close();
    },
  );
}

/** The database of one domain: its schema, on a shared connection. */
export function databaseOn(
  connection: SharedUse<Handle>,
  schema: DomainSchema,
  { tablePrefix, migrate }: ResolvedOptions,
): Database {
  return {
    name: "sqlite",
    collection: `${tablePrefix}${schema.tables[0]?.name}`,
    isSynchronous: true,
    apiVersion: 1,
    async open(signal) {
      const handle = await connection.get(signal);
      if (migrate !== "off") migrateSchema(handle, schema, tablePrefix, migrate === "auto" ? "apply" : "verify");
      return { maxStatementBytes: MAX_STATEMENT_BYTES };
    },
    migrate: async (mode, signal) => migrateSchema(await connection.get(signal), schema, tablePrefix, mode),
    ping: async (signal) => void (await connection.get(signal)).value("select 1"),
    classify,
    close: () => connection.close(),
  };
}
