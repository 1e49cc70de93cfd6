import type { Thread } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addAll, addOne, COLLECTION, countsOf, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";

export function describeThreads(bench: StorageBench): void {
  describe("a thread", () => {
    it("comes back as it was created, with the documented defaults", async () => {
      const owner = newOwner();
      const given = { owner, id: "t", kind: "document", title: "Titel ’✓", metadata: { a: 1 }, createdAt: 5 };
      const thread = await bench.storage.createThread(given);
      const times = { updatedAt: expect.any(Number), revision: expect.any(String) };
      expect(thread).toStrictEqual({ ...given, items: 0, ...times });
      expect(await bench.open().getThread(owner, "t")).toStrictEqual(thread);
      const plain = await bench.storage.createThread({ owner });
      expect(Object.keys(plain).sort()).toEqual(
        ["createdAt", "id", "items", "kind", "owner", "revision", "updatedAt"].sort(),
      );
      expect(plain.kind).toBe("conversation");
      expect(await bench.storage.getThread(owner, "absent")).toBeNull();
    });

    it("whose id is taken by another one is refused; one of several racers creates it", async () => {
      const owner = newOwner();
      const outcomes = await Promise.allSettled(
        bench.openAll(5).map((storage, at) => storage.createThread({ owner, id: "t", title: `${at}` })),
      );
      const created = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
      expect(created).toEqual([await bench.storage.getThread(owner, "t")]);
      for (const outcome of outcomes)
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "CONFLICT" });
      await refusal(bench.storage.createThread({ owner, id: "t" }), "CONFLICT");
      await bench.storage.createThread({ owner: newOwner(), id: "t" });
    });

    it("is one with the same id and content, however often it is created", async () => {
      const owner = newOwner();
      const given = { owner, id: "t", kind: "document", title: "a", metadata: { x: 1 } };
      const created = await Promise.all(bench.openAll(4).map((storage) => storage.createThread(given)));
      for (const thread of created) expect(thread).toStrictEqual(created[0]);
      await addOne(bench.storage, itemOf(owner, "words", { threadId: "t" }));
      const again = await bench.storage.createThread({ ...given, createdAt: created[0]?.createdAt });
      expect(again).toStrictEqual(await bench.storage.getThread(owner, "t"));
      expect(again.items).toBe(1);
      for (const change of [{ kind: "x" }, { title: "b" }, { title: undefined }, { metadata: {} }, { createdAt: 1 }]) {
        await refusal(bench.storage.createThread({ ...given, ...change }), "CONFLICT");
      }
    });

    it("is changed by what is given, and only at the revision that was asked for", async () => {
      const owner = newOwner();
      const { id, revision, ...created } = await bench.storage.createThread({ owner, title: "a", metadata: { x: 1 } });
      const titled = await bench.storage.updateThread(owner, id, { title: "b" }, { ifRevision: revision });
      expect(titled).toMatchObject({ title: "b", metadata: { x: 1 } });
      expect(titled.updatedAt).toBeGreaterThanOrEqual(created.updatedAt);
      await refusal(bench.storage.updateThread(owner, id, { title: "c" }, { ifRevision: revision }), "CONFLICT");
      const bare = await bench.storage.updateThread(owner, id, { title: null, metadata: null });
      expect(bare).not.toHaveProperty("title");
      expect(bare).not.toHaveProperty("metadata");
      expect(await bench.storage.getThread(owner, id)).toStrictEqual(bare);
      await refusal(bench.storage.updateThread(owner, "absent", {}), "NOT_FOUND");
      await refusal(bench.storage.updateThread(newOwner(), id, {}), "NOT_FOUND");
      const outcomes = await Promise.allSettled(
        bench
          .openAll(5)
          .map((storage, at) => storage.updateThread(owner, id, { title: `${at}` }, { ifRevision: bare.revision })),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    });

    it("counts its items, of all collections, and is updated by them, though its revision stays", async () => {
      const owner = newOwner();
      const thread = await bench.storage.createThread({ owner });
      const threadId = thread.id;
      const [one] = await bench.storage.addItems([
        itemOf(owner, "one", { threadId }),
        itemOf(owner, "two", { threadId, collection: "other" }),
        itemOf(owner, "elsewhere"),
      ]);
      const counted = (await bench.storage.getThread(owner, threadId)) as Thread;
      expect(counted).toMatchObject({ items: 2, revision: thread.revision });
      await bench.storage.updateItem(owner, one?.id as string, { text: "uno" });
      expect(await bench.storage.getThread(owner, threadId)).toMatchObject({ items: 2 });
      await bench.storage.updateThread(owner, threadId, { title: "t" }, { ifRevision: thread.revision });
      await bench.storage.deleteItems(owner, [one?.id as string]);
      expect(await bench.storage.getThread(owner, threadId)).toMatchObject({ items: 1 });
      expect(await bench.storage.deleteItemsWhere({ owner, threadId })).toBe(1);
      expect(await bench.storage.getThread(owner, threadId)).toMatchObject({ items: 0 });
      expect(await bench.storage.countItems({ owner })).toBe(1);
    });

    it("is deleted with its items, more than one commit has, and its id may be used again", async () => {
      const owner = newOwner();
      for (const id of ["t", "other"]) await bench.storage.createThread({ owner, id });
      await addAll(bench.storage, [
        ...Array.from({ length: 1_050 }, (_, at) =>
          itemOf(owner, "inside", { threadId: "t", collection: at % 3 === 0 ? "b" : COLLECTION }),
        ),
        itemOf(owner, "outside", { threadId: "other" }),
        itemOf(owner, "free"),
      ]);
      expect(await bench.storage.getThread(owner, "t")).toMatchObject({ items: 1_050 });
      expect(await bench.storage.deleteThread(owner, "t", { ifEmpty: true })).toBe(false);
      expect(await bench.storage.deleteThread(owner, "t")).toBe(true);
      expect(await bench.storage.deleteThread(owner, "t")).toBe(false);
      expect(await findTexts(bench.storage, owner, "inside")).toEqual([]);
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 2, threads: [["other", 1]] });
      await bench.storage.createThread({ owner, id: "t" });
      expect(await bench.storage.listItems({ owner, threadId: "t" })).toEqual([]);
      expect(await bench.storage.deleteThread(owner, "t", { ifEmpty: true })).toBe(true);
      expect(await bench.storage.deleteThread(owner, "t", { ifEmpty: true })).toBe(false);
      expect(await bench.storage.deleteThread(newOwner(), "t")).toBe(false);
    });

    it("that is deleted while items are added leaves none of them", async () => {
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "t" });
      const adders = bench.openAll(3).map(async (storage, adder) => {
        for (let at = 0; at < 40; at++) {
          const adding = storage.addItems([itemOf(owner, `late ${adder} ${at}`, { threadId: "t" })]);
          const error = await adding.then(
            () => null,
            (reason: unknown) => reason,
          );
          if (error === null) continue;
          expect(error).toMatchObject({ code: "NOT_FOUND" });
          return;
        }
      });
      const deleting = (async () => {
        while ((await bench.storage.countItems({ owner })) < 5);
        return await bench.open().deleteThread(owner, "t");
      })();
      const [deleted] = await Promise.all([deleting, ...adders]);
      expect(deleted).toBe(true);
      expect(await bench.storage.getThread(owner, "t")).toBeNull();
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 0, threads: [] });
      expect(await findTexts(bench.storage, owner, "late")).toEqual([]);
    });
  });

  describe("a list of threads", () => {
    it("has the last updated one first, in pages, also where times are equal", async () => {
      const owner = newOwner();
      const ids = Array.from({ length: 30 }, (_, at) => `thread ${at % 2 === 0 ? "é" : "e"} ${at}`);
      const threads = await Promise.all(ids.map((id) => bench.storage.createThread({ owner, id })));
      const expected = [...threads].sort(
        (one, other) => other.updatedAt - one.updatedAt || Buffer.compare(Buffer.from(other.id), Buffer.from(one.id)),
      );
      expect(await bench.storage.listThreads({ owner })).toEqual(expected);
      const seen: Thread[] = [];
      for (let before: Thread | undefined; ; ) {
        const page: Thread[] = await bench.storage.listThreads({ owner, limit: 7, before });
        seen.push(...page);
        before = page.at(-1);
        if (before === undefined) break;
      }
      expect(seen).toEqual(expected);
      const last = expected.at(-1) as Thread;
      await addOne(bench.storage, itemOf(owner, "news", { threadId: last.id }));
      const [first] = await bench.storage.listThreads({ owner, limit: 1 });
      expect(first?.updatedAt).toBeGreaterThanOrEqual(last.updatedAt);
    });

    it("is narrowed by kind and by labels, exactly", async () => {
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "a", kind: "document", metadata: { n: 1, topic: "x" } });
      await bench.storage.createThread({ owner, id: "b", kind: "document", metadata: { n: "1", topic: "x" } });
      await bench.storage.createThread({ owner, id: "c", metadata: { n: 1 } });
      await bench.storage.createThread({ owner, id: "d", kind: "Document" });
      const list = async (filter: object) =>
        (await bench.storage.listThreads({ owner, ...filter })).map(({ id }) => id).sort();
      expect(await list({ kind: "document" })).toEqual(["a", "b"]);
      expect(await list({ metadata: { n: 1 } })).toEqual(["a", "c"]);
      expect(await list({ metadata: { topic: "x", n: "1" } })).toEqual(["b"]);
      expect(await list({ metadata: {} })).toEqual(["a", "b", "c", "d"]);
      expect(await list({ kind: "documen_" })).toEqual([]);
    });
  });
}
