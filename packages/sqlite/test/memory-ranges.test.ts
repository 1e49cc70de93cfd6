import { newItem, newSignature, newTerm, newVector } from "@waymark/conformance/memory";
import { insertRecords, removeRecords } from "@waymark/core/kit";
import { ITEMS, type NearestQuery, SIGNATURES, TERMS, VECTORS } from "@waymark/core/memory/kit";
import { describe, expect, it, onTestFinished } from "vitest";
import { openHandle, shareConnection } from "../src/database.ts";
import { drizzleOn } from "../src/handle.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { SearchStatements } from "../src/memory/search.ts";
import { resolveOptions } from "../src/options.ts";
import { SQLiteRecords } from "../src/records/records.ts";

/** A space is looked at in ranges of its items, and others have their turns between them. */

const { signal } = new AbortController();

/** More than two ranges of signatures, which are the longest. */
const ITEMS_OF_SPACE = 10_000;
const LIMIT = 300;

const byte = (number: number, factor: number) => (number * factor) % 251;
const vectorOf = (number: number) => Float32Array.of(byte(number, 7) - 125, byte(number, 31) - 125, 1);
const signatureOf = (number: number) => Uint8Array.of(byte(number, 7), byte(number, 31));
/** Numbers have gaps. */
const numberOf = (at: number) => 3 * at + 1;

/** A search on a space of many items, of which a third has each role. */
async function openSearch(hasVectorFunctions: boolean) {
  const options = resolveOptions({ databasePath: ":memory:" });
  const connection = shareConnection(options).share();
  const dialect = createMemoryDialect(connection, options, hasVectorFunctions);
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  const handle = await openHandle(connection, signal);
  const records = new SQLiteRecords(handle, drizzleOn(handle), "");
  const numbers = Array.from({ length: ITEMS_OF_SPACE }, (_, at) => numberOf(at));
  const role = (number: number) => ["a", "b", "c"][number % 7 === 0 ? 0 : 1] as string;
  records.change([
    insertRecords(
      ITEMS,
      numbers.map((number) => newItem(1, number, { role: role(number) })),
    ),
    insertRecords(
      VECTORS,
      numbers.map((number) => newVector(1, number, vectorOf(number))),
    ),
    insertRecords(
      SIGNATURES,
      numbers.map((number) => newSignature(1, number, signatureOf(number))),
    ),
    insertRecords(
      TERMS,
      numbers.flatMap((number) => [newTerm(1, "all", number), newTerm(1, `t${number % 5}`, number, 1 + (number % 9))]),
    ),
  ]);
  return { handle, records, numbers, role, search: new SearchStatements(records, hasVectorFunctions) };
}

const nearestQuery: NearestQuery = {
  space: 1,
  generation: 1,
  vector: vectorOf(numberOf(77)),
  signature: signatureOf(numberOf(77)),
  filter: null,
  size: ITEMS_OF_SPACE,
  limit: LIMIT,
};
const terms = [
  { term: "all", weight: 10 },
  { term: "t3", weight: 1_000 },
  { term: "t4", weight: 1_000 },
];
const termQuery = { space: 1, terms, base: 1, perToken: 0.1, filter: null, limit: LIMIT };

/** The numbers with the least distances; of equal ones the highest numbers. */
function nearestOf(numbers: readonly number[], distance: (number: number) => number): number[] {
  return [...numbers].sort((one, other) => distance(one) - distance(other) || other - one).slice(0, LIMIT);
}

const bits = (one: number, other: number) => (one ^ other).toString(2).replaceAll("0", "").length;
const hamming = (number: number) => {
  const [one, other] = [signatureOf(number), nearestQuery.signature];
  return bits(one[0] as number, other[0] as number) + bits(one[1] as number, other[1] as number);
};
const score = (number: number) => {
  const contribution = (weight: number, frequency: number) =>
    Math.floor((weight * frequency) / (frequency + 1 + 0.1 * 10));
  return contribution(10, 1) + ([3, 4].includes(number % 5) ? contribution(1_000, 1 + (number % 9)) : 0);
};

