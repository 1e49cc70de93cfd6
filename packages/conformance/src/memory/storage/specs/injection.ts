import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { HOSTILE_TEXTS } from "../../../storage/hostile-texts.ts";
import { TEST_ALL } from "../../../storage/scale.ts";
import { countsOf, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { newEmbedder } from "../embedders.ts";

const TEXTS = [
  ...HOSTILE_TEXTS,
  "'; DROP TABLE agent_memory_items; --",
  "'; DELETE FROM agent_memory_spaces; --",
  "x' AND space IN (SELECT number FROM agent_memory_spaces) --",
  "'::vector",
  "[1,2]'::vector <-> '[1,2]",
  "') AS BINARY) OR ('",
  "a\nb\r\n",
  '\n"a":1\n',
  '","b":"',
  "x MATCH 'y'",
];

export function describeInjectionIntoMemory(bench: StorageBench): void {
  describe("hostile text", () => {
    it("is plain text in every argument, filter and label", async () => {
      const { storage } = bench;
      const bystander = newOwner();
      await storage.createThread({ owner: bystander, id: "t" });
      await storage.addItems([itemOf(bystander, "kept", { threadId: "t", embedding: [1] })]);
      const before = await countsOf(storage, bystander);
      for (const [at, text] of TEXTS.entries()) {
        const owner = `${newOwner()}${text}`;
        const word = `word${at}`;
        const metadata = { [text]: text, n: at };
        const embedder = { ...newEmbedder(text, 3), model: text };
        const thread = await storage.createThread({ owner, id: text, kind: text, title: text, metadata });
        const members = { collection: text, threadId: text, role: text, key: text, metadata, value: { [text]: text } };
        const items = [
          itemOf(owner, `${text} ${word}`, { ...members, embedding: [1, at, 1] }),
          itemOf(owner, `other ${word}`, { collection: text, embedding: [1, 1, at] }),
        ];
        const [added] = await storage.addItems(items, { model: text });
        expect(added, text).toMatchObject({ ...members, owner, text: `${text} ${word}` });
        // One text of several is tried with each filter by itself, and with all methods.
        const isThorough = TEST_ALL || at % 6 === 0;
        const each = [{ threadId: text }, { role: text }, { key: text }, { metadata: { [text]: text } }];
        const filters = isThorough ? [...each, members] : [members];
        for (const { threadId, role, key, metadata: labels } of filters as Partial<typeof members>[]) {
          const filter = {
            ...(threadId !== undefined && { threadId }),
            ...(role !== undefined && { role }),
            ...(key !== undefined && { key }),
            ...(labels !== undefined && { metadata: labels }),
          };
          expect(await storage.listItems({ owner, collection: text, ...filter }), text).toStrictEqual([added]);
          expect(await storage.countItems({ owner: bystander, ...filter })).toBe(0);
          expect(await storage.deleteItemsWhere({ owner: bystander, ...filter })).toBe(0);
          const hits = await storage.search({
            owner,
            collections: [text],
            text: `${text} ${word}`,
            vector: [1, at, 1],
            model: text,
            filter,
            around: 1,
          });
          expect(
            hits.map(({ item }) => item),
            text,
          ).toStrictEqual([added]);
          expect(await storage.search({ owner: bystander, collections: [text], text, filter })).toEqual([]);
        }
        if (!isThorough) continue;
        const listed = await storage.listThreads({ owner, kind: text, metadata: { [text]: text } });
        expect(listed).toMatchObject([{ id: text, title: text, items: 1, revision: thread.revision }]);
        await refusal(storage.updateThread(owner, text, { title: text }, { ifRevision: text }), "CONFLICT");
        await refusal(storage.updateItem(owner, added?.id as string, {}, { ifRevision: text }), "CONFLICT");
        expect(await storage.getItem(owner, text)).toBeNull();
        expect(await storage.deleteItems(owner, [text])).toBe(0);
        expect(await storage.getCollection(owner, text)).toMatchObject({ collection: text, items: 2, model: text });
        expect(await storage.listCollections({ owner, after: text })).toEqual([]);
        const change = { text, role: text, metadata: { [text]: null } };
        expect(await storage.updateItem(owner, added?.id as string, change)).toMatchObject(change);
        await storage.reembed({ owner, collection: text, embedder });
        expect(await storage.prune({ owner, collection: text, keepLast: 1 })).toMatchObject({ removed: 1 });
        expect(await storage.deleteThread(owner, text)).toBe(true);
        expect(await storage.deleteCollection(owner, text)).toBe(true);
        expect(await storage.forgetOwner(owner)).toEqual({ threads: 0, items: 0 });
      }
      expect(await countsOf(storage, bystander)).toEqual(before);
    });
  });
}
