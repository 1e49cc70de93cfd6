import { describeMemory, type MemoryStorageTarget } from "@waymark/conformance/memory";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { createDatabase } from "waymark-test-servers";
import { run, sharedServer, vectorServer } from "./on-server.ts";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

function onServer(name: string, serverUrl: string, hasVector: boolean): MemoryStorageTarget {
  return {
    name,
    parts: hasVector ? ["vectors"] : ["database", "vectors"],
    create: async () => {
      const { url: connectionString, drop } = await createDatabase(serverUrl);
      if (hasVector) await run(connectionString, "create extension vector");
      return {
        open: (options) => createPostgresMemory({ ...options, connectionString }),
        remote: { module: BUILT, options: { connectionString } },
        dispose: drop,
      };
    },
  };
}

describeMemory(onServer("PostgreSQL", sharedServer(), false));
describeMemory(onServer("PostgreSQL with pgvector", vectorServer(), true));
