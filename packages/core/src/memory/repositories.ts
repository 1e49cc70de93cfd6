import type { CheckpointMetadata } from "../contract/checkpoints.ts";
import { objectWithKeys, refuseUndefined, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument } from "../contract/errors.ts";
import { idClock } from "../database/ids.ts";
import type { Item, ItemChange, MemoryStorage, NewItem, Thread, ThreadQuery } from "./contract.ts";
import {
  CONVERSATION,
  CONVERSATION_MEMBERS,
  type Conversation,
  conversationOf,
  itemOfMessage,
  labelsOfConversation,
  lastMessages,
  type Message,
  type StoredConversation,
  type StoredMessage,
} from "./conversations.ts";
import { noSuch } from "./failures.ts";
import { checkCollectionName, checkOwner } from "./names.ts";

/** Documents and conversations in the words of the repository pattern: https://martinfowler.com/eaaCatalog/repository.html */

/**
 * Documents of all users, each with one text and one vector. A document is a thread of the kind `"document"` (title, metadata) with an
 * item (the text) of the collection `"documents"`, whose key is the document's id.
 *
 * Limits: a search is for one user's documents, since none crosses owners. Vectors do not come back. Long documents are found better by
 * their parts: add these as items of the thread with `MemoryStorage.addItems`. `similaritySearch` finds them as well, and all the rest
 * that `MemoryStorage` can do.
 */
export interface DocumentRepository {
  /**
   * Creates a document, in two commits: a create that was interrupted may be repeated with the same id. One whose content is refused
   * leaves nothing that was not there.
   * @throws CheckpointError `CONFLICT` if the user has a thread with this id and other content
   */
  create(document: NewDocument): Promise<Document>;
  findById(userId: string, id: string): Promise<Document | null>;
  /** Lists a user's documents without their texts, the last updated one first. */
  findByUserId(userId: string, page?: RepositoryPage): Promise<DocumentHead[]>;
  /**
   * Changes what is given: the text first, then the title and the metadata. A new text without a new vector is embedded by the memory's
   * embedder, or loses its vector if there is none.
   * @throws CheckpointError `NOT_FOUND`
   */
  update(userId: string, id: string, change: DocumentChange): Promise<Document>;
  /** Deletes a document with its parts. Returns whether there was one. */
  delete(userId: string, id: string): Promise<boolean>;
  /** Finds a user's documents, and parts of them, by a vector; the nearest first. */
  similaritySearch(search: SimilaritySearch): Promise<SimilarDocument[]>;
}

export interface NewDocument {
  /** The owner in `MemoryStorage`. */
  readonly userId: string;
  /** 1 to 255 bytes, unique for the user. Default: a new UUIDv7. */
  readonly id?: string | undefined;
  readonly title: string;
  readonly content: string;
  /** Default: made by the memory's embedder, if it has one. */
  readonly embedding?: Float32Array | readonly number[] | undefined;
  /** Flat labels. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** In milliseconds since 1970-01-01 UTC. Default: now. */
  readonly createdAt?: number | undefined;
}

export interface DocumentHead {
  readonly id: string;
  readonly userId: string;
  readonly title: string;
  readonly metadata?: CheckpointMetadata;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface Document extends DocumentHead {
  readonly content: string;
}

/** `null` removes a member. */
export interface DocumentChange {
  readonly title?: string;
  readonly content?: string;
  readonly embedding?: Float32Array | readonly number[] | null;
  readonly metadata?: CheckpointMetadata | null;
}

export interface SimilaritySearch {
  readonly embedding: Float32Array | readonly number[];
  /** Whose documents. */
  readonly userId: string;
  /** 1 to 1,000. Default 10. */
  readonly limit?: number | undefined;
  /** Lowest cosine similarity, -1 to 1. Default -1. */
  readonly threshold?: number | undefined;
  /**
   * Only documents, or parts, that have all of these labels with exactly these values. `undefined` is refused: all would be found.
   */
  readonly metadata?: CheckpointMetadata;
}

/** A document, or a part of one, that a search has found; `content` is the text that was found. */
export interface SimilarDocument extends Document {
  /** Cosine of its vector and the one that was searched for. */
  readonly similarity: number;
}

export interface RepositoryPage {
  /** 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
  /** The last one of the page before. */
  readonly before?: { readonly id: string; readonly updatedAt: number } | undefined;
}

export interface RepositoryOptions {
  /** Collection of the documents, or of the messages. Default `"documents"`, `"messages"`. */
  readonly collection?: string | undefined;
}

/**
 * Creates the repository of documents on a memory. It has no state of its own, and the memory stays the caller's to close.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createDocumentRepository(memory: MemoryStorage, options: RepositoryOptions = {}): DocumentRepository {
  const collection = collectionOf(options, "documents");

  async function findThread(owner: string, id: string): Promise<Thread | null> {
    const thread = await memory.getThread(owner, id);
    return thread?.kind === DOCUMENT ? thread : null;
  }

  /** Returns the item with a document's text; `null`: it has none, since it has parts alone, or its create failed. */
  async function findContent(owner: string, id: string): Promise<Item | null> {
    const [item = null] = await memory.listItems({ owner, collection, key: id, threadId: id, limit: 1 });
    return item;
  }

