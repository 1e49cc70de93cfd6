import { describeMemoryDialect, describeRecords, type MemoryTarget } from "@waymark/conformance/memory";
import { shareConnection } from "../src/database.ts";
import type { DriverName } from "../src/drivers/driver.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { newFile } from "./fixtures.ts";
import { drivers, openOwn } from "./runtime-drivers.ts";

/** Database files, each dialect on a connection of its own. */
function onFiles(driver: DriverName, loadVectorFunctions: boolean): MemoryTarget {
  return {
    name: `SQLite by ${driver}${loadVectorFunctions ? ", with sqlite-vec" : ""}`,
    computesCosines: loadVectorFunctions,
    create: async () => {
      const databasePath = newFile();
      return {
        createDialect(common) {
          const options = resolveOptions({ ...common, databasePath, driver });
          return createMemoryDialect(shareConnection(options).share(), options, loadVectorFunctions);
        },
        async run(statement) {
          const database = await openOwn(driver, databasePath);
          try {
            if (/^select/i.test(statement)) return database.prepare(statement).all() as Record<string, unknown>[];
            database.exec(statement);
            return [];
          } finally {
            database.close();
          }
        },
        dispose: async () => {},
      };
    },
  };
}

for (const driver of drivers) {
  describeRecords(onFiles(driver, false));
  describeMemoryDialect(onFiles(driver, false));
  // Whether Bun and Deno load extensions depends on the platform.
  if (!("bun" in process.versions || "deno" in process.versions)) describeMemoryDialect(onFiles(driver, true));
}
