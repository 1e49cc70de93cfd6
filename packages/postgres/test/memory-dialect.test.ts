import { rejection } from "@waymark/conformance";
import { expectRecords, insertRecords, removeKeys, removeRecords, updateRecords } from "@waymark/core/kit";
import {
  ITEMS,
  type ItemRow,
  type MemoryDialect,
  NEVER,
  type NearestQuery,
  type RowFilter,
  SIGNATURES,
  TERMS,
  THREADS,
  VECTORS,
} from "@waymark/core/memory/kit";
import type { PostgresDatabaseOptions } from "@waymark/postgres";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/postgres-js";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { memoryTables } from "../src/memory/schema.ts";
import { resolveOptions } from "../src/options.ts";
import { connect, emptyDatabase, recordingClient, run, sharedServer, vectorServer } from "./on-server.ts";

const { signal } = new AbortController();

/** Rows of each space in the tests of plans. */
const SPACE_SIZE = 300;

/** Makes an open dialect, until the test is over. */
async function openMemory(options: PostgresDatabaseOptions, indexAbove = 50_000): Promise<MemoryDialect> {
  const dialect = createMemory(options, indexAbove);
  onTestFinished(() => dialect.close());
  await dialect.open(new AbortController().signal);
  return dialect;
}

function createMemory(options: PostgresDatabaseOptions, indexAbove = 50_000): MemoryDialect {
  const resolved = resolveOptions({ operationTimeoutMs: 20_000, ...options });
  return createMemoryDialect(shareConnection(resolved).share(), resolved, indexAbove);
}

