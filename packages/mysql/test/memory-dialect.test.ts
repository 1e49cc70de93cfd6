import { randomBytes, randomUUID } from "node:crypto";
import { rejection } from "@waymark/conformance";
import { newSpace } from "@waymark/conformance/memory";
import { Addition, insertRecords, removeRecords, type Step, updateRecords } from "@waymark/core/kit";
import {
  ITEMS,
  type ItemRow,
  type MemoryDialect,
  NEVER,
  type RowFilter,
  SIGNATURES,
  SPACES,
  type SpaceRow,
  TERMS,
  VECTORS,
} from "@waymark/core/memory/kit";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/mysql2";
import { createPool, type Pool, type PoolOptions } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import {
  createDatabase,
  killable,
  type Server,
  startProxy,
  startServer,
  type TestDatabase,
} from "waymark-test-servers";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { memoryTables } from "../src/memory/schema.ts";
import { type MySQLDatabaseOptions, resolveOptions } from "../src/options.ts";
import { emptyDatabase, run } from "./on-server.ts";

const { signal } = new AbortController();

const TITLES = { mysql: "MySQL", mariadb: "MariaDB", "mariadb-vector": "MariaDB with vectors" } as const;
const KINDS = ["mysql", "mariadb", "mariadb-vector"] as const;

/** The servers that this run has, see vitest.config.ts. */
const servers = KINDS.flatMap((kind) => {
  const server = inject("waymarkServers")[kind];
  return server === undefined ? [] : [{ kind, title: TITLES[kind], url: server.url }];
});

async function open(options: MySQLDatabaseOptions): Promise<MemoryDialect> {
  const resolved = resolveOptions(options);
  const dialect = createMemoryDialect(shareConnection(resolved).share(), resolved);
  await dialect.open(signal);
  return dialect;
}

/** Opens a dialect on an empty database, until the test is over. */
async function openEmpty(serverUrl: string): Promise<MemoryDialect> {
  const { url } = await emptyDatabase(serverUrl);
  const dialect = await open({ connectionString: url, poolSize: 8 });
  onTestFinished(() => dialect.close());
  return dialect;
}

async function userPool(url: string, options: PoolOptions = {}): Promise<Pool> {
  const pool = createPool({ uri: url, connectionLimit: 1, ...options });
  onTestFinished(() => pool.end());
  return pool;
}

const idOf = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;

function itemOf(space: number, number: number, more: Partial<ItemRow> = {}): ItemRow {
  const nothing = { thread: null, role: null, key: null, textDigest: null, checkpointId: null, pending: null };
  const noValue = { metadata: null, rawText: null, encoding: null, valueBytes: null, valueDigest: null, value: null };
  const numbers = { importance: 0.5, createdAt: 1, expiresAt: NEVER, length: 3 };
  return {
    space,
    number,
    id: idOf(number),
    owner: `owner ${space}`,
    revision: idOf(1),
    text: "text",
    ...nothing,
    ...noValue,
    ...numbers,
    ...more,
  };
}

/** Items with a vector, a signature and postings each. */
function insertAll(space: number, items: readonly ItemRow[], termsOf: (number: number) => readonly string[]): Step[] {
  const numbers = items.map(({ number }) => number);
  const ofVector = (number: number) => ({ space, generation: 1, number, dimensions: 2 });
  return [
    insertRecords(ITEMS, items),
    insertRecords(
      VECTORS,
      numbers.map((number) => ({ ...ofVector(number), vector: Float32Array.of(1, number) })),
    ),
    insertRecords(
      SIGNATURES,
      numbers.map((number) => ({ space, generation: 1, number, signature: signatureOf(number) })),
    ),
    insertRecords(
      TERMS,
      numbers.flatMap((number) => termsOf(number).map((term) => ({ space, term, number, frequency: 1, length: 3 }))),
    ),
  ];
}

const signatureOf = (number: number) => Uint8Array.of(number, number >> 8, number >> 16, 0);

const nearestQuery = (space: number, more: { filter?: RowFilter; limit?: number; to?: number } = {}) => {
  const { filter = null, limit = 10, to = 3 } = more;
  const query = { vector: Float32Array.of(1, to), signature: signatureOf(to), filter, limit };
  return { space, generation: 1, size: 1_000, ...query };
};

