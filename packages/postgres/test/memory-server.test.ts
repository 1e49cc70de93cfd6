import { describeMemoryMigrations, describeMemoryServerKills } from "@waymark/conformance/memory";
import { createPostgresStorage } from "@waymark/postgres";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { createDatabase, killable, startServer } from "waymark-test-servers";
import { createRole, run, sharedServer } from "./on-server.ts";

describeMemoryMigrations({
  name: "PostgreSQL",
  module: new URL("../dist/memory/index.js", import.meta.url).href,
  createDatabase: () => createDatabase(sharedServer()),
  open: (options) => createPostgresMemory({ operationTimeoutMs: 20_000, ...options }),
  openCheckpoints: (options) => createPostgresStorage({ operationTimeoutMs: 20_000, ...options }),
  run,
  async createLimitedUser(database) {
    const { name, url, drop } = await createRole(database);
    await run(database.url, "revoke create on schema public from public"); // everybody may, before PostgreSQL 15
    const grant = async (tables: readonly string[], histories: readonly string[]) => {
      const all = `grant select, insert, update, delete on ${tables.join()} to ${name}`;
      await run(database.url, all, `grant select on ${histories.join()} to ${name}`);
    };
    return { url, grant, drop };
  },
});

if (process.platform === "linux") {
  describeMemoryServerKills({
    name: "PostgreSQL",
    startServer: () => startServer("postgres", { from: killable }),
    createDatabase: async (serverUrl) => (await createDatabase(serverUrl)).url,
    open: (connectionString) => createPostgresMemory({ connectionString, retry: { baseDelayMs: 50 } }),
  });
}
