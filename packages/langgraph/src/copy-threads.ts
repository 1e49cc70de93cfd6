import { isDeepStrictEqual } from "node:util";
import type { RunnableConfig } from "@langchain/core/runnables";
import type {
  BaseCheckpointSaver,
  ChannelVersions,
  Checkpoint,
  CheckpointMetadata,
  CheckpointPendingWrite,
  CheckpointTuple,
  PendingWrite,
} from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import { invalidArgument } from "@waymark/core/kit";
import { STORED_IDS, type WaymarkSaver } from "./waymark-saver.ts";

export interface CopyThreadsOptions {
  /**
   * Threads to copy, in any order. Default: all that `from` lists, for which it reads all of its checkpoints once more. With
   * many threads, take their ids from its table.
   */
  readonly threadIds?: Iterable<string> | AsyncIterable<string>;
  /** Threads copied at a time, which share commits: 1 to 256. Default: 16. All checkpoints of so many threads are in memory. */
  readonly concurrency?: number;
  /** Reads every copied thread back, and compares it with the original. Default: `true`. */
  readonly verify?: boolean;
  /** Called after each thread. */
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Stops the copying between two checkpoints. It can be continued by another call. */
  readonly signal?: AbortSignal;
}

/** Counts up to now. */
export interface CopyProgress {
  /** The thread that was copied last. */
  readonly threadId: string | null;
  readonly threads: number;
  /** Checkpoints that were copied. */
  readonly checkpoints: number;
  /** Checkpoints that were there already: an earlier call has copied them. */
  readonly skipped: number;
}

/**
 * Copies threads, with their checkpoints and pending writes, from any checkpointer. Checkpoints that are there already are not
 * written again, so a call that has failed or was stopped is continued by the same call. Stop the agents of the threads
 * meanwhile.
 * @throws CheckpointError `CONFLICT` if a checkpoint reads back differently; `ABORTED`; errors of the storage; errors of `from`
 *   as they are. Threads under way are ended first
 */
export async function copyThreads(
  from: BaseCheckpointSaver,
  to: WaymarkSaver,
  options: CopyThreadsOptions = {},
): Promise<CopyProgress> {
  const { threadIds = threadsOf(from), concurrency = 16, verify = true, onProgress, signal } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 256) {
    throw invalidArgument("options.concurrency", "an integer from 1 to 256", concurrency);
  }
  const ids = each(threadIds);
  let progress: CopyProgress = { threadId: null, threads: 0, checkpoints: 0, skipped: 0 };
  const failures: unknown[] = [];
  const copyNext = async () => {
    while (failures.length === 0) {
      throwIfAborted(signal);
      const { done, value: threadId } = await ids.next();
      if (done) return;
      const { copied, skipped } = await copyThread(from, to, threadId, verify, signal);
      const { threads, checkpoints, skipped: before } = progress;
      progress = { threadId, threads: threads + 1, checkpoints: checkpoints + copied, skipped: before + skipped };
      onProgress?.(progress);
    }
  };
  await Promise.all(
    Array.from({ length: concurrency }, () => copyNext().catch((error: unknown) => void failures.push(error))),
  );
  if (failures.length > 0) throw failures[0];
  return progress;
}

