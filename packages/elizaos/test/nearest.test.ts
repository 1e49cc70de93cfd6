import { fileURLToPath } from "node:url";
import { cosine, insertRecords, openRecordStore, type RecordStore, signatureOf } from "@waymark/core/records";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SCHEMAS } from "../src/schemas.ts";
import { AGENTS, MEMORIES, type MemoryRow } from "../src/tables.ts";
import { databasesOfVerbs, type TestDatabase } from "./databases.ts";
import { clusteredVectors, mostSimilar } from "./vectors.ts";

/** The verb `nearest`, on the one table that has all that it needs. */

const AGENT = "00000000-0000-4000-8000-000000000001";
const PLACES = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"] as const;
const DIMENSIONS = 96;
/** More than one page of signatures, on a database that reads them. */
const COUNT = 4_500;

const signal = new AbortController().signal;
const all = clusteredVectors(COUNT + 5, DIMENSIONS);
const vectors = all.slice(0, COUNT);
const searched = all.slice(COUNT);
const idOf = (at: number) => `00000000-0000-4000-8000-${at.toString(16).padStart(12, "0")}`;

function rowOf(vector: Float32Array, at: number): MemoryRow {
  return {
    ...{ id: idOf(at), part: 0, agent: AGENT, room: null, entity: null, world: null, type: "facts", createdAt: at },
    ...{
      isUnique: at % 3 === 0 ? 1 : 0,
      document: null,
      space: 7,
      dimensions: DIMENSIONS,
      place: PLACES[at % 2 ? 1 : 0],
    },
    ...{ signature: signatureOf(vector), content: "{}", metadata: "{}", vector },
  };
}

describe.each(databasesOfVerbs)("the rows with the nearest vectors on $name", ({ create }) => {
  let database: TestDatabase;
  let store: RecordStore;

  beforeAll(async () => {
    database = await create();
    const { url, pgliteDataDir, database: options = {} } = database.options;
    store = await openRecordStore({
      ...{ source: "test", field: "url", options, schemas: SCHEMAS, from: [fileURLToPath(import.meta.url)] },
      ...(url !== undefined && { url }),
      ...(pgliteDataDir !== undefined && { pgliteDataDir }),
    });
    const agent = { id: AGENT, createdAt: 0, updatedAt: 0, data: "{}", settings: "{}" };
    await store.run("insert", (records) => records.change([insertRecords(AGENTS, [agent])], signal));
    for (let at = 0; at < COUNT; at += 500) {
      const rows = vectors.slice(at, at + 500).map((vector, more) => rowOf(vector, at + more));
      await store.run("insert", (records) => records.change([insertRecords(MEMORIES, rows)], signal));
    }
  });

  afterAll(async () => {
    await store?.close();
    await database?.drop();
  });

  const near = async (to: Float32Array, where: object, candidates: number, limit: number, walk: readonly string[]) => {
    const query = {
      where: { space: 7, dimensions: DIMENSIONS, ...where },
      columns: ["id", "vector", "content"],
      signature: ["signature", signatureOf(to)],
      vector: ["vector", to],
      index: "by_vector",
      walk,
      candidates,
      limit,
    } as const;
    return await store.run("nearest", (records) => records.nearest(MEMORIES, query as never, signal));
  };

  const best = (rows: readonly Pick<MemoryRow, "id" | "vector">[], to: Float32Array, limit: number) =>
    rows
      .map(({ id, vector }) => ({ id, similarity: cosine(vector as Float32Array, to) }))
      .sort((one, other) => other.similarity - one.similarity)
      .slice(0, limit)
      .map(({ id }) => id);

  it("are found among all", async () => {
    for (const to of searched) {
      const rows = await near(to, {}, 400, 10, ["place", "id", "part"]);
      expect(rows.length).toBeGreaterThanOrEqual(10);
      expect(rows.length).toBeLessThanOrEqual(400);
      const expected = mostSimilar(vectors, to, 10).map(idOf);
      const found = best(rows as never, to, 10);
      expect(found.filter((id) => expected.includes(id)).length).toBeGreaterThanOrEqual(9);
    }
  });

  it("are those that a filter selects", async () => {
    const to = vectors[11] as Float32Array;
    const rows = await near(to, { place: PLACES[1], isUnique: 1 }, 2_000, 5, ["id", "part"]);
    const selected = vectors.map((vector, at) => ({ vector, at })).filter(({ at }) => at % 2 === 1 && at % 3 === 0);
    const expected = mostSimilar(
      selected.map(({ vector }) => vector),
      to,
      5,
    ).map((at) => idOf(selected[at]?.at as number));
    expect(best(rows as never, to, 5)).toEqual(expected);
  });

  it("are found where few candidates are wanted, by an index or not", async () => {
    for (const at of [8, 9]) {
      const rows = await near(vectors[at] as Float32Array, { place: PLACES[at % 2] }, 10, 1, ["id", "part"]);
      expect(best(rows as never, vectors[at] as Float32Array, 1)).toEqual([idOf(at)]);
    }
  });

  it("are none of another length, and none where there are none", async () => {
    expect(await near(vectors[0] as Float32Array, { dimensions: 64 }, 100, 5, ["place", "id", "part"])).toEqual([]);
    expect(await near(vectors[0] as Float32Array, { space: 8 }, 100, 5, ["place", "id", "part"])).toEqual([]);
  });

  it("come with the columns that are asked for", async () => {
    const [row] = await near(vectors[3] as Float32Array, { place: PLACES[1] }, 1, 1, ["id", "part"]);
    expect(row).toEqual({ id: idOf(3), vector: vectors[3], content: "{}" });
  });
});
