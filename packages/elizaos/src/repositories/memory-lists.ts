import { CheckpointError, integer, type Where } from "@waymark/core/records";
import { checkObject, checkTime, checkUuid, checkUuids, optionalUuid } from "../checks.ts";
import type { Memory, MemoryQuery, UUID } from "../contract.ts";
import type { Database } from "../database.ts";
import { NEWEST_FIRST, newestFirst } from "../orders.ts";
import { ALL, inPieces } from "../pages.ts";
import { MEMORIES, ROOMS } from "../tables.ts";
import { numbersOf } from "../vectors.ts";
import { checkTable, MEMORY_COLUMNS, type MemoryColumns, memoryOf } from "./memory-rows.ts";
import { vectorsOf } from "./memory-vectors.ts";

/** Lists of memories: the newest first. */

/** Rows of a memory, with vectors, that one statement reads. */
const ROWS_AT_ONCE = 1_000;

const WITH_VECTOR = [...MEMORY_COLUMNS, "vector"] as const;

type Filter = Where<typeof MEMORIES>;

interface ListQuery {
  readonly where: Filter;
  readonly limit?: number;
  readonly offset?: number;
  /** Length of the vectors that are read; `null`: any, absent: none. */
  readonly dimension?: number | null;
}

interface ListedMemory {
  readonly row: MemoryColumns;
  readonly embedding: { readonly embedding?: number[] };
}

/** @param dimension length of the vectors; `null`: any */
export async function getMemories(database: Database, query: MemoryQuery, dimension: number | null): Promise<Memory[]> {
  const { start, end, unique, count, offset } = checkObject("params", query);
  const where = {
    type: checkTable(query.tableName),
    ...given("agent", optionalUuid("agentId", query.agentId)),
    ...given("room", optionalUuid("roomId", query.roomId)),
    ...given("world", optionalUuid("worldId", query.worldId)),
    ...given("entity", optionalUuid("entityId", query.entityId)),
    ...(unique && { isUnique: 1 }),
    ...((start || end) && {
      createdAt: { ...(start && { from: checkTime("start", start) }), ...(end && { to: checkTime("end", end) }) },
    }),
  };
  const page = { where, limit: checkLimit("count", count), offset: checkOffset(offset), dimension };
  const listed = await list(database, "get memories", page);
  return listed.map(({ row, embedding }) => ({ ...memoryOf(row), ...typeOf(row), ...embedding }));
}

export async function getMemoryById(database: Database, id: UUID, dimension: number | null): Promise<Memory | null> {
  const where = { id: checkUuid("id", id), part: 0 };
  const [found] = await list(database, "get memory", { where, limit: 1, dimension });
  return found === undefined ? null : { ...memoryOf(found.row), ...found.embedding };
}

export async function getMemoriesByIds(
  database: Database,
  ids: readonly UUID[],
  tableName: string | undefined,
  dimension: number | null,
): Promise<Memory[]> {
  const checked = checkUuids("ids", ids);
  const type = tableName ? { type: checkTable(tableName) } : {};
  const listed: ListedMemory[] = [];
  for (const some of inPieces(checked)) {
    const where = { id: { in: some }, part: 0, ...type };
    for (const one of await list(database, "get memories by ids", { where, dimension })) listed.push(one);
  }
  return listed
    .sort((one, other) => newestFirst(one.row, other.row))
    .map(({ row, embedding }) => ({ ...memoryOf(row), ...embedding }));
}

export async function getMemoriesByRoomIds(
  database: Database,
  { tableName, roomIds, limit }: { tableName: string; roomIds: readonly UUID[]; limit?: number },
): Promise<Memory[]> {
  const [type, agent] = [checkTable(tableName), database.agentId];
  const rooms = checkUuids("roomIds", roomIds);
  const atMost = checkLimit("limit", limit);
  const listed: ListedMemory[] = [];
  for (const room of inPieces(rooms)) {
    const where = { type, agent, room: { in: room } };
    for (const one of await list(database, "get memories by rooms", { where, limit: atMost })) listed.push(one);
  }
  return listed
    .sort((one, other) => newestFirst(one.row, other.row))
    .slice(0, atMost)
    .map(({ row }) => memoryOf(row));
}

/** Returns the memories of this agent's rooms in a world. */
export async function getMemoriesByWorldId(
  database: Database,
  { worldId, count, tableName }: { worldId: UUID; count?: number; tableName?: string },
): Promise<Memory[]> {
  const world = checkUuid("worldId", worldId);
  const limit = checkLimit("count", count);
  const where = { world, agent: database.agentId };
  const rooms = await database.run("get memories by world", (records, signal) =>
    records.find(ROOMS, { where, columns: ["id"], limit: ALL }, signal),
  );
  const roomIds = rooms.map(({ id }) => id as UUID);
  return await getMemoriesByRoomIds(database, { tableName: tableName || "messages", roomIds, limit });
}

/** Reads rows, page by page, each with what it has of a vector. */
async function list(
  database: Database,
  operation: string,
  { where, limit = Number.POSITIVE_INFINITY, offset = 0, dimension }: ListQuery,
): Promise<ListedMemory[]> {
  const columns = dimension === undefined ? MEMORY_COLUMNS : WITH_VECTOR;
  const listed: ListedMemory[] = [];
  for (;;) {
    const last = listed.at(-1)?.row;
    const size = Math.min(limit - listed.length, ROWS_AT_ONCE);
    const page = await database.run(operation, async (records, signal) => {
      const query = { where, columns, order: NEWEST_FIRST, limit: size };
      const place = last === undefined ? { offset } : { after: [last.createdAt, last.id] };
      const rows = await records.find(MEMORIES, { ...query, ...place }, signal);
      if (dimension === undefined) return rows.map((row) => ({ row, embedding: {} }));
      const vectors = await vectorsOf(records, rows, dimension, signal);
      return rows.map((row) => ({ row, embedding: embeddingOf(vectors.get(row.id)) }));
    });
    listed.push(...page);
    if (page.length < size || listed.length === limit) return listed;
  }
}

/** Returns the member of a memory that has its vector, or none. */
export function embeddingOf(vector: Float32Array | undefined): { embedding?: number[] } {
  return vector === undefined ? {} : { embedding: numbersOf(vector) };
}

/** Returns the member of a memory that says what table it is in. */
export function typeOf({ type }: Pick<MemoryColumns, "type">): { type?: string } {
  return type === null ? {} : { type };
}

/** Returns a filter by a column; of `null` none. */
export function given<const Name extends string, Value>(
  column: Name,
  value: Value | null,
): { readonly [name in Name]?: Value } {
  return (value === null ? {} : { [column]: value }) as { readonly [name in Name]?: Value };
}

/** Checks how many are wanted: none given, or zero, is all of them. */
function checkLimit(field: string, value: unknown): number {
  if (!value || value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  return integer(field, value, 1, Number.MAX_SAFE_INTEGER, "memories");
}

function checkOffset(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === "number" && value < 0) {
    throw new CheckpointError("INVALID_ARGUMENT", "offset must be a non-negative number");
  }
  return integer("offset", value, 0, Number.MAX_SAFE_INTEGER, "memories");
}
