import { describeMemory, type MemoryPart, type MemoryStorageTarget } from "@waymark/conformance/memory";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { inject } from "vitest";
import { createDatabase, type ServerKind } from "waymark-test-servers";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

function onServer(name: string, serverUrl: string, parts: readonly MemoryPart[]): MemoryStorageTarget {
  return {
    name,
    parts,
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

const SERVERS: readonly (readonly [ServerKind, string, readonly MemoryPart[]])[] = [
  ["mysql", "MySQL", ["database", "vectors"]],
  ["mariadb", "MariaDB", ["vectors"]], // the rest has the same statements as on MySQL
  ["mariadb-vector", "MariaDB with vectors", ["vectors"]],
];
for (const [kind, title, parts] of SERVERS) {
  const server = inject("waymarkServers")[kind];
  if (server !== undefined) describeMemory(onServer(title, server.url, parts));
}
