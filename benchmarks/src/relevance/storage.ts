import type { Language } from "@waymark/core/memory/kit";
import type { Place } from "../databases.ts";
import { openMemory } from "../recall/waymark.ts";
import type { Searcher } from "./searcher.ts";

const ITEMS_PER_CALL = 200;

/** Waymark's memory on a database. It compares as many vectors as it chooses to; asked for as many as there are, all of them. */
export function openStorage(place: Place, language: Language): Searcher {
  const memory = openMemory(place, { collections: { "*": { language } } });
  const [owner, collection] = ["somebody", `documents in ${language}`];
  const positions = new Map<string, number>();
  return {
    title: `Waymark, language "${language}"`,

    async add(items) {
      for (let from = 0; from < items.length; from += ITEMS_PER_CALL) {
        const some = items.slice(from, from + ITEMS_PER_CALL);
        const added = await memory.addItems(
          some.map(({ text, vector }) => ({
            ...{ owner, collection, text },
            // A text without a word has none here: its vector by latent semantics would be all zero.
            ...(vector.some((coordinate) => coordinate !== 0) && { embedding: vector }),
          })),
        );
        for (const { id } of added) positions.set(id, positions.size);
      }
    },

    async search({ text, vector, fusion, limit, compared }) {
      const hits = await memory.search({
        ...{ owner, collections: [collection], vector, fusion, limit },
        ...(text !== null && { text }),
        exact: compared !== null && compared >= positions.size,
      });
      return hits.map(({ item }) => positions.get(item.id) as number);
    },

    async close() {
      await memory.close();
    },
  };
}
