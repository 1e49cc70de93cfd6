import type { Item as StoreItem } from "@langchain/langgraph-checkpoint";
import type { CheckpointMetadata } from "@waymark/core";
import type { Item, NewItem } from "@waymark/core/memory";
import { namespaceOf, pathOf } from "./namespace.ts";
import { expiryOf } from "./options.ts";

/** Items of a store as items of a memory, and back. */

/** Label of the time of the last put. Longer than the labels of a value's members, as is the next one shorter. */
const UPDATED_AT = "updatedAt";
/** Label of the minutes after which an item expires. */
const TTL = "ttl";

/** What a put stores. */
export interface NewStoreItem {
  readonly namespace: readonly string[];
  readonly key: string;
  readonly value: Record<string, unknown>;
  /** What is searched; empty: the item is not. */
  readonly text: string;
  readonly labels: CheckpointMetadata;
  /** In minutes; `null`: it never expires. */
  readonly ttl: number | null;
}

/** `embedding`: `null`: none, not even one of the memory's own embedder. */
export function memoryItemOf(owner: string, item: NewStoreItem, embedding: readonly number[] | null): NewItem {
  const { namespace, key, value, text, labels, ttl } = item;
  return {
    owner,
    collection: pathOf(namespace),
    key,
    value,
    text,
    metadata: { ...labels, [UPDATED_AT]: Date.now(), ...(ttl !== null && { [TTL]: ttl }) },
    embedding,
    ...(ttl !== null && { expiresAt: expiryOf(ttl) }),
  };
}

/** Returns an item as LangGraph has it; `null` for one that no store has put there. */
export function storeItemOf({ collection, key, value, createdAt, metadata }: Item): StoreItem | null {
  const namespace = namespaceOf(collection);
  const updatedAt = metadata?.[UPDATED_AT];
  if (namespace === null || key === undefined || typeof updatedAt !== "number") return null;
  return {
    namespace,
    key,
    value: value as Record<string, unknown>,
    createdAt: new Date(createdAt),
    // A new item's is taken just before its `createdAt`.
    updatedAt: new Date(Math.max(updatedAt, createdAt)),
  };
}

/** Returns the time when an item expires that is read now; `undefined` if that need not be stored. */
export function refreshedExpiry({ expiresAt, metadata }: Item): number | undefined {
  const ttl = metadata?.[TTL];
  if (expiresAt === undefined || typeof ttl !== "number") return undefined;
  const refreshed = expiryOf(ttl);
  // Each read of an item would be a write else.
  return refreshed - expiresAt >= (refreshed - Date.now()) / 100 ? refreshed : undefined;
}
