import type { Records } from "@waymark/core/records";
import { MEMORIES, type MemoryRow } from "../tables.ts";

/** A memory's row, as far as its vector is asked for. */
type VectorRow = Pick<MemoryRow, "id" | "vector">;

/**
 * Returns the vectors of memories by their ids: of those that a memory has, the one of this length; `null`: the one it was given last. What
 * the rows of the memories do not have is read at once. `known`: vectors that were read already.
 */
export async function vectorsOf(
  records: Records,
  rows: readonly VectorRow[],
  dimension: number | null,
  signal: AbortSignal,
  known: ReadonlyMap<string, Float32Array> = new Map(),
): Promise<Map<string, Float32Array>> {
  const vectors = new Map<string, Float32Array>();
  const isWanted = (vector: Float32Array) => dimension === null || vector.length === dimension;
  const missing: string[] = [];
  for (const { id, vector } of rows) {
    const found = [known.get(id), vector].find((one) => one && isWanted(one));
    if (found) vectors.set(id, found);
    else if (vector !== null) missing.push(id);
  }
  if (missing.length === 0 || dimension === null) return vectors;
  const where = { id: { in: missing }, part: dimension };
  const query = { where, columns: ["id", "vector"], limit: missing.length } as const;
  for (const { id, vector } of await records.find(MEMORIES, query, signal)) {
    if (vector !== null) vectors.set(id, vector);
  }
  return vectors;
}

/** Returns the ids of memories that have a vector of this length which can be found; `null`: of any. */
export async function idsWithVector(
  records: Records,
  rows: readonly Pick<MemoryRow, "id" | "dimensions">[],
  dimension: number | null,
  signal: AbortSignal,
): Promise<Set<string>> {
  const has = (dimensions: number | null) => dimensions !== null && (dimension ?? dimensions) === dimensions;
  const ids = new Set(rows.filter(({ dimensions }) => has(dimensions)).map(({ id }) => id));
  const others = rows.filter(({ id }) => !ids.has(id)).map(({ id }) => id);
  if (others.length === 0 || dimension === null) return ids;
  const where = { id: { in: others }, part: dimension, dimensions: dimension };
  for (const { id } of await records.find(MEMORIES, { where, columns: ["id"], limit: others.length }, signal)) {
    ids.add(id);
  }
  return ids;
}