async function copyThread(
  from: BaseCheckpointSaver,
  to: WaymarkSaver,
  threadId: string,
  verify: boolean,
  signal: AbortSignal | undefined,
): Promise<{ readonly copied: number; readonly skipped: number }> {
  const thread = { configurable: { thread_id: threadId } };
  const [tuples, stored] = await Promise.all([all(from.list(thread)), to[STORED_IDS](threadId)]);
  let skipped = 0;
  for (const tuple of tuples.toReversed()) {
    throwIfAborted(signal);
    const { config, parentConfig, checkpoint, metadata, pendingWrites = [] } = tuple;
    const { checkpoint_ns = "" } = (config.configurable ?? {}) as { checkpoint_ns?: string };
    const parent: RunnableConfig = parentConfig ?? { configurable: { thread_id: threadId, checkpoint_ns } };
    if (stored.has(keyOf(tuple))) skipped += 1;
    else await to.put(parent, checkpoint, metadata as CheckpointMetadata, versionsOf(checkpoint));
    // Also of a checkpoint that was there: a call that was stopped may not have come to them.
    await copyWrites(pendingWrites, to, {
      configurable: { thread_id: threadId, checkpoint_ns, checkpoint_id: checkpoint.id },
    });
  }
  if (verify) await compare(threadId, tuples, await all(to.list(thread)));
  return { copied: tuples.length - skipped, skipped };
}

/** A version for each channel with a value: of a checkpoint without a parent, no others are stored. */
function versionsOf({ channel_values, channel_versions }: Checkpoint): ChannelVersions {
  const unversioned = Object.keys(channel_values).map((channel): [string, number] => [channel, 1]);
  return { ...Object.fromEntries(unversioned), ...channel_versions };
}

async function copyWrites(
  pendingWrites: readonly CheckpointPendingWrite[],
  to: WaymarkSaver,
  config: RunnableConfig,
): Promise<void> {
  const tasks = new Map<string, PendingWrite[]>();
  for (const [task, channel, value] of pendingWrites) {
    const writes = tasks.get(task);
    if (writes === undefined) tasks.set(task, [[channel, value]]);
    else writes.push([channel, value]);
  }
  // The path keeps the tasks in their order. Calls at the same time share a commit.
  await Promise.all(
    [...tasks].map(([task, writes], place) => to.putWrites(config, writes, task, String(place).padStart(6, "0"))),
  );
}

/** @throws CheckpointError `CONFLICT` for the first checkpoint that differs */
async function compare(
  threadId: string,
  originals: readonly CheckpointTuple[],
  copies: readonly CheckpointTuple[],
): Promise<void> {
  const found = new Map(copies.map((copy) => [keyOf(copy), copy]));
  for (const original of originals) {
    const copy = found.get(keyOf(original));
    if (copy !== undefined && isDeepStrictEqual(contentOf(copy), contentOf(original))) continue;
    const which = `checkpoint ${original.checkpoint.id} of the thread ${JSON.stringify(threadId)}`;
    const problem = copy === undefined ? "is missing" : "reads back differently";
    throw new CheckpointError("CONFLICT", `copy threads: ${which} ${problem}; was it changed meanwhile?`);
  }
}

function contentOf({ checkpoint, metadata, parentConfig, pendingWrites = [] }: CheckpointTuple): unknown {
  // Not every checkpointer returns the channels of a task in the same order.
  const slot = ([task, channel]: CheckpointPendingWrite) => JSON.stringify([task, channel]);
  const writes = pendingWrites.toSorted((a, b) => (slot(a) < slot(b) ? -1 : Number(slot(a) > slot(b))));
  return [checkpoint, metadata, parentConfig?.configurable?.["checkpoint_id"], writes];
}

/** The key of a checkpoint within its thread. */
function keyOf({ config, checkpoint }: Pick<CheckpointTuple, "config" | "checkpoint">): string {
  return JSON.stringify([config.configurable?.["checkpoint_ns"] ?? "", checkpoint.id]);
}

async function* threadsOf(from: BaseCheckpointSaver): AsyncGenerator<string> {
  const seen = new Set<string>();
  for await (const { config } of from.list({ configurable: {} })) {
    const threadId = config.configurable?.["thread_id"] as string;
    if (seen.has(threadId)) continue;
    seen.add(threadId);
    yield threadId;
  }
}

async function* each<Item>(items: Iterable<Item> | AsyncIterable<Item>): AsyncGenerator<Item, undefined> {
  yield* items;
  return undefined;
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new CheckpointError("ABORTED", "copy threads: options.signal was aborted");
}