  async function findById(userId: string, id: string): Promise<Document | null> {
    const thread = await findThread(userId, id);
    const item = thread === null ? null : await findContent(userId, id);
    return thread === null || item === null ? null : { ...headOf(thread), content: item.text };
  }

  /** Creates the thread of a document, unless a create that was interrupted has left it. */
  async function createThread({ userId: owner, id, title, metadata, createdAt }: NewDocument): Promise<Thread> {
    try {
      return await memory.createThread({ owner, id, kind: DOCUMENT, title, metadata, createdAt });
    } catch (error) {
      const isKnown = error instanceof CheckpointError && error.code === "CONFLICT" && id !== undefined;
      const thread = isKnown ? await findThread(owner, id) : null;
      if (thread === null || thread.items > 0) throw error;
      return await memory.updateThread(owner, thread.id, { title, metadata: metadata ?? null });
    }
  }

  return {
    async create(document) {
      objectWithKeys("document", document, DOCUMENT_MEMBERS);
      const { userId, content, embedding, metadata, createdAt } = document;
      const owner = checkOwner("document.userId", userId);
      string("document.title", document.title);
      string("document.content", content);
      const isNew = document.id === undefined || (await memory.getThread(owner, document.id)) === null;
      const thread = await createThread(document);
      const { id } = thread;
      const item = { owner, collection, threadId: id, key: id, text: content, embedding, metadata, createdAt };
      await addOrUndo(memory, { owner, id, isNew }, [item]);
      return { ...headOf(thread), content };
    },

    findById,

    async findByUserId(userId, page = {}) {
      return (await memory.listThreads(threadsOf(userId, DOCUMENT, page))).map(headOf);
    },

    async update(userId, id, change) {
      objectWithKeys("change", change, ["title", "content", "embedding", "metadata"]);
      const { title, content, embedding, metadata } = change;
      if (content !== undefined) string("change.content", content);
      const item = (await findThread(userId, id)) === null ? null : await findContent(userId, id);
      if (item === null) throw noSuch("update document", "document with this id");
      const onItem: ItemChange = {
        ...(content !== undefined && { text: content }),
        ...(embedding !== undefined && { embedding }),
        ...(metadata !== undefined && { metadata }),
      };
      const changed = Object.keys(onItem).length === 0 ? item : await memory.updateItem(userId, item.id, onItem);
      const onThread = { ...(title !== undefined && { title }), ...(metadata !== undefined && { metadata }) };
      return { ...headOf(await memory.updateThread(userId, id, onThread)), content: changed.text };
    },

    async delete(userId, id) {
      return (await findThread(userId, id)) !== null && (await memory.deleteThread(userId, id));
    },

    async similaritySearch(search) {
      const members = objectWithKeys("search", search, ["embedding", "userId", "limit", "threshold", "metadata"]);
      refuseUndefined("search", members, ["metadata"]);
      const { embedding, userId, limit, threshold = -1, metadata } = search;
      const owner = checkOwner("search.userId", userId);
      const hits = await memory.search({
        owner,
        collections: [collection],
        vector: embedding,
        minSimilarity: threshold,
        limit,
        filter: metadata === undefined ? {} : { metadata },
      });
      const ids = [...new Set(hits.flatMap(({ item }) => item.threadId ?? []))];
      const threads = new Map(await Promise.all(ids.map(async (id) => [id, await findThread(owner, id)] as const)));
      return hits.flatMap(({ item, similarity, score }) => {
        // An item without a thread is no document, and one whose thread is gone was deleted meanwhile.
        const thread = item.threadId === undefined ? null : (threads.get(item.threadId) ?? null);
        return thread === null ? [] : { ...headOf(thread), content: item.text, similarity: similarity ?? score };
      });
    },
  };
}

/**
 * Conversations of all users. A conversation is a thread of the kind `"conversation"`, and its messages are items of the collection
 * `"messages"`; a `StorageBackend` on the same memory has the same ones.
 */
