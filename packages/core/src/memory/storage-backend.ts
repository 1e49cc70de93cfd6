import type { CheckpointMetadata } from "../contract/checkpoints.ts";
import { integer, objectWithKeys, refuseUndefined, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument } from "../contract/errors.ts";
import type { Hit, MemorySearch, MemoryStorage, Thread } from "./contract.ts";
import {
  CONVERSATION,
  CONVERSATION_MEMBERS,
  type Conversation,
  conversationOf,
  itemOfMessage,
  labelsOfConversation,
  lastMessages,
  type Message,
  pages,
  type StoredConversation,
  type StoredMessage,
} from "./conversations.ts";
import { checkCollectionName, checkOwner, checkThreadId } from "./names.ts";

/**
 * Conversations, messages and memories of one user, in the words of the `StorageBackend` that other agent frameworks have. Each method
 * is one call of `MemoryStorage`, or a few; what is stored is the same, and both may be used side by side.
 *
 * | here | in `MemoryStorage` |
 * |---|---|
 * | conversation | thread of the kind `"conversation"`; `channelId` and `model` are labels |
 * | message | item of the collection `"messages"`; tool calls and results, model and tokens are its `value` |
 * | memory | item of the collection `"memories"` |
 * | id of a message or memory | the item's `key`, so that any text is one; without it the item's own id |
 *
 * Limits: a backend is one user's, since no search crosses owners. Vectors do not come back. Metadata are flat labels. Nothing here
 * takes an `AbortSignal`: use `MemoryStorage` for that, and for filters, neighbours, expiry and pruning.
 */
export interface StorageBackend {
  readonly name: string;
  /**
   * Creates a conversation, or replaces its channel, model and metadata; its title only if one is given. Its messages stay. One that
   * was read may be saved: its `updatedAt` and `items` are left aside.
   * @throws CheckpointError `INVALID_ARGUMENT` if it is another user's; `CONFLICT` if a document has its id
   */
  saveConversation(conversation: Conversation): Promise<void>;
  getConversation(id: string): Promise<StoredConversation | null>;
  /**
   * Lists the user's conversations, the last updated one first.
   * @param userId the user of this backend; another one is refused
   * @param offset conversations to skip. They are read all the same, since `MemoryStorage` has cursors: use `listThreads` for long lists.
   */
  listConversations(userId: string, limit: number, offset?: number): Promise<StoredConversation[]>;
  /** Deletes a conversation with its messages and its memories. Returns whether there was one. */
  deleteConversation(id: string): Promise<boolean>;
  /**
   * Adds a message at the end of a conversation.
   * @throws CheckpointError `NOT_FOUND` if there is no such conversation; `CONFLICT` if another message has its id
   */
  addMessage(conversationId: string, message: Message): Promise<void>;
  /** Reads the last messages of a conversation, in order. */
  getMessages(conversationId: string, limit: number): Promise<StoredMessage[]>;
  /** Stores a memory; one with the same id is replaced. */
  storeMemory(memory: Memory): Promise<void>;
  /** Finds memories that have any of the words, the best first. */
  searchText(query: string, options?: SearchOptions): Promise<FoundMemory[]>;
  /**
   * Finds memories by a vector, the nearest first.
   * @param minSimilarity lowest cosine similarity, -1 to 1. Default -1.
   */
  searchSimilar(
    embedding: Float32Array | readonly number[],
    limit: number,
    minSimilarity?: number,
  ): Promise<FoundMemory[]>;
  /** Finds memories by words and by a vector, the best first. */
  searchHybrid(
    query: string,
    embedding: Float32Array | readonly number[],
    options?: HybridOptions,
  ): Promise<FoundMemory[]>;
}

/** A fact that is remembered. */
export interface Memory {
  /** Any text of 1 to 1,024 bytes that no other memory of the user has. Default: a new one. */
  readonly id?: string | undefined;
  /** The conversation that it comes from, and is deleted with. Default: none. */
  readonly conversationId?: string | undefined;
  readonly content: string;
  /** Default: made by the memory's embedder, if it has one. */
  readonly embedding?: Float32Array | readonly number[] | undefined;
  /** 0 to 1. Default 0.5. */
  readonly importance?: number | undefined;
  /** Flat labels. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** In milliseconds since 1970-01-01 UTC. Default: now. */
  readonly createdAt?: number | undefined;
}

/** A memory that a search has found. */
export interface FoundMemory extends Omit<Memory, "embedding"> {
  readonly id: string;
  readonly importance: number;
  readonly createdAt: number;
  /** By a vector alone: the cosine similarity. Else 0 to 1, comparable within one answer only. */
  readonly score: number;
}

export interface SearchOptions {
  /** 1 to 1,000. Default 10. */
  readonly limit?: number | undefined;
  /** Only memories of this conversation. `undefined` is refused: the memories of all would be found. */
  readonly conversationId?: string;
}

export interface HybridOptions extends SearchOptions {
  /** Weights of the scores by text and by vector, each normalised over its hits. Default: 0.5 each. */
  readonly textWeight?: number | undefined;
  readonly vectorWeight?: number | undefined;
  /** Lowest cosine similarity of hits by vector, -1 to 1. Hits by text alone pass. Default -1. */
  readonly minSimilarity?: number | undefined;
}

export interface StorageBackendOptions {
  /** Whose conversations and memories: the owner in `MemoryStorage`. */
  readonly userId: string;
  /** Default `"waymark"`. */
  readonly name?: string | undefined;
  /** Collection of the messages. Default `"messages"`. */
  readonly messages?: string | undefined;
  /** Collection of the memories. Default `"memories"`. */
  readonly memories?: string | undefined;
}