/** Counts turns; with `then`, does that at the first of them. */
function turns(then: () => void = () => {}) {
  const count = { turns: 0 };
  const pause = async () => {
    count.turns += 1;
    if (count.turns === 1) then();
  };
  return { count, pause };
}

describe.each([true, false])("with functions of vectors: %s", (hasVectorFunctions) => {
  it("finds in ranges just what one look at all would find", async () => {
    const { search, numbers, role, handle } = await openSearch(hasVectorFunctions);
    const { count, pause } = turns();
    const sorted = (found: readonly number[] | null) => [...(found ?? [])].sort((one, other) => one - other);
    expect(sorted(await search.nearest(nearestQuery, pause))).toEqual(sorted(nearestOf(numbers, hamming)));
    expect(count.turns).toBe(2);
    const ofRole = numbers.filter((number) => role(number) === "a");
    expect(sorted(await search.nearest({ ...nearestQuery, filter: { role: "a" } }, pause))).toEqual(
      sorted(nearestOf(ofRole, hamming)),
    );

    count.turns = 0;
    const best = nearestOf(numbers, (number) => -score(number));
    expect(await search.scoreTerms(termQuery, pause)).toEqual(best.map((number) => ({ number, score: score(number) })));
    expect(count.turns).toBe(4);
    expect(await search.countTerms(1, ["t3", "no such", "all"], pause)).toEqual([
      { term: "t3", count: ITEMS_OF_SPACE / 5 },
      { term: "all", count: ITEMS_OF_SPACE },
    ]);

    count.turns = 0;
    const exactly = await search.nearestExactly(nearestQuery, pause);
    if (!hasVectorFunctions) return expect(exactly).toBeNull();
    const atOnce = handle
      .prepare(
        `select number from agent_memory_vectors order by vec_distance_cosine(vector, ?), number desc limit ${LIMIT}`,
      )
      .raw()
      .all(Buffer.from(nearestQuery.vector.buffer));
    expect(exactly).toEqual(atOnce.map((row) => (row as number[])[0]));
    expect(count.turns).toBe(9);
  });

  it("goes on where it was when items come and go between its ranges", async () => {
    const { search, records, numbers } = await openSearch(hasVectorFunctions);
    const removed = new Set([numbers[10], numbers[9_990], ...numbers.slice(4_000, 4_400)]);
    const { pause } = turns(() => {
      records.change([removeRecords(ITEMS, { space: 1, number: { in: [...removed] as number[] } })]);
      records.change([
        insertRecords(ITEMS, [newItem(1, 1_000_000)]),
        insertRecords(SIGNATURES, [newSignature(1, 1_000_000, nearestQuery.signature)]),
      ]);
    });
    const found = await search.nearest(nearestQuery, pause);
    expect(new Set(found).size, "nothing twice").toBe(LIMIT);
    expect(found).toContain(1_000_000);
    const left = (some: readonly number[]) => some.filter((number) => !removed.has(number));
    const expected = nearestOf([...left(numbers), 1_000_000], (number) => (number === 1_000_000 ? 0 : hamming(number)));
    // Those that were removed behind the range that had been looked at take the places of others.
    expect(expected.filter((number) => !found.includes(number)).length).toBeLessThanOrEqual(removed.size);
    expect(left(found).filter((number) => !expected.includes(number))).toEqual([]);
  });

  it("ends between two ranges when its deadline has passed", async () => {
    const { search } = await openSearch(hasVectorFunctions);
    const controller = new AbortController();
    const { count, pause } = turns(() => controller.abort());
    const ending = async () => {
      await pause();
      controller.signal.throwIfAborted();
    };
    await expect(search.nearest(nearestQuery, ending)).rejects.toMatchObject({ name: "AbortError" });
    await expect(search.scoreTerms(termQuery, ending)).rejects.toMatchObject({ name: "AbortError" });
    expect(count.turns).toBe(2);
  });
});

it("each call gives the event loop its turn, however many one call of the engine's makes", async () => {
  const options = resolveOptions({ databasePath: ":memory:" });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  let hasTurned = false;
  setImmediate(() => {
    hasTurned = true;
  });
  for (let calls = 0; !hasTurned && calls < 100_000; calls++) await dialect.records.count(ITEMS, { space: 1 }, signal);
  expect(hasTurned).toBe(true);
});
