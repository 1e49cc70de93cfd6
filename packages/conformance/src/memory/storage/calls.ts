import type { MemoryStorage } from "@waymark/core/memory";
import { COLLECTION, itemOf } from "./bench.ts";
import { newEmbedder } from "./embedders.ts";
import { newId } from "./ids.ts";

type Call = (storage: MemoryStorage, owner: string, options: { readonly signal?: AbortSignal }) => Promise<unknown>;

/** Calls of each method that takes a signal, by name; of an owner that has a thread `t`. */
export const CALLS: Readonly<Record<string, Call>> = {
  createThread: (storage, owner, options) => storage.createThread({ owner }, options),
  getThread: (storage, owner, options) => storage.getThread(owner, "t", options),
  listThreads: (storage, owner, options) => storage.listThreads({ owner, ...options }),
  updateThread: (storage, owner, options) => storage.updateThread(owner, "t", { title: "changed" }, options),
  deleteThread: (storage, owner, options) => storage.deleteThread(owner, "t", options),
  addItems: (storage, owner, options) => storage.addItems([itemOf(owner, "x", { embedding: [1] })], options),
  updateItem: (storage, owner, options) => storage.updateItem(owner, newId(), { text: "x" }, options),
  getItem: (storage, owner, options) => storage.getItem(owner, newId(), options),
  listItems: (storage, owner, options) => storage.listItems({ owner, ...options }),
  countItems: (storage, owner, options) => storage.countItems({ owner, ...options }),
  deleteItems: (storage, owner, options) => storage.deleteItems(owner, [newId()], options),
  deleteItemsWhere: (storage, owner, options) => storage.deleteItemsWhere({ owner, ...options }),
  search: (storage, owner, options) =>
    storage.search({ owner, collections: [COLLECTION], text: "x", vector: [1], ...options }),
  getCollection: (storage, owner, options) => storage.getCollection(owner, COLLECTION, options),
  listCollections: (storage, owner, options) => storage.listCollections({ owner, ...options }),
  listOwners: (storage, _, options) => storage.listOwners(options),
  deleteCollection: (storage, owner, options) => storage.deleteCollection(owner, COLLECTION, options),
  reembed: (storage, owner, options) =>
    storage.reembed({ owner, collection: COLLECTION, embedder: newEmbedder("m", 1), ...options }),
  forgetOwner: (storage, owner, options) => storage.forgetOwner(owner, options),
  prune: (storage, owner, options) => storage.prune({ owner, keepLast: 0, ...options }),
};
