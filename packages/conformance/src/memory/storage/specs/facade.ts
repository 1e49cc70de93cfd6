import { EventEmitter, once } from "node:events";
import type { MemoryStorage } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addOne, COLLECTION, countsOf, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { CALLS } from "../calls.ts";
import { newEmbedder } from "../embedders.ts";
import { newId } from "../ids.ts";

const OWNER = "an owner";
const COLLECTIONS = [COLLECTION];
const embedder = newEmbedder("m", 2);

/** Calls whose arguments are not as documented. */
const WRONG: readonly (readonly [string, (storage: MemoryStorage) => Promise<unknown>])[] = Object.entries({
  // Values that are wrong, by method and member.
  ...Object.fromEntries(
    (
      [
        ["owner", ["", "x".repeat(256), "a\0", "\ud800", 1, null, undefined]],
        ["collection", ["", "x".repeat(1_025), "a\0", undefined, 1]],
        ["text", [undefined, null, 1, ["x"]]],
        ["threadId", ["", "x".repeat(256), 1, null]],
        ["role", ["", "x".repeat(65), "a\0"]],
        ["key", ["", "x".repeat(1_025), 5]],
        ["id", ["", "x", "00000000-0000-4000-8000-000000000000", 5]],
        ["embedding", ["[1]", {}, [], [Number.NaN], [null], new Float64Array([1]), [0]]],
        ["importance", [-0.1, 1.1, Number.NaN, "1", null]],
        [
          "metadata",
          [[], { a: {} }, { a: [1] }, { a: undefined }, { a: Number.NaN }, { a: "x".repeat(17_000) }, new Map()],
        ],
        ["createdAt", [1.5, Number.NaN, 9e15, "now", new Date()]],
        ["expiresAt", [1.5, Number.POSITIVE_INFINITY, "never", null]],
        ["checkpointId", ["", "x", 5]],
        ["dedup", [1, "true", null]],
        ["unknown", [1, undefined]],
      ] as const
    ).flatMap(([member, values]) =>
      values.map((value, at) => [
        `addItems with ${member} ${at}`,
        (storage: MemoryStorage) => storage.addItems([itemOf(OWNER, "x"), itemOf(OWNER, "x", { [member]: value })]),
      ]),
    ),
  ),
  "addItems with no array": (storage: MemoryStorage) => storage.addItems(itemOf(OWNER, "x") as never),
  "addItems with a hole": (storage: MemoryStorage) => storage.addItems(new Array(1)),
  "addItems with null": (storage: MemoryStorage) => storage.addItems([null as never]),
  "addItems with 1,001 items": (storage: MemoryStorage) =>
    storage.addItems(Array.from({ length: 1_001 }, () => itemOf(OWNER, "x"))),
  "addItems with an unknown option": (storage: MemoryStorage) => storage.addItems([], { replaces: true } as never),
  "addItems with a wrong option": (storage: MemoryStorage) => storage.addItems([], { replace: 1 } as never),
  "addItems with an empty model": (storage: MemoryStorage) => storage.addItems([], { model: "" }),
  ...Object.fromEntries(
    (["text", "role", "embedding", "importance", "metadata", "expiresAt"] as const).map((member) => [
      `updateItem with ${member} undefined`,
      (storage: MemoryStorage) => storage.updateItem(OWNER, newId(), { [member]: undefined }),
    ]),
  ),
  "updateItem with text null": (storage: MemoryStorage) => storage.updateItem(OWNER, newId(), { text: null } as never),
  "updateItem with importance null": (storage: MemoryStorage) =>
    storage.updateItem(OWNER, newId(), { importance: null } as never),
  "updateItem with an unknown member": (storage: MemoryStorage) =>
    storage.updateItem(OWNER, newId(), { createdAt: 1 } as never),
  "updateItem with a model and no vector": (storage: MemoryStorage) =>
    storage.updateItem(OWNER, newId(), { text: "x", model: "m" }),
  "updateItem with a model and a vector to remove": (storage: MemoryStorage) =>
    storage.updateItem(OWNER, newId(), { embedding: null, model: "m" }),
  "updateItem with ifRevision undefined": (storage: MemoryStorage) =>
    storage.updateItem(OWNER, newId(), {}, { ifRevision: undefined } as never),
  "updateThread with ifRevision undefined": (storage: MemoryStorage) =>
    storage.updateThread(OWNER, "t", {}, { ifRevision: undefined } as never),
  "updateThread with title undefined": (storage: MemoryStorage) =>
    storage.updateThread(OWNER, "t", { title: undefined } as never),
  "updateThread with an unknown member": (storage: MemoryStorage) =>
    storage.updateThread(OWNER, "t", { kind: "x" } as never),
  "createThread with a long title": (storage: MemoryStorage) =>
    storage.createThread({ owner: OWNER, title: "x".repeat(16_385) }),
  "createThread with a long kind": (storage: MemoryStorage) =>
    storage.createThread({ owner: OWNER, kind: "x".repeat(65) }),
  "createThread with an empty id": (storage: MemoryStorage) => storage.createThread({ owner: OWNER, id: "" }),
  "createThread with an unknown member": (storage: MemoryStorage) =>
    storage.createThread({ owner: OWNER, name: "x" } as never),
  "createThread with an unknown option": (storage: MemoryStorage) =>
    storage.createThread({ owner: OWNER }, { timeout: 1 } as never),
  "listThreads with an incomplete cursor": (storage: MemoryStorage) =>
    storage.listThreads({ owner: OWNER, before: { id: "t" } as never }),
  "listThreads with no cursor but a text": (storage: MemoryStorage) =>
    storage.listThreads({ owner: OWNER, before: "t" as never }),
  "listThreads with null as its cursor": (storage: MemoryStorage) =>
    storage.listThreads({ owner: OWNER, before: null as never }),
  "listItems with a position and no collection": (storage: MemoryStorage) =>
    storage.listItems({ owner: OWNER, after: 1 }),
  "listItems with a wrong order": (storage: MemoryStorage) =>
    storage.listItems({ owner: OWNER, order: "asc" as never }),
  "listItems with a limit of 0": (storage: MemoryStorage) => storage.listItems({ owner: OWNER, limit: 0 }),
  "listItems with a limit of 1,001": (storage: MemoryStorage) => storage.listItems({ owner: OWNER, limit: 1_001 }),
  "deleteItems with no array": (storage: MemoryStorage) => storage.deleteItems(OWNER, newId() as never),
  "deleteItems with null": (storage: MemoryStorage) => storage.deleteItems(OWNER, [null as never]),
  // `undefined` in a filter would select what was not meant.
  ...Object.fromEntries(
    (["threadId", "role", "key", "metadata", "minImportance", "createdFrom", "createdBefore"] as const).flatMap(
      (member) => {
        const filter = { [member]: undefined } as never as object;
        return [
          [
            `deleteItemsWhere with ${member} undefined`,
            (storage: MemoryStorage) => storage.deleteItemsWhere({ owner: OWNER, ...filter }),
          ],
          [
            `countItems with ${member} undefined`,
            (storage: MemoryStorage) => storage.countItems({ owner: OWNER, ...filter }),
          ],
          [
            `listItems with ${member} undefined`,
            (storage: MemoryStorage) => storage.listItems({ owner: OWNER, ...filter }),
          ],
          [
            `search with ${member} undefined`,
            (storage: MemoryStorage) => storage.search({ owner: OWNER, collections: COLLECTIONS, text: "x", filter }),
          ],
        ];
      },
    ),
  ),
  "deleteItemsWhere with collection undefined": (storage: MemoryStorage) =>
    storage.deleteItemsWhere({ owner: OWNER, collection: undefined } as never),
  "deleteItemsWhere with an unknown member": (storage: MemoryStorage) =>
    storage.deleteItemsWhere({ owner: OWNER, threadID: "t" } as never),
  "deleteItemsWhere without an owner": (storage: MemoryStorage) => storage.deleteItemsWhere({} as never),
  "deleteItemsWhere with no filter": (storage: MemoryStorage) => storage.deleteItemsWhere(undefined as never),
  ...Object.fromEntries(
    (
      [
        ["collections", [[], undefined, COLLECTION, Array.from({ length: 17 }, (_, at) => `${at}`), [""], [1]]],
        ["text", [undefined, null, 1]],
        ["vector", [undefined, [], "x", [Number.NaN], [0, 0]]],
        [
          "fusion",
          ["RRF", null, {}, { text: 1 }, { text: 0, vector: 0 }, { text: -1, vector: 1 }, { text: 1, vector: 1, x: 1 }],
        ],
        ["minSimilarity", [undefined, 1.1, -1.1, Number.NaN, "0"]],
        ["requireVector", [1, null]],
        ["filter", [undefined, null, [], { unknown: 1 }, { owner: "x" }, { minImportance: 2 }]],
        ["limit", [0, 1_001, 1.5, "10"]],
        ["around", [-1, 51, 0.5]],
        ["exact", ["yes", 1]],
        ["model", ["", undefined]],
        ["unknown", [1]],
      ] as const
    ).flatMap(([member, values]) =>
      values.map((value, at) => [
        `search with ${member} ${at}`,
        (storage: MemoryStorage) =>
          storage.search({ owner: OWNER, collections: COLLECTIONS, text: "x", vector: [1], [member]: value } as never),
      ]),
    ),
  ),
  "search for nothing": (storage: MemoryStorage) => storage.search({ owner: OWNER, collections: COLLECTIONS }),
  "search for the vector null alone": (storage: MemoryStorage) =>
    storage.search({ owner: OWNER, collections: COLLECTIONS, vector: null }),
  "reembed without an embedder": (storage: MemoryStorage) =>
    storage.reembed({ owner: OWNER, collection: COLLECTION } as never),
  "reembed with an embedder without embed": (storage: MemoryStorage) =>
    storage.reembed({ owner: OWNER, collection: COLLECTION, embedder: { model: "m", dimensions: 2 } as never }),
  "reembed with 0 dimensions": (storage: MemoryStorage) =>
    storage.reembed({ owner: OWNER, collection: COLLECTION, embedder: { ...embedder, dimensions: 0 } }),
  "reembed with 4,097 dimensions": (storage: MemoryStorage) =>
    storage.reembed({ owner: OWNER, collection: COLLECTION, embedder: { ...embedder, dimensions: 4_097 } }),
  "reembed with batches of 0": (storage: MemoryStorage) =>
    storage.reembed({ owner: OWNER, collection: COLLECTION, embedder, batchSize: 0 }),
  "reembed with a listener that is none": (storage: MemoryStorage) =>
    storage.reembed({ owner: OWNER, collection: COLLECTION, embedder, onProgress: true as never }),
  "getItem with a number": (storage: MemoryStorage) => storage.getItem(OWNER, 1 as never),
  "listOwners with a limit of 0": (storage: MemoryStorage) => storage.listOwners({ limit: 0 }),
  "listCollections with an empty cursor": (storage: MemoryStorage) =>
    storage.listCollections({ owner: OWNER, after: "" }),
  "migrate with a wrong mode": (storage: MemoryStorage) => storage.migrate("now" as never),
});

