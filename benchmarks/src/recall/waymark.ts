import type { MemoryStorage } from "@waymark/core/memory";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { createSQLiteMemory, type SQLiteMemoryOptions } from "@waymark/sqlite/memory";
import type { Place } from "../databases.ts";
import { present } from "../systems/system.ts";
import type { RecallSession, RecallSystem } from "./system.ts";

const COLLECTION = "messages";

export const waymark: RecallSystem = {
  id: "waymark",
  title: "Waymark",
  isOurs: true,
  runsOn: () => true,
  open: async (place) => sessionOf(openMemory(place)),
};

export const waymarkWithoutVec: RecallSystem = {
  id: "waymark-no-vec",
  title: "Waymark, without sqlite-vec",
  isOurs: true,
  runsOn: (database) => database.startsWith("sqlite"),
  open: async (place) => sessionOf(openMemory(place, { vectorFunctions: false })),
};

/** Opens it with its defaults, except for the database's own settings, and prepared statements, which everybody has. */
export function openMemory(
  place: Place,
  options: Pick<SQLiteMemoryOptions, "vectorFunctions" | "collections"> = {},
): MemoryStorage {
  const { vectorFunctions, ...common } = options;
  switch (place.kind) {
    case "sqlite":
      return createSQLiteMemory({
        ...{ databasePath: place.path, synchronous: place.synchronous, vectorFunctions },
        ...common,
      });
    case "postgres":
      return createPostgresMemory({ connectionString: place.url, prepare: true, ...common });
    case "mysql":
      return createMySQLMemory({ connectionString: place.url, ...common });
  }
}

async function sessionOf(memory: MemoryStorage): Promise<RecallSession> {
  await memory.migrate();
  const ids = (hits: Awaited<ReturnType<MemoryStorage["search"]>>) => hits.map(({ item }) => item.id);
  const collections = [COLLECTION];
  return {
    async add(items) {
      const added = await memory.addItems(
        items.map(({ owner, text, vector }) => ({ owner, collection: COLLECTION, text, embedding: vector })),
      );
      return added.map(({ id }) => id);
    },
    async prepare() {
      present(await memory.listCollections({ owner: "nobody" }), "a list");
    },
    byVector: async (owner, vector, limit) => ids(await memory.search({ owner, collections, vector, limit })),
    byText: async (owner, text, limit) => ids(await memory.search({ owner, collections, text, limit })),
    byBoth: async (owner, text, vector, limit) => ids(await memory.search({ owner, collections, text, vector, limit })),
    close: async () => {
      await memory.close();
    },
  };
}