export interface ConversationRepository {
  /**
   * Creates a conversation, with its first messages if there are any: in two commits then. If a message is refused, nothing is left that was
   * not there.
   * @throws CheckpointError `CONFLICT` if the user has another thread with this id
   */
  create(conversation: NewConversation): Promise<StoredConversation>;
  findById(userId: string, id: string): Promise<StoredConversation | null>;
  /** Lists a user's conversations, the last updated one first. */
  findByUserId(userId: string, page?: RepositoryPage): Promise<StoredConversation[]>;
  /** @throws CheckpointError `NOT_FOUND` */
  updateTitle(userId: string, id: string, title: string): Promise<StoredConversation>;
  /** Deletes a conversation with its messages. Returns whether there was one. */
  delete(userId: string, id: string): Promise<boolean>;
  /**
   * Adds messages at the end, in one commit, at most 1,000.
   * @throws CheckpointError `NOT_FOUND` if there is no such conversation; `CONFLICT` if another message has the id of one
   */
  addMessages(userId: string, id: string, messages: readonly Message[]): Promise<void>;
  /** Reads the last messages, in order. Default: all of them. */
  getMessages(userId: string, id: string, limit?: number): Promise<StoredMessage[]>;
}

export interface NewConversation extends Omit<Conversation, "id"> {
  /** Default: a new UUIDv7. */
  readonly id?: string | undefined;
  readonly messages?: readonly Message[] | undefined;
}

/**
 * Creates the repository of conversations on a memory. It has no state of its own, and the memory stays the caller's to close.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createConversationRepository(
  memory: MemoryStorage,
  options: RepositoryOptions = {},
): ConversationRepository {
  const collection = collectionOf(options, "messages");

  async function findThread(owner: string, id: string): Promise<Thread | null> {
    const thread = await memory.getThread(owner, id);
    return thread?.kind === CONVERSATION ? thread : null;
  }

  function itemsOf(field: string, owner: string, threadId: string, messages: readonly Message[]): NewItem[] {
    if (!Array.isArray(messages)) throw invalidArgument(field, "an array", messages);
    const place = { owner, collection, threadId };
    return Array.from(messages, (message: Message, at) => itemOfMessage(`${field}[${at}]`, place, message));
  }

  return {
    async create(conversation) {
      objectWithKeys("conversation", conversation, [...CONVERSATION_MEMBERS, "messages"]);
      const { userId, id: given, title, createdAt, messages = [] } = conversation;
      const owner = checkOwner("conversation.userId", userId);
      const metadata = labelsOfConversation(conversation) ?? undefined;
      const id = given ?? idClock.next();
      const items = itemsOf("conversation.messages", owner, id, messages);
      const isNew = items.length > 0 && (given === undefined || (await memory.getThread(owner, id)) === null);
      const thread = await memory.createThread({ owner, id, kind: CONVERSATION, title, metadata, createdAt });
      if (items.length === 0) return conversationOf(thread);
      await addOrUndo(memory, { owner, id, isNew }, items);
      return conversationOf((await findThread(owner, thread.id)) ?? thread);
    },

    async findById(userId, id) {
      const thread = await findThread(userId, id);
      return thread === null ? null : conversationOf(thread);
    },

    async findByUserId(userId, page = {}) {
      return (await memory.listThreads(threadsOf(userId, CONVERSATION, page))).map(conversationOf);
    },

    async updateTitle(userId, id, title) {
      if ((await findThread(userId, id)) === null) throw noSuch("update title", "conversation with this id");
      return conversationOf(await memory.updateThread(userId, id, { title }));
    },

    async delete(userId, id) {
      return (await findThread(userId, id)) !== null && (await memory.deleteThread(userId, id));
    },

    async addMessages(userId, id, messages) {
      await memory.addItems(itemsOf("messages", userId, id, messages));
    },

    async getMessages(userId, id, limit = Number.MAX_SAFE_INTEGER) {
      return await lastMessages(memory, { owner: userId, collection, threadId: id }, limit);
    },
  };
}

const DOCUMENT = "document";

const DOCUMENT_MEMBERS = ["userId", "id", "title", "content", "embedding", "metadata", "createdAt"] as const;

/**
 * Adds the first items of a thread. If they are refused, the thread goes. `isNew`: unless it was there before. It stays, too, if another call
 * has added items to it meanwhile.
 */
async function addOrUndo(
  memory: MemoryStorage,
  { owner, id, isNew }: Pick<Thread, "owner" | "id"> & { readonly isNew: boolean },
  items: readonly NewItem[],
): Promise<void> {
  try {
    await memory.addItems(items);
  } catch (error) {
    if (isNew) await memory.deleteThread(owner, id, { ifEmpty: true }).catch(() => false); // the first error says more
    throw error;
  }
}

function collectionOf(value: RepositoryOptions, byDefault: string): string {
  const { collection = byDefault } = objectWithKeys("options", value, ["collection"]);
  return checkCollectionName("options.collection", collection);
}

function threadsOf(owner: string, kind: string, page: RepositoryPage): ThreadQuery {
  const { before, limit } = objectWithKeys("page", page, ["before", "limit"]) as RepositoryPage;
  return { owner, kind, before, limit };
}

function headOf({ owner, id, title = "", metadata, createdAt, updatedAt }: Thread): DocumentHead {
  return { id, userId: owner, title, ...(metadata !== undefined && { metadata }), createdAt, updatedAt };
}