function uuid(number: number): string {
  return `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
}

function item(number: number, members: Partial<ItemRow> = {}): ItemRow {
  return {
    space: 1,
    number,
    id: uuid(number),
    owner: "owner 1",
    thread: null,
    role: null,
    key: null,
    importance: 0.5,
    createdAt: 1,
    expiresAt: NEVER,
    length: 3,
    textDigest: null,
    checkpointId: null,
    revision: uuid(0),
    pending: null,
    metadata: null,
    text: "text",
    rawText: null,
    encoding: null,
    valueBytes: null,
    valueDigest: null,
    value: null,
    ...members,
  };
}

function vectorRow(number: number, vector: Float32Array, space = 1) {
  return { space, generation: 1, number, dimensions: vector.length, vector };
}

/** Stores items 1, 2, … with these vectors and with signatures that are their numbers. */
async function addVectors({ records }: MemoryDialect, vectors: readonly Float32Array[]): Promise<void> {
  const numbers = vectors.map((_, at) => at + 1);
  const signatures = numbers.map((number) => ({
    space: 1,
    generation: 1,
    number,
    signature: Uint8Array.of(number >> 8, number),
  }));
  await records.change(
    [
      insertRecords(
        ITEMS,
        numbers.map((number) => item(number)),
      ),
      insertRecords(
        VECTORS,
        vectors.map((vector, at) => vectorRow(at + 1, vector)),
      ),
      insertRecords(SIGNATURES, signatures),
    ],
    signal,
  );
}

function near(vector: Float32Array, members: Partial<NearestQuery> = {}): NearestQuery {
  return {
    space: 1,
    generation: 1,
    vector,
    signature: Uint8Array.of(0, 0),
    filter: null,
    size: 10,
    limit: 3,
    ...members,
  };
}

describe("columns", () => {
  it("keep vectors in the row, in any schema and with any prefix", async () => {
    const { url } = await emptyDatabase();
    await openMemory({ connectionString: url, schema: "Agents", tablePrefix: "one_" });
    expect(
      await run(
        url,
        `select attstorage::text from pg_attribute where attrelid = '"Agents".one_agent_memory_vectors'::regclass and attname = 'vector'`,
      ),
    ).toEqual([{ attstorage: "m" }]);
    expect(await run(url, "select from pg_tables where schemaname = 'public'")).toEqual([]);
  });

  it("return what they were given, whatever the server's settings for output are, and the client's types", async () => {
    const { url, name } = await emptyDatabase();
    await run(url, `alter database ${name} set extra_float_digits = -15`);
    await run(url, `alter database ${name} set bytea_output = escape`);
    const floats = Float32Array.of(0.1, -1 / 3, 1.401298464324817e-45, 3.4028234663852886e38, 0, 16_777_217);
    const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
    const texts = ["NULL", "", '{"a\\b",c}', "\\x00", " 'x' ", "é\n\t\u{1f600}"];
    const given = texts.map((text, at) =>
      item(at + 1, {
        text,
        key: text,
        role: at === 0 ? null : text,
        importance: 0.1 + 0.2,
        value: bytes,
        number: 2 ** 53 - 1 - at,
      }),
    );
    for (const prepare of [false, true]) {
      const { records } = await openMemory({ connectionString: url, prepare, tablePrefix: `p${Number(prepare)}_` });
      const signature = bytes.slice(100, 228);
      const row = { space: 1, generation: 1, number: 2 ** 53 - 1, signature };
      const vector = vectorRow(2 ** 53 - 1, floats);
      await records.change(
        [insertRecords(ITEMS, given), insertRecords(SIGNATURES, [row]), insertRecords(VECTORS, [vector])],
        signal,
      );
      const found = await records.find(ITEMS, { where: {}, order: [["number", "desc"]], limit: 10 }, signal);
      expect(found.map(({ value, ...rest }) => ({ ...rest, value: Uint8Array.from(value ?? []) }))).toEqual(given);
      expect(await records.find(VECTORS, { where: {}, limit: 1 }, signal)).toEqual([vector]);
      const [read] = await records.find(SIGNATURES, { where: {}, limit: 1 }, signal);
      expect(Uint8Array.from(read?.signature ?? [])).toEqual(signature);
      for (const text of texts) {
        expect(await records.count(ITEMS, { key: text }, signal)).toBe(1);
        expect(await records.count(ITEMS, { key: { in: [text, "other"] } }, signal)).toBe(1);
      }
    }
  });
});

it("has tables for joins with tables of the user's, on a client that knows types of arrays and on one that does not", async () => {
  const { url } = await emptyDatabase();
  const dialect = await openMemory({ connectionString: url, schema: "agents", tablePrefix: "one_" });
  const vector = Float32Array.of(0.1, -2.5e-8, 3);
  await addVectors(dialect, [vector]);
  const { memoryItems, memorySignatures, memoryVectors } = memoryTables("one_", "agents");
  for (const fetch_types of [true, false]) {
    const rows = await drizzle(connect(url, { fetch_types }))
      .select({
        id: memoryItems.id,
        importance: memoryItems.importance,
        vector: memoryVectors.vector,
        signature: memorySignatures.signature,
      })
      .from(memoryItems)
      .innerJoin(memoryVectors, eq(memoryVectors.number, memoryItems.number))
      .innerJoin(memorySignatures, eq(memorySignatures.number, memoryItems.number))
      .where(eq(memoryItems.id, uuid(1)));
    expect(rows).toEqual([{ id: uuid(1), importance: 0.5, vector, signature: Uint8Array.of(0, 1) }]);
  }
});

describe("changes", () => {
  it("of one statement take no transaction, unless a guard may have to take them back", async () => {
    const { url } = await emptyDatabase();
    const recording = recordingClient(connect(url, { max: 2 }));
    const { records } = await openMemory({ client: recording.client });
    await records.change([insertRecords(ITEMS, [item(1), item(2)])], signal);
    const both = { space: 1 };
    const one = { space: 1, number: 1 };
    const role = async () =>
      (await records.find(ITEMS, { where: {}, order: [["number", "asc"]], limit: 2 }, signal)).map((row) => row.role);
    const takesTransaction = async (call: () => Promise<unknown>) => {
      const before = recording.transactions();
      await call();
      return recording.transactions() > before;
    };

    for (const [step, result, isAlone] of [
      [updateRecords(ITEMS, one, { role: "a" }, 1), [1], true],
      [updateRecords(ITEMS, { ...one, role: "b" }, { role: "c" }, 1), null, true],
      [updateRecords(ITEMS, both, { role: "d" }, 1), null, false],
      [updateRecords(ITEMS, one, { role: "e" }, 0), null, false],
      [removeRecords(ITEMS, both, 3), null, false],
      [removeRecords(ITEMS, { space: 1, number: { from: 1 } }, 1), null, false],
    ] as const) {
      let changed: number[] | null = [];
      expect(
        await takesTransaction(async () => {
          changed = await records.change([step], signal);
        }),
      ).toBe(!isAlone);
      expect(changed).toEqual(result);
      expect(await role()).toEqual(["a", null]);
    }
  });

  it("have one text for any number of rows, and of values in a list", async () => {
    const { url } = await emptyDatabase();
    const recording = recordingClient(connect(url, { max: 2 }));
    const { records } = await openMemory({ client: recording.client });
    const before = recording.sent.length;
    for (const count of [1, 2, 500]) {
      const rows = Array.from({ length: count }, (_, at) => ({
        space: count,
        term: `t${at}`,
        number: 1,
        frequency: 1,
        length: 1,
      }));
      expect(await records.change([insertRecords(TERMS, rows)], signal)).toEqual([count]);
      expect(await records.count(TERMS, { space: count, term: { in: rows.map(({ term }) => term) } }, signal)).toBe(
        count,
      );
    }
    expect(new Set(recording.sent.slice(before).map(([text]) => text)).size).toBe(2);
  });

  it("that update a row twice leave the last one", async () => {
    const { url } = await emptyDatabase();
    const { records } = await openMemory({ connectionString: url });
    const term = (frequency: number, number = 1) => ({ space: 1, term: "t", number, frequency, length: 1 });
    await records.change([insertRecords(TERMS, [term(1)])], signal);
    await records.change([insertRecords(TERMS, [term(2), term(3, 2), term(4)], "update")], signal);
    const query = { where: {}, columns: ["frequency"], order: [["number", "asc"]], limit: 3 } as const;
    expect(await records.find(TERMS, query, signal)).toEqual([{ frequency: 4 }, { frequency: 3 }]);
  });

  it("of a row by a function wait for those under way", async () => {
    const { url } = await emptyDatabase();
    const { records } = await openMemory({ connectionString: url, poolSize: 8 });
    const row = item(1, { importance: 0 });
    await records.change([insertRecords(ITEMS, [row])], signal);
    const add = () => {
      const increased = ({ importance }: ItemRow) => ({ importance: importance + 1 });
      return records.modify(ITEMS, { space: 1, number: 1 }, increased, new AbortController().signal);
    };
    await Promise.all(Array.from({ length: 20 }, add));
    expect((await records.find(ITEMS, { where: {}, limit: 1 }, signal))[0]?.importance).toBe(20);
  });
});

describe("plans", () => {
  let database: TestDatabase;
  let dialect: MemoryDialect;
  let recording: ReturnType<typeof recordingClient>;
  let explain: ReturnType<typeof connect>;

  beforeAll(async () => {
    database = await createDatabase(sharedServer());
    const { default: postgres } = await import("postgres");
    explain = postgres(database.url, { max: 2, fetch_types: false, onnotice: () => {} });
    recording = recordingClient(explain);
    dialect = createMemory({ client: recording.client });
    await dialect.open(signal);
    // 100 spaces, each item with 10 of 500 terms.
    await explain.unsafe(`insert into agent_memory_items
      (space, number, id, owner, thread_id, item_key, importance, created_at, expires_at, length, revision, text)
      select n % 100, n, md5(n::text)::uuid, 'owner ' || n % 100, 'thread ' || n % 7, 'key ' || n, 0.5, n, 1000000 + n, 10, md5('')::uuid, repeat('x', 200)
      from generate_series(1, ${100 * SPACE_SIZE}) as n`);
    await explain.unsafe(`insert into agent_memory_signatures
      select space, 1, number, ('x' || md5(number::text))::bit(128) from agent_memory_items`);
    await explain.unsafe(`insert into agent_memory_vectors
      select space, 1, number, 16, array(select random() from generate_series(1, 16)) from agent_memory_items`);
    await explain.unsafe(`insert into agent_memory_terms
      select space, 'term ' || (number * 7 + t * 13) % 500, number, 1, 10 from agent_memory_items, generate_series(1, 10) as t`);
    await explain.unsafe(`insert into agent_memory_threads (owner, id, kind, items, created_at, updated_at, revision)
      select 'owner ' || n % 10, 'thread ' || n, 'conversation', 1, n, n / 1000, md5('')::uuid from generate_series(1, 30000) as n`);
    await explain.unsafe("vacuum analyze");
  });

  afterAll(async () => {
    await dialect.close();
    await explain.end();
    await database.drop();
  });

  interface Node {
    readonly "Node Type": string;
    readonly "Index Name"?: string;
    readonly Plans?: readonly Node[];
  }

  /** Makes a call, and returns the types of the nodes, and the indexes, of its statements' plans. */
  async function planOf(call: () => Promise<unknown>): Promise<{ types: string[]; indexes: string[] }> {
    const before = recording.sent.length;
    await call();
    const nodes: Node[] = [];
    const walk = (node: Node): void => {
      nodes.push(node);
      node.Plans?.forEach(walk);
    };
    for (const [text, parameters] of recording.sent.slice(before)) {
      const rows = await explain.unsafe(`explain (format json) ${text}`, parameters as never[]).values();
      for (const [[{ Plan }]] of rows as unknown as [[{ Plan: Node }]][]) walk(Plan);
    }
    const indexes = nodes.flatMap((node) => node["Index Name"] ?? []);
    return { types: nodes.map((node) => node["Node Type"]), indexes: [...new Set(indexes)].sort() };
  }

  const query = near(new Float32Array(16), { signature: new Uint8Array(16), size: SPACE_SIZE, limit: 100 });
  const space = 1;
  const terms = Array.from({ length: 8 }, (_, at) => ({ term: `term ${at * 11}`, weight: 1_000 }));
  const scored = { space, terms, base: 0.3, perToken: 0.1, limit: 50 };

  it.each<[string, () => Promise<unknown>, string[]]>([
    ["signatures", () => dialect.nearest(query, signal), ["agent_memory_signatures_pk"]],
    [
      "signatures of items that a filter selects",
      () => dialect.nearest({ ...query, filter: { expiresAt: { above: 5 }, thread: "thread 1" } }, signal),
      ["agent_memory_items_by_thread", "agent_memory_signatures_pk"],
    ],
    [
      "counts of terms",
      () =>
        dialect.countTerms(
          space,
          terms.map(({ term }) => term),
          signal,
        ),
      ["agent_memory_terms_pk"],
    ],
    ["scores of terms", () => dialect.scoreTerms({ ...scored, filter: null }, signal), ["agent_memory_terms_pk"]],
    [
      "scores of terms of items that a filter selects",
      () => dialect.scoreTerms({ ...scored, filter: { importance: { from: 0.1 } } }, signal),
      ["agent_memory_items_pk", "agent_memory_terms_pk"],
    ],
    [
      "vectors by their numbers",
      () =>
        dialect.records.find(
          VECTORS,
          { where: { space, generation: 1, number: { in: [1, 101, 201] } }, columns: ["number", "vector"], limit: 200 },
          signal,
        ),
      ["agent_memory_vectors_pk"],
    ],
    [
      "a page of items",
      () =>
        dialect.records.find(
          ITEMS,
          { where: { space }, order: [["number", "desc"]], after: [5_000], limit: 10 },
          signal,
        ),
      ["agent_memory_items_pk"],
    ],
    [
      "items of a thread",
      () =>
        dialect.records.find(
          ITEMS,
          { where: { space, thread: "thread 1" }, order: [["number", "desc"]], after: [5_000], limit: 10 },
          signal,
        ),
      ["agent_memory_items_by_thread"],
    ],
    [
      "threads behind one of the same time",
      () =>
        dialect.records.find(
          THREADS,
          {
            where: { owner: "owner 1", kind: "conversation" },
            order: [
              ["updatedAt", "desc"],
              ["id", "desc"],
            ],
            after: [5, "t"],
            limit: 10,
          },
          signal,
        ),
      ["agent_memory_threads_by_time"],
    ],
    [
      "items with one of these ids",
      () =>
        dialect.records.find(ITEMS, { where: { owner: "owner 1", id: { in: [uuid(1), uuid(2)] } }, limit: 2 }, signal),
      ["agent_memory_items_by_id"],
    ],
    [
      "removals of items, with their vectors and signatures",
      () => dialect.records.change([removeRecords(ITEMS, { space, number: { in: [101, 201, 301] } })], signal),
      ["agent_memory_items_pk"],
    ],
    [
      "postings that are removed by their keys",
      () => {
        const keys = Array.from({ length: 100 }, (_, at) => ({ space, term: `term ${at}`, number: 401 }));
        return dialect.records.change([removeKeys(TERMS, keys)], signal);
      },
      ["agent_memory_terms_pk"],
    ],
    [
      "items that are to stay",
      () => dialect.records.change([expectRecords(ITEMS, { space, number: { in: [501, 601] } }, 2)], signal),
      ["agent_memory_items_pk"],
    ],
  ])("read %s by keys", async (name, call, indexes) => {
    const plan = await planOf(call);
    expect(plan.types, name).not.toContain("Seq Scan");
    expect(plan.indexes).toEqual(indexes);
  });
});

describe("plans without statistics", () => {
  const ITEMS_OF_SPACE = 2_000;
  const query = near(new Float32Array(16), { signature: new Uint8Array(16), size: ITEMS_OF_SPACE, limit: 10 });
  const terms = Array.from({ length: 8 }, (_, at) => ({ term: `term ${at}`, weight: 1_000 }));
  const scored = { space: 1, terms, base: 0.3, perToken: 0.1, limit: 10 };

  it.each<[string, RowFilter]>([
    ["no filter", {}],
    ["a filter of a thread of half of them", { thread: "thread 1" }],
    ["a filter of a thread of few of them", { thread: "few" }],
    ["a filter of numbers", { number: { in: [1, 2, 3] } }],
    ["a filter of times", { createdAt: { from: 5 }, expiresAt: { above: 5 } }],
  ])("of searches with %s do not read all rows for each row", async (_, filter) => {
    const database = await createDatabase(sharedServer());
    const { default: postgres } = await import("postgres");
    const explain = postgres(database.url, { max: 2, fetch_types: false, onnotice: () => {} });
    const recording = recordingClient(explain);
    const dialect = createMemory({ client: recording.client });
    onTestFinished(async () => {
      await dialect.close();
      await explain.end();
      await database.drop();
    });
    await dialect.open(signal);
    for (const table of ["items", "signatures", "terms"]) {
      await explain.unsafe(`alter table agent_memory_${table} set (autovacuum_enabled = false)`);
    }
    await explain.unsafe(`insert into agent_memory_items
      (space, number, id, owner, thread_id, importance, created_at, expires_at, length, revision, text)
      select 1, n, md5(n::text)::uuid, 'owner', case when n <= 50 then 'few' else 'thread ' || n % 2 end, 0.5, n, 1000000, 10, md5('')::uuid, repeat('x', 200)
      from generate_series(1, ${ITEMS_OF_SPACE}) as n`);
    await explain.unsafe(`insert into agent_memory_signatures
      select space, 1, number, ('x' || md5(number::text))::bit(128) from agent_memory_items`);
    await explain.unsafe(`insert into agent_memory_terms
      select space, 'term ' || (number + t) % 50, number, 1, 10 from agent_memory_items, generate_series(1, 10) as t`);
    const before = recording.sent.length;
    await dialect.nearest({ ...query, filter }, signal);
    await dialect.scoreTerms({ ...scored, filter }, signal);
    for (const [text, parameters] of recording.sent.slice(before)) {
      const rows = await explain.unsafe(`explain (analyze, format json) ${text}`, parameters as never[]).values();
      expect(rowsOf(rows[0]?.[0][0].Plan), text).toBeLessThan(30 * ITEMS_OF_SPACE); // all for each: four million
    }
    expect(recording.sent.length).toBeGreaterThanOrEqual(before + 2);
  });

  /** Rows that a plan has read, in all of its nodes. */
  function rowsOf(node: { readonly [name: string]: unknown }): number {
    const counts = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"];
    const own = counts.reduce((sum, name) => sum + ((node[name] as number | undefined) ?? 0), 0);
    const plans = (node["Plans"] as (typeof node)[] | undefined) ?? [];
    return plans.reduce((sum, plan) => sum + rowsOf(plan), own * (node["Actual Loops"] as number));
  }
});

describe("many large rows", () => {
  const large = Array.from({ length: 8 }, (_, at) => item(at + 1, { value: new Uint8Array(300_000).fill(at) }));
  const vectors = large.map(({ number }) => vectorRow(number, new Float32Array(4_000).fill(number / 3)));
  const small = Array.from({ length: 1_000 }, (_, at) => item(100 + at));
  const sizesOf = (sent: readonly [text: string, parameters: readonly unknown[]][]) =>
    sent
      .filter(([text]) => text.startsWith("insert"))
      .map(([, parameters]) => parameters.reduce((sum: number, value) => sum + String(value).length, 0));

  it("are sent in several statements of about a megabyte, all or nothing", async () => {
    const { url } = await emptyDatabase();
    const recording = recordingClient(connect(url, { max: 2 }));
    const { records } = await openMemory({ client: recording.client });
    recording.sent.length = 0;
    expect(await records.change([insertRecords(ITEMS, [...large, ...small])], signal)).toEqual([1_008]);
    const sizes = sizesOf(recording.sent);
    expect(sizes.length).toBeGreaterThanOrEqual(5);
    expect(Math.max(...sizes)).toBeLessThan(1_500_000);
    expect(await records.find(ITEMS, { where: { number: { in: [1, 8] } }, limit: 2 }, signal)).toEqual(
      [large[0], large[7]].map((row) => ({ ...row, value: Buffer.from(row?.value as Uint8Array) })),
    );

    await records.change([removeRecords(ITEMS, {})], signal);
    await expect(records.change([insertRecords(ITEMS, [...large, item(1)])], signal)).rejects.toMatchObject({
      code: "23505",
    });
    expect(await records.count(ITEMS, {}, signal)).toBe(0);
  });

  it("are there when the next step comes, and that is nowhere if one of them fails", async () => {
    const { url } = await emptyDatabase();
    const { records } = await openMemory({ connectionString: url });
    const reference = [insertRecords(ITEMS, [...large, item(9)]), insertRecords(VECTORS, vectors)];
    const last = updateRecords(ITEMS, { space: 1 }, { role: "role" }, 9);
    expect(await records.change([...reference, last], signal)).toEqual([9, 8, 9]);
    expect(await records.change([removeRecords(ITEMS, {}), ...reference, { ...last, expect: 8 }], signal)).toBeNull();
    expect(await records.count(ITEMS, { role: "role" }, signal)).toBe(9);
    expect(await records.count(VECTORS, {}, signal)).toBe(8);
  });
});

describe("pgvector", () => {
  const vectors = Array.from({ length: 400 }, (_, at) => Float32Array.of(1, at + 1));

  async function vectorDatabase(place = "public"): Promise<TestDatabase> {
    const database = await emptyDatabase(vectorServer());
    if (place !== "public") await run(database.url, `create schema "${place}"`);
    await run(database.url, `create extension vector schema "${place}"`);
    return database;
  }

  it("is not needed", async () => {
    const { url } = await emptyDatabase(vectorServer());
    const dialect = await openMemory({ connectionString: url });
    await addVectors(dialect, vectors);
    expect(await dialect.nearestExactly(near(Float32Array.of(1, 3)), signal)).toBeNull();
    expect(await dialect.nearest(near(Float32Array.of(1, 3)), signal)).toEqual([256, 128, 64]);
    await expect(dialect.vectorIndex?.create(2, signal)).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message: expect.stringContaining("create extension vector"),
    });
  });

  it("computes cosines from any schema, among vectors of other dimensions", async () => {
    const { url } = await vectorDatabase("Extensions");
    const dialect = await openMemory({ connectionString: url });
    await addVectors(dialect, [...vectors.slice(0, 5), Float32Array.of(1, 1, 1), Float32Array.of(1e30, 3e30)]);
    expect(await dialect.nearestExactly(near(Float32Array.of(1, 3)), signal)).toEqual([3, 4, 5]);
    expect(await dialect.nearestExactly(near(Float32Array.of(1, 3), { limit: 9 }), signal)).toEqual([3, 4, 5, 2, 1, 7]);
    expect(await dialect.nearestExactly(near(Float32Array.of(1, 1, 0)), signal)).toEqual([6]);
    const filter = { number: { below: 3 } };
    expect(await dialect.nearestExactly(near(Float32Array.of(1, 3), { filter }), signal)).toEqual([2, 1]);
  });

  it("has an index, which large spaces use, also of a client that was there before", async () => {
    const { url } = await vectorDatabase("Extensions");
    await run(url, "create schema agents");
    const recording = recordingClient(connect(url, { max: 2 }));
    const options = { schema: "agents", tablePrefix: "one_" };
    const dialect = await openMemory({ client: recording.client, ...options }, 300);
    await addVectors(dialect, vectors);
    const query = near(Float32Array.of(1, 3), { size: 400 });
    expect(await dialect.nearest(query, signal)).toEqual([256, 128, 64]);

    expect(await dialect.vectorIndex?.create(2, signal)).toBe("one_agent_memory_hnsw_2");
    expect(await dialect.vectorIndex?.create(2, signal)).toBe("one_agent_memory_hnsw_2");
    expect((await dialect.nearest(query, signal)).sort()).toEqual([3, 4, 5]);
    const [text, parameters] = recording.sent.at(-1) ?? [];
    const client = connect(url);
    await client`set enable_sort = off`;
    const plan = await client.unsafe(`explain ${text}`, parameters as never[]);
    expect(JSON.stringify(plan)).toContain("Index Scan using one_agent_memory_hnsw_2");

    // Smaller, other dimensions, and a filter that leaves too few of those that the index finds.
    expect(await dialect.nearest({ ...query, size: 300 }, signal)).toEqual([256, 128, 64]);
    expect(await dialect.nearest({ ...query, vector: Float32Array.of(1, 1, 1) }, signal)).toEqual([256, 128, 64]);
    expect(await dialect.nearest({ ...query, filter: { number: { in: [7, 300] } } }, signal)).toEqual([7, 300]);
    expect(await dialect.nearest({ ...query, filter: { number: { above: 5 } } }, signal)).toHaveLength(3);

    expect(await dialect.vectorIndex?.drop(2, signal)).toBe(true);
    expect(await dialect.vectorIndex?.drop(2, signal)).toBe(false);
    expect(await dialect.nearest(query, signal)).toEqual([256, 128, 64]);
  });

  it("has an index of vectors with more than 2,000 dimensions, of any length", async () => {
    const { url } = await vectorDatabase();
    const dialect = await openMemory({ connectionString: url }, 0);
    await addVectors(
      dialect,
      [1, 2, 3].map((y) => Float32Array.from({ length: 3_072 }, (_, at) => (at === 0 ? 1e6 : at === 1 ? y * 1e6 : 0))),
    );
    await dialect.vectorIndex?.create(3_072, signal);
    const wanted = new Float32Array(3_072).fill(1e6, 0, 2);
    expect(await dialect.nearest(near(wanted, { limit: 2, size: 100 }), signal)).toEqual([1, 2]);
    await dialect.records.change([insertRecords(VECTORS, [{ ...vectorRow(1, wanted), generation: 2 }])], signal);
    for (const dimensions of [0, 4_001, 1.5]) {
      await expect(dialect.vectorIndex?.create(dimensions, signal)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
  });

  it("makes one index when several processes ask for it at once", async () => {
    const { url } = await vectorDatabase();
    const dialects = await Promise.all(Array.from({ length: 6 }, () => openMemory({ connectionString: url })));
    await addVectors(dialects[0] as MemoryDialect, vectors);
    const names = await Promise.all(dialects.map((dialect) => create(dialect, new AbortController().signal)));
    expect(new Set(names)).toEqual(new Set(["agent_memory_hnsw_2"]));
    expect(await listIndexes(url)).toEqual([["agent_memory_hnsw_2", true]]);
  });

  it("waits for an index that another process builds", async () => {
    const { url } = await vectorDatabase();
    const [one, other] = [await openMemory({ connectionString: url }), await openMemory({ connectionString: url })];
    await addVectors(one, vectors);
    const release = await holdBuilds(url);
    const first = one.vectorIndex?.create(2, signal);
    await untilBuilding(url);
    const second = other.vectorIndex?.create(2, signal);
    const impatient = new AbortController();
    const third = rejection(create(other, impatient.signal));
    impatient.abort();
    expect(await third).toMatchObject({ name: "AbortError" });
    expect(await listIndexes(url)).toEqual([["agent_memory_hnsw_2", false]]);
    await release();
    expect(await Promise.all([first, second])).toEqual(["agent_memory_hnsw_2", "agent_memory_hnsw_2"]);
    expect(await listIndexes(url)).toEqual([["agent_memory_hnsw_2", true]]);
  });

  it("replaces an index whose build was interrupted, and does not use it", async () => {
    const { url } = await vectorDatabase();
    const dialect = await openMemory({ connectionString: url }, 0);
    await addVectors(dialect, vectors);
    const release = await holdBuilds(url);
    const build = rejection(create(dialect));
    const pid = await untilBuilding(url);
    await run(url, `select pg_cancel_backend(${pid})`);
    expect(await build).toMatchObject({ code: "57014" });
    await release();
    expect(await listIndexes(url)).toEqual([["agent_memory_hnsw_2", false]]);
    const query = near(Float32Array.of(1, 3), { size: 400 });
    expect(await dialect.nearest(query, signal)).toEqual([256, 128, 64]);
    const others = await Promise.all([1, 2, 3].map(() => openMemory({ connectionString: url })));
    await Promise.all([dialect, ...others].map(({ vectorIndex }) => vectorIndex?.create(2, signal)));
    expect(await listIndexes(url)).toEqual([["agent_memory_hnsw_2", true]]);
  });
});

async function create({ vectorIndex }: MemoryDialect, during = signal): Promise<string | undefined> {
  return await vectorIndex?.create(2, during);
}

async function listIndexes(url: string): Promise<[name: string, isValid: boolean][]> {
  const rows = await run(
    url,
    "select relname, indisvalid from pg_index join pg_class on oid = indexrelid where relname ~ 'hnsw' order by 1",
  );
  return rows.map(({ relname, indisvalid }) => [String(relname), indisvalid === true]);
}

/** Begins a transaction that builds of indexes wait for. */
async function holdBuilds(url: string): Promise<() => Promise<void>> {
  const client = connect(url);
  await client`begin isolation level repeatable read`;
  await client`select from agent_memory_vectors limit 1`;
  return async () => void (await client`commit`);
}

/** Resolves as soon as an index is there, but not ready. Returns the process that builds it. */
async function untilBuilding(url: string): Promise<number> {
  for (;;) {
    const [row] = await run(
      url,
      "select pid from pg_stat_progress_create_index join pg_index on indexrelid = index_relid where not indisvalid and phase ~ 'waiting'",
    );
    if (row !== undefined) return Number(row["pid"]);
  }
}
