import { insertRecords } from "@waymark/core/kit";
import { ITEMS, NEVER, SIGNATURES, TERMS, VECTORS, SPACES } from "@waymark/core/memory/kit";
import { expect, it, inject } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { emptyDatabase, run } from "./on-server.ts";

const plain = (rows: readonly object[]) => rows.map((row) => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, Buffer.isBuffer(v) ? new Uint8Array(v) : v])));
const signal = new AbortController().signal;
for (const kind of ["postgres", "postgres-vector"] as const) for (const prepare of [false, true])
  it("works " + kind + prepare, async () => {
    const { url } = await emptyDatabase(inject("waymarkServers")[kind].url);
    if (kind === "postgres-vector") await run(url, "create schema ext", "create extension vector schema ext");
    const options = resolveOptions({ connectionString: url, prepare });
    const dialect = createMemoryDialect(shareConnection(options).share(), options, 5);
    await dialect.open(signal);
    const uuid = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;
    const items = Array.from({ length: 10 }, (_, n) => ({
      space: 1, number: n + 1, id: uuid(n), thread: null, role: n % 2 ? "NULL" : 'a"b\\', key: null, importance: 0.1 + n, createdAt: 1, expiresAt: NEVER, length: 3,
      textDigest: null, checkpointId: null, revision: uuid(1), pending: null, metadata: null, text: "x", rawText: Uint8Array.of(1, 0, 255, n), encoding: null, valueBytes: null, valueDigest: null, value: null,
    }));
    const vectors = items.map(({ number }) => ({ space: 1, generation: 1, number, dimensions: 2, vector: Float32Array.of(1, number) }));
    const signatures = items.map(({ number }) => ({ space: 1, generation: 1, number, signature: Uint8Array.of(number, 0) }));
    const terms = items.map(({ number }) => ({ space: 1, number, term: number % 2 ? "odd" : "even", frequency: number, length: 3 }));
    expect(await dialect.records.change([insertRecords(ITEMS, items), insertRecords(VECTORS, vectors), insertRecords(SIGNATURES, signatures), insertRecords(TERMS, terms)], signal)).toEqual([10, 10, 10, 10]);
    expect(plain(await dialect.records.find(ITEMS, { where: { space: 1 }, order: [["number", "asc"]], limit: 100 }, signal))).toEqual(items);
    expect(await dialect.records.find(ITEMS, { where: { space: 1, number: { in: [3, 4, 5] } }, columns: ["number"], order: [["role", "desc"], ["number", "asc"]], after: ['a"b\\', 3], limit: 100 }, signal)).toEqual([{ number: 5 }, { number: 4 }]);
    expect(await dialect.records.find(VECTORS, { where: { space: 1 }, order: [["number", "asc"]], limit: 100 }, signal)).toEqual(vectors);
    expect(plain(await dialect.records.find(SIGNATURES, { where: { space: 1 }, order: [["number", "asc"]], limit: 100 }, signal))).toEqual(signatures);
    const query = { space: 1, generation: 1, vector: Float32Array.of(1, 3), signature: Uint8Array.of(3, 0), filter: null, size: 10, limit: 3 };
    expect(await dialect.nearest(query, signal)).toEqual([3, 7, 2]);
    expect(await dialect.nearest({ ...query, filter: { number: { below: 3 } } }, signal)).toEqual([2, 1]);
    expect(await dialect.nearestExactly(query, signal)).toEqual(kind === "postgres-vector" ? [3, 4, 5] : null);
    expect(await dialect.countTerms(1, ["odd", "even", "none"], signal)).toEqual([{ term: "even", count: 5 }, { term: "odd", count: 5 }]);
    expect(await dialect.scoreTerms({ space: 1, terms: [{ term: "odd", weight: 100.5 }, { term: "even", weight: 7 }], base: 0.3, perToken: 0.1, filter: null, limit: 3 }, signal)).toEqual([{ number: 9, score: 94 }, { number: 7, score: 92 }, { number: 5, score: 89 }]);
    if (kind === "postgres-vector") {
      expect(await dialect.vectorIndex?.create(2, signal)).toBe("agent_memory_hnsw_2");
      expect(await dialect.nearest(query, signal)).toEqual([3, 4, 5]);
      expect(await dialect.vectorIndex?.create(3072, signal)).toBe("agent_memory_hnsw_3072");
      expect(await run(url, "select indexdef from pg_indexes where indexname like '%hnsw%'")).toEqual([]);
    }
    await dialect.close();
  });
