import { setTimeout as delay } from "node:timers/promises";
import { CheckpointError } from "@waymark/core/records";
import type { SharedConnection } from "./connections.ts";
import type { PluginMigrationOptions, PluginSchema } from "./contract.ts";
import { importInstalled } from "./modules.ts";

/**
 * Tables of other plugins, which they hand over as tables of Drizzle's for PostgreSQL. On PostgreSQL and PGlite plugin-sql's migrator makes
 * them; elsewhere they cannot exist.
 *
 * What the migrator does is kept from other statements of this process: it gets a connection of its own, and one migration runs at a time.
 * Processes exclude each other only where `POSTGRES_URL` or `DATABASE_URL` is a URL of PostgreSQL, since the migrator takes its lock then
 * alone. Elsewhere those that start at once may collide: the one that fails tries again, and finds the work done.
 */

const OPERATION = "migrate tables of plugins";

/** Its own tables are not ours, and nobody uses them here. */
const PLUGIN_SQL = "@elizaos/plugin-sql";

/** Pauses before the next attempt, in milliseconds. */
const PAUSES = [250, 1_000, 3_000];

/** Names of plugins whose tables were missed in a warning. */
const warned = new Set<string>();

/** The migration that was begun last in this process. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Makes the tables of plugins, or brings them up to date.
 * @throws CheckpointError `INVALID_CONFIG` if plugin-sql is needed, and not installed; else what its migrator throws
 */
export async function migratePluginTables(
  connection: SharedConnection,
  plugins: readonly PluginSchema[],
  options: PluginMigrationOptions = {},
): Promise<void> {
  const others = plugins.filter(({ name, schema = {} }) => name !== PLUGIN_SQL && Object.keys(schema).length > 0);
  if (others.length === 0) return;
  const store = await connection.store();
  if (!store.hasDrizzle) {
    for (const { name } of others) warnOf(name, store.name);
    return;
  }
  const Service = await loadService(others);
  const migration = last.then(() =>
    repeatedly(() => onOneConnection(connection, (database) => migrate(Service, database, others, options))),
  );
  last = migration.catch(() => {});
  await migration;
}

function warnOf(name: string, dialect: string): void {
  if (warned.has(name)) return;
  warned.add(name);
  const reason = `its schema is made for PostgreSQL, and this database is ${dialect}`;
  process.emitWarning(`ElizaOS plugin ${name}: its tables were not made: ${reason}`, {
    type: "WaymarkWarning",
    code: "WAYMARK_ELIZA_PLUGIN_TABLES",
  });
}

/** The parts of a Drizzle database that are used here. */
interface DrizzleDatabase {
  execute(query: unknown): Promise<unknown>;
  transaction<Result>(work: (transaction: DrizzleDatabase) => Promise<Result>): Promise<Result>;
}

/** plugin-sql's `DatabaseMigrationService`. */
interface MigrationService {
  initializeWithDatabase(database: DrizzleDatabase): Promise<void>;
  discoverAndRegisterPluginSchemas(plugins: readonly PluginSchema[]): void;
  runAllPluginMigrations(options: PluginMigrationOptions): Promise<void>;
}

type ServiceClass = new () => MigrationService;

async function loadService(plugins: readonly PluginSchema[]): Promise<ServiceClass> {
  const service = (await importInstalled(PLUGIN_SQL))?.["DatabaseMigrationService"];
  if (typeof service === "function") return service as ServiceClass;
  const names = plugins.map(({ name }) => name).join(", ");
  const message = `the tables of ${names} are made by ${PLUGIN_SQL}, which is not installed: npm install ${PLUGIN_SQL}`;
  throw new CheckpointError("INVALID_CONFIG", `${OPERATION}: ${message}`);
}

async function migrate(
  Service: ServiceClass,
  database: DrizzleDatabase,
  plugins: readonly PluginSchema[],
  options: PluginMigrationOptions,
): Promise<void> {
  const service = new Service();
  let isLive = false;
  const guarded: DrizzleDatabase = Object.create(database, {
    execute: {
      async value(query: unknown) {
        return isLive ? await database.execute(query) : { rows: [] };
      },
    },
  });
  // First it moves old tables of plugin-sql's own: there are none, and on the way it would turn off the row-level security of every
  // table in the schema `public`, whosever it is.
  await service.initializeWithDatabase(guarded);
  isLive = true; // a migration makes the tables of its history itself
  service.discoverAndRegisterPluginSchemas(plugins);
  await service.runAllPluginMigrations(options);
}

/**
 * Runs work on a connection that nobody else uses meanwhile: its own transactions begin and end with statements, which a pool would send to
 * any of its connections.
 */
async function onOneConnection(
  connection: SharedConnection,
  work: (database: DrizzleDatabase) => Promise<void>,
): Promise<void> {
  const store = await connection.store();
  const database = (await store.drizzle()) as DrizzleDatabase;
  if (store.status().driver === "pglite") {
    // It has one connection, which a transaction has to itself, also when it was ended.
    await database.transaction(async (one) => {
      await one.execute("commit");
      await work(one);
    });
    return;
  }
  const alone = await connection.another({ poolSize: 1 });
  try {
    await work((await alone.drizzle()) as DrizzleDatabase);
  } finally {
    await alone.close();
  }
}

async function repeatedly(work: () => Promise<void>): Promise<void> {
  for (const pause of PAUSES) {
    try {
      return await work();
    } catch (error) {
      // No other process is the reason: it would lose data, and wants to be allowed to.
      if (String(error).includes("Destructive migration blocked")) throw error;
      await delay(pause);
    }
  }
  await work();
}
