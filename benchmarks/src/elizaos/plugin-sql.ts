import type { UUID } from "@waymark/elizaos";
import { beSilent } from "./agent.ts";
import type { Adapter, Product, StoredMemory, Target } from "./system.ts";

/** ElizaOS's own adapter. */
export const pluginSql: Product = {
  name: "plugin-sql",
  package: "@elizaos/plugin-sql",
  load,
  async pluginFor(target) {
    const { default: plugin } = await load();
    const { postgresUrl, dataDir } = configOf(target);
    forgetClosed();
    return {
      plugin,
      settings: postgresUrl === undefined ? { PGLITE_DATA_DIR: dataDir } : { POSTGRES_URL: postgresUrl },
    };
  },
  async open(target, agentId) {
    const adapter = await create(target, agentId);
    await migrateTables(adapter);
    return adapter as unknown as Adapter;
  },
  async migrate(target, agentId) {
    await migrateTables(await create(target, agentId));
  },
  async addMany(adapter, memories, tableName) {
    const { memoryTable, embeddingTable } = (await load()).default.schema;
    const { db } = adapter as unknown as SqlAdapter;
    await db.insert(memoryTable).values(memories.map((memory) => ({ ...rowOf(memory), type: tableName })));
    await db.insert(embeddingTable).values(
      memories.map(({ id, embedding }) => ({
        memoryId: id,
        dim1536: embedding.map((one) => Number(one.toFixed(6))),
      })),
    );
  },
  async analyze(adapter) {
    await (adapter as unknown as SqlAdapter).db.execute("vacuum analyze");
  },
};

/** The parts of the package that are used here. Its declarations are not where it says. */
interface Module {
  readonly default: { readonly name: string; readonly schema: Readonly<Record<string, object>> };
  createDatabaseAdapter(config: Config, agentId: UUID): SqlAdapter;
  readonly DatabaseMigrationService: new () => {
    initializeWithDatabase(db: object): Promise<void>;
    discoverAndRegisterPluginSchemas(plugins: readonly object[]): void;
    runAllPluginMigrations(): Promise<void>;
  };
}

type Config =
  | { readonly postgresUrl: string; readonly dataDir?: never }
  | { readonly postgresUrl?: never; readonly dataDir: string };

interface SqlAdapter {
  readonly db: {
    insert(table: object | undefined): { values(rows: readonly object[]): Promise<unknown> };
    execute(statement: string): Promise<unknown>;
  };
  init(): Promise<void>;
}

async function load(): Promise<Module> {
  beSilent();
  return (await import("@elizaos/plugin-sql")) as unknown as Module;
}

async function create(target: Target, agentId: UUID): Promise<SqlAdapter> {
  const { createDatabaseAdapter } = await load();
  forgetClosed();
  const adapter = createDatabaseAdapter(configOf(target), agentId);
  await adapter.init();
  return adapter;
}

/** Makes the tables, as the AgentServer does. */
async function migrateTables({ db }: SqlAdapter): Promise<void> {
  const { default: plugin, DatabaseMigrationService } = await load();
  const service = new DatabaseMigrationService();
  await service.initializeWithDatabase(db);
  service.discoverAndRegisterPluginSchemas([plugin]);
  await service.runAllPluginMigrations();
}

function configOf({ url, pgliteDataDir }: Target): Config {
  if (url !== undefined) return { postgresUrl: url };
  if (pgliteDataDir !== undefined) return { dataDir: pgliteDataDir };
  throw new Error("expected a URL or a folder, got neither");
}

/** The process has one PGlite, which is kept when it was closed: no other could be opened. */
function forgetClosed(): void {
  const kept = (globalThis as Record<symbol, unknown>)[Symbol.for("@elizaos/plugin-sql/global-singletons")] as
    | { pgLiteClientManager?: { isShuttingDown(): boolean } | undefined }
    | undefined;
  if (kept?.pgLiteClientManager?.isShuttingDown()) delete kept.pgLiteClientManager;
}

function rowOf({ id, entityId, roomId, worldId, agentId, unique, content, metadata, createdAt }: StoredMemory): object {
  return { id, entityId, roomId, worldId, agentId, unique, content, metadata, createdAt: new Date(createdAt ?? 0) };
}
