import { insertRecords } from "@waymark/core/records";
import { checkObject, checkUuid } from "../checks.ts";
import type {
  CachedEmbedding,
  CachedEmbeddingQuery,
  Memory,
  MemoryChange,
  MemoryQuery,
  MemorySearch,
  UUID,
} from "../contract.ts";
import type { Database } from "../database.ts";
import { MEMORIES, type MemoryRow } from "../tables.ts";
import { checkDimensions } from "../vectors.ts";
import { noSuch } from "../writes.ts";
import { getCachedEmbeddings } from "./cached-embeddings.ts";
import { checkUpdate, updateMemory } from "./memory-changes.ts";
import {
  countVectors,
  memoriesWithoutVector,
  refuseOther,
  type UnembeddedPage,
  type UnembeddedQuery,
  type VectorCount,
} from "./memory-dimensions.ts";
import {
  getMemories,
  getMemoriesByIds,
  getMemoriesByRoomIds,
  getMemoriesByWorldId,
  getMemoryById,
} from "./memory-lists.ts";
import { deleteAllMemories, deleteMemories } from "./memory-removal.ts";
import { checkTable, newMemory } from "./memory-rows.ts";
import { hasSimilar, searchMemories } from "./memory-search.ts";

export interface MemoriesOptions {
  /** `refuse`: an agent whose vectors have one length gets no other. */
  readonly onDimensionChange: "keep" | "refuse";
}

/**
 * Memories with their vectors. Each vector has its own length, and is searched by others of that length; a memory may have one of each. The
 * active dimension is the length of those that are returned.
 */
export class Memories {
  readonly #database: Database;
  readonly #onDimensionChange: MemoriesOptions["onDimensionChange"];
  /** The active dimension. `null`: nobody has said it, and memories return the vector that they were given last. */
  #dimension: number | null = null;
  #hasWarned = false;

  constructor(database: Database, { onDimensionChange }: MemoriesOptions = { onDimensionChange: "keep" }) {
    this.#database = database;
    this.#onDimensionChange = onDimensionChange;
  }

