import { CheckpointError, integer, invalidArgument, objectWithKeys, type Records } from "@waymark/core/records";
import { checkUuid } from "../checks.ts";
import type { Memory } from "../contract.ts";
import type { Database } from "../database.ts";
import { spaceOf } from "../space.ts";
import { MEMORIES, type MemoryRow } from "../tables.ts";
import { checkDimensions } from "../vectors.ts";
import { typeOf } from "./memory-lists.ts";
import { checkTable, MEMORY_COLUMNS, memoryOf } from "./memory-rows.ts";
import { idsWithVector } from "./memory-vectors.ts";

/** Lengths of vectors: how many memories have one of each, and which do not. */

/** How many of an agent's vectors can be found, by their length. */
export interface VectorCount {
  readonly dimensions: number;
  readonly vectors: number;
}

export interface UnembeddedQuery {
  /** Default: all tables. */
  readonly tableName?: string;
  /** Length of the vector. Default: what `ensureEmbeddingDimension` was called with. */
  readonly dimension?: number;
  /** The most memories of a page. Default 100. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly after?: string;
}

export interface UnembeddedPage {
  readonly memories: Memory[];
  /** Where the next page begins; `null`: there is none. A page may be short, or empty, and another follow. */
  readonly next: string | null;
}

/** Memories that one page looks at. */
const LOOKED_AT = 1_000;

/** Order of {@link memoriesWithoutVector}: that of an index. */
const BY_TYPE = [
  ["type", "asc"],
  ["createdAt", "asc"],
  ["id", "asc"],
] as const;

/** Counts an agent's vectors that can be found by their length. */
export async function countVectors(database: Database): Promise<VectorCount[]> {
  return await database.run("count vectors", async (records, signal) => {
    const counts = new Map<number, number>();
    for await (const space of spacesOf(records, database.agentId, signal)) {
      for await (const dimensions of lengthsIn(records, space, signal)) {
        const vectors = await records.count(MEMORIES, { space, dimensions }, signal);
        counts.set(dimensions, (counts.get(dimensions) ?? 0) + vectors);
      }
    }
    return [...counts]
      .map(([dimensions, vectors]) => ({ dimensions, vectors }))
      .sort((a, b) => a.dimensions - b.dimensions);
  });
}

/**
 * Refuses another length of vectors than the agent's memories have, each that can be found.
 * @throws CheckpointError `DIMENSION_MISMATCH`
 */
export async function refuseOther(database: Database, dimension: number): Promise<void> {
  const operation = "ensure embedding dimension";
  const other = await database.run(operation, async (records, signal) => {
    for await (const space of spacesOf(records, database.agentId, signal)) {
      for await (const length of lengthsIn(records, space, signal)) if (length !== dimension) return length;
    }
    return null;
  });
  if (other === null) return;
  const message = `Cannot change embedding dimension for agent: it has vectors of ${other} dimensions, and ${dimension} are wanted`;
  throw new CheckpointError("DIMENSION_MISMATCH", message);
}

/** Goes through the spaces of an agent: one for each type of its memories. */
async function* spacesOf(records: Records, agent: string, signal: AbortSignal): AsyncGenerator<number> {
  for (let last = ""; ; ) {
    const where = { agent, type: { above: last } };
    const [row] = await records.find(
      MEMORIES,
      { where, columns: ["type"], order: [["type", "asc"]], limit: 1 },
      signal,
    );
    if (row?.type == null) return;
    last = row.type;
    yield spaceOf(agent, last);
  }
}

/** Goes through the lengths of the vectors in a space, the shortest first. */
async function* lengthsIn(records: Records, space: number, signal: AbortSignal): AsyncGenerator<number> {
  const order = [["dimensions", "asc"]] as const;
  for (let last = 0; ; ) {
    const where = { space, dimensions: { above: last } };
    const [row] = await records.find(MEMORIES, { where, columns: ["dimensions"], order, limit: 1 }, signal);
    if (row?.dimensions == null) return;
    last = row.dimensions;
    yield last;
  }
}

const HEAD = ["id", "type", "createdAt", "dimensions"] as const;

type Head = Pick<MemoryRow, (typeof HEAD)[number]>;

/** Returns a page of this agent's memories that no search in vectors of a length can find. */
export async function memoriesWithoutVector(
  database: Database,
  query: UnembeddedQuery,
  active: number | null,
): Promise<UnembeddedPage> {
  const { tableName, limit, after, dimension } = checkQuery(query, active);
  const where = { agent: database.agentId, type: tableName ?? { above: "" } };
  return await database.run("list memories without vector", async (records, signal) => {
    const place = after === null ? {} : { after };
    const find = { where, columns: HEAD, order: BY_TYPE, limit: LOOKED_AT, ...place };
    const heads = await records.find(MEMORIES, find, signal);
    const found = await idsWithVector(records, heads, dimension, signal);
    const missing = heads.filter(({ id }) => !found.has(id));
    const wanted = missing.slice(0, limit);
    const isCut = missing.length > limit;
    const last = isCut ? wanted.at(-1) : heads.length < LOOKED_AT ? undefined : heads.at(-1);
    return { memories: await read(records, wanted, signal), next: last === undefined ? null : cursorOf(last) };
  });
}

function checkQuery(query: UnembeddedQuery, active: number | null) {
  const {
    tableName,
    dimension,
    limit = 100,
    after,
  } = objectWithKeys("query", query, ["tableName", "dimension", "limit", "after"]);
  if (dimension === undefined && active === null) {
    throw invalidArgument("query.dimension", "given, as ensureEmbeddingDimension was not called", dimension);
  }
  return {
    tableName: tableName === undefined ? null : checkTable(tableName),
    dimension: checkDimensions("query.dimension", dimension ?? active),
    limit: integer("query.limit", limit, 1, LOOKED_AT, "memories"),
    after: after === undefined || after === null ? null : placeOf(after),
  };
}

/** Reads memories, in the order of their heads. */
async function read(records: Records, heads: readonly Head[], signal: AbortSignal): Promise<Memory[]> {
  if (heads.length === 0) return [];
  const where = { id: { in: heads.map(({ id }) => id) }, part: 0 };
  const rows = await records.find(MEMORIES, { where, columns: MEMORY_COLUMNS, limit: heads.length }, signal);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return heads.flatMap(({ id }) => {
    const row = byId.get(id);
    return row === undefined ? [] : [{ ...memoryOf(row), ...typeOf(row) }];
  });
}

/** A cursor: the place of a memory in the order, as a text. */
function cursorOf({ type, createdAt, id }: Head): string {
  return Buffer.from(JSON.stringify([type, createdAt, id])).toString("base64url");
}

function placeOf(cursor: unknown): readonly unknown[] {
  try {
    const place: unknown = JSON.parse(Buffer.from(String(cursor), "base64url").toString());
    if (Array.isArray(place) && place.map((value) => typeof value).join() === "string,number,string") {
      const [type, createdAt, id] = place;
      return [checkTable(type), createdAt, checkUuid("query.after", id)];
    }
  } catch {
    // Said below.
  }
  throw invalidArgument("query.after", "next of a page", cursor);
}
