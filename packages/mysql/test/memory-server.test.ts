import { describeMemoryMigrations, describeMemoryServerKills } from "@waymark/conformance/memory";
import { createMySQLStorage } from "@waymark/mysql";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { createDatabase, killable, startServer } from "waymark-test-servers";
import { run, servers } from "./on-server.ts";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

for (const [at, { kind, title: name, url, target }] of servers.entries()) {
  describeMemoryMigrations({
    name,
    module: BUILT,
    createDatabase: () => createDatabase(url),
    open: (options) => createMySQLMemory({ operationTimeoutMs: 20_000, ...options }),
    openCheckpoints: (options) => createMySQLStorage({ operationTimeoutMs: 20_000, ...options }),
    run,
    createLimitedUser: (database) => target.createLimitedUser(database),
  });
  // One of them is killed in `npm test`, both in `npm run test:all`.
  if (process.platform !== "linux" || (at > 0 && !process.env["WAYMARK_TEST_ALL"])) continue;
  describeMemoryServerKills({
    name,
    startServer: () => startServer(kind, { from: killable }),
    createDatabase: async (serverUrl) => (await createDatabase(serverUrl)).url,
    open: (connectionString) => createMySQLMemory({ connectionString, retry: { baseDelayMs: 50 } }),
  });
}
