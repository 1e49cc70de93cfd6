import { randomUUID } from "node:crypto";
import { DIMENSIONS } from "./corpus.ts";
import type { RecallSystem } from "./system.ts";

/**
 * LangGraph's PostgresStore with an index of its field `text`; the namespace is the owner. It embeds texts itself, so the vectors are handed
 * to it by their texts. Its search by words wants all of them, and by both is its `mode: "hybrid"`.
 */
export const langgraphStore: RecallSystem = {
  id: "langgraph-store",
  title: "LangGraph PostgresStore, index (hnsw)",
  isPeer: true,
  othersAtMost: 0,
  runsOn: (database) => database === "postgres-vector",
  async open(place) {
    if (place.kind !== "postgres") throw new Error(`expected PostgreSQL, got ${place.kind}`);
    const { PostgresStore } = await import("@langchain/langgraph-checkpoint-postgres/store");
    const vectors = new Map<string, readonly number[]>();
    const embed = async (texts: string[]) => texts.map((text) => [...(vectors.get(text) ?? [])]);
    const index = { dims: DIMENSIONS, embed, fields: ["text"] };
    const store = PostgresStore.fromConnString(place.url, { index, textSearchLanguage: "simple" });
    await store.setup();
    const search = async (owner: string, query: string, limit: number, mode: "text" | "vector" | "hybrid") =>
      (await store.search(["memories", owner], { query, limit, mode })).map(({ key }) => key);
    return {
      async add(items) {
        for (const { text, vector } of items) vectors.set(text, vector);
        const puts = items.map(({ owner, text }) => ({
          namespace: ["memories", owner],
          key: randomUUID() as string,
          value: { text },
        }));
        await store.batch(puts);
        vectors.clear();
        return puts.map(({ key }) => key);
      },
      prepare: async () => {},
      async byVector(owner, vector, limit) {
        vectors.set("query", vector);
        return await search(owner, "query", limit, "vector");
      },
      byText: (owner, text, limit) => search(owner, text, limit, "text"),
      async byBoth(owner, text, vector, limit) {
        vectors.set(text, vector);
        return await search(owner, text, limit, "hybrid");
      },
      close: () => store.stop(),
    };
  },
};
