import type { DatabaseName } from "../databases.ts";
import { pgvector, pgvectorHnsw } from "./by-hand-postgres.ts";
import { vec0 } from "./by-hand-sqlite.ts";
import { langgraphStore } from "./langgraph.ts";
import { mastra, mastraFlat, mastraHnsw, mastraPg } from "./mastra.ts";
import type { RecallSystem } from "./system.ts";
import { waymark, waymarkWithoutVec } from "./waymark.ts";

/** In the order of the tables. */
const SYSTEMS: readonly RecallSystem[] = [
  ...[vec0, pgvector, pgvectorHnsw, langgraphStore, mastra, mastraPg, mastraFlat, mastraHnsw],
  ...[waymark, waymarkWithoutVec],
];

export const RECALL_SYSTEM_IDS = [...new Set(SYSTEMS.map(({ id }) => id))];

export function isRecallPeer(id: string): boolean {
  return SYSTEMS.some((system) => system.id === id && system.isPeer === true);
}

export function recallSystemsOn(database: DatabaseName, chosen: readonly string[]): RecallSystem[] {
  return SYSTEMS.filter((system) => chosen.includes(system.id) && system.runsOn(database));
}
