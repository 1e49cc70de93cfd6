import { join } from "node:path";
import { describeCheckpointStorage } from "@waymark/conformance";
import { createSQLiteStorage } from "@waymark/sqlite";
import { conformanceStore } from "./conformance-store.ts";

describeCheckpointStorage({
  name: "SQLite",
  model: { runs: process.env["WAYMARK_TEST_ALL"] ? 2_000 : 200 },
  create: async () =>
    conformanceStore((folder) => {
      const options = { type: "sqlite", databasePath: join(folder, "state.db") } as const;
      return {
        databasePath: options.databasePath,
        open: (common) => createSQLiteStorage({ ...options, ...common }),
        remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
      };
    }),
});
