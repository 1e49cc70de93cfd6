export { type CopyProgress, type CopyThreadsOptions, copyThreads } from "./copy-threads.ts";
export {
  type WaitingQuery,
  type WaitingThread,
  WaymarkSaver,
  type WaymarkSaverOptions,
} from "./waymark-saver.ts";
