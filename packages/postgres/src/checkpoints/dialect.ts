import { type Dialect, NIL_ID, NO_AGENT, Opening } from "@waymark/core/kit";
import type { Sql } from "postgres";
import { connect, drizzleOn } from "../connection.ts";
import { classify } from "../errors.ts";
import { migrateSchema } from "../migrate.ts";
import type { ResolvedOptions } from "../options.ts";
import { checkpointsTable, writesTable } from "./schema.ts";
import { createStatements } from "./statements.ts";

/** postgres.js sends bytes as hex in one string, and a JavaScript string ends at 2^29 characters. */
const MAX_STATEMENT_BYTES = 250_000_000;

export function createPostgresDialect(options: ResolvedOptions): Dialect {
  const { tablePrefix, schema, migrate } = options;
  const table = checkpointsTable(tablePrefix, schema);
  const writes = writesTable(table, tablePrefix, schema);
  const connection = new Opening(() => connect(options));

  type Statements = ReturnType<typeof createStatements>;
  const known = new WeakMap<Sql, Statements>();
  const statementsOn = (client: Sql): Statements => {
    let statements = known.get(client);
    if (statements === undefined) {
      statements = createStatements(drizzleOn(client, options.prepare), table, writes, NIL_ID, NO_AGENT);
      known.set(client, statements);
    }
    return statements;
  };
  const use = async <Result>(signal: AbortSignal, work: (statements: Statements) => Promise<Result>) => {
    const { use: useClient } = await connection.get(signal);
    return await useClient(signal, (client) => work(statementsOn(client)));
  };
  const migrateIn = async (mode: "apply" | "verify" | "sql", signal: AbortSignal) => {
    const { use: useClient } = await connection.get(signal);
    return await useClient(signal, (client) => migrateSchema(client, options, mode));
  };

  return {
    name: "postgres",
    system: "postgresql",
    collection: `${tablePrefix}agent_checkpoints`,
    apiVersion: 1,
    async open(signal) {
      if (migrate === "off") await use(signal, (statements) => statements.ping());
      else await migrateIn(migrate === "auto" ? "apply" : "verify", signal);
      return { maxStatementBytes: MAX_STATEMENT_BYTES };
    },
    migrate: migrateIn,
    commit: (change, signal) => use(signal, (statements) => statements.commit(change)),
    readChain: (id, signal) => use(signal, (statements) => statements.readChain(id)),
    list: (query, signal) => use(signal, (statements) => statements.list(query)),
    readRows: (ids, signal) => use(signal, (statements) => statements.readRows(ids)),
    readWrites: (ids, signal) => use(signal, (statements) => statements.readWrites(ids)),
    writeKeys: (range, signal) => use(signal, (statements) => statements.writeKeys(range)),
    pending: (until, limit, signal) => use(signal, (statements) => statements.pending(until, limit)),
    backlog: (signal) => use(signal, (statements) => statements.backlog()),
    count: (range, signal) => use(signal, (statements) => statements.count(range)),
    dependents: (ids, signal) => use(signal, (statements) => statements.dependents(ids)),
    agents: (after, limit, signal) => use(signal, (statements) => statements.agents(after, limit)),
    stats: (agentId, signal) => use(signal, (statements) => statements.stats(agentId)),
    reclaim: async () => false, // autovacuum makes room for new rows
    ping: (signal) => use(signal, (statements) => statements.ping()),
    classify,
    async close() {
      await (await connection.current())?.close();
    },
  };
}
