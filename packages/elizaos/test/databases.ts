import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import type { WaymarkOptions } from "../src/index.ts";

/** An empty database for tests. */
export interface TestDatabase {
  readonly options: WaymarkOptions;
  drop(): Promise<void>;
}

export interface Kind {
  readonly name: string;
  create(): Promise<TestDatabase>;
}

const servers = inject("waymarkServers");

/** Every kind of database, as far as it is available. */
export const allDatabases: readonly Kind[] = [
  { name: "SQLite", create: async () => createSQLite() },
  ...[
    { name: "PostgreSQL", server: servers.postgres },
    { name: "PostgreSQL with pgvector", server: servers["postgres-vector"] },
    { name: "MySQL", server: servers.mysql },
    { name: "MariaDB", server: servers.mariadb },
  ].flatMap(({ name, server }) => (server ? [{ name, create: () => createOnServer(server.url) }] : [])),
  { name: "PGlite", create: async () => createPglite() },
];

const testAll = process.env["WAYMARK_TEST_ALL"] !== undefined;

/** Databases for tests of the verbs, and of starting. PGlite takes seconds to start. */
export const databasesOfVerbs = allDatabases.filter(({ name }) => testAll || name !== "PGlite");

/** One kind for each dialect: what two servers of one would answer alike is asked of all in `npm run test:all`. */
const ONE_OF_EACH: readonly string[] = ["SQLite", "PostgreSQL with pgvector", "MySQL"];

/** Databases for tests of what is above the verbs. */
export const databases = allDatabases.filter(({ name }) => testAll || ONE_OF_EACH.includes(name));

/** Makes a folder for a database in files. */
function createFolder(): { folder: string; drop: () => Promise<void> } {
  const folder = mkdtempSync(join(tmpdir(), "waymark-elizaos-"));
  return { folder, drop: async () => rmSync(folder, { recursive: true, force: true }) };
}

export function createSQLite(): TestDatabase {
  const { folder, drop } = createFolder();
  // Durable enough: no test cuts the power.
  return { options: { url: `sqlite:${folder}/agents.db`, database: { synchronous: "NORMAL" } }, drop };
}

export function createPglite(): TestDatabase {
  const { folder, drop } = createFolder();
  return { options: { pgliteDataDir: join(folder, "pglite") }, drop };
}

async function createOnServer(serverUrl: string): Promise<TestDatabase> {
  const { url, drop } = await createDatabase(serverUrl);
  return { options: { url, database: { poolSize: 2 } }, drop: () => drop() };
}
