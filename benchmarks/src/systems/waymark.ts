import type { CheckpointStorage } from "@waymark/core";
import { createMySQLStorage } from "@waymark/mysql";
import { createPostgresStorage } from "@waymark/postgres";
import { createSQLiteStorage } from "@waymark/sqlite";
import type { Place } from "../databases.ts";
import { present, type Session, type System } from "./system.ts";

export const waymark: System = { id: "waymark", title: "Waymark", states: "live", open: (place) => openSession(place) };

export const waymarkFrozen: System = {
  id: "waymark-frozen",
  title: "Waymark, history frozen (Immer)",
  states: "frozen",
  open: (place) => openSession(place),
};

const OURS = { createSQLiteStorage, createPostgresStorage, createMySQLStorage };
/** The functions that open a storage, from this checkout or another one. */
export type Storages = typeof OURS;

/**
 * Opens it with its defaults, except for the database's own settings, and for prepared statements on PostgreSQL, which the raw
 * driver has too.
 */
export function openWaymark(place: Place, storages: Storages = OURS): CheckpointStorage {
  switch (place.kind) {
    case "sqlite":
      return storages.createSQLiteStorage({ databasePath: place.path, synchronous: place.synchronous });
    case "postgres":
      return storages.createPostgresStorage({ connectionString: place.url, prepare: true });
    case "mysql":
      return storages.createMySQLStorage({ connectionString: place.url });
  }
}

export async function openSession(place: Place, storages: Storages = OURS): Promise<Session> {
  const storage = openWaymark(place, storages);
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
