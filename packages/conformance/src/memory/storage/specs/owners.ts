import { beforeAll, describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { TEST_ALL } from "../../../storage/scale.ts";
import { TEXTS } from "../../rows.ts";
import { addOne, COLLECTION, countsOf, itemOf, newOwner, type StorageBench, textsOf } from "../bench.ts";
import { newId } from "../ids.ts";

/** Names that an engine may take for one another, or for a pattern. */
const LIKE_USERS: readonly string[] = [
  ...["user:1", "user:10", "user:1 ", " user:1", "user:1\t", "user:%", "user:_", "user%", "User:1", "USER:1", "usér:1"],
  ...["use\u0301r:1", "user：1", "user:１", "us\u0435r:1", "user\u200b:1", "user:1'", "user:1''", "user:1\\"],
  ...[
    'user:1"',
    "user:1;--",
    "u",
    "us",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "🙂",
    "👩‍💻",
    "straße",
    "strasse",
  ],
  ...["x".repeat(255), `${"x".repeat(254)}y`, `${"x".repeat(254)} `, "é".repeat(127), `${"é".repeat(127)}x`],
];

const NAMES: readonly string[] = [...new Set([...LIKE_USERS, ...TEXTS.filter((text) => text !== "")])];

export function describeOwners(bench: StorageBench): void {
  describe("another owner", () => {
    const id = newId();

    beforeAll(async () => {
      for (const owner of NAMES) await bench.storage.createThread({ owner, id: "t", title: owner });
      const items = NAMES.flatMap((owner) => [
        itemOf(owner, `secret of ${owner}`, {
          id,
          key: "k",
          threadId: "t",
          dedup: true,
          embedding: [1, 0],
          value: owner,
        }),
        itemOf(owner, "shared words", { dedup: true, metadata: { owner } }),
      ]);
      await bench.storage.addItems(items);
    });

    it("has the same ids, keys and texts, and is not there", async () => {
      const { storage } = bench;
      for (const owner of NAMES) {
        const search = { owner, collections: [COLLECTION], text: "secret shared", vector: [1, 0], limit: 1_000 };
        const hits = await storage.search(search);
        expect(hits.map(({ item }) => [item.owner, item.text]).sort(), owner).toEqual([
          [owner, `secret of ${owner}`],
          [owner, "shared words"],
        ]);
        expect(await storage.getItem(owner, id), owner).toMatchObject({ owner, value: owner });
        expect(await storage.countItems({ owner }), owner).toBe(2);
      }
    });

    it.each(TEST_ALL ? NAMES : LIKE_USERS)("is not there, whatever the bytes of the names: %j", async (owner) => {
      const { storage } = bench;
      const collections = [COLLECTION];
      const [found, ...others] = await storage.search({
        owner,
        collections,
        text: "secret of",
        vector: [1, 0],
        limit: 1_000,
      });
      expect(found?.item).toMatchObject({ owner, id, value: owner, text: `secret of ${owner}` });
      expect(others).toEqual([]);
      expect(
        await storage.search({ owner, collections, text: "shared words", vector: null, limit: 1_000 }),
      ).toHaveLength(1);
      expect(await storage.search({ owner, collections, vector: [1, 0], exact: true, limit: 1_000 })).toHaveLength(1);
      expect(await storage.getItem(owner, id)).toMatchObject({ owner, value: owner });
      expect(await countsOf(storage, owner)).toEqual({
        items: 2,
        collections: [{ owner, collection: COLLECTION, language: "none", dimensions: 2, items: 2 }],
        threads: [["t", 1]],
      });
      expect(await storage.getThread(owner, "t")).toMatchObject({ owner, title: owner });
      expect((await storage.listItems({ owner, key: "k" })).map((item) => item.value)).toEqual([owner]);
      expect(await storage.countItems({ owner, metadata: { owner } })).toBe(1);
      const error = await refusal(storage.updateItem(owner, newId(), { text: "x" }), "NOT_FOUND");
      expect(error.message).not.toContain("secret of");
    });

    it("loses nothing when one changes, deletes and forgets what it has", async () => {
      const { storage } = bench;
      const [changed, emptied, forgotten, ...others] = NAMES as [string, string, string, ...string[]];
      await storage.updateItem(changed, id, { text: "changed", embedding: [0, 1] });
      await storage.updateThread(changed, "t", { title: "changed" });
      expect(await storage.deleteItems(emptied, [id])).toBe(1);
      expect(await storage.deleteThread(emptied, "t")).toBe(true);
      expect(await storage.deleteItemsWhere({ owner: emptied })).toBe(1);
      expect(await storage.forgetOwner(forgotten)).toEqual({ threads: 1, items: 2 });
      for (const owner of others) {
        expect(await storage.getThread(owner, "t")).toMatchObject({ title: owner, items: 1 });
        expect(
          await storage.search({ owner, collections: [COLLECTION], text: "secret shared", vector: [1, 0] }),
        ).toHaveLength(2);
      }
      for (const owner of others.slice(-8)) {
        expect(await storage.deleteCollection(owner, COLLECTION)).toBe(true);
        expect(await storage.forgetOwner(owner)).toEqual({ threads: 1, items: 0 });
      }
      expect(await countsOf(storage, changed)).toMatchObject({ items: 2, threads: [["t", 1]] });
      expect(await storage.forgetOwner(changed)).toEqual({ threads: 1, items: 2 });
    });

    it("does not change scores: they are of the owner's own items", async () => {
      const [one, two] = [newOwner(), newOwner()];
      const add = async (owner: string) =>
        await bench.storage.addItems(["a b", "b c", "c"].map((text) => itemOf(owner, text)));
      await add(one);
      const search = { owner: one, collections: [COLLECTION], text: "a c" };
      const before = await bench.storage.search(search);
      await add(two);
      await bench.storage.addItems(Array.from({ length: 50 }, () => itemOf(two, "a a c c")));
      expect(await bench.storage.search(search)).toEqual(before);
    });
  });

  describe("collections, keys and threads", () => {
    it("are different by every byte of their names, within one owner", async () => {
      const owner = newOwner();
      const { storage } = bench;
      await storage.addItems(NAMES.map((name) => itemOf(owner, `word ${name}`, { collection: name, value: name })));
      await storage.addItems(
        NAMES.map((name) => itemOf(owner, "", { key: name, role: name.slice(0, 20), value: name })),
      );
      for (const name of NAMES) await storage.createThread({ owner, id: name, kind: name.slice(0, 20), title: name });
      const collections = await storage.listCollections({ owner, limit: 1_000 });
      const sorted = [COLLECTION, ...NAMES].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
      expect(collections.map(({ collection }) => collection)).toEqual(sorted);
      const seen: string[] = [];
      for (let after: string | undefined; ; ) {
        const page = await storage.listCollections({ owner, after, limit: 20 });
        seen.push(...page.map(({ collection }) => collection));
        after = page.at(-1)?.collection;
        if (after === undefined) break;
      }
      expect(seen).toEqual(sorted);
      for (const name of NAMES) {
        const hits = await storage.search({ owner, collections: [name], text: "word" });
        expect(hits.map(({ item }) => item.value)).toEqual([name]);
        expect(
          (await storage.listItems({ owner, collection: COLLECTION, key: name })).map(({ value }) => value),
        ).toEqual([name]);
        expect(await storage.getThread(owner, name)).toMatchObject({ title: name });
        expect(await storage.getCollection(owner, name)).toMatchObject({ collection: name, items: 1 });
      }
      const roles = new Set(NAMES.map((name) => name.slice(0, 20)));
      for (const role of roles) {
        const count = NAMES.filter((name) => name.slice(0, 20) === role).length;
        expect(await storage.countItems({ owner, role })).toBe(count);
        expect(await storage.listThreads({ owner, kind: role, limit: 1_000 })).toHaveLength(count);
      }
    });

    it.skipIf(bench.dropsByteOrderMarks)(
      "that begin with a byte order mark are others than those without",
      async () => {
        const owner = newOwner();
        const names = ["\ufeffa", "a"];
        await bench.storage.addItems(
          names.map((name) => itemOf(owner, "x", { collection: name, key: name, value: name })),
        );
        for (const name of names) {
          const items = await bench.storage.listItems({ owner, collection: name });
          expect(items.map(({ collection, key, value }) => [collection, key, value])).toEqual([[name, name, name]]);
        }
      },
    );

    it("of up to the documented bytes are kept", async () => {
      const owner = newOwner();
      const [long, longer] = ["é".repeat(512), `${"é".repeat(512)}x`];
      const item = itemOf(owner, "x", { collection: long, key: long, role: "r".repeat(64) });
      expect(await addOne(bench.storage, item)).toMatchObject({ collection: long, key: long });
      expect(textsOf(await bench.storage.search({ owner, collections: [long], text: "x" }))).toEqual(["x"]);
      await refusal(bench.storage.addItems([{ ...item, collection: longer }]), "INVALID_ARGUMENT");
      await refusal(bench.storage.addItems([{ ...item, key: longer }]), "INVALID_ARGUMENT");
      await refusal(bench.storage.addItems([{ ...item, owner: "é".repeat(128) }]), "INVALID_ARGUMENT");
    });
  });
}
