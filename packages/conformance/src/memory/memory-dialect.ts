import { MEMORY_SCHEMA } from "@waymark/core/memory/kit";
import { describe } from "vitest";
import { describeSchema } from "../dialect/schema.ts";
import { MemoryBench } from "./bench.ts";
import { TEST_TIMEOUT_MS } from "./records.ts";
import { describeNearest } from "./specs/nearest.ts";
import { describeTerms } from "./specs/terms.ts";
import type { MemoryTarget } from "./target.ts";

/**
 * Registers with vitest what the engine of memory expects of a dialect beside the verbs of {@link describeRecords}: its schema, and
 * what it finds by vectors and by terms. An index of vectors is its dialect's to test. Call it at the top of a test file.
 */
export function describeMemoryDialect(target: MemoryTarget): void {
  describeSchema({
    name: `${target.name}: memory`,
    schema: MEMORY_SCHEMA,
    create: async () => {
      const database = await target.create();
      return {
        open: (options) => database.createDialect(options),
        run: (statement) => database.run(statement),
        dispose: () => database.dispose(),
      };
    },
  });
  describe(`${target.name}: a dialect of memory`, { timeout: TEST_TIMEOUT_MS }, () => {
    const bench = new MemoryBench(target);
    describeNearest(bench);
    describeTerms(bench);
  });
}
