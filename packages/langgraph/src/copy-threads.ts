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
import { type CopiedWrites, changesOf } from "./pending-writes.ts";
import { ADD_WRITES, FIND_ALL, READ_COPIED_WRITES, WaymarkSaver } from "./waymark-saver.ts";

/** Threads with a conflict that the error names. */
const MAX_NAMED = 10;

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
  /** The thread that was copied last, or had a conflict. */
  readonly threadId: string | null;
  /** Threads that were copied, or were there already. */
  readonly threads: number;
  /** Threads that have gone on in the target, which stay as they are, and those that read back differently. */
  readonly conflicts: number;
  /** Checkpoints that were copied. */
  readonly checkpoints: number;
  /** Checkpoints that were there already: an earlier call has copied them. */
  readonly skipped: number;
}

/**
 * Copies threads, with their checkpoints and pending writes, from any checkpointer. Checkpoints and writes that are there already
 * are not written again, so a call that has failed or was stopped is continued by the same call. Stop the agents of the threads
 * meanwhile. A thread whose original has gone on follows it. A thread that has gone on by itself, in the target, is left as it
 * is; to copy it again, delete it in the target first.
 * @throws CheckpointError `INVALID_ARGUMENT`; `ABORTED`; errors of the storage; errors of `from` as they are. Threads under way are
 *   ended first. `CONFLICT`, after all other threads were copied, if threads have gone on by themselves or read back differently
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
  let progress: CopyProgress = { threadId: null, threads: 0, conflicts: 0, checkpoints: 0, skipped: 0 };
  const conflicts: Conflict[] = [];
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
      const { copied, skipped, problem } = await copyThread(from, to, threadId, verify, signal);
      if (problem !== undefined && conflicts.length < MAX_NAMED) conflicts.push({ threadId, problem });
      progress = {
        threadId,
        threads: progress.threads + (problem === undefined ? 1 : 0),
        conflicts: progress.conflicts + (problem === undefined ? 0 : 1),
        checkpoints: progress.checkpoints + copied,
        skipped: progress.skipped + skipped,
      };
      onProgress?.(progress);
    }
  };
  const fail = (error: unknown) => void failures.push(error);
  await Promise.all(Array.from({ length: concurrency }, () => copyNext().catch(fail)));
  await ids.return().catch(fail);
  if (failures.length > 0) throw failures[0];
  if (progress.conflicts > 0) throw conflictOf(conflicts, progress.conflicts);
  return progress;
}

interface Conflict {
  readonly threadId: string;
  readonly problem: string;
}

/** `conflicts`: the first ones of so many. */
function conflictOf([first, ...others]: readonly Conflict[], count: number): CheckpointError {
  const named = others.map(({ threadId }) => quoted(threadId)).join(", ");
  const more = count - 1 - others.length;
  const rest = others.length === 0 ? "" : `. Also: ${named}${more > 0 ? ` and ${more} more threads` : ""}`;
  return new CheckpointError("CONFLICT", `copy threads: ${first?.problem}${rest}`);
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

/** `problem`: why the copy is not like its original. */
async function copyThread(
  from: BaseCheckpointSaver,
  to: WaymarkSaver,
  threadId: string,
  verify: boolean,
  signal: AbortSignal | undefined,
): Promise<{ readonly copied: number; readonly skipped: number; readonly problem: string | undefined }> {
  const thread = { configurable: { thread_id: threadId } };
  const [tuples, stored] = await Promise.all([all(from.list(thread)), to[FIND_ALL](threadId)]);
  const originals = tuples.toReversed().map((tuple) => {
    const address = addressOf(threadId, tuple);
    return { tuple, address, head: stored.get(checkpointKey(address)) };
  });
  const copiedWrites: CopiedWrites[] = [];
  for (const { tuple, head } of originals) {
    throwIfAborted(signal);
    copiedWrites.push(await to[READ_COPIED_WRITES](head, tuple.pendingWrites ?? []));
  }
  // Of the whole thread, and before anything is written: a copy that has gone on is left as it is, not mixed with the original.
  const changes = hasOwnBranch(threadId, tuples, stored) ? undefined : changesOf(copiedWrites);
  if (changes === undefined) return { copied: 0, skipped: 0, problem: `the thread ${quoted(threadId)} ${HAS_GONE_ON}` };
  for (const [at, { tuple, address, head }] of originals.entries()) {
    throwIfAborted(signal);
    const { parentConfig, checkpoint, metadata } = tuple;
    const parent: RunnableConfig = parentConfig ?? {
      configurable: { thread_id: threadId, checkpoint_ns: address.namespace },
    };
    if (head === undefined) await to.put(parent, checkpoint, metadata as CheckpointMetadata, versionsOf(checkpoint));
    // Also to a checkpoint that was there: a call that was stopped may not have come to them, or the original has gone on.
    await to[ADD_WRITES](address, changes[at] ?? []);
  }
  const problem = verify ? differenceOf(threadId, tuples, await all(to.list(thread))) : undefined;
  const skipped = originals.filter(({ head }) => head !== undefined).length;
  return { copied: originals.length - skipped, skipped, problem };
}

/**
 * Returns whether both the original and the copy have gone on from a checkpoint that both have: the later of the two branches
 * would become the latest. (A checkpoint that only the copy has is none of its own if the source has deleted it.)
 */
function hasOwnBranch(
  threadId: string,
  tuples: readonly CheckpointTuple[],
  stored: ReadonlyMap<string, CheckpointAddress>,
): boolean {
  const keys = new Set(tuples.map((tuple) => checkpointKey(addressOf(threadId, tuple))));
  return tuples.some((tuple) => {
    const address = addressOf(threadId, tuple);
    const parent = { ...address, checkpointId: String(tuple.parentConfig?.configurable?.["checkpoint_id"]) };
    const parentKey = checkpointKey(parent);
    if (stored.has(checkpointKey(address)) || !stored.has(parentKey) || !keys.has(parentKey)) return false;
    const newest = newestIn(address.namespace, stored.values());
    return newest !== undefined && newest.checkpointId > parent.checkpointId && !keys.has(checkpointKey(newest));
  });
}

function newestIn(namespace: string, addresses: Iterable<CheckpointAddress>): CheckpointAddress | undefined {
  let newest: CheckpointAddress | undefined;
  for (const address of addresses) {
    if (address.namespace === namespace && address.checkpointId > (newest?.checkpointId ?? "")) newest = address;
  }
  return newest;
}

/** A version for each channel with a value: of a checkpoint without a parent, no others are stored. */
function versionsOf({ channel_values, channel_versions }: Checkpoint): ChannelVersions {
  const unversioned = Object.keys(channel_values).map((channel): [string, number] => [channel, 1]);
  return { ...Object.fromEntries(unversioned), ...channel_versions };
}

const DIFFERS =
  "reads back differently: it was changed meanwhile, or the serializer of the source keeps what the copy's does not, such as a Date (then use the same serde, or verify: false)";

const HAS_GONE_ON =
  "has gone on in the target since it was copied (or its original has asked something else, and nobody has answered), and is left as it is; to copy it again, delete it in the target first";

/** Returns what is wrong with the first checkpoint that differs. */
function differenceOf(
  threadId: string,
  originals: readonly CheckpointTuple[],
  copies: readonly CheckpointTuple[],
): string | undefined {
  const found = new Map(copies.map((copy) => [checkpointKey(addressOf(threadId, copy)), copy]));
  for (const original of originals) {
    const copy = found.get(checkpointKey(addressOf(threadId, original)));
    if (copy !== undefined && isDeepStrictEqual(contentOf(copy), contentOf(original))) continue;
    const which = `checkpoint ${original.checkpoint.id} of the thread ${quoted(threadId)}`;
    const problem = copy === undefined ? "is missing; was it deleted meanwhile?" : DIFFERS;
    return `${which} ${problem}`;
  }
  return undefined;
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
