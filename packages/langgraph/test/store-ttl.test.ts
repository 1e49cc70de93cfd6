import type { MemoryStorage } from "@waymark/core/memory";
import { type StoreTtlConfig, WaymarkStore } from "@waymark/langgraph";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memories, memoryOf } from "./memories.ts";

const MINUTE = 60_000;

describe.each(memories)("the time of items on $name", (kind) => {
  let memory: MemoryStorage;

  beforeEach(async () => {
    memory = (await memoryOf(kind)).open();
    vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"], now: Date.UTC(2026, 10, 30) });
  });
  afterEach(() => vi.useRealTimers());

  const open = (ttl?: StoreTtlConfig) => new WaymarkStore({ memory, ttl });
  const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);
  const keysOf = (items: readonly { readonly key: string }[]) => items.map(({ key }) => key).sort();

  it("ends after the default, or after what a put says; without either never", async () => {
    const store = open({ defaultTtl: 10 });
    await store.put(["a"], "default", { text: "tea" });
    await store.put(["a"], "short", { text: "tea" }, undefined, { ttl: 1 / 2 });
    await open().put(["a"], "never", { text: "tea" });
    pass(MINUTE / 2 - 1);
    expect(keysOf(await store.search(["a"]))).toEqual(["default", "never", "short"]);
    pass(1);
    expect(keysOf(await store.search(["a"]))).toEqual(["default", "never"]);
    expect(keysOf(await store.search(["a"], { query: "tea" }))).toEqual(["default", "never"]);
    expect(await store.get(["a"], "short")).toBeNull();
    pass(100 * 365 * 24 * 60 * MINUTE);
    expect(keysOf(await store.search(["a"], { query: "tea" }))).toEqual(["never"]);
  });

  it("begins anew with a put, and with a new createdAt once it has ended", async () => {
    const store = open({ defaultTtl: 10 });
    await store.put(["a"], "k", { n: 1 });
    const first = await store.get(["a"], "k");
    pass(9 * MINUTE);
    await store.put(["a"], "k", { n: 1 });
    pass(9 * MINUTE);
    expect((await store.get(["a"], "k"))?.createdAt).toEqual(first?.createdAt);
    pass(MINUTE);
    expect(await store.get(["a"], "k")).toBeNull();
    await store.put(["a"], "k", { n: 1 });
    expect((await store.get(["a"], "k"))?.createdAt.getTime()).toBe(Date.now());
  });

  it("begins anew with a read if the options say so, at each item's own length, and nothing else changes", async () => {
    const store = open({ defaultTtl: 10, refreshOnRead: true });
    await store.put(["a"], "get", { n: 1 });
    await store.put(["a"], "search", { text: "tea" }, undefined, { ttl: 20 });
    const first = await store.get(["a"], "get");
    pass(9 * MINUTE);
    expect(await store.get(["a"], "get")).toEqual(first);
    pass(9 * MINUTE);
    expect(await store.get(["a"], "get")).toEqual(first);
    expect(keysOf(await store.search(["a"], { query: "tea" }))).toEqual(["search"]);
    pass(10 * MINUTE);
    expect(keysOf(await open().search(["a"]))).toEqual(["search"]);
    expect(keysOf(await store.search(["a"]))).toEqual(["search"]);
    pass(20 * MINUTE - 1);
    expect(keysOf(await open().search(["a"]))).toEqual(["search"]);
    pass(1);
    expect(keysOf(await open().search(["a"]))).toEqual([]);
  });

  it("is not written for a read within a hundredth of it", async () => {
    const store = open({ defaultTtl: 100, refreshOnRead: true });
    await store.put(["a"], "k", { n: 1 });
    const update = vi.spyOn(memory, "updateItem");
    pass(MINUTE - 1);
    await store.get(["a"], "k");
    expect(update).not.toHaveBeenCalled();
    pass(1);
    await store.get(["a"], "k");
    expect(update).toHaveBeenCalledOnce();
  });

  it("is that of the put, if an item is put between a read and its refreshment", async () => {
    const store = open({ defaultTtl: 10, refreshOnRead: true });
    await store.put(["a"], "k", { n: 1 });
    pass(5 * MINUTE);
    const list = memory.listItems.bind(memory);
    vi.spyOn(memory, "listItems").mockImplementationOnce(async (query) => {
      const items = await list(query);
      await store.put(["a"], "k", { n: 2 }, undefined, { ttl: 1 });
      return items;
    });
    expect(await store.get(["a"], "k")).toMatchObject({ value: { n: 1 } });
    pass(MINUTE);
    expect(await store.get(["a"], "k")).toBeNull();
  });

  it("is swept at intervals, from the first operation until the store is stopped", async () => {
    const count = async () => (await memory.prune({ expired: true, dryRun: true })).removed;
    const store = open({ defaultTtl: 1, sweepIntervalMinutes: 5 });
    await store.put(["a"], "k", { n: 1 });
    pass(MINUTE);
    expect(await count()).toBe(1);
    expect(await store.listNamespaces()).toEqual([["a"]]); // until it is swept
    vi.advanceTimersByTime(5 * MINUTE);
    await store.stop();
    expect(await count()).toBe(0);
    expect(await store.listNamespaces()).toEqual([]);
    await store.stop();
    await store.put(["a"], "k", { n: 1 });
    await store.stop();
    pass(10 * MINUTE);
    vi.advanceTimersByTime(10 * MINUTE);
    await store.stop();
    expect(await count()).toBe(1);
    expect(await store.sweepExpiredItems()).toBe(1);
    store.start();
    expect(vi.getTimerCount()).toBe(1);
    await store.stop();
    await open({ sweepIntervalMinutes: false }).search([]);
    await open().search([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
