import { forward, type RecordStore, type RecordWork } from "@waymark/core/records";
import type { SharedConnection } from "./connections.ts";
import type { PluginMigrationOptions, PluginSchema, UUID } from "./contract.ts";
import type { Database } from "./database.ts";
import { inOneChange } from "./gathered.ts";
import type { ResolvedAdapterOptions } from "./options.ts";
import { migratePluginTables } from "./plugin-tables.ts";
import { Logs } from "./repositories/logs.ts";
import { Memories } from "./repositories/memories.ts";
import { type Rows, rowsOf } from "./rows.ts";

/** What is known of an adapter's connection. Nothing secret. */
export interface ConnectionInfo {
  /** "sqlite", "postgres", "mysql"; `null`: it was not opened yet. */
  readonly dialect: string | null;
  readonly driver: string | null;
  /** The file, or the server's host, port and database; `null`: in memory, or not opened yet. */
  readonly location: string | null;
  readonly isConnected: boolean;
  /** Logs that this adapter could not write, and dropped. */
  readonly droppedLogs: number;
}

/** Methods that a transaction has not: they delete in several commits, change a row by what it is, or change no row. */
const NOT_IN_TRANSACTIONS = [
  ...(["deleteAgent", "cleanupAgents", "deleteEntity", "deleteRoom", "deleteRoomsByWorldId"] as const),
  ...(["deleteManyMemories", "deleteAllMemories", "updateAgent", "updateMemory", "ensureEmbeddingDimension"] as const),
] as const satisfies readonly (keyof Rows)[];

/** The methods within a transaction. */
export type Transaction = Omit<Rows, (typeof NOT_IN_TRANSACTIONS)[number]>;

/** ElizaOS's `IDatabaseAdapter`, for one agent. */
export interface WaymarkAdapter extends Rows, Pick<Logs, "log" | "getLogs" | "deleteLog" | "getAgentRunSummaries"> {
  /**
   * PostgreSQL and PGlite: a Drizzle database, for the tables of other plugins, from `init` on. Else `null`: their tables are those of
   * PostgreSQL.
   */
  readonly db: unknown;
  /** Opens the database, and migrates it. Every other call does so too. */
  init(): Promise<void>;
  initialize(config?: Record<string, string | number | boolean | null>): Promise<void>;
  /** Whether `init` has been called, and the database answers. Never rejects. */
  isReady(): Promise<boolean>;
  /** Writes the logs that wait, and gives the connection back. Adapters that share it go on. */
  close(): Promise<void>;
  getConnection(): Promise<unknown>;
  /** The same as `db`. */
  getDatabase(): unknown;
  /** Whether the database was opened, and its circuit is closed. Sends nothing. */
  isConnected(): boolean;
  getConnectionInfo(): ConnectionInfo;
  /** Makes the tables of other plugins, on PostgreSQL and PGlite; else warns of them, once for each. */
  runPluginMigrations(plugins: readonly PluginSchema[], options?: PluginMigrationOptions): Promise<void>;
  /** Applies the migrations of this package, as `init` does. Paths say nothing to it. */
  runMigrations(paths?: string[]): Promise<void>;
  /** Runs the callback. There is no row-level security here. */
  withEntityContext<Result>(entityId: UUID | null, callback: () => Promise<Result>): Promise<Result>;
  /**
   * Runs `work`, gathers what its calls change, and applies that at once, all or none, in the order of the calls. Reads within see what was
   * stored before.
   * @throws CheckpointError `CONFLICT` if a key is taken, `NOT_FOUND` if a row names one that is not there, `CONTENTION` if a row has changed
   * meanwhile, or what `work` throws: then nothing has changed. `CLOSED`: a call that is made when `work` is done
   */
  transaction<Result>(work: (transaction: Transaction) => Promise<Result>): Promise<Result>;
}

/** Makes the adapter of an agent. Nothing is opened. */
export function createAdapter(
  connection: SharedConnection,
  agentId: UUID,
  options: ResolvedAdapterOptions,
): WaymarkAdapter {
  const database = databaseOf(connection, agentId);
  const logs = new Logs(database, options.logs);
  const memories = new Memories(database, options);
  let drizzle: unknown = null;
  let isInitialized = false;
  let closing: Promise<void> | null = null;

  async function init(): Promise<void> {
    const store = await connection.store();
    await store.run("open ElizaOS database", async () => {});
    if (store.hasDrizzle) drizzle = await store.drizzle();
    isInitialized = true;
  }

  async function close(): Promise<void> {
    await logs.close();
    await connection.release();
  }

  return {
    ...rowsOf(database, memories),
    ...forward(logs, ["log", "getLogs", "deleteLog", "getAgentRunSummaries"]),
    get db() {
      return drizzle;
    },
    init,
    initialize: init,
    async isReady() {
      const store = connection.opened;
      return isInitialized && store !== null && isOpen(store) && (await store.health()).ok;
    },
    close() {
      closing ??= close();
      return closing;
    },
    getConnection: async () => drizzle,
    getDatabase: () => drizzle,
    isConnected: () => connection.opened !== null && isOpen(connection.opened),
    getConnectionInfo() {
      const store = connection.opened;
      const { driver, location } = store?.status() ?? { driver: null, location: null };
      return {
        dialect: store?.name ?? null,
        driver,
        location,
        isConnected: store !== null && isOpen(store),
        droppedLogs: logs.dropped,
      };
    },
    runPluginMigrations: async (plugins, given) => await migratePluginTables(connection, plugins, given),
    runMigrations: async () => void (await (await connection.store()).migrate()),
    withEntityContext: async (_, callback) => await callback(),
    transaction: (work) =>
      inOneChange(database, (gathering) => work(transactionOf(rowsOf(gathering, memories.within(gathering))))),
  };
}

function transactionOf(rows: Rows): Transaction {
  const left: Partial<Rows> = { ...rows };
  for (const name of NOT_IN_TRANSACTIONS) delete left[name];
  return left as Transaction;
}

/** Whether the store was opened, and its circuit lets calls through. */
function isOpen(store: RecordStore): boolean {
  const { driver, circuit } = store.status();
  return driver !== null && circuit === "closed";
}

function databaseOf(connection: SharedConnection, agentId: UUID): Database {
  return {
    agentId,
    async run<Result>(operation: string, work: RecordWork<Result>): Promise<Result> {
      return await (await connection.store()).run(operation, work);
    },
    isDuplicate: (error) => connection.opened?.isDuplicate(error) ?? false,
    isForeignKey: (error) => connection.opened?.isForeignKey(error) ?? false,
  };
}