export function describeFacade(bench: StorageBench): void {
  describe("arguments", () => {
    it("that are not as documented are refused by name, and nothing is written", async () => {
      const before = await countsOf(bench.storage, OWNER);
      for (const [name, call] of WRONG) {
        const error = await refusal(call(bench.storage), "INVALID_ARGUMENT").catch((reason: unknown) => {
          throw Object.assign(reason as object, { message: `${name}: ${(reason as Error).message}` });
        });
        expect(error.message, name).toMatch(/^(expected|the )/);
      }
      expect(await countsOf(bench.storage, OWNER)).toEqual(before);
    });

    it("that have a value which cannot be stored are refused by its path", async () => {
      for (const value of [() => 1, Symbol("x"), new WeakMap(), { a: { b: new Proxy({}, {}), c: () => 1 } }]) {
        await refusal(bench.storage.addItems([itemOf(OWNER, "x", { value })]), "UNSUPPORTED_VALUE");
      }
      expect(await bench.storage.countItems({ owner: OWNER })).toBe(0);
    });
  });

  describe("an AbortSignal", () => {
    it.each(Object.entries(CALLS))("that is already aborted ends %s, and nothing is changed", async (_, call) => {
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "t" });
      await bench.storage.addItems([itemOf(owner, "kept", { threadId: "t", embedding: [1] })]);
      const before = await countsOf(bench.storage, owner);
      await refusal(call(bench.storage, owner, { signal: AbortSignal.abort() }), "ABORTED");
      expect(await countsOf(bench.storage, owner)).toEqual(before);
    });

    it("that is aborted during the call ends it, all or nothing", async () => {
      const owner = newOwner();
      const controller = new AbortController();
      const adding = bench.storage.addItems([itemOf(owner, "a"), itemOf(owner, "b")], { signal: controller.signal });
      controller.abort();
      await refusal(adding, "ABORTED");
      expect([0, 2]).toContain(await bench.storage.countItems({ owner }));
    });
  });

  describe("a memory", () => {
    it("tells its health and status", async () => {
      expect(await bench.storage.health()).toStrictEqual({ ok: true, latencyMs: expect.any(Number) });
      expect(await bench.storage.status()).toMatchObject({ circuit: "closed", driver: expect.any(String) });
      expect(await bench.storage.migrate("verify")).toEqual([]);
      expect(await bench.storage.migrate()).toEqual([]);
    });

    it("opens the database once for all calls that arrive together", async () => {
      const owner = newOwner();
      const storage = bench.open();
      await Promise.all([
        ...Array.from({ length: 20 }, (_, at) => storage.addItems([itemOf(owner, `${at}`)])),
        ...Object.values(CALLS).map((call) => call(storage, newOwner(), {}).catch(() => {})),
      ]);
      expect(await storage.countItems({ owner })).toBe(20);
    });

    it("finishes what it has accepted when it is closed, and rejects later calls", async () => {
      const owner = newOwner();
      const storage = bench.open();
      const accepted = storage.addItems([itemOf(owner, "accepted")]);
      const closed = storage.close();
      await refusal(storage.countItems({ owner }), "CLOSED");
      await Promise.all([accepted, closed]);
      expect(await bench.storage.countItems({ owner })).toBe(1);
      for (const [name, call] of Object.entries(CALLS)) {
        const error = await refusal(call(storage, owner, {}), "CLOSED");
        expect(error.retryable, name).toBe(false);
      }
      await refusal(storage.migrate(), "CLOSED");
      expect(await storage.health()).toMatchObject({ ok: false, error: { code: "CLOSED" } });
      await storage.close();
      await storage[Symbol.asyncDispose]();
    });

    it("waits for what is being embedded when it is closed, and stores it", async () => {
      const owner = newOwner();
      const gate = new EventEmitter();
      const embedding = once(gate, "embedding");
      const before = async () => {
        gate.emit("embedding");
        await once(gate, "ready");
      };
      const storage = bench.open({ embedder: newEmbedder("m", 2, { before }) });
      const adding = storage.addItems([itemOf(owner, "accepted")]);
      await embedding;
      const closing = storage.close();
      await refusal(storage.addItems([itemOf(owner, "late")]), "CLOSED");
      await refusal(storage.countItems({ owner }), "CLOSED");
      gate.emit("ready");
      expect(await adding).toMatchObject([{ text: "accepted" }]);
      await closing;
      expect(await bench.storage.countItems({ owner })).toBe(1);
    });

    it("ends what is embedded for longer than it may take to close", async () => {
      const owner = newOwner();
      const [item] = await bench.storage.addItems([itemOf(owner, "stored")]);
      const gate = new EventEmitter();
      const isAtAll = once(gate, "at all of them");
      const before = async () => {
        if (embedder.calls.length === 3) gate.emit("at all of them");
        await once(gate, "never");
      };
      const embedder = newEmbedder("m", 2, { before });
      const storage = bench.open({ embedder });
      const calls = [
        storage.addItems([itemOf(owner, "lost", { collection: "new" })]),
        storage.updateItem(owner, item?.id as string, { text: "lost" }),
        storage.reembed({ owner, collection: COLLECTION }),
      ].map((call) => refusal(call, "CLOSED"));
      await isAtAll;
      await storage.close({ timeoutMs: 0 });
      for (const error of await Promise.all(calls)) expect(error.retryable).toBe(false);
      for (const { options } of embedder.calls) expect(options.signal.aborted).toBe(true);
      expect(await bench.storage.getItem(owner, item?.id as string)).toEqual(item);
      expect(await bench.storage.countItems({ owner })).toBe(1);
    });

    it("calls back at events until it is told to stop", async () => {
      const storage = bench.open();
      const unsubscribe = storage.on("retry", () => {});
      unsubscribe();
      expect(() => storage.on("deleted" as never, () => {})).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
      expect(() => storage.on("retry", 1 as never)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
      await addOne(storage, itemOf(newOwner(), "x"));
    });
  });
}
