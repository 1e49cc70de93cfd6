import { CheckpointError } from "@waymark/core";
import { type Change, type Dialect, NIL_ID, NO_AGENT, Opening, rowBytes, writeBytes } from "@waymark/core/kit";
import type { PoolConnection, RowDataPacket } from "mysql2/promise";
import { connect, drizzleOn } from "../connection.ts";
import { classify } from "../errors.ts";
import { migrateSchema } from "../migrate.ts";
import type { ResolvedOptions } from "../options.ts";
import { checkpointsTable, writesTable } from "./schema.ts";
import { createStatements } from "./statements.ts";

/** A statement's text beside its rows. */
const STATEMENT_ALLOWANCE_BYTES = 4_096;

/** Below it no server's limit is the reason that a connection was lost, as servers are set in practice: 1 MiB at least. */
const SUSPECT_BYTES = 256 * 1_024;

export function createMySQLDialect(options: ResolvedOptions): Dialect {
  const { tablePrefix, migrate } = options;
  const table = checkpointsTable(tablePrefix);
  const writes = writesTable(table, tablePrefix);
  const connection = new Opening(() => connect(options));

  type Statements = ReturnType<typeof createStatements>;
  const known = new WeakMap<object, Statements>();
  const statementsOn = (one: PoolConnection): Statements => {
    const session: object = one.connection; // `one` is another object each time
    let statements = known.get(session);
    if (statements === undefined) {
      statements = createStatements(drizzleOn(one), table, writes, NIL_ID, NO_AGENT, isForeignKeyFault);
      known.set(session, statements);
    }
    return statements;
  };
  const use = async <Result>(signal: AbortSignal, work: (statements: Statements) => Promise<Result>) => {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, (one) => work(statementsOn(one)));
  };
  const migrateIn = async (mode: "apply" | "verify" | "sql", signal: AbortSignal) => {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, (one) => migrateSchema(one, options, mode));
  };

  /**
   * A server that is sent more than it takes may cut the connection before its reason has come through. Most often its
   * limit was lowered after we read it, since what is over the limit that we know is not sent.
   */
  async function commit(change: Change, signal: AbortSignal): Promise<boolean> {
    try {
      return await use(signal, (statements) => statements.commit(change));
    } catch (error) {
      const bytes = changeBytes(change);
      if (bytes < SUSPECT_BYTES || classify(error) !== "connection") throw error;
      const { use: useOne } = await connection.get(signal);
      const limit = await useOne(signal, readLimit).catch(() => bytes);
      if (bytes <= limit) throw error;
      const message = `store checkpoint: it takes ${bytes} bytes as sent, and the limit here is ${limit} now`;
      throw new CheckpointError("STATE_TOO_LARGE", message);
    }
  }

  return {
    name: "mysql",
    system: options.connectionString?.startsWith("mariadb:") ? "mariadb" : "mysql",
    collection: `${tablePrefix}agent_checkpoints`,
    apiVersion: 1,
    async open(signal) {
      if (migrate !== "off") await migrateIn(migrate === "auto" ? "apply" : "verify", signal);
      const { use: useOne } = await connection.get(signal);
      return { maxStatementBytes: await useOne(signal, readLimit) };
    },
    migrate: migrateIn,
    commit,
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
    reclaim: async () => false, // InnoDB fills the room with new rows
    ping: (signal) => use(signal, (statements) => statements.ping()),
    classify,
    async close() {
      await (await connection.current())?.close();
    },
  };
}

function isForeignKeyFault(error: unknown): boolean {
  return classify(error) === "foreign-key";
}

/** How many bytes the rows of a statement may have, by the limit that the server has for new connections. */
async function readLimit(connection: PoolConnection): Promise<number> {
  const text = "SELECT CAST(@@global.max_allowed_packet AS CHAR)";
  const [rows] = await connection.query<RowDataPacket[][]>({ sql: text, rowsAsArray: true });
  // Bytes are sent as hex, two characters each.
  return Math.floor((Number(rows[0]?.[0]) - STATEMENT_ALLOWANCE_BYTES) / 2);
}

function changeBytes({ insert = [], rewrite = [], bury = [], append = [] }: Change): number {
  const inserted = [...insert, ...bury].reduce((sum, row) => sum + rowBytes(row), 0);
  const appended = append.reduce((sum, write) => sum + writeBytes(write), inserted);
  return rewrite.reduce((sum, { state }) => sum + state.byteLength, appended);
}
