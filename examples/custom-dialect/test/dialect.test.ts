// Waymark's own look at the rows behind the seam, which the package does not publish: other dialects need the other file alone.
import { describeDialect } from "../../../packages/core/test/describe-dialect.ts";
import { createMapDialect, type Rows } from "../src/index.ts";

describeDialect(async () => {
  const rows: Rows = new Map();
  return { open: async () => createMapDialect(rows) };
});
