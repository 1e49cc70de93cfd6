import { describeMemoryMigrations, describeMemoryServerKills } from "@waymark/conformance/memory";
import { createMySQLStorage } from "@waymark/mysql";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { createDatabase, killable, startServer } from "waymark-test-servers";
import { run, servers } from "./on-server.ts";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

for (const { kind, title: name, url, target } of servers) {
  describeMemoryMigrations({
    name,
    module: BUILT,
    createDatabase: () => createDatabase(url),
    open: (options) => createMySQLMemory({ operationTimeoutMs: 20_000, ...options }),
    openCheckpoints: (options) => createMySQLStorage({ operationTimeoutMs: 20_000, ...options }),
    run,
    createLimitedUser: (database) => target.createLimitedUser(database),
  });
  if (process.platform !== "linux") continue;
  describeMemoryServerKills({
    name,
    startServer: () => startServer(kind, { from: killable }),
    createDatabase: async (serverUrl) => (await createDatabase(serverUrl)).url,
    open: (connectionString) => createMySQLMemory({ connectionString, retry: { baseDelayMs: 50 } }),
  });
}
