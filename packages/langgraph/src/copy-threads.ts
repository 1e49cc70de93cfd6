import { isDeepStrictEqual } from "node:util";
import type { RunnableConfig } from "@langchain/core/runnables";
import type {
  BaseCheckpointSaver,
  ChannelVersions,
  Checkpoint,
  CheckpointMetadata,
  CheckpointPendingWrite,
  CheckpointTuple,
} from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import {
  boolean,
  checkAgentId,
  checkProgressOptions,
  integer,
  invalidArgument,
  objectWithKeys,
  property,
  quoted,
  refuseUndefined,
} from "@waymark/core/kit";
import { type CheckpointAddress, checkpointKey } from "./address.ts";
import { hasMethods, namespaceIn } from "./config.ts";
import { ADD_MISSING_WRITES, FIND_ALL, WaymarkSaver } from "./waymark-saver.ts";

export interface CopyThreadsOptions {
  /**
   * Threads to copy, in any order. Default: all that `from` lists, for which it reads all of its checkpoints once more. With
   * many threads, take their ids from its table. The iterator is closed if the copying ends early.
   */
  readonly threadIds?: Iterable<string> | AsyncIterable<string>;
  /** Threads copied at a time, which share commits: 1 to 256. Default: 16. All checkpoints of so many threads are in memory. */
  readonly concurrency?: number | undefined;
  /**
   * Reads every copied thread back, and compares it with the original. Default: `true`. If the serializer of `from` keeps what
   * LangGraph's does not, such as a `Date`, give the saver the same one as its `serde`, or pass `false`.
   */
  readonly verify?: boolean | undefined;
  /** Called after each thread. */
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
  /** Stops the copying between two checkpoints. It can be continued by another call. */
  readonly signal?: AbortSignal | undefined;
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
 * Copies threads, with their checkpoints and pending writes, from any checkpointer. Checkpoints and writes that are there already
 * are not written again, so a call that has failed or was stopped is continued by the same call. Stop the agents of the threads
 * meanwhile.
 * @throws CheckpointError `INVALID_ARGUMENT`; `CONFLICT` if a checkpoint reads back differently; `ABORTED`; errors of the storage;
 *   errors of `from` as they are. Threads under way are ended first
 */
export async function copyThreads(
  from: BaseCheckpointSaver,
  to: WaymarkSaver,
  options: CopyThreadsOptions = {},
): Promise<CopyProgress> {
  if (!hasMethods(from, ["list"])) throw invalidArgument("from", "a checkpointer", from);
  if (!(to instanceof WaymarkSaver)) throw invalidArgument("to", "a WaymarkSaver", to);
  const { threadIds, concurrency, verify, onProgress, signal } = checkOptions(from, options);
  const ids = each(threadIds);
  let progress: CopyProgress = { threadId: null, threads: 0, checkpoints: 0, skipped: 0 };
  const failures: unknown[] = [];
  const isGoingOn = () => {
    throwIfAborted(signal);
    return failures.length === 0;
  };
  const copyNext = async () => {
    while (isGoingOn()) {
      const { done, value } = await ids.next();
      if (done || !isGoingOn()) return;
      const threadId = checkAgentId("each thread_id", value);
      const { copied, skipped } = await copyThread(from, to, threadId, verify, signal);
      const { threads, checkpoints, skipped: before } = progress;
      progress = { threadId, threads: threads + 1, checkpoints: checkpoints + copied, skipped: before + skipped };
      onProgress?.(progress);
    }
  };
  const fail = (error: unknown) => void failures.push(error);
  await Promise.all(Array.from({ length: concurrency }, () => copyNext().catch(fail)));
  await ids.return().catch(fail);
  if (failures.length > 0) throw failures[0];
  return progress;
}

function checkOptions(from: BaseCheckpointSaver, value: CopyThreadsOptions) {
  const options = objectWithKeys("options", value, ["threadIds", "concurrency", "verify", "onProgress", "signal"]);
  refuseUndefined("options", options, ["threadIds"]); // it would copy all
  const { threadIds = threadsOf(from), concurrency = 16, verify = true, onProgress, signal } = options;
  const isIterable = [Symbol.asyncIterator, Symbol.iterator].some((name) => property(threadIds, name) !== undefined);
  if (!isIterable) throw invalidArgument("options.threadIds", "an iterable of ids, such as an array", threadIds);
  return {
    threadIds: threadIds as Iterable<unknown> | AsyncIterable<unknown>,
    concurrency: integer("options.concurrency", concurrency, 1, 256, "threads at a time"),
    verify: boolean("options.verify", verify),
    ...checkProgressOptions<CopyProgress>({ onProgress, signal } as CopyThreadsOptions),
  };
}

async function copyThread(
  from: BaseCheckpointSaver,
  to: WaymarkSaver,
  threadId: string,
  verify: boolean,
  signal: AbortSignal | undefined,
): Promise<{ readonly copied: number; readonly skipped: number }> {
  const thread = { configurable: { thread_id: threadId } };
  const [tuples, stored] = await Promise.all([all(from.list(thread)), to[FIND_ALL](threadId)]);
  let skipped = 0;
  for (const tuple of tuples.toReversed()) {
    throwIfAborted(signal);
    const { parentConfig, checkpoint, metadata, pendingWrites = [] } = tuple;
    const address = addressOf(threadId, tuple);
    const head = stored.get(checkpointKey(address));
    const parent: RunnableConfig = parentConfig ?? {
      configurable: { thread_id: threadId, checkpoint_ns: address.namespace },
    };
    if (head !== undefined) skipped += 1;
    else await to.put(parent, checkpoint, metadata as CheckpointMetadata, versionsOf(checkpoint));
    // Also of a checkpoint that was there: a call that was stopped may not have come to them. What is there stays, though: the
    // thread may have gone on.
    await to[ADD_MISSING_WRITES](address, head, pendingWrites);
  }
  if (verify) compare(threadId, tuples, await all(to.list(thread)));
  return { copied: tuples.length - skipped, skipped };
}

/** A version for each channel with a value: of a checkpoint without a parent, no others are stored. */
function versionsOf({ channel_values, channel_versions }: Checkpoint): ChannelVersions {
  const unversioned = Object.keys(channel_values).map((channel): [string, number] => [channel, 1]);
  return { ...Object.fromEntries(unversioned), ...channel_versions };
}

const DIFFERS =
  "reads back differently: it was changed meanwhile, or the serializer of the source keeps what the copy's does not, such as a Date (then use the same serde, or verify: false)";

/** @throws CheckpointError `CONFLICT` for the first checkpoint that differs */
function compare(threadId: string, originals: readonly CheckpointTuple[], copies: readonly CheckpointTuple[]): void {
  const found = new Map(copies.map((copy) => [checkpointKey(addressOf(threadId, copy)), copy]));
  for (const original of originals) {
    const copy = found.get(checkpointKey(addressOf(threadId, original)));
    if (copy !== undefined && isDeepStrictEqual(contentOf(copy), contentOf(original))) continue;
    const which = `checkpoint ${original.checkpoint.id} of the thread ${quoted(threadId)}`;
    const problem = copy === undefined ? "is missing; was it deleted meanwhile?" : DIFFERS;
    throw new CheckpointError("CONFLICT", `copy threads: ${which} ${problem}`);
  }
}

function contentOf({ checkpoint, metadata, parentConfig, pendingWrites = [] }: CheckpointTuple): unknown {
  // Not every checkpointer returns the channels of a task in the same order.
  const slot = ([task, channel]: CheckpointPendingWrite) => JSON.stringify([task, channel]);
  const writes = pendingWrites.toSorted((a, b) => (slot(a) < slot(b) ? -1 : Number(slot(a) > slot(b))));
  return [checkpoint, metadata, parentConfig?.configurable?.["checkpoint_id"], writes];
}

function addressOf(threadId: string, { config, checkpoint }: CheckpointTuple): CheckpointAddress {
  return { threadId, namespace: namespaceIn(config) ?? "", checkpointId: checkpoint.id };
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

async function* each<Item>(items: Iterable<Item> | AsyncIterable<Item>): AsyncGenerator<Item, void> {
  yield* items;
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new CheckpointError("ABORTED", "copy threads: options.signal was aborted");
}
