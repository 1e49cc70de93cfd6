import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addAll, COLLECTION, countsOf, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";

export function describeRetention(bench: StorageBench): void {
  const textsLeft = async (owner: string) =>
    (await bench.storage.listItems({ owner, limit: 1_000 })).map(({ text }) => text);

  describe("prune", () => {
    const hour = 3_600_000;
    const add = async (owner: string) => {
      const now = Date.now();
      await bench.storage.createThread({ owner, id: "t" });
      await bench.storage.addItems([
        itemOf(owner, "old", { createdAt: now - 5 * hour, threadId: "t" }),
        itemOf(owner, "dull", { importance: 0.1 }),
        itemOf(owner, "expired", { expiresAt: now - 1, embedding: [1] }),
        itemOf(owner, "fine", { importance: 0.9, expiresAt: now + 24 * hour, threadId: "t" }),
        itemOf(owner, "elsewhere", { collection: "b", createdAt: now - 5 * hour, importance: 0.1 }),
      ]);
    };

    it.each([
      ["expired items", { expired: true }, 1, ["old", "dull", "fine", "elsewhere"]],
      ["old items", { olderThanMs: 2 * hour }, 2, ["dull", "fine"]],
      [
        "old items of a collection",
        { olderThanMs: 2 * hour, collection: COLLECTION },
        1,
        ["dull", "fine", "elsewhere"],
      ],
      ["items of little importance", { minImportance: 0.5 }, 2, ["old", "fine"]],
      ["all but the newest of each collection", { keepLast: 1 }, 3, ["fine", "elsewhere"]],
      ["all items", { keepLast: 0 }, 5, []],
      ["nothing where all are kept", { keepLast: 10, minImportance: 0, olderThanMs: 10 * hour }, 0, null],
    ] as const)("removes %s, and counts them before", async (_, rules, removed, left) => {
      const owner = newOwner();
      const bystander = newOwner();
      await add(owner);
      await add(bystander);
      const before = await countsOf(bench.storage, owner);
      expect(await bench.storage.prune({ owner, ...rules, dryRun: true })).toMatchObject({ removed });
      expect(await countsOf(bench.storage, owner)).toEqual(before);
      expect(await bench.storage.prune({ owner, ...rules })).toMatchObject({ removed });
      expect(await bench.storage.prune({ owner, ...rules })).toMatchObject({ removed: 0 });
      expect(await textsLeft(owner)).toEqual(left ?? ["old", "dull", "fine", "elsewhere"]);
      const collections = await bench.storage.listCollections({ owner });
      expect(collections.reduce((sum, { items }) => sum + items, 0)).toBe(5 - removed);
      const { items } = (await bench.storage.getThread(owner, "t")) ?? {};
      expect(items).toBe(await bench.storage.countItems({ owner, threadId: "t" }));
      expect(await countsOf(bench.storage, bystander)).toMatchObject({ items: 4, threads: [["t", 2]] });
    });

    it("counts an item once, for the first rule that names it", async () => {
      const owner = newOwner();
      await add(owner);
      const rules = { expired: true, minImportance: 0.2, olderThanMs: 2 * hour, keepLast: 0 };
      const result = { removed: 5, byRule: { expired: 1, minImportance: 2, olderThanMs: 1, keepLast: 1 } };
      expect(await bench.storage.prune({ owner, ...rules, dryRun: true })).toEqual(result);
      expect(await bench.storage.prune({ owner, ...rules })).toEqual(result);
      const nothing = { removed: 0, byRule: { expired: 0, keepLast: 0 } };
      expect(await bench.storage.prune({ owner, expired: true, keepLast: 0 })).toEqual(nothing);
    });

    it.each([
      ["expired ones", { expiresAt: 1 }, {}],
      ["those that another rule names", { importance: 0.1 }, { minImportance: 0.2 }],
    ] as const)("keeps the newest items, and does not count %s", async (_, others, rules) => {
      const owner = newOwner();
      const added = ["old", "other", "one", "other", "two", "other", "other"];
      await addAll(
        bench.storage,
        added.map((text) => itemOf(owner, text, text === "other" ? others : {})),
      );
      await bench.storage.prune({ owner, ...rules, keepLast: 2 });
      expect(await textsLeft(owner)).toEqual(["one", "two"]);
      expect(await bench.storage.prune({ owner, ...rules, keepLast: 2 })).toMatchObject({ removed: 0 });
    });

    it("removes expired items of all owners, more than one commit has", async () => {
      const owners = [newOwner(), newOwner()];
      for (const owner of owners) {
        await addAll(bench.storage, [
          ...Array.from({ length: 300 }, () => itemOf(owner, "expired", { expiresAt: 1 })),
          itemOf(owner, "fine", { expiresAt: Date.now() + hour }),
        ]);
      }
      const { removed } = await bench.storage.prune({ expired: true });
      expect(removed).toBeGreaterThanOrEqual(600);
      expect(await bench.storage.prune({ expired: true })).toMatchObject({ removed: 0 });
      for (const owner of owners)
        expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 1 });
    });

    it("needs a rule, and an owner for all but expired items", async () => {
      const owner = newOwner();
      for (const policy of [
        {},
        { owner },
        { expired: false },
        { keepLast: 1 },
        { minImportance: 0.5 },
        { olderThanMs: 1 },
        { expired: true, keepLast: 1 },
        { expired: true, collection: COLLECTION },
        { owner, expired: true, dryRun: true, keepLast: undefined },
        { owner: undefined, expired: true },
        { owner, keepLast: -1 },
        { owner, minImportance: 2 },
        { owner, keeplast: 1 },
      ]) {
        await refusal(bench.storage.prune(policy as object), "INVALID_ARGUMENT");
      }
    });
  });

  describe("forgetting an owner", () => {
    it("deletes all that it has, in several commits, and nothing of others", async () => {
      const [owner, bystander] = [newOwner(), newOwner()];
      for (const one of [owner, bystander]) {
        for (let at = 0; at < 3; at++) await bench.storage.createThread({ owner: one, id: `t${at}` });
        await addAll(
          bench.storage,
          Array.from({ length: one === owner ? 1_200 : 10 }, (_, at) =>
            itemOf(one, `word${at % 7} words`, {
              collection: at % 4 === 0 ? "b" : COLLECTION,
              key: `${at}`,
              ...(at % 5 === 0 && { embedding: [1, at] }),
              ...(at % 3 === 0 && { threadId: `t${at % 2}` }),
            }),
          ),
        );
      }
      const before = await countsOf(bench.storage, bystander);
      expect(await bench.storage.forgetOwner(owner)).toEqual({ threads: 3, items: 1_200 });
      expect(await bench.storage.forgetOwner(owner)).toEqual({ threads: 0, items: 0 });
      expect(await countsOf(bench.storage, owner)).toEqual({ items: 0, collections: [], threads: [] });
      expect(await findTexts(bench.open(), owner, "words word1")).toEqual([]);
      expect(await countsOf(bench.storage, bystander)).toEqual(before);
      await bench.storage.addItems([itemOf(owner, "anew", { key: "1", embedding: [1, 2, 3] })]);
      expect(await findTexts(bench.storage, owner, "words anew")).toEqual(["anew"]);
    });

    it("goes on after it was interrupted, and meanwhile nothing is found", async () => {
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "t" });
      await addAll(
        bench.storage,
        Array.from({ length: 2_000 }, () => itemOf(owner, "word", { threadId: "t" })),
      );
      const controller = new AbortController();
      const forgetting = bench.open().forgetOwner(owner, { signal: controller.signal });
      const watching = (async () => {
        while ((await bench.storage.countItems({ owner })) > 0);
        controller.abort();
      })();
      const [outcome] = await Promise.allSettled([forgetting, watching]);
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "ABORTED" });
      expect(await findTexts(bench.storage, owner, "word")).toEqual([]);
      expect(await bench.storage.listCollections({ owner })).toEqual([]);
      await bench.storage.addItems([itemOf(owner, "new", { collection: "later" })]);
      const { items, threads } = await bench.open().forgetOwner(owner);
      expect(items).toBeGreaterThanOrEqual(1);
      expect(threads).toBe(outcome.status === "rejected" ? 1 : 0);
      expect(await countsOf(bench.storage, owner)).toEqual({ items: 0, collections: [], threads: [] });
    });
  });
}
