import { type Database, type DomainSchema, locationOf, Shared, type SharedUse } from "@waymark/core/kit";
import { checkBytes, DEFAULT_PORT, ping } from "./client.ts";
import { type Connection, connect } from "./connection.ts";
import { classify } from "./errors.ts";
import { migrateSchema } from "./migrate.ts";
import { IN_MEMORY, type ResolvedOptions } from "./options.ts";

/** postgres.js sends bytes as hex in one string, and a JavaScript string ends at 2^29 characters. */
const MAX_STATEMENT_BYTES = 250_000_000;

/** One client, which the domains that stand on it share: made at first use, ended with the last of them. */
export function shareConnection(options: ResolvedOptions): Shared<Connection> {
  return new Shared(
    () => connect(options),
    (connection) => connection.close(),
  );
}

/** The database of one domain: its schema, on a shared client. */
export function databaseOn(
  connection: SharedUse<Connection>,
  schema: DomainSchema,
  options: ResolvedOptions,
): Database {
  const { tablePrefix, migrate } = options;

  async function migrateIn(mode: "apply" | "verify" | "sql", signal: AbortSignal): Promise<string[]> {
    const { use } = await connection.get(signal);
    return await use(signal, (client) => migrateSchema(client, schema, options, mode));
  }

  async function pingIn(signal: AbortSignal): Promise<void> {
    const { use } = await connection.get(signal);
    await use(signal, (client) => ping(client, options.prepare));
  }

  async function checkClient(signal: AbortSignal): Promise<void> {
    const { use } = await connection.get(signal);
    await use(signal, (client) => checkBytes(client, options.prepare));
  }

  return {
    name: "postgres",
    system: "postgresql",
    ...placeOf(options),
    collection: `${tablePrefix}${schema.tables[0]?.name}`,
    apiVersion: 1,
    async open(signal) {
      if (options.client !== null) await checkClient(signal);
      if (migrate === "off") await pingIn(signal);
      else await migrateIn(migrate === "auto" ? "apply" : "verify", signal);
      const created = (await connection.get(signal)).takeIsNew?.() ?? false;
      return { maxStatementBytes: MAX_STATEMENT_BYTES, driver: driverOf(options), created };
    },
    migrate: migrateIn,
    ping: pingIn,
    classify,
    close: () => connection.close(),
  };
}

function placeOf({ server, pgliteDataDir }: ResolvedOptions): { location?: string } {
  if (server !== null) return { location: locationOf(server.addresses, server.database, DEFAULT_PORT) };
  return pgliteDataDir === null || pgliteDataDir === IN_MEMORY ? {} : { location: pgliteDataDir };
}

function driverOf({ pglite, pgliteDataDir }: ResolvedOptions): string {
  return pglite === null && pgliteDataDir === null ? "postgres.js" : "pglite";
}
