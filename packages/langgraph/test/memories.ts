import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";
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

function onPostgres(serverUrl: string): MemoryKind {
  return {
    name: "PostgreSQL",
    create: async () => {
      const { url: connectionString, drop } = await createDatabase(serverUrl);
      return testMemory((options) => createPostgresMemory({ connectionString, poolSize: 4, ...options }), drop);
    },
  };
}

const { postgres } = inject("waymarkServers");

/** Memories to test on, as far as they are available: `npm test` checks that the required servers are. */
export const memories: readonly MemoryKind[] = [sqlite, ...(postgres === undefined ? [] : [onPostgres(postgres.url)])];

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
