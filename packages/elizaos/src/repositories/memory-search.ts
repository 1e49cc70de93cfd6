import { cosine, integer, invalidArgument, nearSignatures, type Records } from "@waymark/core/records";
import { checkObject, optionalUuid } from "../checks.ts";
import type { Memory, MemorySearch, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { newestFirst } from "../orders.ts";
import { spaceOf } from "../space.ts";
import { MEMORIES, type MemoryRow } from "../tables.ts";
import { type StoredVector, storedVector } from "../vectors.ts";
import { embeddingOf, given, typeOf } from "./memory-lists.ts";
import { checkTable, MEMORY_COLUMNS, type MemoryColumns, memoryOf } from "./memory-rows.ts";
import { vectorsOf } from "./memory-vectors.ts";

/** Search by the similarity of vectors of the same length. */

const DEFAULT_COUNT = 10;

/** The most memories that a search returns. */
const MAX_COUNT = 10_000;

/** A memory is unique if none in its place has a vector that is as similar. */
const SAME = 0.95;

/** Memories that are compared with one that is to be: of one as similar the signature is among the first. */
const CANDIDATES_FOR_SAME = 16;

/** Where, and for what, a search looks. `null`: anywhere. */
interface Wanted {
  readonly agent: string;
  readonly type: string;
  readonly place: string | null;
  readonly world: string | null;
  readonly entity: string | null;
  readonly isUnique: number | null;
  readonly vector: StoredVector;
}

/** Columns that a search compares. */
const COMPARED_COLUMNS = ["part", "agent", "type", "vector"] as const;

type ComparedColumn = (typeof COMPARED_COLUMNS)[number];

const HIT_COLUMNS = [...MEMORY_COLUMNS, "part", "vector"] as const;

type HitRow = Pick<MemoryRow, (typeof HIT_COLUMNS)[number]>;

interface Hit {
  readonly row: HitRow;
  readonly similarity: number;
}

/**
 * Finds the memories of this agent whose vectors, of those as long as one, are most similar to it; the most similar first. A vector without
 * a direction finds none.
 *
 * @param dimension length of the vectors that are returned; `null`: any
 */
export async function searchMemories(
  database: Database,
  embedding: readonly number[],
  query: Omit<MemorySearch, "embedding">,
  dimension: number | null,
): Promise<Memory[]> {
  const { match_threshold, unique } = checkObject("params", query);
  const wanted: Wanted = {
    agent: database.agentId,
    type: checkTable(query.tableName),
    place: optionalUuid("roomId", query.roomId),
    world: optionalUuid("worldId", query.worldId),
    entity: optionalUuid("entityId", query.entityId),
    isUnique: unique ? 1 : null,
    vector: storedVector("embedding", embedding),
  };
  const limit = Math.min(
    integer("count", query.count ?? DEFAULT_COUNT, 0, Number.MAX_SAFE_INTEGER, "memories"),
    MAX_COUNT,
  );
  const threshold = checkThreshold(match_threshold);
  if (wanted.vector.dimensions === null || limit === 0) return [];
  return await database.run("search memories", async (records, signal) => {
    const candidates = Math.min(nearSignatures(limit), MAX_COUNT);
    const near = await nearest(records, wanted, { limit, candidates }, HIT_COLUMNS, signal);
    const hits = near
      .filter(({ similarity }) => similarity >= threshold)
      .sort(bySimilarity)
      .slice(0, limit);
    const memories = await memoriesOf(records, wanted, hits, signal);
    const known = new Map(hits.flatMap(({ row: { id, vector } }) => (vector === null ? [] : [[id, vector] as const])));
    const vectors = await vectorsOf(records, [...memories.values()], dimension, signal, known);
    return hits.flatMap(({ row: { id }, similarity }) => {
      const memory = memories.get(id);
      return memory === undefined ? [] : [{ ...foundMemory(memory), ...embeddingOf(vectors.get(id)), similarity }];
    });
  });
}

function foundMemory(row: MemoryColumns): Memory {
  // `null` where there is no world, as ElizaOS' own adapter.
  return { ...memoryOf(row), ...typeOf(row), worldId: row.world as UUID };
}

/** Checks the least similarity. None given, or zero, is none. */
function checkThreshold(value: unknown): number {
  if (!value) return Number.NEGATIVE_INFINITY;
  if (typeof value !== "number") throw invalidArgument("match_threshold", "a number", value);
  return value;
}

function bySimilarity(one: Hit, other: Hit): number {
  return other.similarity - one.similarity || newestFirst(one.row, other.row);
}

/**
 * Returns whether a memory of the same table has about the same vector as one that is to be: one in the same room and world and of the same
 * entity, as far as these are given.
 */
export async function hasSimilar(records: Records, row: MemoryRow, signal: AbortSignal): Promise<boolean> {
  const { agent, room, world, entity, vector, dimensions, signature } = row;
  if (vector === null) return false;
  const [type, stored] = [row.type as string, { vector, dimensions, signature }];
  const wanted: Wanted = { agent, type, place: room, world, entity, isUnique: null, vector: stored };
  const counts = { limit: 1, candidates: CANDIDATES_FOR_SAME };
  const near = await nearest(records, wanted, counts, COMPARED_COLUMNS, signal);
  return near.some(({ similarity }) => similarity >= SAME);
}

/** Returns rows with similar vectors, in any order, and at least the `limit` most similar. */
async function nearest<Name extends keyof MemoryRow = ComparedColumn>(
  records: Records,
  wanted: Wanted,
  { limit, candidates }: { readonly limit: number; readonly candidates: number },
  columns: readonly (Name | ComparedColumn)[],
  signal: AbortSignal,
): Promise<{ readonly row: Pick<MemoryRow, Name | ComparedColumn>; readonly similarity: number }[]> {
  const { agent, type, place, world, entity, isUnique } = wanted;
  const { vector, dimensions, signature } = wanted.vector;
  if (signature === null) return [];
  const rows = await records.nearest(
    MEMORIES,
    {
      where: {
        space: spaceOf(agent, type),
        dimensions,
        ...given("place", place),
        ...given("world", world),
        ...given("entity", entity),
        ...given("isUnique", isUnique),
      },
      columns,
      signature: ["signature", signature],
      vector: ["vector", vector],
      index: "by_vector",
      walk: place === null ? ["place", "id", "part"] : ["id", "part"],
      candidates,
      limit,
    },
    signal,
  );
  return rows.flatMap((row) => {
    const compared: Pick<MemoryRow, ComparedColumn> = row;
    // It may have another one since it was found.
    if (compared.vector?.length !== vector.length || !isOf(wanted, compared)) return [];
    return [{ row, similarity: cosine(vector, compared.vector) }];
  });
}

/** Returns whether a row is of the agent and the type, and does not just share their number. */
function isOf({ agent, type }: Wanted, row: Pick<MemoryRow, ComparedColumn>): boolean {
  return row.agent === agent && (row.part !== 0 || row.type === type);
}

/** Returns the memories that hits are of, by their ids: what a hit has that is not the memory itself is read at once. */
async function memoriesOf(
  records: Records,
  { agent, type }: Wanted,
  hits: readonly Hit[],
  signal: AbortSignal,
): Promise<Map<string, MemoryColumns & Pick<MemoryRow, "vector">>> {
  const own = hits.filter(({ row }) => row.part === 0).map(({ row }) => row);
  const ids = hits.filter(({ row }) => row.part !== 0).map(({ row }) => row.id);
  const where = { id: { in: ids }, part: 0, agent, type };
  const others =
    ids.length === 0 ? [] : await records.find(MEMORIES, { where, columns: HIT_COLUMNS, limit: ids.length }, signal);
  return new Map([...own, ...others].map((row) => [row.id, row]));
}