  /** Returns the same memories on another database: within a transaction. */
  within(database: Database): Memories {
    const memories = new Memories(database, { onDimensionChange: this.#onDimensionChange });
    memories.#dimension = this.#dimension;
    return memories;
  }

  /**
   * Sets the active dimension. Vectors of other lengths stay, and count again when it is theirs.
   * @throws CheckpointError `DIMENSION_MISMATCH`, with `onDimensionChange: "refuse"`: this agent has vectors of another length that can be
   * found
   */
  async ensureEmbeddingDimension(dimension: number): Promise<void> {
    const checked = checkDimensions("dimension", dimension);
    if (this.#onDimensionChange === "refuse") await refuseOther(this.#database, checked);
    this.#dimension = checked;
  }

  async getMemories(params: MemoryQuery): Promise<Memory[]> {
    return await getMemories(this.#database, params, this.#dimension);
  }

  async getMemoryById(id: UUID): Promise<Memory | null> {
    return await getMemoryById(this.#database, id, this.#dimension);
  }

  async getMemoriesByIds(ids: UUID[], tableName?: string): Promise<Memory[]> {
    return await getMemoriesByIds(this.#database, ids, tableName, this.#dimension);
  }

  /** Returns memories of this agent, without vectors. */
  async getMemoriesByRoomIds(params: { tableName: string; roomIds: UUID[]; limit?: number }): Promise<Memory[]> {
    return await getMemoriesByRoomIds(this.#database, checkObject("params", params));
  }

  /** Returns memories of this agent in its rooms of a world, without vectors. `tableName`: default `messages`. */
  async getMemoriesByWorldId(params: { worldId: UUID; count?: number; tableName?: string }): Promise<Memory[]> {
    return await getMemoriesByWorldId(this.#database, checkObject("params", params));
  }

  async getCachedEmbeddings(params: CachedEmbeddingQuery): Promise<CachedEmbedding[]> {
    return await getCachedEmbeddings(this.#database, params, this.#dimension);
  }

  async searchMemories(params: MemorySearch): Promise<Memory[]> {
    return await this.searchMemoriesByEmbedding(checkObject("params", params).embedding, params);
  }

  /** Searches among vectors as long as this one, whatever the active dimension is. */
  async searchMemoriesByEmbedding(
    embedding: number[],
    params: Omit<MemorySearch, "embedding"> & { embedding?: number[] },
  ): Promise<Memory[]> {
    return await searchMemories(this.#database, embedding, params, this.#dimension);
  }

  /**
   * Stores a memory, and returns its id. One that has the id of another is not stored. If `memory.unique` is not given, it is whether no
   * memory of the same table, room, world and entity has about the same vector.
   * @throws CheckpointError `NOT_FOUND` if the agent, the room or the entity is not there
   */
  async createMemory(memory: Memory, tableName: string): Promise<UUID> {
    const { row, isUnique } = newMemory(memory, tableName, this.#database.agentId);
    this.#warnOfLength(row.dimensions);
    const operation = "create memory";
    await this.#database.run(operation, async (records, signal) => {
      const unique = isUnique ?? !(await hasSimilar(records, row, signal));
      try {
        const stored: MemoryRow = { ...row, isUnique: unique ? 1 : 0 };
        await records.change([insertRecords(MEMORIES, [stored], "ignore")], signal);
      } catch (error) {
        throw this.#database.isForeignKey(error) ? noSuch(operation, parentsOf(row)) : error;
      }
    });
    return row.id as UUID;
  }

  /** Replaces the content, the metadata and the vector of a memory, as far as they are given. */
  async updateMemory(memory: MemoryChange): Promise<boolean> {
    const update = checkUpdate(memory);
    this.#warnOfLength(update.vector?.dimensions ?? null);
    return await updateMemory(this.#database, update);
  }

  async deleteMemory(memoryId: UUID): Promise<void> {
    await deleteMemories(this.#database, "delete memory", [memoryId]);
  }

  async deleteManyMemories(memoryIds: UUID[]): Promise<void> {
    await deleteMemories(this.#database, "delete memories", memoryIds);
  }

  async deleteAllMemories(roomId: UUID, tableName: string): Promise<void> {
    await deleteAllMemories(this.#database, roomId, tableName);
  }

  /** Counts the memories of a room, those of other agents too. */
  async countMemories(roomId: UUID, unique = true, tableName = ""): Promise<number> {
    const where = { type: checkTable(tableName), room: checkUuid("roomId", roomId), ...(unique && { isUnique: 1 }) };
    return await this.#database.run("count memories", (records, signal) => records.count(MEMORIES, where, signal));
  }

  /** Lists memories of this agent, page by page, that have no vector of the active dimension which can be found: to embed them anew. */
  async memoriesWithoutVector(query: UnembeddedQuery = {}): Promise<UnembeddedPage> {
    return await memoriesWithoutVector(this.#database, query, this.#dimension);
  }

  /** Counts this agent's vectors that can be found, by their length. */
  async vectorStats(): Promise<VectorCount[]> {
    return await countVectors(this.#database);
  }

  /** Says once that vectors are stored which searches in the active dimension do not find: the model has another one than was said. */
  #warnOfLength(dimensions: number | null): void {
    if (dimensions === null || this.#dimension === null || dimensions === this.#dimension || this.#hasWarned) return;
    this.#hasWarned = true;
    const message = `A memory has a vector of ${dimensions} dimensions, where ${this.#dimension} are active: only vectors as long find it`;
    process.emitWarning(message, { type: "WaymarkWarning", code: "WAYMARK_ELIZA_DIMENSIONS" });
  }
}

/** Says what else a memory's row names. */
function parentsOf({ room, entity }: MemoryRow): string {
  return ["agent", ...(room === null ? [] : ["room"]), ...(entity === null ? [] : ["entity"])].join(" or ");
}