/** A number of [0, 1), from a seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.each(servers)("memory on $title", ({ kind, url: serverUrl }) => {
  it("stores and returns floats to the last bit", async () => {
    const { records } = await openEmpty(serverUrl);
    const next = random(1);
    const numbers = [0.1, 0.3, 1 / 3, 9.007199254740993, 123456789.1234567, 5e-324, 1.7976931348623157e308, -0.7];
    while (numbers.length < 2_000) numbers.push(next() * 10 ** Math.floor(next() * 40 - 20), next());
    await records.change(
      [
        insertRecords(
          ITEMS,
          numbers.map((importance, at) => itemOf(1, at, { importance })),
        ),
      ],
      signal,
    );
    const rows = await records.find(
      ITEMS,
      { where: { space: 1 }, columns: ["importance"], order: [["number", "asc"]], limit: 10_000 },
      signal,
    );
    expect(rows.map(({ importance }) => importance)).toEqual(numbers);
    for (const [at, importance] of numbers.entries()) {
      if (at % 100 < 8) expect(await records.count(ITEMS, { space: 1, number: at, importance }, signal)).toBe(1);
    }
  });

  it("adds up scores as JavaScript does, to the last digit", async () => {
    const dialect = await openEmpty(serverUrl);
    const next = random(2);
    const terms = ["a", "b", "c"];
    const postings = Array.from({ length: 2_000 }, (_, number) =>
      terms.map((term) => ({
        ...{ space: 1, term, number },
        frequency: 1 + Math.floor(next() ** 4 * 50),
        length: 1 + Math.floor(next() ** 3 * 5_000),
      })),
    );
    await dialect.records.change([insertRecords(TERMS, postings.flat())], signal);
    for (let round = 0; round < 4; round++) {
      const weights = terms.map((term) => ({ term, weight: next() * (round % 2 === 0 ? 50 * 2 ** 30 : 1_000) }));
      const [base, perToken] = [next(), next() / (1 + 100 * next())];
      const query = { space: 1, terms: weights, base, perToken, filter: null, limit: postings.length };
      const expected = postings.map((ofItem, number) => {
        const score = ofItem.reduce((sum, { frequency, length }, at) => {
          const { weight } = weights[at] as { weight: number };
          return sum + Math.floor((weight * frequency) / (frequency + base + perToken * length));
        }, 0);
        return { number, score };
      });
      expected.sort((one, other) => other.score - one.score || other.number - one.number);
      expect(await dialect.scoreTerms(query, signal)).toEqual(expected);
    }
  });

  it("finds the nearest signatures of a space with many, in one generation and by a filter", async () => {
    const dialect = await openEmpty(serverUrl);
    const count = 9_000; // three pages, where they are read in pages
    const items = Array.from({ length: count }, (_, number) => itemOf(1, number, { thread: `thread ${number % 3}` }));
    const signatures = items.map(({ number }) => ({ space: 1, generation: 1, number, signature: randomBytes(16) }));
    const others = signatures.slice(0, 500).map((row) => ({ ...row, generation: 2, signature: randomBytes(64) }));
    await dialect.records.change(
      [insertRecords(ITEMS, items), insertRecords(SIGNATURES, signatures), insertRecords(SIGNATURES, others)],
      signal,
    );
    const signature = randomBytes(16);
    const bits = (byte: number) => byte.toString(2).replaceAll("0", "").length;
    const distanceTo = (other: Uint8Array) =>
      other.reduce((sum, byte, at) => sum + bits(byte ^ (signature[at] ?? 0)), 0);
    const sorted = signatures
      .map((row) => ({ number: row.number, distance: distanceTo(row.signature) }))
      .sort((one, other) => one.distance - other.distance || other.number - one.number)
      .map(({ number }) => number);
    const query = { ...nearestQuery(1, { limit: 200 }), signature };
    expect(await dialect.nearest(query, signal)).toEqual(sorted.slice(0, 200));
    const filter = { thread: "thread 1" };
    const ofThread = sorted.filter((number) => number % 3 === 1);
    expect(await dialect.nearest({ ...query, filter }, signal)).toEqual(ofThread.slice(0, 200));
    expect(await dialect.nearest({ ...query, filter, limit: count }, signal)).toEqual(ofThread);
    expect(await dialect.nearest({ ...query, space: 2 }, signal)).toEqual([]);
  });

  it("computes distances only where the server has the function", async () => {
    const dialect = await openEmpty(serverUrl);
    const items = Array.from({ length: 20 }, (_, at) => itemOf(1, at + 1, { role: at < 3 ? "user" : null }));
    await dialect.records.change(
      insertAll(1, items, () => []),
      signal,
    );
    const wrong = { space: 1, generation: 2, number: 3, dimensions: 3, vector: Float32Array.of(1, 3, 0) };
    await dialect.records.change([insertRecords(VECTORS, [wrong])], signal);
    const has = kind === "mariadb-vector";
    expect(await dialect.nearestExactly(nearestQuery(1, { limit: 3 }), signal)).toEqual(has ? [3, 4, 5] : null);
    const filter = { role: "user" };
    expect(await dialect.nearestExactly(nearestQuery(1, { filter }), signal)).toEqual(has ? [3, 2, 1] : null);
  });

  it("writes concurrently without deadlocks, in one space and in many", async () => {
    for (const spaces of [1, 16]) {
      const { records } = await openEmpty(serverUrl);
      await records.change(
        [
          insertRecords(
            SPACES,
            Array.from({ length: spaces }, (_, at) => newSpace(at, `owner ${at}`)),
          ),
        ],
        signal,
      );
      const words = Array.from({ length: 30 }, (_, at) => `word ${at}`);
      const counts = Array.from({ length: spaces }, () => 0);
      const write = async (seed: number) => {
        const next = random(seed);
        for (let at = 0; at < 25; at++) {
          // As an item that is replaced: most of what is removed is not there, and the spaces are almost empty.
          const [space, number] = [Math.floor(next() * spaces), Math.floor(next() * 20)];
          const item = itemOf(space, number, { id: randomUUID(), key: `key ${number}` });
          const done = await records.change(
            [
              updateRecords(SPACES, { number: space, removal: 0 }, { items: new Addition(1) }, 1),
              removeRecords(TERMS, { space, term: { in: words }, number }),
              removeRecords(ITEMS, { space, number }),
              ...(next() < 0.7 ? insertAll(space, [item], () => words.filter(() => next() < 0.3)) : []),
            ],
            signal,
          );
          expect(done).not.toBeNull();
          counts[space] = (counts[space] ?? 0) + 1;
        }
      };
      await Promise.all(Array.from({ length: 8 }, (_, at) => write(at)));
      const rows = await records.find(
        SPACES,
        { where: {}, columns: ["items"], order: [["number", "asc"]], limit: 100 },
        signal,
      );
      expect(rows.map(({ items }) => items)).toEqual(counts);
    }
  });

  it("keeps its tables under a prefix, where Drizzle's tables join them with a user's own", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const pool = await userPool(url);
    const dialect = await open({ pool, tablePrefix: "longest_prefix_there_is_" });
    onTestFinished(() => dialect.close());
    const item = itemOf(1, 2 ** 53 - 1, { id: idOf(1), text: "it's é", importance: 0.1 });
    await dialect.records.change(
      insertAll(1, [item, itemOf(1, 2)], () => ["word"]),
      signal,
    );
    const { memoryItems, memoryTerms, memoryVectors } = memoryTables("longest_prefix_there_is_");
    const rows = await drizzle({ client: pool })
      .select({ item: memoryItems, term: memoryTerms.term, vector: memoryVectors.vector })
      .from(memoryItems)
      .innerJoin(memoryTerms, eq(memoryTerms.number, memoryItems.number))
      .innerJoin(memoryVectors, eq(memoryVectors.number, memoryItems.number))
      .where(eq(memoryItems.text, "it's é"));
    expect(rows).toEqual([{ item, term: "word", vector: Float32Array.of(1, item.number) }]);
    await dialect.records.change([removeRecords(ITEMS, { space: 1 })], signal);
    expect(await dialect.records.count(VECTORS, {}, signal)).toBe(0);
    expect(await dialect.migrate("apply", signal)).toEqual([]);
  });

  it("modifies a row in turn with other writers", async () => {
    const { records } = await openEmpty(serverUrl);
    await records.change([insertRecords(SPACES, [newSpace(1, "owner 1")])], signal);
    const add = (row: SpaceRow) => ({ items: row.items + 1 });
    await Promise.all(Array.from({ length: 40 }, () => records.modify(SPACES, { number: 1 }, add, signal)));
    const [row] = await records.find(SPACES, { where: { number: 1 }, limit: 1 }, signal);
    expect(row?.items).toBe(40);
  });

  it("takes back all of a change whose guard is not met, and leaves a user's session as it was", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const pool = await userPool(url);
    const dialect = await open({ pool });
    onTestFinished(() => dialect.close());
    const { records } = dialect;
    const variable = kind === "mysql" ? "transaction_isolation" : "tx_isolation";
    const settings = async () => (await pool.query(`select @@autocommit, @@${variable}, connection_id()`))[0];
    const before = await settings();
    const insert = insertRecords(ITEMS, [itemOf(1, 1)]);
    expect(await records.change([insert, removeRecords(ITEMS, { space: 1, number: 2 }, 1)], signal)).toBeNull();
    expect(await rejection(records.change([insert, insert], signal))).toMatchObject({ errno: 1062 });
    expect(await records.count(ITEMS, {}, signal)).toBe(0);
    expect(await records.change([insert, removeRecords(ITEMS, { space: 1, number: 1 }, 1)], signal)).toEqual([1, 1]);
    expect(await settings()).toEqual(before);
  });

  it.each([
    [
      "row and number formats",
      { rowsAsArray: true, supportBigNumbers: true, bigNumberStrings: true, decimalNumbers: true },
    ],
    ["casts", { typeCast: (field: { string(): unknown }) => field.string() }],
    ["placeholders and escapes", { namedPlaceholders: true, stringifyObjects: true }],
  ] as const)("reads the same on a user's pool with other %s", async (_, options) => {
    const { url } = await emptyDatabase(serverUrl);
    const dialect = await open({ pool: await userPool(url, options as PoolOptions) });
    onTestFinished(() => dialect.close());
    const words = { text: "'\\?:space\u{10ffff}", role: "é", importance: 1 / 3, value: Uint8Array.of(0, 255, 39, 92) };
    const items = [1, 2, 3].map((number) => itemOf(1, number, words));
    await dialect.records.change(
      insertAll(1, items, (number) => ["?", `word ${number}`]),
      signal,
    );
    const [row] = await dialect.records.find(ITEMS, { where: { space: 1, role: "é" }, limit: 1 }, signal);
    expect({ ...row, value: Uint8Array.from(row?.value ?? []) }).toEqual(items[0]);
    const [vector] = await dialect.records.find(VECTORS, { where: { number: 3 }, limit: 1 }, signal);
    expect(vector?.vector).toEqual(Float32Array.of(1, 3));
    expect(await dialect.nearest(nearestQuery(1, { limit: 1 }), signal)).toEqual([3]);
    expect(await dialect.countTerms(1, ["?", "word 1"], signal)).toEqual(
      expect.arrayContaining([
        { term: "?", count: 3 },
        { term: "word 1", count: 1 },
      ]),
    );
    const terms = [{ term: "?", weight: 8 }];
    const query = { space: 1, terms, base: 0.5, perToken: 0, filter: null, limit: 1 };
    expect(await dialect.scoreTerms(query, signal)).toEqual([{ number: 3, score: 5 }]);
  });

  describe("plans", () => {
    const COUNT = 1_000;
    let database: TestDatabase;
    let pool: Pool;
    let dialect: MemoryDialect;
    /** Statements that were sent, with their values. */
    let sent: { sql: string; values: unknown[] }[] = [];

    beforeAll(async () => {
      database = await createDatabase(serverUrl);
      pool = createPool({ uri: database.url, connectionLimit: 1 });
      dialect = await open({
        pool: {
          async getConnection() {
            const connection = await pool.getConnection();
            const query = connection.query.bind(connection) as unknown as (...given: unknown[]) => Promise<never>;
            return Object.assign(connection, {
              query(text: string | { sql: string }, values: unknown[] = []) {
                sent.push({ sql: typeof text === "string" ? text : text.sql, values });
                return query(text, values);
              },
            });
          },
          query: pool.query.bind(pool),
          end: pool.end.bind(pool),
        },
      });
      for (const space of [1, 2, 3]) {
        const items = Array.from({ length: COUNT }, (_, number) =>
          itemOf(space, number, { thread: `thread ${number % 50}`, key: `key ${number}` }),
        );
        const termsOf = (number: number) => [`word ${number % 100}`, `word ${100 + (number % 7)}`];
        await dialect.records.change(insertAll(space, items, termsOf), signal);
      }
      await pool.query("analyze table agent_memory_items, agent_memory_signatures, agent_memory_terms");
    });

    afterAll(async () => {
      await dialect.close();
      await pool.end();
      await database.drop();
    });

    interface PlanStep {
      readonly table: string | null;
      readonly type: string | null;
      readonly key: string | null;
      readonly Extra: string | null;
    }

    /** Makes a call, runs its statements again, and returns the steps in our tables, and the number of rows that were read. */
    async function planOf(call: () => Promise<unknown>): Promise<{ steps: PlanStep[]; read: number }> {
      sent = [];
      await call();
      const statements = sent.filter(({ sql }) => sql.includes("agent_memory"));
      expect(statements.length).toBeGreaterThan(0);
      const rowsRead = async () => {
        const [counters] = await pool.query("show session status like 'Handler_read%'");
        return (counters as { Value: string }[]).reduce((sum, { Value }) => sum + Number(Value), 0);
      };
      const before = await rowsRead();
      const idle = (await rowsRead()) - before;
      for (const { sql, values } of statements) await pool.query(sql, values as never);
      const read = (await rowsRead()) - before - 2 * idle;
      const steps: PlanStep[] = [];
      const explain = kind === "mysql" ? "explain format=traditional" : "explain";
      for (const { sql, values } of statements) {
        const [explained] = await pool.query(`${explain} ${sql}`, values as never);
        steps.push(...(explained as PlanStep[]).filter(({ table }) => table?.startsWith("agent_memory")));
      }
      expect(steps.filter(({ type }) => type === "ALL" || type === "index")).toEqual([]);
      return { steps, read };
    }

    const BY_NUMBER = ["PRIMARY"];

    async function expectRead(
      call: () => Promise<unknown>,
      rows: number,
      keys: readonly string[],
    ): Promise<PlanStep[]> {
      const { steps, read } = await planOf(call);
      expect([...new Set(steps.map(({ key }) => key))].sort()).toEqual([...keys].sort());
      expect(read).toBeLessThanOrEqual(rows);
      return steps;
    }

    it("reads signatures and vectors of one space alone", async () => {
      // What is sorted or grouped is read again from a temporary table.
      await expectRead(() => dialect.nearest(nearestQuery(1), signal), 2 * COUNT + 100, BY_NUMBER);
      const filter = { thread: "thread 7", expiresAt: { above: 1 } };
      const { read } = await planOf(() => dialect.nearest(nearestQuery(1, { filter }), signal));
      expect(read).toBeLessThanOrEqual(4 * (COUNT / 50) + 20);
      const all = await planOf(() => dialect.nearest(nearestQuery(1, { filter: { expiresAt: { above: 1 } } }), signal));
      expect(all.read).toBeLessThanOrEqual(4 * COUNT + 100);
      if (kind !== "mariadb-vector") return;
      await expectRead(() => dialect.nearestExactly(nearestQuery(1), signal), 2 * COUNT + 100, BY_NUMBER);
    });

    it("reads a range of postings for each term", async () => {
      const terms = ["word 1", "word 2", "word 101", "not there"];
      const postings = 2 * (COUNT / 100) + COUNT / 7;
      await expectRead(() => dialect.countTerms(1, terms, signal), 2 * postings + 20, BY_NUMBER);
      const weights = terms.map((term) => ({ term, weight: 1_000 }));
      const query = { space: 1, terms: weights, base: 0.3, perToken: 0.1, filter: null, limit: 10 };
      await expectRead(() => dialect.scoreTerms(query, signal), 4 * postings + 50, BY_NUMBER);
      const filter = { expiresAt: { above: 1 } };
      const filtered = await planOf(() => dialect.scoreTerms({ ...query, filter }, signal));
      expect(filtered.read).toBeLessThanOrEqual(5 * postings + 50);
    });

    it("reads pages in the order of an index", async () => {
      const { records } = dialect;
      const page = (where: RowFilter, more: { after?: readonly unknown[]; direction?: "asc" | "desc" } = {}) => {
        const { after = [], direction = "desc" } = more;
        return () => records.find(ITEMS, { where, order: [["number", direction]], after, limit: 10 }, signal);
      };
      for (const [call, keys] of [
        [page({ space: 2 }), BY_NUMBER],
        [page({ space: 2, expiresAt: { above: 1 } }), BY_NUMBER],
        [page({ space: 2 }, { after: [COUNT / 2], direction: "asc" }), BY_NUMBER],
        [page({ space: 2, thread: "thread 3" }), ["agent_memory_items_by_thread"]],
        [page({ space: 2, thread: "thread 3" }, { after: [COUNT / 2] }), ["agent_memory_items_by_thread"]],
      ] as const) {
        const steps = await expectRead(call, 20, keys);
        expect(steps.filter(({ Extra }) => /filesort|temporary/.test(String(Extra)))).toEqual([]);
      }
      const keys = Array.from({ length: 20 }, (_, at) => `key ${at}`);
      await expectRead(page({ space: 2, key: { in: keys } }), 100, ["agent_memory_items_by_key"]);
    });

    it("finds, changes and removes rows by long lists of numbers, and looks at no others", async () => {
      const { records } = dialect;
      const numbers = Array.from({ length: 700 }, (_, at) => at);
      const where = { space: 3, number: { in: numbers } };
      await expectRead(() => records.find(ITEMS, { where, columns: ["id"], limit: COUNT }, signal), 1_500, BY_NUMBER);
      await expectRead(() => records.change([updateRecords(ITEMS, where, { length: 4 })], signal), 1_500, BY_NUMBER);
      const few = { space: 3, number: { in: [1, 2, 3] } };
      await expectRead(() => records.change([updateRecords(ITEMS, few, { length: 5 })], signal), 20, BY_NUMBER);
      const posting = { space: 3, term: { in: ["word 1", "word 101"] }, number: 1 };
      await expectRead(() => records.change([removeRecords(TERMS, posting)], signal), 20, BY_NUMBER);
    });
  });
});

