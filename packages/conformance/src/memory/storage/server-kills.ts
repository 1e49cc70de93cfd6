import type { Embedder, Item, MemoryStorage } from "@waymark/core/memory";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OwnServer } from "../../server/target.ts";

/** A memory on a server that the suite may kill. */
export interface MemoryServerTarget {
  /** For the test report. */
  readonly name: string;
  /** Starts a server that nobody else uses. */
  startServer(): Promise<OwnServer>;
  /** Makes an empty database on it, and returns its URL. It goes with the server. */
  createDatabase(serverUrl: string): Promise<string>;
  /** Opens a memory, which the suite closes. It need not wait for the server: calls that fail are repeated. */
  open(url: string): MemoryStorage;
}

const ROUNDS = 3;
const WRITERS = 3;
/** Adding calls of each writer that are acknowledged before the server is killed. */
const ACKNOWLEDGED = 8;
const BATCH = 5;
const TIMEOUT_MS = 300_000;

const owner = "owner";
const [notes, changing] = ["notes", "changing"];

/** Texts are numbered words, and vectors are made of the number: so each finds its own item first. */
function vectorOf(number: number, dimensions: number): number[] {
  return Array.from({ length: dimensions }, (_, at) => Math.sin((number + 1) * (at + 1)));
}

const embedderOf = (model: string, dimensions: number): Embedder => ({
  model,
  dimensions,
  embed: async (texts) => texts.map((text) => vectorOf(Number(text.slice(1)), dimensions)),
});

/** Registers the suite with vitest: a server that is killed while items are added, re-embedded and forgotten. */
export function describeMemoryServerKills(target: MemoryServerTarget): void {
  describe(`${target.name}: a memory whose server is killed`, { timeout: TIMEOUT_MS }, () => {
    let server: OwnServer;
    let url: string;
    beforeAll(async () => {
      server = await target.startServer();
      url = await target.createDatabase(server.url);
    }, TIMEOUT_MS);
    afterAll(() => server?.stop(), TIMEOUT_MS);

    it("has what it has acknowledged, whole, and nothing by halves", async () => {
      const acknowledged = new Map<string, string>();
      let next = 0;
      for (let round = 0; round < ROUNDS; round++) {
        await whileKilled(ACKNOWLEDGED + round, async (memory, isOver, done) => {
          while (!isOver()) {
            const numbers = Array.from({ length: BATCH }, () => next++);
            const items = numbers.map((number) => ({
              ...{ owner, collection: notes, text: `w${number}`, embedding: vectorOf(number, 8) },
            }));
            for (const { id, text } of await memory.addItems(items)) acknowledged.set(id, text);
            done();
          }
        });
        await using memory = target.open(url);
        const stored = await allItems(memory, notes);
        expect(await memory.getCollection(owner, notes)).toMatchObject({ items: stored.length });
        const ids = new Set(stored.map(({ id }) => id));
        expect([...acknowledged.keys()].filter((id) => !ids.has(id))).toEqual([]);
        expect(stored.length % BATCH).toBe(0); // of a call all, or none
        for (const item of stored.slice(-60)) {
          const number = Number(item.text.slice(1));
          const byText = await memory.search({ owner, collections: [notes], text: item.text });
          expect(byText.map((hit) => hit.item.id)).toEqual([item.id]);
          const vector = vectorOf(number, 8);
          const [nearest] = await memory.search({ owner, collections: [notes], vector, exact: true, limit: 1 });
          expect(nearest?.item.id).toBe(item.id);
        }
      }
    });

    it("goes on re-embedding where it was; until then searches find by the vectors that were there", async () => {
      const old = embedderOf("old", 8);
      const count = 120;
      await retried(async (memory) => {
        const items = Array.from({ length: count }, (_, number) => ({
          ...{ owner, collection: changing, text: `w${number}`, key: `k${number}`, embedding: vectorOf(number, 8) },
        }));
        await memory.addItems(items, { model: old.model });
      });
      const embedder = embedderOf("new", 12);
      for (let round = 0; round < ROUNDS; round++) {
        await whileKilled(ACKNOWLEDGED + round, async (memory, _, done) => {
          await memory.reembed({ owner, collection: changing, embedder, batchSize: 4, onProgress: done });
        });
        await using memory = target.open(url);
        const { model, dimensions } = (await memory.getCollection(owner, changing)) ?? {};
        const vector = vectorOf(7, dimensions as number);
        const search = { owner, collections: [changing], vector, model: model as string, exact: true, limit: 1 };
        expect((await memory.search(search)).map(({ item }) => item.text)).toEqual(["w7"]);
      }
      await retried(async (memory) => void (await memory.reembed({ owner, collection: changing, embedder })));
      await using memory = target.open(url);
      expect(await memory.getCollection(owner, changing)).toMatchObject({ model: "new", dimensions: 12, items: count });
      for (const number of [0, 7, count - 1]) {
        const search = { owner, collections: [changing], vector: vectorOf(number, 12), exact: true, limit: 1 };
        expect((await memory.search(search)).map(({ item }) => item.text)).toEqual([`w${number}`]);
      }
    });

    it("finds nothing of an owner from the first commit on that forgets, and removes all in the end", async () => {
      for (let round = 0; round < ROUNDS; round++) {
        await retried(async (memory) => {
          const items = Array.from({ length: 900 }, (_, number) => ({
            ...{ owner: "forgotten", collection: `c${number % 3}`, text: `w${number}`, key: `k${number}` },
          }));
          await memory.addItems(items);
        });
        await whileKilled(1, async (memory, _, done) => {
          done();
          await memory.forgetOwner("forgotten");
        });
        await retried(async (memory) => void (await memory.forgetOwner("forgotten")));
        await using memory = target.open(url);
        expect(await memory.listCollections({ owner: "forgotten" })).toEqual([]);
        expect(await memory.countItems({ owner: "forgotten" })).toBe(0);
      }
    });

    /** Runs writers, kills the server after so many of their calls, and starts it again. Calls that were under way may fail. */
    async function whileKilled(
      due: number,
      write: (memory: MemoryStorage, isOver: () => boolean, done: () => void) => Promise<void>,
    ): Promise<void> {
      let calls = 0;
      let kill = () => {};
      const isDue = new Promise<void>((resolve) => {
        kill = resolve;
      });
      let isOver = false;
      const memories = Array.from({ length: WRITERS }, () => target.open(url));
      const writers = memories.map((memory) =>
        write(
          memory,
          () => isOver,
          () => {
            calls += 1;
            if (calls >= due) kill();
          },
        ).catch(() => {}),
      );
      await Promise.race([isDue, Promise.all(writers)]);
      await server.kill();
      isOver = true;
      await server.start();
      await Promise.all(writers);
      await Promise.allSettled(memories.map((memory) => memory.close()));
    }

    /** Repeats work until the server, which may just have come back, has done it. */
    async function retried(work: (memory: MemoryStorage) => Promise<void>): Promise<void> {
      await using memory = target.open(url);
      await work(memory);
    }

    async function allItems(memory: MemoryStorage, collection: string): Promise<Item[]> {
      const all: Item[] = [];
      for (let after: number | undefined; ; ) {
        const page = await memory.listItems({ owner, collection, after, limit: 1_000 });
        all.push(...page);
        after = page.at(-1)?.position;
        if (page.length < 1_000) return all;
      }
    }
  });
}
