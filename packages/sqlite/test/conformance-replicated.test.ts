import { join } from "node:path";
import { describeCheckpointStorage } from "@waymark/conformance";
import { createReplicatedStorage, createSQLiteStorage } from "@waymark/sqlite";
import { conformanceStore } from "./conformance-store.ts";

describeCheckpointStorage({
  name: "SQLite with a backup",
  parts: ["database", "facade"], // `processes` is for `npm run test:all`: main alone has it, and test/faults runs both
  model: { runs: 100 },
  keepsTombstones: true,
  create: async () =>
    conformanceStore((folder) => {
      const paths = { main: join(folder, "main.db"), backup: join(folder, "backup.db") };
      return {
        databasePath: paths.main,
        open: (common) =>
          createReplicatedStorage({
            main: createSQLiteStorage({ databasePath: paths.main, ...common }),
            backup: createSQLiteStorage({ databasePath: paths.backup, ...common }),
            reconcile: false, // it would repair the rows that tests damage in main
          }),
        remote: { module: new URL("replicated-storage.mjs", import.meta.url).href, options: paths },
      };
    }),
});
