import { describeMemory, type MemoryStorageTarget } from "@waymark/conformance/memory";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { inject } from "vitest";
import { createDatabase, type ServerKind } from "waymark-test-servers";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

function onServer(name: string, serverUrl: string): MemoryStorageTarget {
  return {
    name,
    create: async () => {
      const { url: connectionString, drop } = await createDatabase(serverUrl);
      return {
        open: (options) => createMySQLMemory({ ...options, connectionString }),
        remote: { module: BUILT, options: { connectionString } },
        dispose: drop,
      };
    },
  };
}

const TITLES: readonly (readonly [ServerKind, string])[] = [
  ["mysql", "MySQL"],
  ["mariadb", "MariaDB"],
  ["mariadb-vector", "MariaDB with vectors"],
];
for (const [kind, title] of TITLES) {
  const server = inject("waymarkServers")[kind];
  if (server !== undefined) describeMemory(onServer(title, server.url));
}
