import { CheckpointError } from "@waymark/core";
import type { Embedder } from "@waymark/core/memory";

/** LangChain's `Embeddings`, as far as a store uses them. */
export interface StoreEmbeddings {
  embedDocuments(texts: string[]): Promise<number[][]>;
  embedQuery(text: string): Promise<number[]>;
}

/** Turns texts into vectors with LangChain's embeddings, and checks what they return. */
export class Vectorizer {
  readonly #embeddings: StoreEmbeddings;
  readonly #dimensions: number;
  readonly model: string;

  constructor(embeddings: StoreEmbeddings, dimensions: number, model: string) {
    this.#embeddings = embeddings;
    this.#dimensions = dimensions;
    this.model = model;
  }

  /** Returns the vector of each text. @throws CheckpointError `EMBEDDING_FAILED`, `EMBEDDING_INVALID` */
  async documents(texts: ReadonlySet<string>): Promise<Map<string, number[]>> {
    const list = [...texts];
    if (list.length === 0) return new Map();
    const vectors = await this.#call(async () => await this.#embeddings.embedDocuments([...list]));
    if (!Array.isArray(vectors) || vectors.length !== list.length) {
      const got = Array.isArray(vectors) ? vectors.length : "no array";
      throw new CheckpointError("EMBEDDING_INVALID", `expected ${list.length} vectors of embedDocuments, got ${got}`);
    }
    return new Map(list.map((text, at) => [text, this.#checked(vectors[at])]));
  }

  /** Returns the vector to search with. @throws CheckpointError `EMBEDDING_FAILED`, `EMBEDDING_INVALID` */
  async query(text: string): Promise<number[]> {
    return this.#checked(await this.#call(async () => await this.#embeddings.embedQuery(text)));
  }

  /** As a memory takes it, to embed again what it has. */
  embedder(): Embedder {
    return {
      model: this.model,
      dimensions: this.#dimensions,
      embed: async (texts) => {
        const vectors = await this.documents(new Set(texts));
        return texts.map((text) => vectors.get(text) as number[]);
      },
    };
  }

  async #call<Result>(embed: () => Promise<Result>): Promise<Result> {
    try {
      return await embed();
    } catch (error) {
      // Its own words may hold the texts: they are in `cause` alone.
      throw new CheckpointError("EMBEDDING_FAILED", "the embeddings threw an error", { cause: error });
    }
  }

  #checked(vector: unknown): number[] {
    const got = Array.isArray(vector) ? `${vector.length} dimensions` : "no array";
    if (!Array.isArray(vector) || vector.length !== this.#dimensions) {
      throw new CheckpointError(
        "EMBEDDING_INVALID",
        `expected a vector of ${this.#dimensions} dimensions, as index.dims says, of the embeddings, got ${got}`,
      );
    }
    if (!vector.every(Number.isFinite) || vector.every((one) => one === 0)) {
      throw new CheckpointError("EMBEDDING_INVALID", "expected a vector of finite numbers, not all of them 0");
    }
    return vector as number[];
  }
}
