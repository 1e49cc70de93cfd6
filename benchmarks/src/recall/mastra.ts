import { randomUUID } from "node:crypto";
import type { Place } from "../databases.ts";
import { DIMENSIONS } from "./corpus.ts";
import type { RecallSession, RecallSystem } from "./system.ts";

/**
 * Mastra's vector stores, called as the semantic recall of its Memory calls them: an index of all messages, with the message's text and its
 * resource in the metadata, and a query with a filter by resource. Memory keeps the messages in another store too, and reads what was
 * found from there; that is not measured. It has no search by words.
 */
export const mastra: RecallSystem = {
  id: "mastra",
  title: "Mastra semantic recall, its defaults",
  isPeer: true,
  othersAtMost: 0,
  runsOn: (database) => database.startsWith("sqlite"),
  open: (place) => openSession(place),
};

export const mastraPg: RecallSystem = {
  ...mastra,
  othersAtMost: Number.POSITIVE_INFINITY,
  runsOn: (database) => database === "postgres-vector",
};

export const mastraFlat: RecallSystem = {
  ...mastraPg,
  id: "mastra-flat",
  title: "Mastra semantic recall, index type flat",
  open: (place) => openSession(place, "flat"),
};

export const mastraHnsw: RecallSystem = {
  ...mastraPg,
  id: "mastra-hnsw",
  title: "Mastra semantic recall, index type hnsw",
  othersAtMost: 10_000,
  open: (place) => openSession(place, "hnsw"),
};

/** The part of its vector stores that we use. */
interface Vectors {
  createIndex(index: {
    indexName: string;
    dimension: number;
    metadataIndexes: string[];
    indexConfig?: { type: "flat" | "hnsw" };
  }): Promise<void>;
  upsert(entries: { indexName: string; ids: string[]; vectors: number[][]; metadata: object[] }): Promise<string[]>;
  query(query: {
    indexName: string;
    queryVector: number[];
    topK: number;
    filter: { resource_id: string };
  }): Promise<{ id: string }[]>;
}

async function openSession(place: Place, type?: "flat" | "hnsw"): Promise<RecallSession> {
  const { vectors, close } = await openVectors(place);
  const indexName = "mastra_memory_text_embedding";
  await vectors.createIndex({
    ...{ indexName, dimension: DIMENSIONS, metadataIndexes: ["thread_id", "resource_id"] },
    ...(type !== undefined && { indexConfig: { type } }),
  });
  return {
    async add(items) {
      const ids = items.map(() => randomUUID() as string);
      const metadata = items.map(({ owner, text }, at) => ({
        message_id: ids[at],
        thread_id: `${owner}:thread`,
        resource_id: owner,
        role: "user",
        content: text,
        created_at: new Date().toISOString(),
      }));
      return await vectors.upsert({ indexName, ids, vectors: items.map(({ vector }) => [...vector]), metadata });
    },
    prepare: async () => {},
    async byVector(owner, vector, topK) {
      const filter = { resource_id: owner };
      const found = await vectors.query({ indexName, queryVector: vector as number[], topK, filter });
      return found.map(({ id }) => id);
    },
    close,
  };
}

async function openVectors(place: Place): Promise<{ vectors: Vectors; close(): Promise<void> }> {
  const id = "benchmark";
  if (place.kind === "sqlite") {
    const { LibSQLVector } = await import("@mastra/libsql");
    const store = new LibSQLVector({ id, url: `file:${place.path}` });
    return { vectors: store as unknown as Vectors, close: () => store.close() };
  }
  if (place.kind !== "postgres") throw new Error(`Mastra has no vector store for ${place.kind}`);
  const { PgVector } = await import("@mastra/pg");
  const store = new PgVector({ id, connectionString: place.url });
  return { vectors: store as unknown as Vectors, close: () => store.disconnect() };
}
