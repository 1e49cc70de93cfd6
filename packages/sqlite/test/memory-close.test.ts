import { once } from "node:events";
import type { MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, type MemoryDialect, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { failure, newFile } from "./fixtures.ts";

it("ends the making of an index that takes longer than it may take to close", async () => {
  const options = resolveOptions({ databasePath: newFile() });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  const begun = new EventTarget();
  const vectorIndex: MemoryDialect["vectorIndex"] = {
    async create(_, signal) {
      begun.dispatchEvent(new Event("begun"));
      await once(signal, "abort");
      throw signal.reason;
    },
    drop: async () => false,
  };
  const memory = createMemoryStorage({ ...dialect, vectorIndex }, resolveMemoryOptions());
  const isBegun = once(begun, "begun");
  const creating = failure(memory.createVectorIndex(768));
  await isBegun;
  await memory.close({ timeoutMs: 0 });
  expect(await creating).toMatchObject({ code: "CLOSED", message: expect.stringContaining("create vector index") });
});

/** Calls that delete 501 items, in more than one commit. */
const DELETIONS: Record<string, (memory: MemoryStorage, ids: readonly string[]) => Promise<unknown>> = {
  "forget owner": (memory) => memory.forgetOwner("o"),
  "delete collection": (memory) => memory.deleteCollection("o", "c"),
  "delete thread": (memory) => memory.deleteThread("o", "t"),
  "delete items": (memory, ids) => memory.deleteItems("o", ids),
  "delete items by a filter": (memory) => memory.deleteItemsWhere({ owner: "o", collection: "c" }),
  "prune memory": (memory) => memory.prune({ owner: "o", keepLast: 0 }),
};

describe.each(Object.entries(DELETIONS))("a call to %s in several commits", (name, deletion) => {
  /** A memory, and a call that is held where it is about to commit for the first time. */
  async function held() {
    const options = resolveOptions({ databasePath: newFile() });
    const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
    const gate = new EventTarget();
    let isHolding = false;
    const records: MemoryDialect["records"] = {
      find: (...args) => dialect.records.find(...args),
      count: (...args) => dialect.records.count(...args),
      modify: (...args) => dialect.records.modify(...args),
      nearest: (...args) => dialect.records.nearest(...args),
      async change(steps, signal) {
        if (isHolding) {
          isHolding = false;
          const opened = once(gate, "open", { signal });
          gate.dispatchEvent(new Event("reached"));
          await opened;
        }
        return await dialect.records.change(steps, signal);
      },
    };
    const memory = createMemoryStorage({ ...dialect, records }, resolveMemoryOptions());
    await memory.createThread({ owner: "o", id: "t" });
    const items = Array.from({ length: 501 }, () => ({ owner: "o", collection: "c", threadId: "t", text: "x" }));
    const ids = (await memory.addItems(items)).map(({ id }) => id);
    isHolding = true;
    const reached = once(gate, "reached");
    const deleting = deletion(memory, ids);
    await Promise.race([reached, deleting]);
    const left = async () => {
      const after = createMemoryStorage(
        createMemoryDialect(shareConnection(options).share(), options, false),
        resolveMemoryOptions(),
      );
      return await after.countItems({ owner: "o" }).finally(() => after.close());
    };
    return { memory, deleting, open: () => gate.dispatchEvent(new Event("open")), left };
  }

  it("is done before the memory is closed", async () => {
    const { memory, deleting, open, left } = await held();
    const closing = memory.close();
    open();
    await Promise.all([deleting, closing]);
    expect(await left()).toBe(0);
  });

  it("is ended where it takes longer than it may take to close", async () => {
    const { memory, deleting, left } = await held();
    const refused = failure(deleting);
    await memory.close({ timeoutMs: 0 });
    expect(await refused).toMatchObject({
      code: "CLOSED",
      message: expect.stringContaining(`${name.replace(" by a filter", "")}: the storage was closed`),
    });
    expect(await left()).toBe(501);
  });
});
