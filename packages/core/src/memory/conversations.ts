import type { CheckpointMetadata } from "../contract/checkpoints.ts";
import { objectWithKeys, string } from "../contract/checks.ts";
import { invalidArgument } from "../contract/errors.ts";
import type { Item, MemoryStorage, NewItem, Thread } from "./contract.ts";

/** Conversations and messages in the words of other libraries, for `StorageBackend` and the repositories. */

/** A conversation. It is a thread of the kind `"conversation"`. */
export interface Conversation {
  /** The thread's id: 1 to 255 bytes of UTF-8, unique for the user. */
  readonly id: string;
  /** The thread's owner. */
  readonly userId: string;
  readonly title?: string | undefined;
  /** Where it takes place (`"telegram"`, `"cli"`). It is the label `channelId` of the thread. */
  readonly channelId?: string | undefined;
  /** Name of the language model. It is the label `model` of the thread. */
  readonly model?: string | undefined;
  /** The thread's other labels: flat, and none is named `channelId` or `model`. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** In milliseconds since 1970-01-01 UTC. Default: now. */
  readonly createdAt?: number | undefined;
}

/** A conversation as it is stored. Members that were not given are absent. */
export interface StoredConversation extends Conversation {
  readonly createdAt: number;
  /** When it was changed, or a message added, last. */
  readonly updatedAt: number;
  /** Number of its messages, and of the memories that belong to it. */
  readonly items: number;
}

/** A message of a conversation. It is an item of the thread. */
export interface Message {
  /**
   * Any text of 1 to 1,024 bytes that no other message of the user has: the item's `key`. Adding the same message again does nothing.
   * Default: the item's own id.
   */
  readonly id?: string | undefined;
  /** `"user"`, `"assistant"`, `"system"`, `"tool"`: 1 to 64 bytes. */
  readonly role: string;
  /** The text, by which the message is found. */
  readonly content: string;
  /** Any value that a checkpoint's `state` may have; in the item's `value`, as are the next three. */
  readonly toolCalls?: unknown;
  readonly toolResults?: unknown;
  /** Name of the language model that wrote it. */
  readonly model?: string | undefined;
  readonly tokensUsed?: number | undefined;
  /** Flat labels. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** In milliseconds since 1970-01-01 UTC. Default: now. Never an order: messages are ordered as they were added. */
  readonly createdAt?: number | undefined;
  /** Default: made by the memory's embedder, if it has one. It does not come back. */
  readonly embedding?: Float32Array | readonly number[] | undefined;
}

/** A message as it is stored. Members that were not given are absent. */
export interface StoredMessage extends Omit<Message, "embedding"> {
  readonly id: string;
  readonly createdAt: number;
}

export const CONVERSATION = "conversation";

/** Items and threads that are read at once. */
const PAGE = 1_000;

/** Members of a conversation that are labels of its thread. */
const OWN_LABELS = ["channelId", "model"] as const;

export const CONVERSATION_MEMBERS = ["id", "userId", "title", ...OWN_LABELS, "metadata", "createdAt"] as const;

/** Returns the labels of a conversation's thread; `null`: none. */
export function labelsOfConversation({
  channelId,
  model,
  metadata = {},
}: Pick<Conversation, "channelId" | "model" | "metadata">): CheckpointMetadata | null {
  const taken = OWN_LABELS.find((name) => Object.hasOwn(metadata, name));
  if (taken !== undefined) {
    throw invalidArgument(
      `conversation.metadata.${taken}`,
      `absent: it is the member ${taken} itself`,
      metadata[taken],
    );
  }
  const labels = { ...metadata, ...(channelId !== undefined && { channelId }), ...(model !== undefined && { model }) };
  return Object.keys(labels).length === 0 ? null : labels;
}

export function conversationOf({
  owner,
  id,
  title,
  metadata = {},
  createdAt,
  updatedAt,
  items,
}: Thread): StoredConversation {
  const { channelId, model, ...others } = metadata;
  return {
    id,
    userId: owner,
    ...(title !== undefined && { title }),
    ...(typeof channelId === "string" && { channelId }),
    ...(typeof model === "string" && { model }),
    ...(Object.keys(others).length > 0 && { metadata: others }),
    createdAt,
    updatedAt,
    items,
  };
}

/** Members of a message that are in its item's value. */
const IN_VALUE = ["toolCalls", "toolResults", "model", "tokensUsed"] as const;

const MESSAGE_MEMBERS = ["id", "role", "content", ...IN_VALUE, "metadata", "createdAt", "embedding"] as const;

/** Where the messages of a conversation are. */
export interface MessagePlace {
  readonly owner: string;
  readonly collection: string;
  readonly threadId: string;
}

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the member of `field` */
export function itemOfMessage(field: string, place: MessagePlace, message: Message): NewItem {
  objectWithKeys(field, message, MESSAGE_MEMBERS);
  const { id, role, content, metadata, createdAt, embedding } = message;
  string(`${field}.role`, role);
  string(`${field}.content`, content);
  const given = IN_VALUE.filter((name) => message[name] !== undefined);
  return {
    ...place,
    key: id,
    role,
    text: content,
    ...(given.length > 0 && { value: Object.fromEntries(given.map((name) => [name, message[name]])) }),
    metadata,
    createdAt,
    embedding,
  };
}

function messageOf({ id, key, role = "", text, value, metadata, createdAt }: Item): StoredMessage {
  const { toolCalls, toolResults, model, tokensUsed } = membersOf(value);
  return {
    id: key ?? id,
    role,
    content: text,
    ...(toolCalls !== undefined && { toolCalls }),
    ...(toolResults !== undefined && { toolResults }),
    ...(typeof model === "string" && { model }),
    ...(typeof tokensUsed === "number" && { tokensUsed }),
    ...(metadata !== undefined && { metadata }),
    createdAt,
  };
}

/** Returns the members of a value, which somebody else may have stored. */
function membersOf(value: unknown): { readonly [name in (typeof IN_VALUE)[number]]?: unknown } {
  return typeof value === "object" && value !== null ? value : {};
}

/** Reads the last messages of a conversation, in the order in which they were added. */
export async function lastMessages(
  memory: MemoryStorage,
  place: MessagePlace,
  limit: number,
): Promise<StoredMessage[]> {
  const newestFirst = await pages<Item>(limit, (size, last) =>
    memory.listItems({ ...place, order: "newest", after: last?.position, limit: size }),
  );
  return newestFirst.reverse().map(messageOf);
}

/** Reads a list to its end, or its first `limit` members. `read` returns the next `size` behind `last`. */
export async function pages<Row>(
  limit: number,
  read: (size: number, last: Row | undefined) => Promise<Row[]>,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (;;) {
    const size = Math.min(PAGE, limit - rows.length);
    const page = await read(size, rows.at(-1));
    rows.push(...page);
    if (page.length < size || rows.length >= limit) return rows;
  }
}
