import type { WaymarkAdapter } from "@waymark/elizaos";
import type { Product } from "./system.ts";

/** Ours, with its defaults. */
export const waymark: Product = {
  name: "waymark",
  package: "@waymark/elizaos",
  load,
  async pluginFor(target) {
    const { waymark: plugin } = await load();
    return { plugin: plugin(target), settings: {} };
  },
  async open(target, agentId) {
    const { waymark: plugin } = await load();
    const adapter = plugin.adapter(target, agentId);
    await adapter.init();
    return adapter;
  },
  async addMany(adapter, memories, tableName) {
    await (adapter as WaymarkAdapter).transaction(async (transaction) => {
      for (const memory of memories) await transaction.createMemory(memory, tableName);
    });
  },
  async analyze(adapter) {
    await ((adapter as WaymarkAdapter).db as { execute(statement: string): Promise<unknown> }).execute(
      "vacuum analyze",
    );
  },
};

async function load() {
  return await import("@waymark/elizaos");
}
