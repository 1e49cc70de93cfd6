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
