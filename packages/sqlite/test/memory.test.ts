import { describeMemory, type MemoryStorageTarget } from "@waymark/conformance/memory";
import { createSQLiteMemory } from "@waymark/sqlite/memory";
import { newFile } from "./fixtures.ts";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

function onFile(vectorFunctions: boolean): MemoryStorageTarget {
  return {
    name: vectorFunctions ? "SQLite with sqlite-vec" : "SQLite",
    create: async () => {
      const databasePath = newFile();
      return {
        open: (options) => createSQLiteMemory({ ...options, databasePath, vectorFunctions }),
        remote: { module: BUILT, options: { databasePath, vectorFunctions } },
        dispose: async () => {},
      };
    },
  };
}

for (const vectorFunctions of [true, false]) describeMemory(onFile(vectorFunctions));
