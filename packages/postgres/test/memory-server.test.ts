import { describeMemoryServerKills } from "@waymark/conformance/memory";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { createDatabase, killable, startServer } from "waymark-test-servers";

if (process.platform === "linux") {
  describeMemoryServerKills({
    name: "PostgreSQL",
    startServer: () => startServer("postgres", { from: killable }),
    createDatabase: async (serverUrl) => (await createDatabase(serverUrl)).url,
    open: (connectionString) => createPostgresMemory({ connectionString, retry: { baseDelayMs: 50 } }),
  });
}
