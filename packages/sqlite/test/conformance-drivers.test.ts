import { join } from "node:path";
import { type ConformancePart, describeCheckpointStorage } from "@waymark/conformance";
import { createSQLiteStorage } from "@waymark/sqlite";
import { expect, it } from "vitest";
import { conformanceStore } from "./conformance-store.ts";
import { drivers } from "./runtime-drivers.ts";

/**
 * On Bun and Deno more parts run: they have JavaScript, compression and processes of their own. On Node the other parts do not depend
 * on the driver, or take long, since its processes start slowly: they run with better-sqlite3.
 */
const parts: readonly ConformancePart[] =
  "bun" in process.versions || "deno" in process.versions ? ["database", "codec", "processes"] : ["database"];

const others = drivers.filter((driver) => driver !== "better-sqlite3");

for (const driver of others) {
  describeCheckpointStorage({
    name: `SQLite by ${driver}`,
    parts,
    model: { runs: 40 },
    create: () =>
      conformanceStore((folder) => {
        const options = { type: "sqlite", databasePath: join(folder, "state.db"), driver } as const;
        return {
          databasePath: options.databasePath,
          open: (common) => createSQLiteStorage({ ...options, ...common }),
          remote: { module: new URL("../dist/index.js", import.meta.url).href, options },
        };
      }, driver),
  });
}

if (others.length === 0) {
  it("has nothing to test where better-sqlite3 is the only driver: its suite is in conformance.test.ts", () => {
    expect(drivers).toEqual(["better-sqlite3"]);
  });
}
