import { type Dialect, NIL_ID, Opening } from "@waymark/core/dialect-kit";
import { sql } from "drizzle-orm";
import { connect, drizzleOn } from "./connection.ts";
import { classify } from "./errors.ts";
import { migrateSchema } from "./migrate.ts";
import type { ResolvedOptions } from "./options.ts";
import { checkpointsTable } from "./schema.ts";
import { createStatements } from "./statements.ts";

/** A statement's text beside its rows. */
const STATEMENT_ALLOWANCE_BYTES = 4_096;

export function createMySQLDialect(options: ResolvedOptions): Dialect {
  const { tablePrefix, migrate } = options;
  const table = checkpointsTable(tablePrefix);
  const connection = new Opening(() => connect(options));

  type Statements = ReturnType<typeof createStatements>;
  const use = async <Result>(signal: AbortSignal, work: (statements: Statements) => Promise<Result>) => {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, (one) => work(createStatements(drizzleOn(one), table, NIL_ID)));
  };
  const migrateIn = async (mode: "apply" | "verify" | "sql", signal: AbortSignal) => {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, (one) => migrateSchema(one, options, mode));
  };

  return {
    name: "mysql",
    apiVersion: 1,
    async open(signal) {
      if (migrate !== "off") await migrateIn(migrate === "auto" ? "apply" : "verify", signal);
      const { use: useOne } = await connection.get(signal);
      const maxPacketBytes = await useOne(signal, async (one) => {
        const [rows] = await drizzleOn(one).execute(sql`select @@max_allowed_packet as bytes`);
        return Number((rows as unknown as { bytes: number }[])[0]?.bytes);
      });
      // Bytes are sent as hex, two characters each.
      return { maxStatementBytes: Math.floor((maxPacketBytes - STATEMENT_ALLOWANCE_BYTES) / 2) };
    },
    migrate: migrateIn,
    commit: (change, signal) => use(signal, (statements) => statements.commit(change)),
    readChain: (id, signal) => use(signal, (statements) => statements.readChain(id)),
    list: (query, signal) => use(signal, (statements) => statements.list(query)),
    dependents: (ids, signal) => use(signal, (statements) => statements.dependents(ids)),
    agents: (after, limit, signal) => use(signal, (statements) => statements.agents(after, limit)),
    stats: (agentId, signal) => use(signal, (statements) => statements.stats(agentId)),
    ping: (signal) => use(signal, (statements) => statements.ping()),
    classify,
    async close() {
      await (await connection.current())?.close();
    },
  };
}
