import { describeMemoryServerKills } from "@waymark/conformance/memory";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { inject } from "vitest";
import { createDatabase, killable, startServer } from "waymark-test-servers";

for (const [kind, name] of [
  ["mysql", "MySQL"],
  ["mariadb", "MariaDB"],
] as const) {
  if (process.platform !== "linux" || inject("waymarkServers")[kind] === undefined) continue;
  describeMemoryServerKills({
    name,
    startServer: () => startServer(kind, { from: killable }),
    createDatabase: async (serverUrl) => (await createDatabase(serverUrl)).url,
    open: (connectionString) => createMySQLMemory({ connectionString, retry: { baseDelayMs: 50 } }),
  });
}
