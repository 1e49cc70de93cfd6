import { insertRecords, updateRecords } from "@waymark/core/kit";
import { ITEMS, type ItemRow, SIGNATURES, SPACES, THREADS, VECTORS } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import {
  ALL_BYTES,
  comparable,
  compare,
  newItem,
  newSignature,
  newSpace,
  newThread,
  newVector,
  numbers,
  randomFrom,
  signal,
  TEXTS,
  uuidOf,
} from "../rows.ts";

const MAX = Number.MAX_SAFE_INTEGER;

export function describeValues(bench: MemoryBench): void {
  /** Inserts items of a new space with these columns, and expects them back as they are. */
  async function comeBack(columns: readonly Partial<ItemRow>[]) {
    const space = bench.newSpace();
    const items = columns.map((one, at) => newItem(space, at + 1, one));
    await bench.records.change([insertRecords(ITEMS, items)], signal);
    expect(comparable(await bench.readItems(space))).toEqual(comparable(items));
    return { space, items };
  }

  describe("values", () => {
    it("are texts that differ byte by byte in a key, are found by their bytes, and are ordered by them", async () => {
      const owner = bench.newOwner();
      await bench.records.change(
        [
          insertRecords(
            THREADS,
            TEXTS.map((id) => newThread(owner, id, { title: id })),
          ),
        ],
        signal,
      );
      const inOrder = await bench.records.find(
        THREADS,
        { where: { owner }, columns: ["id", "title"], order: [["id", "asc"]], limit: 1_000 },
        signal,
      );
      expect(inOrder).toEqual([...TEXTS].sort(compare).map((id) => ({ id, title: id })));
      expect(await bench.records.count(THREADS, { owner, id: { in: TEXTS } }, signal)).toBe(TEXTS.length);
      for (const id of TEXTS) {
        expect(await bench.records.find(THREADS, { where: { owner, id }, columns: ["id"], limit: 9 }, signal)).toEqual([
          { id },
        ]);
      }
    });

    it.skipIf(bench.target.dropsByteOrderMarks)("are texts that begin with a byte order mark, or not", async () => {
      const owner = bench.newOwner();
      const ids = ["a", "\ufeffa"];
      await bench.records.change(
        [
          insertRecords(
            THREADS,
            ids.map((id) => newThread(owner, id)),
          ),
        ],
        signal,
      );
      const query = { where: { owner }, columns: ["id"], order: [["id", "asc"]], limit: 9 } as const;
      expect(await bench.records.find(THREADS, query, signal)).toEqual(ids.map((id) => ({ id })));
    });

    it("are texts whose parts are found byte for byte, in columns of any length", async () => {
      const texts = TEXTS.map((text) => `<${text}>`);
      const { space } = await comeBack(texts.map((text) => ({ text, metadata: text, role: text })));
      for (const part of TEXTS.filter((text) => text.length > 0)) {
        const wanted = texts.flatMap((text, at) => (text.includes(part) ? [at + 1] : []));
        const where = { space, text: { contains: [part] }, role: { contains: [part, "<"] } };
        const found = await bench.records.find(
          ITEMS,
          { where, columns: ["number"], order: [["number", "asc"]], limit: 999 },
          signal,
        );
        expect(found.map(({ number }) => number)).toEqual(wanted);
      }
      const apart = { contains: ["<", ">", "a\u0301"] };
      expect(await bench.records.count(ITEMS, { space, metadata: apart }, signal)).toBe(1);
    });

    it("are texts of as many bytes as a column takes, and of hundreds of thousands where it sets no limit", async () => {
      const wide = (bytes: number) => `${"x".repeat(bytes % 4)}${"😀".repeat(Math.floor(bytes / 4))}`;
      const lines = Array.from({ length: 20_000 }, (_, at) => `${at} '"\\%_\r\n\t漢😀`).join("\u2028");
      await comeBack([
        { thread: wide(255), role: wide(64), key: wide(1_024), encoding: wide(64) },
        { thread: "x".repeat(255), role: "\\".repeat(64), key: "'".repeat(1_024), text: lines, metadata: lines },
        { text: "" },
      ]);
      const owner = "o".repeat(240) + bench.newOwner().slice(-15);
      const space = newSpace(bench.newSpace(), owner, {
        collection: wide(1_024),
        model: wide(255),
        language: "l".repeat(16),
      });
      await bench.records.change([insertRecords(SPACES, [space])], signal);
      const where = { owner, collection: space.collection, removal: 0 };
      expect(await bench.records.find(SPACES, { where, limit: 2 }, signal)).toEqual([space]);
    });

    it("are whole numbers up to 2^53 - 1 and down to its negative", async () => {
      const whole = [MAX, MAX - 1, 2 ** 52 + 1, 2 ** 32, 2 ** 32 - 1, 2 ** 31, 2 ** 31 - 1, 65_536, 255, 1, 0];
      const all = [...new Set(whole.flatMap((number) => [number, -number + 0]))];
      const { space } = await comeBack(all.map((number) => ({ pending: number, createdAt: number })));
      for (const pending of all) {
        expect(
          await bench.records.count(ITEMS, { space, pending, createdAt: { from: pending, to: pending } }, signal),
        ).toBe(1);
      }
      const found = await bench.records.find(
        ITEMS,
        { where: { space }, columns: ["pending"], order: [["createdAt", "desc"]], limit: 99 },
        signal,
      );
      expect(found.map(({ pending }) => pending)).toEqual([...all].sort((one, other) => other - one));
      const numbered = bench.newSpace();
      const items = [MAX, MAX - 1, 1].map((number) => newItem(numbered, number));
      await bench.records.change([insertRecords(ITEMS, items)], signal);
      expect((await bench.readItems(numbered)).map(({ number }) => number)).toEqual([1, MAX - 1, MAX]);
    });

    it("are finite numbers of 64 bits, to the last one; zero has no sign", async () => {
      const floats = [
        ...[Number.MAX_VALUE, Number.MIN_VALUE, 2.2250738585072014e-308, 2.225073858507201e-308, 0.1, 1 / 3, Math.PI],
        ...[Number.EPSILON, 1 + Number.EPSILON, 2 ** 53 + 2, 2 ** 63, 1e21, 1.7976931348623155e308, 123456789.12345679],
      ];
      const all = [...floats.flatMap((number) => [number, -number]), 0];
      const { space } = await comeBack([...all, -0].map((importance) => ({ importance })));
      for (const importance of all) {
        expect(await bench.records.count(ITEMS, { space, importance }, signal)).toBe(importance === 0 ? 2 : 1);
      }
      const found = await bench.records.find(
        ITEMS,
        { where: { space }, columns: ["importance"], order: [["importance", "asc"]], limit: 99 },
        signal,
      );
      expect(comparable(found)).toEqual(
        [...all, 0].sort((one, other) => one - other).map((importance) => ({ importance })),
      );
    });

    it("are bytes of any kind and number, which compare and order one by one", async () => {
      const short = [
        [],
        [0],
        [0, 0],
        [0, 1],
        [1],
        [32],
        [65],
        [97],
        [127],
        [128],
        [195, 40],
        [255],
        [255, 0],
        [255, 255],
      ];
      const random = randomFrom(2);
      const big = Uint8Array.from({ length: 300_000 }, () => Math.floor(random() * 256));
      const { space } = await comeBack([
        ...short.map((bytes) => ({ textDigest: Uint8Array.from(bytes), value: Uint8Array.from(bytes) })),
        { textDigest: ALL_BYTES.slice(0, 32), value: ALL_BYTES, rawText: ALL_BYTES },
        { value: big, valueDigest: ALL_BYTES.slice(224) },
        { value: new Uint8Array(0), rawText: new Uint8Array(100) },
        // A view of a part of a buffer.
        { value: ALL_BYTES.subarray(39, 93), textDigest: ALL_BYTES.subarray(1, 3) },
      ]);
      const inOrder = await bench.records.find(
        ITEMS,
        {
          where: { space, textDigest: { below: Uint8Array.of(255, 255) } },
          columns: ["textDigest"],
          order: [["textDigest", "asc"]],
          limit: 99,
        },
        signal,
      );
      const wanted = [
        ...short.slice(0, -1).map((bytes) => Uint8Array.from(bytes)),
        ALL_BYTES.slice(0, 32),
        ALL_BYTES.slice(1, 3),
      ];
      expect(comparable(inOrder)).toEqual(comparable(wanted.sort(compare).map((textDigest) => ({ textDigest }))));
      for (const bytes of short) {
        expect(await bench.records.count(ITEMS, { space, textDigest: Uint8Array.from(bytes) }, signal)).toBe(1);
      }
    });

    it("are UUIDs, which order as their texts do", async () => {
      const random = randomFrom(3);
      const hex = () =>
        Math.floor(random() * 65_536)
          .toString(16)
          .padStart(4, "0");
      const ids = numbers(1, 40).map(() => `${hex()}${hex()}-${hex()}-${hex()}-${hex()}-${hex()}${hex()}${hex()}`);
      ids.push("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff");
      ids.push("01890000-0000-7000-8000-000000000000", "27275c00-2725-7c00-8000-00000d0a1a00");
      const { space } = await comeBack(ids.map((id) => ({ id, checkpointId: id, revision: id })));
      const found = await bench.records.find(
        ITEMS,
        { where: { space }, columns: ["id"], order: [["id", "desc"]], limit: 99 },
        signal,
      );
      expect(found.map(({ id }) => id)).toEqual([...ids].sort().reverse());
      for (const id of ids)
        expect(await bench.records.count(ITEMS, { space, id, checkpointId: { in: [id] } }, signal)).toBe(1);
      const middle = ids[7] as string;
      expect(await bench.records.count(ITEMS, { space, revision: { above: middle } }, signal)).toBe(
        ids.filter((id) => id > middle).length,
      );
    });

    it("are bits: 2 to 512 bytes of them, also zeros at both ends", async () => {
      const space = bench.newSpace();
      const random = randomFrom(4);
      const all = [2, 16, 62, 128, 512].flatMap((length) => [
        new Uint8Array(length),
        new Uint8Array(length).fill(255),
        Uint8Array.from({ length }, () => Math.floor(random() * 256)),
        Uint8Array.from({ length }, (_, at) => (at === length - 1 ? 1 : 0)),
        Uint8Array.from({ length }, (_, at) => (at === 0 ? 1 : 0)),
      ]);
      const rows = all.map((signature, at) => newSignature(space, at + 1, signature));
      const items = rows.map(({ number }) => newItem(space, number));
      await bench.records.change([insertRecords(ITEMS, items), insertRecords(SIGNATURES, rows)], signal);
      const found = await bench.records.find(
        SIGNATURES,
        { where: { space }, order: [["number", "asc"]], limit: 99 },
        signal,
      );
      expect(comparable(found)).toEqual(comparable(rows));
    });

    it("are vectors of 1 to 4,096 finite numbers of 32 bits, to the last one", async () => {
      const space = bench.newSpace();
      const random = randomFrom(5);
      const edges = [
        0,
        -0,
        1e-45,
        -1e-45,
        1.1754942e-38,
        1.17549435e-38,
        3.4028235e38,
        -3.4028235e38,
        0.1,
        1 / 3,
        16_777_217,
      ];
      const whole = new Float32Array(12).map((_, at) => at);
      const all = [
        ...edges.map((float) => Float32Array.of(float)),
        Float32Array.from(edges),
        Float32Array.from({ length: 4_096 }, () => random() * 2 - 1),
        new Float32Array(1_536),
        whole.subarray(1, 5), // a view that does not begin where its buffer does
      ];
      const rows = all.map((vector, at) => newVector(space, at + 1, vector));
      const items = rows.map(({ number }) => newItem(space, number));
      await bench.records.change([insertRecords(ITEMS, items), insertRecords(VECTORS, rows)], signal);
      const found = await bench.records.find(
        VECTORS,
        { where: { space }, order: [["number", "asc"]], limit: 99 },
        signal,
      );
      expect(comparable(found)).toEqual(comparable(rows));
      for (const { vector } of found) expect(vector).toBeInstanceOf(Float32Array);
    });

    it("are null where a column may have it, also after an update, and differ from empty ones", async () => {
      const full = {
        thread: "",
        role: "",
        key: "",
        textDigest: new Uint8Array(0),
        checkpointId: uuidOf(0),
        pending: 0,
        metadata: "",
      };
      const { space, items } = await comeBack([full, {}]);
      const nulls = {
        thread: null,
        role: null,
        key: null,
        textDigest: null,
        checkpointId: null,
        pending: null,
        metadata: null,
      };
      await bench.records.change(
        [updateRecords(ITEMS, { space, number: 1 }, nulls), updateRecords(ITEMS, { space, number: 2 }, full)],
        signal,
      );
      const [first, second] = items;
      expect(comparable(await bench.readItems(space))).toEqual(
        comparable([
          { ...first, ...nulls },
          { ...second, ...full },
        ]),
      );
    });

    it("are compared in unique keys byte for byte, and null with nothing", async () => {
      const { space } = await comeBack([
        ...TEXTS.map((key) => ({ key })),
        ...numbers(0, 2).map(() => ({ key: null, textDigest: null })),
        { textDigest: Uint8Array.of(1) },
        { textDigest: Uint8Array.of(1, 0) },
      ]);
      for (const taken of [{ key: "a " }, { textDigest: Uint8Array.of(1) }, { id: uuidOf(1) }]) {
        const refused = bench.records.change([insertRecords(ITEMS, [newItem(space, 1_000, taken)])], signal);
        expect(await bench.faultOf(refused)).toBe("duplicate");
      }
      expect(await bench.records.count(ITEMS, { space, key: null }, signal)).toBe(5);
    });
  });
}
