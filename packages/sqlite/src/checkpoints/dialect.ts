import { CheckpointError } from "@waymark/core";
import { type Dialect, NIL_ID, Opening } from "@waymark/core/kit";
import { connect } from "../connection.ts";
import { classify } from "../errors.ts";
import { drizzleOn, reclaim } from "../handle.ts";
import { migrateSchema } from "../migrate.ts";
import type { ResolvedOptions } from "../options.ts";
import { checkpointsTable, writesTable } from "./schema.ts";
import { createStatements } from "./statements.ts";

/** The driver refuses a value or row above SQLite's own limit of 10^9 bytes, and names it less clearly than we do. */
const MAX_STATEMENT_BYTES = 900_000_000;

export function createSQLiteDialect(options: ResolvedOptions): Dialect {
  const { tablePrefix, migrate } = options;
  const connection = new Opening((signal) => connect(options, signal));
  const opening = new Opening(async (signal) => {
    const handle = await connection.get(signal);
    if (migrate !== "off") migrateSchema(handle, tablePrefix, migrate === "auto" ? "apply" : "verify");
    const table = checkpointsTable(tablePrefix);
    return createStatements(drizzleOn(handle), table, writesTable(table, tablePrefix), NIL_ID);
  });

  return {
    name: "sqlite",
    collection: `${tablePrefix}agent_checkpoints`,
    apiVersion: 1,
    async open(signal) {
      opening.forget(); // again, where its tables are gone
      await opening.get(signal);
      return { maxStatementBytes: MAX_STATEMENT_BYTES };
    },
    migrate: async (mode, signal) => migrateSchema(await connection.get(signal), tablePrefix, mode),
    async commit(change, signal) {
      const statements = await opening.get(signal);
      // Ours never outlast a call. What was stored within the user's own would go when that is rolled back.
      if ((await connection.get(signal)).database.inTransaction) {
        throw new CheckpointError("CONTENTION", "commit: options.database is within a transaction of its owner");
      }
      return statements.commit(change);
    },
    readChain: async (id, signal) => (await opening.get(signal)).readChain(id),
    list: async (query, signal) => (await opening.get(signal)).list(query),
    readRows: async (ids, signal) => (await opening.get(signal)).readRows(ids),
    readWrites: async (ids, signal) => (await opening.get(signal)).readWrites(ids),
    writeKeys: async (range, signal) => (await opening.get(signal)).writeKeys(range),
    pending: async (until, limit, signal) => (await opening.get(signal)).pending(until, limit),
    backlog: async (signal) => (await opening.get(signal)).backlog(),
    count: async (range, signal) => (await opening.get(signal)).count(range),
    dependents: async (ids, signal) => (await opening.get(signal)).dependents(ids),
    agents: async (after, limit, signal) => (await opening.get(signal)).agents(after, limit),
    stats: async (agentId, signal) => (await opening.get(signal)).stats(agentId),
    async reclaim(signal) {
      await opening.get(signal);
      return reclaim(await connection.get(signal));
    },
    ping: async (signal) => (await opening.get(signal)).ping(),
    classify,
    async close() {
      const handle = await connection.current();
      if (options.database === null) handle?.database.close();
    },
  };
}
