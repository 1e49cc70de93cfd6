import { describeCheckpointStorage } from "@waymark/conformance";
import { createMapStorage, type Rows } from "../src/index.ts";

describeCheckpointStorage({
  name: "Map",
  parts: ["database", "scale"],
  labels: false,
  create: async () => {
    const rows: Rows = new Map();
    return {
      open: (options) => createMapStorage({ ...options, rows }),
      readRow: async (id) => rows.get(id) ?? null,
      damageRow: async (id, damage) => {
        const row = rows.get(id);
        if (row !== undefined) rows.set(id, { ...row, ...damage });
      },
      damageWrites: async (id, damage) => {
        const row = rows.get(id);
        if (row !== undefined) rows.set(id, { ...row, writes: row.writes.map((write) => ({ ...write, ...damage })) });
      },
      countWrites: async () => [...rows.values()].reduce((sum, { writes }) => sum + writes.length, 0),
      countRows: async () => rows.size,
      dispose: async () => rows.clear(),
    };
  },
});
