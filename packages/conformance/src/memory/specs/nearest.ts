import { insertRecords } from "@waymark/core/kit";
import { ITEMS, type NearestQuery, type RowFilter, SIGNATURES, VECTORS } from "@waymark/core/memory/kit";
import { beforeAll, describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { type Corpus, cosine, DIMENSIONS, signatureOf, signs } from "../corpus.ts";
import { newItem, newSignature, newVector, numbers, randomFrom, selects, signal } from "../rows.ts";

/** Cosines that differ by less are the same for float32. */
const TOLERANCE = 2e-6;

export function describeNearest(bench: MemoryBench): void {
  let corpus: Corpus;
  beforeAll(async () => {
    corpus = await bench.corpus();
  });

  const newQuery = (space: number, vector: Float32Array, changes: Partial<NearestQuery> = {}): NearestQuery => {
    return {
      space,
      generation: 1,
      vector,
      signature: signatureOf(vector),
      filter: null,
      size: corpus.items.length,
      limit: 20,
      ...changes,
    };
  };

  /** Inserts items with vectors of one generation. */
  const insertVectors = async (
    space: number,
    vectors: ReadonlyMap<number, Float32Array>,
    generation = 1,
    withItems = true,
  ) => {
    const all = [...vectors];
    await bench.records.change(
      [
        ...(withItems
          ? [
              insertRecords(
                ITEMS,
                all.map(([number]) => newItem(space, number)),
              ),
            ]
          : []),
        insertRecords(
          VECTORS,
          all.map(([number, vector]) => newVector(space, number, vector, generation)),
        ),
        insertRecords(
          SIGNATURES,
          all.map(([number, vector]) => newSignature(space, number, signatureOf(vector), generation)),
        ),
      ],
      signal,
    );
  };

  for (const method of ["nearest", "nearestExactly"] as const) {
    const isAnswered = method === "nearest" || bench.target.computesCosines;
    describe.skipIf(!isAnswered)(`the nearest vectors, by ${method}`, () => {
      const find = async (query: NearestQuery): Promise<readonly number[]> => {
        const found = await bench.dialect[method](query, signal);
        expect(found, "the numbers that were found").not.toBeNull();
        return found as readonly number[];
      };

      /** Expects the best of these vectors, of equally good ones any. */
      const expectBest = (
        found: readonly number[],
        query: NearestQuery,
        vectors: ReadonlyMap<number, Float32Array>,
      ) => {
        expect(new Set(found).size).toBe(found.length);
        expect(found.filter((number) => !vectors.has(number))).toEqual([]);
        const of = (numbers: Iterable<number>) =>
          [...numbers].map((number) => cosine(query.vector, vectors.get(number) as Float32Array));
        const cosines = of(found);
        const sorted = [...cosines].sort((one, other) => other - one);
        const best = of(vectors.keys())
          .sort((one, other) => other - one)
          .slice(0, query.limit);
        expect(found.length).toBe(best.length);
        expect(best.filter((one, at) => Math.abs((sorted[at] as number) - one) > TOLERANCE)).toEqual([]);
        if (method === "nearest") return; // in any order
        expect(cosines.filter((one, at) => one < (cosines[at + 1] ?? -1) - TOLERANCE)).toEqual([]);
      };

      it("are those of a search through all of them, with each number of candidates", async () => {
        const random = randomFrom(8);
        for (const limit of [1, 2, 20, 200, 1_000, corpus.items.length - 1]) {
          const query = newQuery(corpus.space, signs(DIMENSIONS, random), { limit });
          expectBest(await find(query), query, corpus.vectors);
        }
        const [number, vector] = [...corpus.vectors][4_100] as [number, Float32Array];
        expect(await find(newQuery(corpus.space, vector, { limit: 1 }))).toEqual([number]);
      });

      it("are all of a space that has no more than the limit, also numbers up to 2^53 - 1", async () => {
        for (const limit of [corpus.items.length, 5_000]) {
          const found = await find(newQuery(corpus.space, signs(DIMENSIONS, randomFrom(9)), { limit }));
          expect([...found].sort((one, other) => one - other)).toEqual(corpus.items.map(({ number }) => number));
        }
      });

      it("are among those that a filter selects: it never makes the answer shorter", async () => {
        const random = randomFrom(10);
        const some = corpus.items.filter((_, at) => at % 97 === 0).map(({ number }) => number);
        const middle = corpus.items[2_000]?.number as number;
        const filters: readonly RowFilter[] = [
          { role: "user" },
          { role: null },
          { thread: "thread 7" },
          { thread: { in: ["thread 3", "thread 4"] }, role: { not: "user" } },
          { metadata: { contains: ["\ntopic=a\n"] } },
          { metadata: { contains: ["\ntopic=a\n", "\nlanguage=en\n"] }, importance: { from: 0.5 } },
          { expiresAt: { above: 2_000 }, createdAt: { from: 1_000, below: 2_200 } },
          { number: { in: some } },
          { number: { above: middle } },
          { number: middle },
          { number: { in: [] } },
          { role: "nobody" },
          { space: corpus.space, role: "assistant" },
        ];
        // Without members, as the first query of a client: it is no other statement's text that runs then.
        const client = await bench.open();
        for (const filter of [{}, { role: undefined } as never]) {
          const query = newQuery(corpus.space, signs(DIMENSIONS, random), { filter });
          expectBest((await client[method](query, signal)) as readonly number[], query, corpus.vectors);
        }
        for (const filter of filters) {
          const query = newQuery(corpus.space, signs(DIMENSIONS, random), { filter, limit: 15 });
          const selected = corpus.items.filter((item) => selects(filter, item));
          const vectors = new Map(selected.map(({ number }) => [number, corpus.vectors.get(number) as Float32Array]));
          expectBest(await find(query), query, vectors);
        }
        // Exactly as many as any page has, and a few more and less.
        for (const count of [4_095, 4_096, 4_097]) {
          const last = corpus.items[count - 1]?.number as number;
          const found = await find(
            newQuery(corpus.space, signs(DIMENSIONS, random), { filter: { number: { to: last } }, limit: 9_999 }),
          );
          expect(found).toHaveLength(count);
        }
      });

      it("are of their space and generation alone", async () => {
        const random = randomFrom(11);
        const [one, other, empty] = [bench.newSpace(), bench.newSpace(), bench.newSpace()];
        const make = (dimensions: number) =>
          new Map(numbers(1, 12).map((number) => [number, signs(dimensions, random)]));
        const [first, second, foreign] = [make(DIMENSIONS), make(128), make(DIMENSIONS)];
        await insertVectors(one, first);
        await insertVectors(one, second, 2, false);
        await insertVectors(other, foreign);
        for (const [space, generation, vectors] of [
          [one, 1, first],
          [one, 2, second],
          [other, 1, foreign],
        ] as const) {
          const vector = signs(vectors.get(1)?.length as number, random);
          for (const filter of [null, { role: null }]) {
            for (const limit of [5, 100]) {
              const query = newQuery(space, vector, { generation, filter, limit, size: 12 });
              expectBest(await find(query), query, vectors);
            }
          }
        }
        const vector = signs(DIMENSIONS, random);
        expect(await find(newQuery(one, vector, { generation: 3 }))).toEqual([]);
        expect(await find(newQuery(empty, vector, { size: 0 }))).toEqual([]);
        expect(await find(newQuery(empty, vector, { filter: { role: "r" }, size: 100_000 }))).toEqual([]);
        expect(await find(newQuery(one, vector, { filter: { space: other } }))).toEqual([]);
      });

      it("have from 16 to 4,096 dimensions", async () => {
        const random = randomFrom(12);
        for (const dimensions of [16, 48, 384, 1_536, 4_096]) {
          const space = bench.newSpace();
          const vectors = new Map(numbers(1, 9).map((number) => [number, signs(dimensions, random)]));
          await insertVectors(space, vectors);
          const query = newQuery(space, signs(dimensions, random), { limit: 4, size: 9 });
          expectBest(await find(query), query, vectors);
          expect(
            await find({
              ...query,
              limit: 1,
              vector: vectors.get(7) as Float32Array,
              signature: signatureOf(vectors.get(7) as Float32Array),
            }),
          ).toEqual([7]);
        }
      });
    });
  }

  it.skipIf(!bench.target.computesCosines)(
    "the nearest vectors by nearestExactly are in the order of their cosine, whatever their lengths",
    async () => {
      const random = randomFrom(13);
      const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      const make = (scale: number) => Float32Array.from({ length: 48 }, () => gauss() * scale);
      const space = bench.newSpace();
      const vectors = new Map(numbers(1, 400).map((number) => [number, make(10 ** ((number % 7) - 3))]));
      vectors.set(
        401,
        (vectors.get(1) as Float32Array).map((float) => float * 3),
      );
      vectors.set(
        402,
        (vectors.get(1) as Float32Array).map((float) => -float),
      );
      await insertVectors(space, vectors);
      for (const limit of [1, 10, 402, 500]) {
        const query = newQuery(space, limit === 10 ? (vectors.get(1) as Float32Array) : make(1), { limit, size: 402 });
        const found = (await bench.dialect.nearestExactly(query, signal)) as readonly number[];
        const of = (number: number) => cosine(query.vector, vectors.get(number) as Float32Array);
        const best = [...vectors.keys()]
          .map(of)
          .sort((one, other) => other - one)
          .slice(0, limit);
        expect(found).toHaveLength(best.length);
        for (const [at, number] of found.entries())
          expect(Math.abs(of(number) - (best[at] as number))).toBeLessThan(TOLERANCE);
      }
    },
  );

  it.skipIf(!bench.target.computesCosines)(
    "nearestExactly prefers no vector whose length float32 cannot hold",
    async () => {
      const random = randomFrom(18);
      const space = bench.newSpace();
      const vector = signs(DIMENSIONS, random);
      const good = numbers(1, 5).map(
        (number) => [number, vector.map((sign, at) => (at < number ? -sign : sign))] as const,
      );
      const bad = [1e-30, 1e-22, 1e19, 1e38].map(
        (scale, at) => [101 + at, vector.map((sign) => -sign * scale)] as const,
      );
      await insertVectors(space, new Map([...good, ...bad]));
      const found = await bench.dialect.nearestExactly(newQuery(space, vector, { limit: 5, size: 9 }), signal);
      expect(new Set(found)).toEqual(new Set(good.map(([number]) => number)));
    },
  );

  it.skipIf(bench.target.computesCosines)("nearestExactly says that this database computes no cosines", async () => {
    expect(
      await bench.dialect.nearestExactly(newQuery(corpus.space, signs(DIMENSIONS, randomFrom(14))), signal),
    ).toBeNull();
  });
}
