import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { createSQLiteMemory } from "@waymark/sqlite/memory";
import { inject, onTestFinished } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`

/** An empty memory for one test. */
export interface TestMemory {
  /** Opens it as a process does; a new one at each call. */
  open(options?: CommonMemoryOptions): MemoryStorage;
  /** Closes what was opened, and removes the database. */
  drop(): Promise<void>;
}

export interface MemoryKind {
  readonly name: string;
  create(): Promise<TestMemory>;
}

const sqlite: MemoryKind = {
  name: "SQLite",
  create: () => {
    const folder = mkdtempSync(join(tmpdir(), "waymark-store-"));
    const databasePath = join(folder, "memory.db");
    return Promise.resolve(
      testMemory(
        (options) => createSQLiteMemory({ databasePath, ...options }),
        async () => rmSync(folder, { recursive: true }),
      ),
    );
  },
};

const pglite: MemoryKind = {
  name: "PGlite",
  create: () => {
    const folder = mkdtempSync(join(tmpdir(), "waymark-store-"));
    const pgliteDataDir = join(folder, "data");
    return Promise.resolve(
      testMemory(
        // It makes a database in seconds, on a busy machine in half a minute.
        (options) => createPostgresMemory({ pgliteDataDir, operationTimeoutMs: 120_000, ...options }),
        async () => rmSync(folder, { recursive: true }),
      ),
    );
  },
};

type Open = (connectionString: string, options?: CommonMemoryOptions) => MemoryStorage;

const openPostgres: Open = (connectionString, options) =>
  createPostgresMemory({ connectionString, poolSize: 4, ...options });
const openMySQL: Open = (connectionString, options) => createMySQLMemory({ connectionString, poolSize: 4, ...options });

const servers = inject("waymarkServers");

/** Memories on a server, as far as it is available: `npm test` checks that the required ones are. */
function onServer(name: string, server: keyof typeof servers, open: Open): MemoryKind[] {
  const serverUrl = servers[server]?.url;
  if (serverUrl === undefined) return [];
  const create = async () => {
    const { url, drop } = await createDatabase(serverUrl);
    return testMemory((options) => open(url, options), drop);
  };
  return [{ name, create }];
}

const servedMemories = [
  ...onServer("PostgreSQL", "postgres", openPostgres),
  ...onServer("MySQL", "mysql", openMySQL),
  ...onServer("MariaDB", "mariadb", openMySQL),
];

/** Memories on every database, for the model test. */
export const everyMemory: readonly MemoryKind[] = [sqlite, pglite, ...servedMemories];

/** Memories for all other tests. A store lies above the seam: so these run on servers before a release only. */
export const memories: readonly MemoryKind[] = [sqlite, ...(process.env["WAYMARK_TEST_ALL"] ? servedMemories : [])];

function testMemory(open: (options?: CommonMemoryOptions) => MemoryStorage, remove: () => Promise<void>): TestMemory {
  const opened: MemoryStorage[] = [];
  return {
    open: (options) => {
      const memory = open(options);
      opened.push(memory);
      return memory;
    },
    drop: async () => {
      await Promise.all(opened.map((memory) => memory.close()));
      await remove();
    },
  };
}

/** Creates a memory that is dropped when the test has finished. */
export async function memoryOf(kind: MemoryKind): Promise<TestMemory> {
  const memory = await kind.create();
  onTestFinished(() => memory.drop());
  return memory;
}
