import { insertRecords } from "@waymark/core/kit";
import { ITEMS, NEVER, SIGNATURES, TERMS, VECTORS } from "@waymark/core/memory/kit";
import { expect, it } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";

const signal = new AbortController().signal;
for (const load of [true, false])
  it("works " + load, async () => {
    const options = resolveOptions({ databasePath: ":memory:" });
    const dialect = createMemoryDialect(shareConnection(options).share(), options, load);
    await dialect.open(signal);
    const uuid = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;
    const items = Array.from({ length: 10 }, (_, n) => ({
      space: 1,
      number: n + 1,
      id: uuid(n),
      thread: null,
      role: null,
      key: null,
      importance: 0.5,
      createdAt: 1,
      expiresAt: NEVER,
      length: 3,
      textDigest: null,
      checkpointId: null,
      revision: uuid(1),
      pending: null,
      metadata: null,
      text: "x",
      rawText: null,
      encoding: null,
      valueBytes: null,
      valueDigest: null,
      value: null,
    }));
    const vectors = items.map(({ number }) => ({
      space: 1,
      generation: 1,
      number,
      dimensions: 2,
      vector: Float32Array.of(1, number),
    }));
    const signatures = items.map(({ number }) => ({
      space: 1,
      generation: 1,
      number,
      signature: Uint8Array.of(number, 0),
    }));
    const terms = items.map(({ number }) => ({
      space: 1,
      number,
      term: number % 2 ? "odd" : "even",
      frequency: number,
      length: 3,
    }));
    expect(
      await dialect.records.change(
        [
          insertRecords(ITEMS, items),
          insertRecords(VECTORS, vectors),
          insertRecords(SIGNATURES, signatures),
          insertRecords(TERMS, terms),
        ],
        signal,
      ),
    ).toEqual([10, 10, 10, 10]);
    const query = {
      space: 1,
      generation: 1,
      vector: Float32Array.of(1, 3),
      signature: Uint8Array.of(3, 0),
      filter: null,
      size: 10,
      limit: 3,
    };
    expect(await dialect.nearest(query, signal)).toEqual([3, 7, 2]);
    expect(await dialect.nearest({ ...query, filter: { number: { below: 3 } } }, signal)).toEqual([2, 1]);
    expect(await dialect.nearestExactly(query, signal)).toEqual(load ? [3, 4, 5] : null);
    expect(await dialect.countTerms(1, ["odd", "even", "none"], signal)).toEqual([
      { term: "even", count: 5 },
      { term: "odd", count: 5 },
    ]);
    expect(
      await dialect.scoreTerms(
        {
          space: 1,
          terms: [
            { term: "odd", weight: 100.5 },
            { term: "even", weight: 7 },
          ],
          base: 0.3,
          perToken: 0.1,
          filter: null,
          limit: 3,
        },
        signal,
      ),
    ).toEqual([
      { number: 9, score: 94 },
      { number: 7, score: 92 },
      { number: 5, score: 89 },
    ]);
    await dialect.close();
  });
