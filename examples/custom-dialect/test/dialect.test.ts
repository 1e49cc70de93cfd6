import { describeDialect } from "@waymark/conformance";
import { createMapDialect, type Rows } from "../src/index.ts";

describeDialect({
  name: "Map",
  outbox: false,
  create: async () => {
    const rows: Rows = new Map();
    return { createDialect: () => createMapDialect(rows), dispose: async () => rows.clear() };
  },
});
