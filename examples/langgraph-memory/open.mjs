// Opens checkpoints and memory on one database: WAYMARK_URL, a config file, or agent_state.db here.

import { WaymarkSaver, WaymarkStore } from "@waymark/langgraph";
import { openCheckpointStorage } from "@waymark/sqlite";
import { openMemoryStorage } from "@waymark/sqlite/memory";
import { DIMS, WordCounts } from "./embeddings.mjs";

export async function open() {
  const storage = await openCheckpointStorage();
  const memory = await openMemoryStorage();
  const index = { dims: DIMS, embeddings: new WordCounts(), fields: ["text"], model: "word counts" };
  return {
    checkpointer: new WaymarkSaver(storage),
    store: new WaymarkStore({ memory, index }),
    close: async () => {
      await memory.close();
      await storage.close();
    },
  };
}
