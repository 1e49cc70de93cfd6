import { describeMemoryDialect, describeRecords, type MemoryTarget } from "@waymark/conformance/memory";
import { inject } from "vitest";
import { createDatabase, type ServerKind } from "waymark-test-servers";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { run } from "./on-server.ts";

/** Databases of a server, each dialect on a pool of its own. */
function onServer(name: string, serverUrl: string, computesCosines: boolean): MemoryTarget {
  return {
    name,
    computesCosines,
    create: async () => {
      const database = await createDatabase(serverUrl);
      return {
        createDialect(common) {
          const options = resolveOptions({ ...common, connectionString: database.url });
          return createMemoryDialect(shareConnection(options).share(), options);
        },
        run: (statement) => run(database.url, statement),
        dispose: () => database.drop(),
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
  if (server === undefined) continue;
  const target = onServer(title, server.url, kind === "mariadb-vector");
  describeRecords(target);
  describeMemoryDialect(target);
}