const MIB = 1024 * 1024;

/** On a server of its own: the size of a packet is a setting of the whole server. */
describe.runIf(process.platform === "linux").each(servers)("packets of memory on $title", ({ kind }) => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable });
  });
  afterAll(() => server.stop());

  const rowsOf = (count: number, bytes: number) =>
    Array.from({ length: count }, (_, number) => itemOf(1, number, { value: randomBytes(bytes) }));

  it("inserts more than a packet in several statements, and refuses a row that fits into none before it is sent", async () => {
    await run(server.url, `set global max_allowed_packet = ${MIB}`);
    const { url } = await emptyDatabase(server.url);
    const proxy = await startProxy(url);
    onTestFinished(() => proxy.stop());
    const dialect = await open({ connectionString: proxy.url });
    onTestFinished(() => dialect.close());
    const { records } = dialect;
    for (const [count, bytes] of [
      [60, 50_000],
      [5, 500_000],
      [5_000, 1],
    ] as const) {
      expect(await records.change([insertRecords(ITEMS, rowsOf(count, bytes))], signal)).toEqual([count]);
      expect(await records.change([removeRecords(ITEMS, { space: 1 })], signal)).toEqual([count]);
    }
    let sent = 0;
    proxy.intercept((chunk, direction) => {
      if (direction === "to-server") sent += chunk.byteLength;
      return "forward";
    });
    const refused = await rejection(records.change([insertRecords(ITEMS, rowsOf(1, 600_000))], signal));
    expect(refused).toMatchObject({
      code: "STATE_TOO_LARGE",
      message: expect.stringMatching(/takes \d+ bytes as sent/),
    });
    expect(sent).toBe(0);
    expect(await records.count(ITEMS, {}, signal)).toBe(0);
  });

  it("cuts rows into smaller statements after the limit was lowered", async () => {
    await run(server.url, `set global max_allowed_packet = ${64 * MIB}`);
    const { url } = await emptyDatabase(server.url);
    const dialect = await open({ connectionString: url, poolSize: 1 });
    onTestFinished(() => dialect.close());
    await run(server.url, `set global max_allowed_packet = ${MIB / 4}`);
    const name = new URL(url).pathname.slice(1);
    // Open connections keep the limit that they began with.
    for (const { id } of await run(
      server.url,
      `select id as id from information_schema.processlist where db = '${name}'`,
    )) {
      await run(server.url, `kill ${String(id)}`);
    }
    const insert = [insertRecords(ITEMS, rowsOf(60, 50_000))];
    const classes = new Set<unknown>();
    let done: number[] | null = null;
    for (let tries = 0; done === null && tries < 5; tries++) {
      done = await dialect.records.change(insert, signal).catch((error: unknown) => {
        classes.add(dialect.classify(error));
        return null;
      });
    }
    expect(done).toEqual([60]);
    expect([...classes].filter((fault) => fault !== "connection" && fault !== "too-large")).toEqual([]);
    const refused = await rejection(
      dialect.records.change([insertRecords(TERMS, []), ...[insertRecords(ITEMS, rowsOf(1, 300_000))]], signal),
    );
    expect(refused).toMatchObject({ code: "STATE_TOO_LARGE" });
  });
});
