import { readdirSync } from "node:fs";
import { type DialectDatabase, describeDialect, describeDomains } from "@waymark/conformance";
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { databaseOn, shareConnection } from "../src/database.ts";
import { resolveOptions } from "../src/options.ts";
import { clearTables } from "./clear-tables.ts";
import { newFolder, newSchema, sharedPglite } from "./pglite-cases.ts";

// Without a second transaction: PGlite has one session.
describeDialect({
  name: "PGlite",
  create: async (): Promise<DialectDatabase> => {
    const pglite = await sharedPglite();
    const { schema, drop } = await newSchema();
    return {
      createDialect: () => {
        const options = resolveOptions({ pglite, schema });
        return createCheckpointDialect(shareConnection(options).share(), options);
      },
      clear: async () => void (await pglite.exec(clearTables(schema))),
      dispose: drop,
    };
  },
});

const folder = newFolder();
let cases = 0;

describeDomains({
  name: "PGlite in a folder",
  quote: '"',
  create: async () => {
    cases += 1;
    const schema = `domains_${cases}`;
    return {
      share: (second, prefixes) => {
        const options = (tablePrefix: string) => resolveOptions({ pgliteDataDir: folder, schema, tablePrefix });
        const connection = shareConnection(options(""));
        return {
          checkpoints: createCheckpointDialect(connection.share(), options(prefixes.checkpoints)),
          second: databaseOn(connection.share(), second, options(prefixes.second)),
          isConnected: async () => readdirSync(folder).some((name) => name.startsWith("waymark-lock-")),
        };
      },
      dispose: async () => {},
    };
  },
});
