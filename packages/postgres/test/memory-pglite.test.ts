import {
  describeMemory,
  describeMemoryDialect,
  describeRecords,
  type MemoryStorageTarget,
  type MemoryTarget,
} from "@waymark/conformance/memory";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { newSchema, sharedPglite } from "./pglite-cases.ts";

/** Schemas of one PGlite: it takes seconds to make another. */
const seam: MemoryTarget = {
  name: "PGlite",
  computesCosines: false,
  dropsByteOrderMarks: true, // 0.5.17
  create: async () => {
    const pglite = await sharedPglite();
    const { schema, drop } = await newSchema();
    await pglite.exec(`create schema ${schema}`);
    return {
      createDialect(common) {
        const options = resolveOptions({ ...common, pglite, schema });
        return createMemoryDialect(shareConnection(options).share(), options, 50_000);
      },
      run: async (statement) => {
        const results = await pglite.exec(`set search_path to ${schema}; ${statement}; reset search_path`);
        return results.flatMap(({ rows }) => rows);
      },
      dispose: drop,
    };
  },
};

// Without `remote`: one process at a time can open PGlite. Its statements are PostgreSQL's, and the seam's suite runs whole.
const storage: MemoryStorageTarget = {
  name: "PGlite",
  parts: ["vectors"],
  dropsByteOrderMarks: true,
  create: async () => {
    const pglite = await sharedPglite();
    const { schema, drop } = await newSchema();
    return {
      open: (options) => createPostgresMemory({ operationTimeoutMs: 120_000, ...options, pglite, schema }),
      dispose: drop,
    };
  },
};

describeRecords(seam);
describeMemoryDialect(seam);
describeMemory(storage);
