import { type Dialect, NIL_ID, Opening } from "@waymark/core/dialect-kit";
import { connect } from "./connection.ts";
import { classify } from "./errors.ts";
import { migrateSchema } from "./migrate.ts";
import type { ResolvedOptions } from "./options.ts";
import { checkpointsTable } from "./schema.ts";
import { createStatements } from "./statements.ts";

/** postgres.js sends bytes as hex in one string, and a JavaScript string ends at 2^29 characters. */
const MAX_STATEMENT_BYTES = 250_000_000;

export function createPostgresDialect(options: ResolvedOptions): Dialect {
  const { tablePrefix, schema, migrate } = options;
  const table = checkpointsTable(tablePrefix, schema);
  const connection = new Opening(() => connect(options));
  const statements = async (signal: AbortSignal) => {
    const { database } = await connection.get(signal);
    return createStatements(database(signal), table, NIL_ID);
  };

  return {
    name: "postgres",
    apiVersion: 1,
    async open(signal) {
      const { client } = await connection.get(signal);
      if (migrate === "off") await (await statements(signal)).ping();
      else await migrateSchema(client(), options, migrate === "auto" ? "apply" : "verify");
      return { maxStatementBytes: MAX_STATEMENT_BYTES };
    },
    migrate: async (mode, signal) => migrateSchema((await connection.get(signal)).client(), options, mode),
    commit: async (change, signal) => (await statements(signal)).commit(change),
    readChain: async (id, signal) => (await statements(signal)).readChain(id),
    list: async (query, signal) => (await statements(signal)).list(query),
    dependents: async (ids, signal) => (await statements(signal)).dependents(ids),
    agents: async (after, limit, signal) => (await statements(signal)).agents(after, limit),
    stats: async (agentId, signal) => (await statements(signal)).stats(agentId),
    ping: async (signal) => (await statements(signal)).ping(),
    classify,
    async close() {
      await (await connection.current())?.close();
    },
  };
}
