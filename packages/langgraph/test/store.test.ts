import { InMemoryStore, InvalidNamespaceError, type Operation } from "@langchain/langgraph-checkpoint";
import type { CheckpointErrorCode } from "@waymark/core";
import { WaymarkStore, type WaymarkStoreOptions } from "@waymark/langgraph";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { memories, memoryOf, type TestMemory } from "./memories.ts";
import { DIMS, ScriptedEmbeddings } from "./scripted-embeddings.ts";

describe.each(memories)("a store on $name", (kind) => {
  let memory: TestMemory;
  let store: WaymarkStore;
  let embeddings: ScriptedEmbeddings;

  beforeEach(async () => {
    memory = await memoryOf(kind);
    embeddings = new ScriptedEmbeddings();
    store = open();
  });

  function open(options: Partial<WaymarkStoreOptions> = {}): WaymarkStore {
    return new WaymarkStore({ memory: memory.open(), index: { dims: DIMS, embeddings }, ...options });
  }

  const keysOf = (items: readonly { readonly key: string }[]) => items.map(({ key }) => key);
  const refused = (code: CheckpointErrorCode, message?: RegExp) => ({
    code,
    ...(message && { message: expect.stringMatching(message) }),
  });

  describe("get, put and delete", () => {
    it("returns what was put, in another process too", async () => {
      await store.put(["users", "1"], "tea", { likes: "green tea", cups: 3, since: { year: 2020 }, tags: ["a"] });
      expect(await open().get(["users", "1"], "tea")).toEqual({
        namespace: ["users", "1"],
        key: "tea",
        value: { likes: "green tea", cups: 3, since: { year: 2020 }, tags: ["a"] },
        createdAt: expect.any(Date),
        updatedAt: expect.any(Date),
      });
      expect(await store.get(["users", "1"], "coffee")).toBeNull();
      expect(await store.get(["users"], "tea")).toBeNull();
    });

    it("keeps createdAt, and changes updatedAt with each put, also one of the same value", async () => {
      await store.put(["a"], "k", { n: 1 });
      const first = await store.get(["a"], "k");
      await new Promise((resolve) => setImmediate(resolve));
      while (Date.now() <= (first?.updatedAt.getTime() as number)); // the next millisecond
      await store.put(["a"], "k", { n: 1 });
      const second = await store.get(["a"], "k");
      expect(second?.createdAt).toEqual(first?.createdAt);
      expect(second?.updatedAt.getTime()).toBeGreaterThan(first?.updatedAt.getTime() as number);
    });

    it("finds nothing of a deleted item, and nothing old of one whose key is used again", async () => {
      await store.put(["a"], "k", { text: "green tea" });
      await store.delete(["a"], "k");
      expect(await store.get(["a"], "k")).toBeNull();
      expect(await store.search(["a"], { query: "green tea" })).toEqual([]);
      await store.put(["a"], "k", { text: "coffee" }, false);
      expect(await store.get(["a"], "k")).toMatchObject({ value: { text: "coffee" } });
      expect(await store.search(["a"], { query: "green tea" })).toEqual([]);
      await store.put(["a"], "k", { text: "milk" });
      const [found] = await store.search(["a"], { query: "green tea" });
      expect(found?.value).toEqual({ text: "milk" });
      expect(found?.score).toBeLessThan(0.9);
      await store.delete(["a"], "never there");
    });

    it("keeps what JSON loses, and takes a copy when it is called", async () => {
      const value = { at: new Date(0), big: 12n, nothing: undefined, map: new Map([[1, new Set(["x"])]]), list: [1] };
      const put = store.put(["a"], "k", value);
      value.list.push(2);
      await put;
      expect((await store.get(["a"], "k"))?.value).toEqual({ ...value, list: [1] });
    });

    it("keeps members with the names of an object's own", async () => {
      const value = JSON.parse('{"__proto__": {"admin": true}, "constructor": "x", "toString": null}');
      await store.put(["a"], "k", value);
      expect(JSON.stringify((await store.get(["a"], "k"))?.value)).toBe(JSON.stringify(value));
      expect(keysOf(await store.search(["a"], { filter: { hasOwnProperty: { $exists: true } } }))).toEqual([]);
      expect(keysOf(await store.search(["a"], { filter: { constructor: "x", toString: null } }))).toEqual(["k"]);
    });

    it("refuses what cannot come back as it is, and stores nothing", async () => {
      const cycle: Record<string, unknown> = {};
      cycle["self"] = cycle;
      for (const value of [{ f: () => 1 }, { error: new (class Own {})() }, cycle]) {
        await expect(store.put(["a"], "k", value)).rejects.toMatchObject(refused("UNSUPPORTED_VALUE"));
      }
      for (const value of [undefined, "text", 1, ["list"]]) {
        await expect(store.put(["a"], "k", value as never)).rejects.toMatchObject(refused("INVALID_ARGUMENT"));
      }
      await expect(store.put(["a"], "", {})).rejects.toMatchObject(refused("INVALID_ARGUMENT", /\.key/));
      const many = Object.fromEntries(Array.from({ length: 1_201 }, (_, n) => [`m${n}`, n]));
      await expect(store.put(["a"], "k", many)).rejects.toMatchObject(refused("STATE_TOO_LARGE", /1200 members/));
      expect(await store.search([])).toEqual([]);
      await store.put(["a"], "k", { many });
      const { m0: _, ...most } = many;
      await store.put(["a"], "most", most);
      expect(keysOf(await store.search(["a"], { filter: { m1200: 1_200 } }))).toEqual(["most"]);
    });

    it("has one item after puts of the same key at the same time, and all of different keys", async () => {
      const stores = [store, open(), open()];
      await Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          (stores[n % 3] as WaymarkStore).put(["a"], "same", { n, text: `text ${n}` }),
        ),
      );
      await Promise.all(
        Array.from({ length: 30 }, (_, n) => (stores[n % 3] as WaymarkStore).put(["a"], `key ${n}`, { n })),
      );
      const items = await store.search(["a"], { limit: 100 });
      expect(items).toHaveLength(31);
      const same = items.find(({ key }) => key === "same");
      const [best] = await store.search(["a"], { query: JSON.stringify(same?.value, null, 2) });
      expect(best).toMatchObject({ key: "same", value: same?.value, score: expect.closeTo(1, 5) });
    });
  });

  describe("namespaces", () => {
    it.each([
      [
        ["users", "1"],
        ["users", "10"],
      ],
      [["users"], ["user"]],
      [["%"], ["a"]],
      [["_"], ["a"]],
      [["a%"], ["ab"]],
      [["a", "b"], ["a/b"]],
      [["a/b"], ["a%2Fb"]],
      [["%2F"], ["/"]],
      [["A"], ["a"]],
      [["e\u0301"], ["\u00e9"]],
      [["a "], ["a"]],
      [["\u{1f375}"], ["\u{1f376}"]],
      [["x".repeat(200)], ["x".repeat(199)]],
      [["'; drop table agent_memory_items; --"], ["' or 1 = 1 --"]],
      [["*"], ["a"]],
    ])("keeps %j and %j apart", async (one, other) => {
      await store.put(one, "k", { of: "one", text: "tea" });
      await store.put(other, "k", { of: "other", text: "tea" });
      await store.put([...one, "below"], "k", { of: "below one", text: "tea" });
      expect((await store.get(one, "k"))?.value["of"]).toBe("one");
      for (const query of [undefined, "tea"]) {
        const found = await store.search(one, { ...(query && { query }) });
        expect(found.map(({ value }) => value["of"]).sort()).toEqual(["below one", "one"]);
        expect(found.every(({ namespace }) => one.every((label, at) => label === namespace[at]))).toBe(true);
        expect(await store.search(other, { ...(query && { query }) })).toMatchObject([{ namespace: other }]);
      }
      if (!one.includes("*")) {
        const below = await store.listNamespaces({ prefix: one });
        expect(below.sort()).toEqual([one, [...one, "below"]]);
      }
      await store.delete(one, "k");
      expect((await store.get(other, "k"))?.value["of"]).toBe("other");
    });

    it("refuses what LangGraph's InMemoryStore does, and names the place of a label, not the label", async () => {
      const reference = new InMemoryStore();
      const namespaces = [
        [],
        ["secret.b"],
        ["secret", ""],
        ["secret", 1],
        ["langgraph"],
        ["langgraph", "secret"],
        ["a", "secret:b"],
        ["secret\0"],
      ];
      for (const namespace of namespaces as string[][]) {
        const calls: ((store: InMemoryStore | WaymarkStore) => Promise<unknown>)[] = [
          (one) => one.put(namespace, "k", {}),
          (one) => one.get(namespace, "k"),
          (one) => one.delete(namespace, "k"),
          (one) => one.search(namespace),
          (one) => one.listNamespaces({ prefix: namespace }),
          (one) => one.batch([{ namespace, key: "k", value: {} }] as Operation[]),
          (one) => one.batch([{ namespacePrefix: namespace }] as Operation[]),
        ];
        for (const call of calls) {
          const errorOf = (one: InMemoryStore | WaymarkStore) =>
            call(one).then(
              () => null,
              (error: Error) => error,
            );
          const [ours, theirs] = [await errorOf(store), await errorOf(reference)];
          if (theirs === null) {
            expect(ours).toBeNull();
          } else {
            expect(ours).toBeInstanceOf(InvalidNamespaceError);
            expect(ours?.message).toMatch(/^expected .*(namespace|prefix|Prefix)(\[[01]\])? to be /);
            expect(ours?.message).not.toContain("secret");
          }
        }
      }
    });

    it("refuses namespaces that are too long, or no text of a database", async () => {
      for (const namespace of [["x".repeat(1_024)], ["\ud800"]]) {
        await expect(store.put(namespace, "k", {})).rejects.toMatchObject(refused("INVALID_ARGUMENT"));
      }
      await store.put(["x".repeat(1_023)], "x".repeat(1_024), { n: 1 });
      expect(await store.get(["x".repeat(1_023)], "x".repeat(1_024))).toMatchObject({ value: { n: 1 } });
    });

    it("lists those that have items, by beginnings, ends, wildcards and depth", async () => {
      for (const namespace of [["a", "b", "c"], ["a", "b", "d"], ["a", "x"], ["a"], ["b", "b", "c"]]) {
        await store.put(namespace, "k", {});
      }
      expect(await store.listNamespaces()).toEqual([
        ["a"],
        ["a", "b", "c"],
        ["a", "b", "d"],
        ["a", "x"],
        ["b", "b", "c"],
      ]);
      expect(await store.listNamespaces({ prefix: ["a", "b"] })).toEqual([
        ["a", "b", "c"],
        ["a", "b", "d"],
      ]);
      expect(await store.listNamespaces({ prefix: ["*", "b"], suffix: ["c"] })).toEqual([
        ["a", "b", "c"],
        ["b", "b", "c"],
      ]);
      expect(await store.listNamespaces({ suffix: ["b", "*"], limit: 1, offset: 1 })).toEqual([["a", "b", "d"]]);
      expect(await store.listNamespaces({ maxDepth: 2 })).toEqual([["a"], ["a", "b"], ["a", "x"], ["b", "b"]]);
      await store.delete(["a"], "k");
      expect(await store.listNamespaces({ maxDepth: 1 })).toEqual([["a"], ["b"]]);
      await store.delete(["b", "b", "c"], "k");
      expect(await store.listNamespaces({ maxDepth: 1 })).toEqual([["a"]]);
    });

    it("deletes a namespace with all below it: items, words and names, and nothing beside it", async () => {
      const opened = memory.open();
      store = new WaymarkStore({ memory: opened });
      const ada = Array.from({ length: 40 }, (_, n) => ["users", "ada", `${n}`]);
      const others = [["users"], ["users", "adam"], ["users", "a"], ["user", "ada"]];
      await store.batch(
        [["users", "ada"], ...ada, ...others].map((namespace) => ({ namespace, key: "k", value: { text: "tea" } })),
      );
      await store.delete(["users", "ada", "7"], "k"); // the name of an empty one says something too
      expect(await store.deleteNamespace(["users", "ada"])).toBe(40);
      expect(await store.search(["users", "ada"])).toEqual([]);
      expect(keysOf(await store.search([], { query: "tea", limit: 100 }))).toHaveLength(4);
      const collections = await opened.listCollections({ owner: "langgraph" });
      expect(collections.map(({ collection }) => collection)).toEqual([
        "/user/ada",
        "/users",
        "/users/a",
        "/users/adam",
      ]);
      expect(await store.deleteNamespace(["users", "ada"])).toBe(0);
      await store.put(["users", "ada"], "k", { text: "coffee" });
      expect(await store.deleteNamespace(["users"])).toBe(4);
      expect(await store.listNamespaces()).toEqual([["user", "ada"]]);
    });

    it("goes on deleting where a call was interrupted", async () => {
      const opened = memory.open();
      store = new WaymarkStore({ memory: opened });
      const puts = Array.from({ length: 3 }, (_, n) => ({
        namespace: ["u", `${n}`],
        key: "k",
        value: { text: "tea" },
      }));
      await store.batch(puts);
      const [aborting, deletion] = [new AbortController(), opened.deleteCollection.bind(opened)];
      vi.spyOn(opened, "deleteCollection").mockImplementationOnce(async (...call) => {
        const isDeleted = await deletion(...call);
        aborting.abort();
        return isDeleted;
      });
      const interrupted = store.deleteNamespace(["u"], { signal: aborting.signal });
      await expect(interrupted).rejects.toMatchObject(refused("ABORTED"));
      expect(await store.listNamespaces()).toHaveLength(2);
      expect(await store.deleteNamespace(["u"])).toBe(2);
      expect(await opened.forgetOwner("langgraph")).toEqual({ threads: 0, items: 0 });
    });

    it("refuses to delete all of them, and whatever is no namespace", async () => {
      await store.put(["a"], "k", { n: 1 });
      await expect(store.deleteNamespace([])).rejects.toThrow(InvalidNamespaceError);
      await expect(store.deleteNamespace("a" as never)).rejects.toMatchObject(refused("INVALID_ARGUMENT", /prefix/));
      await expect(store.deleteNamespace(["a"], { sginal: null } as never)).rejects.toMatchObject(
        refused("INVALID_ARGUMENT", /sginal/),
      );
      expect(await store.get(["a"], "k")).not.toBeNull();
    });

    it("keeps stores of different owners apart, and collections of others out", async () => {
      const other = open({ owner: "somebody else" });
      await store.put(["a"], "k", { n: 1 });
      await other.put(["a"], "k", { n: 2 });
      await memory.open().addItems([
        { owner: "langgraph", collection: "messages", text: "no store's" },
        { owner: "langgraph", collection: "/a", text: "no store's", key: "foreign" },
      ]);
      expect((await store.search([])).map(({ value }) => value)).toEqual([{ n: 1 }]);
      expect(await store.get(["a"], "foreign")).toBeNull();
      expect(await store.listNamespaces()).toEqual([["a"]]);
      await memory.open().forgetOwner("somebody else");
      expect(await other.search([])).toEqual([]);
      expect(await store.search([])).toHaveLength(1);
    });
  });

  describe("search", () => {
    it("lists the newest first, and pages over namespaces without gaps or repetitions", async () => {
      for (const n of [1, 2, 3, 4, 5, 6, 7]) await store.put(["u", n % 2 ? "odd" : "even"], `${n}`, { n });
      expect(keysOf(await store.search(["u", "odd"]))).toEqual(["7", "5", "3", "1"]);
      const pages = [];
      for (let offset = 0; offset < 8; offset += 2) pages.push(await store.search(["u"], { limit: 2, offset }));
      expect(pages.map(keysOf)).toEqual([["6", "4"], ["2", "7"], ["5", "3"], ["1"]]);
    });

    it("compares as the operators say, and refuses others", async () => {
      const values = [
        { n: 1, s: "a" },
        { n: 2, s: null },
        { n: "2", o: { p: [1] } },
        { s: "b", list: [1, 2] },
      ];
      for (const [at, value] of values.entries()) await store.put(["a"], `${at}`, value);
      const found = async (filter: Record<string, unknown>) =>
        keysOf(await store.search(["a"], { filter }))
          .sort()
          .join("");
      expect(await found({ n: 2 })).toBe("1");
      expect(await found({ n: { $eq: "2" } })).toBe("2");
      expect(await found({ n: { $ne: 2 } })).toBe("023");
      expect(await found({ n: { $gt: 1 } })).toBe("12");
      expect(await found({ n: { $gte: 1, $lt: 2 } })).toBe("0");
      expect(await found({ n: { $lte: 2 }, s: null })).toBe("1");
      expect(await found({ n: { $in: [1, "2"] } })).toBe("02");
      expect(await found({ n: { $nin: [1, "2"] } })).toBe("13");
      expect(await found({ n: { $exists: true } })).toBe("012");
      expect(await found({ s: { $exists: false } })).toBe("2");
      expect(await found({ o: { p: [1] } })).toBe("2");
      expect(await found({ list: [1, 2] })).toBe("3");
      expect(await found({ list: [] })).toBe("");
      expect(await found({ n: {} })).toBe("0123");
      expect(await found({ "' or 1=1 --": "'", s: "a" })).toBe("");
      await expect(found({ n: { $regex: "." } })).rejects.toMatchObject(
        refused("INVALID_ARGUMENT", /\$regex|operators/),
      );
      await expect(found({ n: { $gt: 1, other: 2 } })).rejects.toMatchObject(refused("INVALID_ARGUMENT"));
      await expect(store.search(["a"], { limit: -1 })).rejects.toMatchObject(refused("INVALID_ARGUMENT"));
    });

    it("lets the database compare for equality, and reads no other item", async () => {
      const opened = memory.open();
      store = new WaymarkStore({ memory: opened });
      const puts = Array.from({ length: 50 }, (_, n) => ({
        namespace: ["a"],
        key: `${n}`,
        value: { n, even: n % 2 === 0 },
      }));
      await store.batch(puts);
      const list = vi.spyOn(opened, "listItems");
      expect(keysOf(await store.search(["a"], { filter: { n: { $eq: 8 }, even: true } }))).toEqual(["8"]);
      expect(await list.mock.results[0]?.value).toHaveLength(1);
    });

    it("finds by meaning the best first, over many namespaces, and a filter shortens no answer", async () => {
      const puts = Array.from({ length: 2_500 }, (_, n) => ({
        namespace: ["u", `${n % 40}`],
        key: `${n}`,
        value: { text: n % 500 === 3 ? "green tea" : `tea ${n}`, n, rare: n % 500 === 7 },
      }));
      store = open({ index: { dims: DIMS, embeddings, fields: ["text"] } });
      await store.batch(puts);
      const best = await store.search(["u"], { query: "green tea", limit: 5 });
      expect(keysOf(best).sort()).toEqual(["1003", "1503", "2003", "3", "503"]);
      expect(best[0]?.score).toBeCloseTo(1, 5);
      const rare = await store.search(["u"], { query: "green tea", filter: { rare: true }, limit: 9 });
      expect(keysOf(rare).sort()).toEqual(["1007", "1507", "2007", "507", "7"]);
      expect([...rare].sort((one, other) => (other.score as number) - (one.score as number))).toEqual(rare);
    });

    it("ranks all items of a namespace where the filter or the offset leave none of the best thousand", async () => {
      store = open({ index: { dims: DIMS, embeddings, fields: ["text"] } });
      const puts = Array.from({ length: 2_100 }, (_, n) => ({
        namespace: ["u"],
        key: `${n}`,
        value: { text: n < 3 ? "coffee" : `green tea ${n % 5}`, n },
      }));
      await store.batch(puts);
      const last = await store.search(["u"], { query: "green tea", filter: { n: { $lt: 3 } } });
      expect(keysOf(last).sort()).toEqual(["0", "1", "2"]);
      const all = await store.search(["u"], { query: "green tea", limit: 3_000 });
      expect(new Set(keysOf(all)).size).toBe(2_100);
      expect(keysOf(all).slice(-3).sort()).toEqual(["0", "1", "2"]);
      expect(await store.search(["u"], { query: "green tea", limit: 5, offset: 1_500 })).toEqual(
        all.slice(1_500, 1_505),
      );
    });

    it("finds by words without embeddings, and without a query what is there", async () => {
      store = open({ index: undefined });
      await store.put(["a"], "1", { text: "I like green tea", n: 1 });
      await store.put(["a"], "2", { text: "I like coffee", n: 2 });
      await store.put(["b"], "3", { text: "tea, tea and tea", n: 3 });
      await store.put(["b"], "4", { text: "hidden tea" }, false);
      await store.put(["b"], "5", { text: "tea", other: "milk" }, ["other"]);
      expect(keysOf(await store.search([], { query: "tea" }))).toEqual(["3", "1"]);
      expect(keysOf(await store.search(["a"], { query: "TEA?" }))).toEqual(["1"]);
      expect(keysOf(await store.search(["b"], { query: "milk" }))).toEqual(["5"]);
      expect(keysOf(await store.search([], { query: '"; drop table -- * NEAR(' }))).toEqual([]);
      expect(keysOf(await store.search(["b"], { query: "" }))).toEqual(["5", "4", "3"]);
      await expect(open({ index: false }).search([], { query: "tea" })).rejects.toMatchObject(
        refused("INVALID_ARGUMENT", /options\.index is false/),
      );
    });

    it.each([
      ["$", ["$"]],
      ["a member", ["title"]],
      ["members of members", ["author.name"]],
      ["an element", ["chapters[0].content"]],
      ["the last element", ["chapters[-1].content"]],
      ["any member", ["author.*"]],
      ["several members", ["{pages,author.name}"]],
      ["an object", ["author"]],
      ["nothing", ["author.none", "title.x", "none[0]", "author[0]", "chapters[9]"]],
    ])("embeds the text that LangGraph does at the path of %s", async (_, fields) => {
      const value = {
        title: "Tea",
        pages: 12,
        author: { name: "Grace", died: true, none: null },
        chapters: [{ content: "green" }, { content: "black" }],
      };
      const theirs = new ScriptedEmbeddings();
      const reference = new InMemoryStore({ index: { dims: DIMS, embeddings: theirs as never, fields } });
      await reference.put(["a"], "k", value);
      await open({ index: { dims: DIMS, embeddings, fields } }).put(["a"], "k", value);
      expect(embeddings.embedded.join("\n")).toBe(theirs.embedded.join("\n"));
      expect(embeddings.embedded.length).toBeLessThanOrEqual(1);
    });

    it("embeds the texts of all paths as one", async () => {
      store = open({ index: { dims: DIMS, embeddings, fields: ["title", "chapters[*].content"] } });
      await store.put(["a"], "k", { title: "Tea", chapters: [{ content: "green" }, { content: "black" }] });
      await store.put(["a"], "blank", { title: "  " });
      expect(embeddings.embedded).toEqual(["Tea\ngreen\nblack"]);
    });
  });

  describe("batch", () => {
    it("reads what was there before its writes, and the last write of a key counts", async () => {
      await store.put(["a"], "k", { n: 1 });
      const results = await store.batch([
        { namespace: ["a"], key: "k", value: { n: 2 } },
        { namespace: ["a"], key: "k" },
        { namespace: ["a", "b:c".slice(0, 1)], key: "c", value: { n: 3 } },
        { namespace: ["a"], key: "b:c", value: { n: 4 } },
        { namespacePrefix: ["a"] },
        { namespace: ["a"], key: "k", value: { n: 5 } },
        { namespace: ["a"], key: "gone", value: { n: 6 } },
        { namespace: ["a"], key: "gone", value: null },
        { matchConditions: undefined, limit: 10, offset: 0 } as never,
      ]);
      expect(results).toEqual([
        undefined,
        expect.objectContaining({ value: { n: 1 } }),
        undefined,
        undefined,
        [expect.objectContaining({ value: { n: 1 } })],
        undefined,
        undefined,
        undefined,
        [["a"]],
      ]);
      const values = (await store.search(["a"])).map(({ namespace, key, value }) => [...namespace, key, value["n"]]);
      expect(values.sort()).toEqual([
        ["a", "b", "c", 3],
        ["a", "b:c", 4],
        ["a", "k", 5],
      ]);
    });

    it("runs nothing if one operation is refused, or one text cannot be embedded", async () => {
      const put = { namespace: ["a"], key: "k", value: { text: "tea" } };
      await expect(store.batch([put, { namespace: [], key: "x" }])).rejects.toThrow(InvalidNamespaceError);
      await expect(store.batch([put, {} as never])).rejects.toMatchObject(
        refused("INVALID_ARGUMENT", /operations\[1\]/),
      );
      const failures = [
        [() => Promise.reject(new Error("no network")), "EMBEDDING_FAILED"],
        [async () => [], "EMBEDDING_INVALID"],
        [async () => [[1, 2]], "EMBEDDING_INVALID"],
        [async () => [new Array(DIMS).fill(0)], "EMBEDDING_INVALID"],
        [async () => [new Array(DIMS).fill(Number.NaN)], "EMBEDDING_INVALID"],
      ] as const;
      for (const [failing, code] of failures) {
        await expect(
          open({ index: { dims: DIMS, embeddings: failing, model: "failing" } }).batch([put]),
        ).rejects.toMatchObject(refused(code));
      }
      expect(await store.search([])).toEqual([]);
    });

    it("calls the embeddings once for all texts of a batch, and for equal ones once", async () => {
      const calls: string[][] = [];
      store = open({
        index: {
          dims: DIMS,
          fields: ["text"],
          model: "scripted",
          embeddings: async (texts) => {
            calls.push(texts);
            return await new ScriptedEmbeddings().embedDocuments(texts);
          },
        },
      });
      await store.batch(["tea", "milk", "tea"].map((text, n) => ({ namespace: ["a"], key: `${n}`, value: { text } })));
      expect(calls).toEqual([["tea", "milk"]]);
    });
  });

  it("never compares vectors of different models", async () => {
    await store.put(["a"], "k", { text: "tea" });
    const other = open({ index: { dims: DIMS, embeddings, model: "another one" } });
    await expect(other.search(["a"], { query: "tea" })).rejects.toMatchObject(refused("MODEL_MISMATCH", /scripted/));
    await expect(other.put(["a"], "k", { text: "tea" })).rejects.toMatchObject(refused("MODEL_MISMATCH"));
    expect(keysOf(await store.search(["a"], { query: "tea" }))).toEqual(["k"]);
  });

  it("takes the model's name of the embeddings, or as it is given", async () => {
    const { embedDocuments, embedQuery } = ScriptedEmbeddings.prototype;
    const methods = { embedded: [], embedDocuments, embedQuery };
    const indexes = [
      [{ embeddings: { ...methods, model: "m1", modelName: "m2" } }, "m1"],
      [{ embeddings: { ...methods, modelName: "m2" } }, "m2"],
      [{ embeddings: { ...methods, model: "m1" }, model: "m3" }, "m3"],
    ] as const;
    const opened = memory.open();
    for (const [at, [index, model]] of indexes.entries()) {
      await open({ memory: opened, index: { dims: DIMS, ...index } }).put([`${at}`], "k", { text: "tea" });
      expect(await opened.getCollection("langgraph", `/${at}`)).toMatchObject({ model });
    }
  });

  it("leaves the memory's own embedder alone: its index says what is embedded, and how", async () => {
    const calls: unknown[] = [];
    const embed = async (texts: readonly string[]) => {
      calls.push(texts);
      return texts.map(() => [1, 2]);
    };
    const opened = memory.open({ embedder: { model: "the memory's", dimensions: 2, embed } });
    for (const index of [undefined, false] as const) {
      store = open({ memory: opened, index });
      await store.put(["a"], "k", { text: "tea" });
      await store.search(["a"]);
    }
    await open({ memory: opened, index: undefined }).search(["a"], { query: "tea" });
    expect(calls).toEqual([]);
    expect(await opened.getCollection("langgraph", "/a")).not.toHaveProperty("dimensions");
  });

  it("gives all items vectors of another model, and those that had none", async () => {
    await open({ index: undefined }).put(["a"], "words", { text: "tea" });
    await open({ index: undefined }).put(["b", "c"], "words", { text: "tea" });
    await store.put(["a"], "old", { text: "tea" });
    await store.put(["a"], "hidden", { text: "tea" }, false);
    let isDown = true;
    const other = open({
      index: {
        dims: 2,
        model: "another one",
        embeddings: async (texts) => {
          if (isDown) throw new Error("no network");
          return texts.map(() => [1, 2]);
        },
      },
    });
    await expect(other.reembed()).rejects.toMatchObject(refused("EMBEDDING_FAILED"));
    isDown = false;
    expect(keysOf(await store.search(["a"], { query: "tea" }))).toEqual(["old"]);
    await expect(other.reembed({ signal: AbortSignal.abort() })).rejects.toMatchObject(refused("ABORTED"));
    expect(await other.reembed()).toBe(3);
    expect(keysOf(await other.search([], { query: "tea" })).sort()).toEqual(["old", "words", "words"]);
    expect(await other.reembed()).toBe(0);
    await expect(store.search(["a"], { query: "tea" })).rejects.toMatchObject(refused("MODEL_MISMATCH"));
    await expect(open({ index: undefined }).reembed()).rejects.toMatchObject(refused("INVALID_ARGUMENT", /embeddings/));
  });

  it("refuses members of an operation that are none, by their names", async () => {
    await store.put(["a"], "k", { text: "tea" });
    const given = (operation: object) => operation as never;
    const calls: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
      [() => store.search(["a"], given({ fitler: {} })), /options .*filter.*"fitler"/],
      [() => store.listNamespaces(given({ prefx: ["a"] })), /options .*prefix.*"prefx"/],
      [() => store.put(["b"], "k", {}, undefined, given({ tll: 1 })), /options .*ttl.*"tll"/],
      [() => store.batch([given({ namespacePrefix: ["a"], querry: "tea" })]), /operations\[0\] .*query.*"querry"/],
      [
        () => store.batch([given({ namespace: ["b"], key: "k", value: {}, ttl: 1 })]),
        /operations\[0\] .*options.*"ttl"/,
      ],
      [() => store.batch([given({ namespace: ["a"], key: "k", valeu: {} })]), /operations\[0\] .*"valeu"/],
      [() => store.batch([given({ matchConditions: [], maxDept: 1 })]), /operations\[0\] .*maxDepth.*"maxDept"/],
      [
        () => store.batch([given({ matchConditions: [{ matchType: "prefix", path: [], paht: [] }] })]),
        /matchConditions\[0\] .*path.*"paht"/,
      ],
    ];
    for (const [call, message] of calls)
      await expect(call()).rejects.toMatchObject(refused("INVALID_ARGUMENT", message));
    expect(await store.listNamespaces()).toEqual([["a"]]);
  });

  it("refuses options that are none, by their names", () => {
    const given = (options: object) => () => new WaymarkStore(options as never);
    const open_ = memory.open();
    expect(given({})).toThrow(/options\.memory/);
    expect(given({ memory: open_, indx: {} })).toThrow(/indx/);
    expect(given({ memory: open_, owner: "" })).toThrow(/options\.owner/);
    expect(given({ memory: open_, index: { dims: 3 } })).toThrow(/options\.index\.dims/);
    expect(given({ memory: open_, index: { embeddings } })).toThrow(/options\.index\.dims/);
    expect(given({ memory: open_, index: { dims: 3, embeddings: {} } })).toThrow(/options\.index\.embeddings/);
    for (const nameless of [
      async () => [],
      new (class Own extends ScriptedEmbeddings {
        override readonly model = "" as never;
      })(),
    ]) {
      const opening = given({ memory: open_, index: { dims: 3, embeddings: nameless } });
      expect(opening).toThrow(/options\.index\.model.*no member model or modelName, got undefined/);
    }
    expect(given({ memory: open_, index: { fields: "text" } })).toThrow(/options\.index\.fields/);
    expect(given({ memory: open_, ttl: { defaultTtl: 0 } })).toThrow(/options\.ttl\.defaultTtl/);
    expect(given({ memory: open_, ttl: { sweepIntervalMinutes: 1e9 } })).toThrow(/sweepIntervalMinutes/);
  });
});
