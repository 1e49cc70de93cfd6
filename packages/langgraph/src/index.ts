export { type CopyProgress, type CopyThreadsOptions, copyThreads } from "./copy-threads.ts";
export type { StoreIndexConfig, StoreTtlConfig, WaymarkStoreOptions } from "./store/options.ts";
export type { StoreEmbeddings } from "./store/vectorizer.ts";
export { type PutOptions, WaymarkStore } from "./store/waymark-store.ts";
export {
  type WaitingQuery,
  type WaitingThread,
  WaymarkSaver,
  type WaymarkSaverOptions,
} from "./waymark-saver.ts";
