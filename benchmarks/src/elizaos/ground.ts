import { createHash } from "node:crypto";
import type { Room, UUID } from "@waymark/elizaos";
import { createCorpus } from "../recall/corpus.ts";
import { MODEL_DIMENSIONS } from "./agent.ts";
import type { Adapter, StoredMemory } from "./system.ts";

/** An agent, its world and its rooms, and memories that are made from a seed. */

export const TABLE = "messages";

/** Calls under way at once while memories are stored. */
export const AT_ONCE = 16;

const corpus = createCorpus(MODEL_DIMENSIONS);

/** Made ids, which are spread as random ones are. */
export function idOf(kind: string, number = 0): UUID {
  const digits = createHash("sha1").update(`${kind} ${number}`).digest("hex");
  return [
    ...[digits.slice(0, 8), digits.slice(8, 12), `4${digits.slice(13, 16)}`],
    ...[`8${digits.slice(17, 20)}`, digits.slice(20, 32)],
  ].join("-") as UUID;
}

export const AGENT = idOf("agent");
export const WORLD = idOf("world");
/** The user who has said everything. */
export const USER = idOf("user");

export function roomOf(number: number): Room {
  const place = { agentId: AGENT, worldId: WORLD, channelId: `channel ${number}` };
  return { id: idOf("room", number), name: `room ${number}`, source: "benchmark", type: "GROUP", ...place };
}

/** Makes all that memories name, for an agent that is there. */
export async function settleIn(adapter: Adapter, rooms: number): Promise<void> {
  await adapter.ensureEmbeddingDimension(MODEL_DIMENSIONS);
  await adapter.createWorld({ id: WORLD, name: "world", agentId: AGENT });
  await adapter.createEntities([{ id: USER, names: ["ben"], metadata: {}, agentId: AGENT }]);
  await adapter.createRooms(Array.from({ length: rooms }, (_, number) => roomOf(number)));
}

/** Returns a memory, the same every time. */
export function memoryOf(number: number, room: number): StoredMemory {
  const { text, vector } = corpus.item({ name: "memories", seed: 7 }, number);
  return {
    ...{ id: idOf("memory", number), agentId: AGENT, entityId: USER, roomId: idOf("room", room), worldId: WORLD },
    ...{ content: { text, source: "benchmark" }, metadata: { type: "message", source: "benchmark" } },
    ...{ embedding: vector as number[], unique: true, createdAt: 1_700_000_000_000 + 1_000 * number },
  };
}

/** A vector to search for, which no memory has. */
export function queryOf(number: number): number[] {
  return corpus.query(number).vector as number[];
}

/** Stores memories with a call for each, several at once. */
export async function createMemories(adapter: Adapter, memories: readonly StoredMemory[]): Promise<void> {
  const due = memories.values();
  const work = async () => {
    for (const memory of due) await adapter.createMemory(memory, TABLE);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
