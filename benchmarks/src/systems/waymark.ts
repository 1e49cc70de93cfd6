import type { CheckpointStorage } from "@waymark/core";
import { createMySQLStorage } from "@waymark/mysql";
import { createPostgresStorage } from "@waymark/postgres";
import { createSQLiteStorage } from "@waymark/sqlite";
import type { Place } from "../databases.ts";
import { present, type Session, type System } from "./system.ts";

export const waymark: System = { id: "waymark", title: "Waymark", states: "live", open };

export const waymarkFrozen: System = {
  id: "waymark-frozen",
  title: "Waymark, history frozen (Immer)",
  states: "frozen",
  open,
};

/** With its defaults, but for what the database says; and prepared statements on PostgreSQL, as the raw driver has them. */
export function openWaymark(place: Place): CheckpointStorage {
  switch (place.kind) {
    case "sqlite":
      return createSQLiteStorage({ databasePath: place.path, synchronous: place.synchronous });
    case "postgres":
      return createPostgresStorage({ connectionString: place.url, prepare: true });
    case "mysql":
      return createMySQLStorage({ connectionString: place.url });
  }
}

async function open(place: Place): Promise<Session> {
  const storage = openWaymark(place);
  // Connects, and makes or checks the tables.
  await storage.listCheckpoints({ limit: 1 });
  return {
    store: ({ agentId, turn, state }) =>
      storage.storeCheckpoint({ agentId, name: `turn ${turn}`, state, createdAt: Date.now() }),
    retrieve: async (_, id) => present(await storage.retrieveCheckpoint(id), "a checkpoint").state,
    retrieveLatest: async (agentId) => present(await storage.retrieveLatestCheckpoint(agentId), "a checkpoint").state,
    list: async (agentId, limit) => (await storage.listCheckpoints({ agentId, limit })).length,
    close: async () => {
      await storage.close();
    },
  };
}
