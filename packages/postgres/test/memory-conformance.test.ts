import { describeMemoryDialect, describeRecords, type MemoryTarget } from "@waymark/conformance/memory";
import { createDatabase } from "waymark-test-servers";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { run, sharedServer, vectorServer } from "./on-server.ts";

/** Databases of a server, each dialect on connections of its own. */
function onServer(
  name: string,
  serverUrl: string,
  { prepare, hasVector }: { prepare: boolean; hasVector: boolean },
): MemoryTarget {
  return {
    name: `${name} with prepare: ${prepare}`,
    computesCosines: hasVector,
    create: async () => {
      const { url, drop } = await createDatabase(serverUrl);
      if (hasVector) await run(url, "create extension vector");
      return {
        createDialect(common) {
          const options = resolveOptions({ ...common, connectionString: url, prepare });
          return createMemoryDialect(shareConnection(options).share(), options, 50_000);
        },
        run: (statement) => run(url, statement),
        dispose: drop,
      };
    },
  };
}

for (const prepare of [false, true]) {
  const target = onServer("PostgreSQL", sharedServer(), { prepare, hasVector: false });
  describeRecords(target);
  describeMemoryDialect(target);
}
describeMemoryDialect(onServer("pgvector", vectorServer(), { prepare: true, hasVector: true }));
