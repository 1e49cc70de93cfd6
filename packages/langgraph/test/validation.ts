import { deltaChannelHistoryTests, validate } from "@langchain/langgraph-checkpoint-validation";
import { WaymarkSaver } from "@waymark/langgraph";
import { describe } from "vitest";
import type { Kind, TestDatabase } from "./databases.ts";

/** LangGraph's own suite for checkpointers, in full. */
export function describeValidation(kind: Kind): void {
  const databases = new Map<WaymarkSaver, TestDatabase>();
  const initializer = {
    checkpointerName: `WaymarkSaver on ${kind.name}`,
    createCheckpointer: async () => {
      const database = await kind.create();
      const saver = new WaymarkSaver(database.open());
      databases.set(saver, database);
      return saver;
    },
    destroyCheckpointer: async (saver: WaymarkSaver) => {
      await databases.get(saver)?.drop();
      databases.delete(saver);
    },
  };
  describe(kind.name, () => {
    validate(initializer);
    deltaChannelHistoryTests(initializer);
  });
}
