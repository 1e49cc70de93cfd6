import { join } from "node:path";
import { describeCheckpointStorage } from "@waymark/conformance";
import { createSQLiteStorage } from "@waymark/sqlite";
import { conformanceStore } from "./conformance-store.ts";
import { keyRing } from "./fixtures.ts";

describeCheckpointStorage({
  name: "SQLite, encrypted",
  parts: ["database", "damage"], // encryption changes rows; the other parts test core above them, or take long
  encrypted: true,
  model: { runs: 30 },
  create: async () =>
    conformanceStore((folder) => {
      const encryption = { keys: keyRing("2026-11") };
      const options = { type: "sqlite", databasePath: join(folder, "state.db"), encryption } as const;
      return {
        databasePath: options.databasePath,
        open: (common) => createSQLiteStorage({ ...options, ...common }),
        remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
      };
    }),
});
