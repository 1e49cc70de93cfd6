import { describe, expect, it } from "vitest";
import type { Bench } from "./bench.ts";
import { addMemories, memoryOf } from "./new-memories.ts";
import { atAngle, rounded } from "./vectors.ts";

export function describeCachedEmbeddings(bench: Bench): void {
  describe("cached embeddings", () => {
    const query = {
      ...{ query_table_name: "messages", query_field_name: "content", query_field_sub_name: "text" },
      ...{ query_input: "hello world", query_threshold: 2, query_match_count: 10 },
    };

    it("are those of memories with about the same text, the nearest first", async () => {
      const home = await bench.newHome();
      const texts = ["hello wor", "hello world", "hallo world", "goodbye", "héllo world"];
      await addMemories(
        home,
        "messages",
        texts.map((text, at) => ({ content: { text }, embedding: atAngle(at) })),
      );
      await addMemories(home, "messages", [
        { content: { text: "hello world" } },
        { content: { other: "hello world" } },
      ]);
      await addMemories(home, "facts", [{ content: { text: "hello world" }, embedding: atAngle(9) }]);
      const found = await home.adapter.getCachedEmbeddings(query);
      expect(found.map((one) => one.levenshtein_score)).toEqual([0, 1, 1, 2]);
      expect(found.map((one) => one.embedding)).toEqual([1, 4, 2, 0].map((angle) => rounded(atAngle(angle))));
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_match_count: 1 })).toEqual(found.slice(0, 1));
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_threshold: 0 })).toEqual(found.slice(0, 1));
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_field_sub_name: "other" })).toEqual([]);
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_match_count: 0 })).toEqual([]);
    });

    it("are this agent's, of the active length, for texts of any length and characters", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const text = `${"long ".repeat(500)}\0 \ud800 \u{1f600}`;
      const input = { ...query, query_input: text.replace("\u{1f600}", "\u{1f601}"), query_threshold: 1 };
      await addMemories(home, "messages", [
        { content: { text }, embedding: atAngle(1) },
        { content: { text }, embedding: atAngle(2, 1_536) },
        { content: { text }, embedding: new Array(1_536).fill(0) },
      ]);
      await other.adapter.createMemory(memoryOf(home, { content: { text }, embedding: atAngle(3) }), "messages");
      const find = async () => (await home.adapter.getCachedEmbeddings(input)).map(({ embedding }) => embedding);
      await home.adapter.ensureEmbeddingDimension(384);
      expect(await find()).toEqual([rounded(atAngle(1))]);
      await home.adapter.ensureEmbeddingDimension(1_536);
      expect(await find()).toEqual([rounded(atAngle(2, 1_536))]);
      await home.adapter.ensureEmbeddingDimension(768);
      expect(await find()).toEqual([]);
    });
  });
}