/**
 * Creates the backend of a user on a memory. It has no state of its own: make one for each request. The memory stays the caller's to
 * close.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createStorageBackend(memory: MemoryStorage, options: StorageBackendOptions): StorageBackend {
  const { userId: owner, name, messages, memories } = resolve(options);
  const placeOf = (threadId: string) => ({ owner, collection: messages, threadId });

  async function getConversation(id: string): Promise<StoredConversation | null> {
    const thread = await memory.getThread(owner, id);
    return thread?.kind === CONVERSATION ? conversationOf(thread) : null;
  }

  async function searchMemories(
    { limit, conversationId }: SearchOptions,
    search: Omit<MemorySearch, "owner" | "collections">,
  ): Promise<Hit[]> {
    const filter = conversationId === undefined ? {} : { threadId: conversationId };
    return await memory.search({ owner, collections: [memories], limit, filter, ...search });
  }

  return {
    name,

    async saveConversation(conversation) {
      objectWithKeys("conversation", conversation, [...CONVERSATION_MEMBERS, "updatedAt", "items"]);
      checkUser("conversation.userId", conversation.userId, owner);
      const { title, createdAt } = conversation;
      const id = checkThreadId("conversation.id", conversation.id);
      const metadata = labelsOfConversation(conversation);
      try {
        await memory.createThread({ owner, id, kind: CONVERSATION, title, metadata: metadata ?? undefined, createdAt });
      } catch (error) {
        // It is there already: save it as it is now. Another one with its id is a document's thread.
        const isKnown = error instanceof CheckpointError && error.code === "CONFLICT";
        if (!isKnown || (await getConversation(id)) === null) throw error;
        await memory.updateThread(owner, id, { metadata, ...(title !== undefined && { title }) });
      }
    },

    getConversation,

    async listConversations(userId, limit, offset = 0) {
      checkUser("userId", userId, owner);
      const skipped = integer("offset", offset, 0, 1_000_000, "conversations");
      const wanted = integer("limit", limit, 1, 1_000, "conversations");
      const threads = await pages<Thread>(skipped + wanted, (size, before) =>
        memory.listThreads({ owner, kind: CONVERSATION, before, limit: size }),
      );
      return threads.slice(skipped).map(conversationOf);
    },

    async deleteConversation(id) {
      return (await getConversation(id)) !== null && (await memory.deleteThread(owner, id));
    },

    async addMessage(conversationId, message) {
      await memory.addItems([itemOfMessage("message", placeOf(conversationId), message)]);
    },

    async getMessages(conversationId, limit) {
      return await lastMessages(memory, placeOf(conversationId), integer("limit", limit, 1, 100_000, "messages"));
    },

    async storeMemory(value) {
      objectWithKeys("memory", value, MEMORY_MEMBERS);
      const { id, conversationId, content, embedding, importance, metadata, createdAt } = value;
      string("memory.content", content);
      await memory.addItems(
        [
          {
            owner,
            collection: memories,
            key: id,
            threadId: conversationId,
            text: content,
            embedding,
            importance,
            metadata,
            createdAt,
          },
        ],
        { replace: true },
      );
    },

    async searchText(query, options = {}) {
      checkSearchOptions(options, []);
      const hits = await searchMemories(options, { text: string("query", query), vector: null });
      return hits.map((hit) => memoryOf(hit, hit.score));
    },

    async searchSimilar(embedding, limit, minSimilarity = -1) {
      const hits = await searchMemories({ limit }, { vector: embedding, minSimilarity });
      return hits.map((hit) => memoryOf(hit, hit.similarity ?? hit.score));
    },

    async searchHybrid(query, embedding, options = {}) {
      checkSearchOptions(options, ["textWeight", "vectorWeight", "minSimilarity"]);
      const { textWeight = 0.5, vectorWeight = 0.5, minSimilarity = -1 } = options;
      const fusion = { text: textWeight, vector: vectorWeight };
      const search = { text: string("query", query), vector: embedding, fusion, minSimilarity };
      const hits = await searchMemories(options, search);
      return hits.map((hit) => memoryOf(hit, hit.score));
    },
  };
}

function resolve(value: StorageBackendOptions): Required<{ readonly [name in keyof StorageBackendOptions]: string }> {
  const options = objectWithKeys("options", value, ["userId", "name", "messages", "memories"]);
  const { name = "waymark", messages = "messages", memories = "memories" } = options;
  if (typeof name !== "string") throw invalidArgument("options.name", "a string", name);
  return {
    userId: checkOwner("options.userId", options.userId),
    name,
    messages: checkCollectionName("options.messages", messages),
    memories: checkCollectionName("options.memories", memories),
  };
}

const MEMORY_MEMBERS = ["id", "conversationId", "content", "embedding", "importance", "metadata", "createdAt"] as const;

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
function checkSearchOptions(value: SearchOptions, others: readonly string[]): void {
  const options = objectWithKeys("options", value, ["limit", "conversationId", ...others]);
  refuseUndefined("options", options, ["conversationId"]);
}

/** Refuses another user, of whom this backend has nothing: an empty answer would hide the mistake. */
function checkUser(field: string, userId: unknown, owner: string): void {
  if (checkOwner(field, userId) === owner) return;
  throw invalidArgument(field, "the user of this backend (make one for each user)", userId);
}

function memoryOf(
  { item: { id, key, threadId, text, importance, metadata, createdAt } }: Hit,
  score: number,
): FoundMemory {
  return {
    id: key ?? id,
    ...(threadId !== undefined && { conversationId: threadId }),
    content: text,
    importance,
    ...(metadata !== undefined && { metadata }),
    createdAt,
    score,
  };
}
