import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  ERROR,
  INTERRUPT,
  maxChannelVersion,
  type PendingWrite,
  type SerializerProtocol,
  TASKS,
} from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage, CheckpointWrite, ListQuery } from "@waymark/core";
import { checkAgentId, invalidWord, objectWithKeys, PAGE, quoted } from "@waymark/core/kit";
import { type CheckpointAddress, checkpointKey } from "./address.ts";
import { rangeInAllTimelines, revisionRange } from "./checkpoint-id.ts";
import { type CheckpointHead, Checkpoints, type NewCheckpoint, type ReadCheckpoint } from "./checkpoints.ts";
import {
  checkCheckpointId,
  checkpointIdIn,
  checkStorage,
  checkTaskWrites,
  namespaceIn,
  serdeIn,
  threadIdIn,
  timelineIn,
} from "./config.ts";
import { type Filter, filterOf, isMatch, isRuledOut, labelFilter, labelsOf, runLabelsOf } from "./labels.ts";
import { LastPuts } from "./last-puts.ts";
import { type CopiedWrites, dropRepeatedQuestions, groupByTask, stopsOf, writesOf } from "./pending-writes.ts";
import { type Dumped, type Serialized, Serializer } from "./serializer.ts";
import { WriteQueue, type Writes } from "./write-queue.ts";

/** The most checkpoints read concurrently for a list, whose caller may stop early. */
const MAX_CONCURRENT_LISTED = 8;
/** The most ancestors read concurrently for delta channels. */
const MAX_CONCURRENT_ANCESTORS = 64;

/** @internal For `copyThreads`: finds the checkpoints of a thread. */
export const FIND_ALL = Symbol("find all");
/** @internal For `copyThreads`: reads the pending writes of a checkpoint, to compare them with those of its original. */
export const READ_COPIED_WRITES = Symbol("read copied writes");
/** @internal For `copyThreads`: adds pending writes to a checkpoint. */
export const ADD_WRITES = Symbol("add writes");

/** Threads read at a time by `listWaiting`. */
const MAX_CONCURRENT_THREADS = 32;

export interface WaitingQuery {
  /** Only threads whose ids are above this one, in the order of their bytes. */
  readonly after?: string | undefined;
}

/** A thread whose latest checkpoint in the root namespace has interrupts or errors of tasks without a result. */
export interface WaitingThread {
  readonly threadId: string;
  readonly checkpointId: string;
  /** What was passed to `interrupt` and is not answered; its `id` names it in `Command({ resume })`. */
  readonly interrupts: readonly unknown[];
  /**
   * Errors of tasks that have failed. The graph runs these tasks again with the next `invoke(null, …)`. A task that has failed
   * once and asked a question once, and has no result, is listed with both, as by `getState`: which one came last is not stored.
   */
  readonly errors: readonly unknown[];
}

export interface WaymarkSaverOptions {
  /** Serializer of values. Default: LangGraph's `JsonPlusSerializer`. */
  readonly serde?: SerializerProtocol | undefined;
}

interface SerializedCheckpoint {
  readonly content: Omit<NewCheckpoint, "labels">;
  /** The metadata as it will be read. Another serializer's output cannot be inspected: then as it was given. */
  readonly readMetadata: unknown;
  readonly channels: ReadonlyMap<string, Dumped>;
}

type DeltaChannelHistories = Awaited<ReturnType<BaseCheckpointSaver["getDeltaChannelHistory"]>>;
type DeltaChannelHistory = DeltaChannelHistories[string];

/**
 * A LangGraph checkpointer on any Waymark storage: `graph.compile({ checkpointer: new WaymarkSaver(storage) })`.
 *
 * A thread is an agent, and `checkpoint_ns` is a namespace of it. The saver never closes the storage, which stays its
 * owner's. Errors of the storage (`CheckpointError`) are passed on unchanged.
 */
export class WaymarkSaver extends BaseCheckpointSaver {
  readonly #checkpoints: Checkpoints;
  readonly #queue: WriteQueue;
  readonly #lastPuts = new LastPuts();
  readonly #defaultSerde: SerializerProtocol | null;

  /** @throws CheckpointError `INVALID_ARGUMENT` */
  constructor(storage: CheckpointStorage, options: WaymarkSaverOptions = {}) {
    const serde = serdeIn(options);
    super(serde);
    this.#defaultSerde = serde === undefined ? this.serde : null;
    this.#checkpoints = new Checkpoints(checkStorage(storage));
    this.#queue = new WriteQueue((address, writes) => this.#checkpoints.append(address, writes));
  }

  /**
   * Returns the checkpoint that `config` names, or the newest of its thread and namespace if it names none, with its pending
   * writes; undefined if there is none.
   */
  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const threadId = threadIdIn(config);
    if (threadId === undefined) return undefined;
    const timeline = { threadId, namespace: namespaceIn(config) ?? "" };
    const checkpointId = checkpointIdIn("config", config);
    const read =
      checkpointId === undefined
        ? await this.#checkpoints.readLatest(timeline)
        : await this.#checkpoints.readAt({ ...timeline, checkpointId });
    return read && (await this.#toTuple(read));
  }

  /**
   * Lists checkpoints, newest first: of all threads if `config` names none, of all namespaces if it names none. Checkpoints
   * are read a few at a time, as the caller takes them.
   *
   * `filter`: entries that the metadata must have, deeply equal; undefined entries filter nothing. Within a thread the
   * database filters by strings of up to 256 bytes, numbers, booleans and null. For other values, states are read.
   */
  override async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { limit = Number.POSITIVE_INFINITY } = options;
    const query = listQuery(config, options);
    if (typeof limit !== "number" || Number.isNaN(limit)) throw invalidWord("options.limit", "a number", limit);
    if (query === null || limit <= 0) return;

    const { agentId: threadId } = query.rows;
    const labels =
      threadId === undefined ? {} : await this.#checkpoints.labelQuery(threadId, labelFilter(query.filter));
    let left = Math.ceil(limit);
    const heads = filterItems(this.#checkpoints.list({ ...query.rows, ...labels }, left), query.mayMatch);
    for await (const read of this.#checkpoints.readEach(heads, Math.min(left, MAX_CONCURRENT_LISTED))) {
      const tuple = read && (await this.#toTuple(read));
      if (tuple === undefined || !isMatch(tuple.metadata, query.filter)) continue;
      yield tuple;
      left -= 1;
      if (left === 0) return;
    }
  }

  /**
   * Stores a checkpoint and returns the config that names it, once it is durable in the database. An id may be put again:
   * reads return the content of the last put.
   *
   * Its labels are of `metadata` and, beside that, of the user's entries in `config.metadata`.
   *
   * As with LangGraph's own savers, a checkpoint without a parent keeps only the channels in `newVersions`, unless it is a
   * fork.
   * @throws CheckpointError `INVALID_ARGUMENT` if `thread_id` or `checkpoint_ns` cannot be stored, or if the checkpoint's id
   *   is no UUIDv6; `UNSUPPORTED_VALUE`, with the path, for a channel whose value is a function, a symbol or a class, or has
   *   a part that cannot be stored (a cycle, a `toJSON` that throws); nothing is written
   */
  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const timeline = timelineIn(config);
    const parent = checkpointIdIn("config", config) ?? null;
    const address = { ...timeline, checkpointId: checkpoint.id };
    const runLabels = runLabelsOf(config.metadata);
    const range = revisionRange(address, checkCheckpointId("checkpoint.id", checkpoint.id));
    if (range === null) throw invalidWord("checkpoint.id", "a UUIDv6 of a time since 1970", checkpoint.id);

    await this.#queue.put(address, async () => {
      const { content, readMetadata, channels } = await this.#serialize(
        address,
        parent,
        checkpoint,
        metadata,
        newVersions,
      );
      const labels = labelsOf(checkpoint.id, readMetadata, runLabels);
      const revisionId = await this.#checkpoints.put(address, range, { ...content, labels });
      this.#lastPuts.add(address, revisionId, channels);
    });
    return configOf(address);
  }

  async #serialize(
    address: CheckpointAddress,
    parent: string | null,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<SerializedCheckpoint> {
    const serializer = this.#serializer();
    const { channel_values = {}, ...rest } = checkpoint;
    const last = this.#lastPuts.get(address);
    const keepsAll = parent !== null || metadata?.source === "fork" || newVersions === undefined;
    const isNew = (channel: string) => newVersions === undefined || Object.hasOwn(newVersions, channel);
    // LangGraph's values are encoded before the first `await`: later changes are not stored. Values without a new version too:
    // a node may have changed one in place, and the graph goes on with that.
    const serializingChannels = Object.entries(channel_values)
      .filter(([channel]) => keepsAll || isNew(channel))
      .map(async ([channel, value]): Promise<[string, Dumped]> => {
        return [channel, await serializer.dump(`put: ${channelField(channel)}`, value, last?.get(channel))];
      });
    const [serializedRest, serializedMetadata, channels] = await Promise.all([
      serializer.dump("put: the checkpoint", rest),
      serializer.dump("put: the metadata", metadata),
      Promise.all(serializingChannels),
    ]);
    const state = {
      checkpoint: serializedRest.serialized,
      channels: Object.fromEntries(channels.map(([channel, { serialized }]) => [channel, serialized])),
      metadata: serializedMetadata.serialized,
      parent,
    };
    const readMetadata = serializer.isLangGraphs ? serializedMetadata.serialized[1] : metadata;
    return { content: { name: nameOf(metadata), state }, readMetadata, channels: new Map(channels) };
  }

  /**
   * Stores results of a task with the checkpoint that its step began from: up to 10,000 of them all or nothing, more in
   * several parts, each of which may be stored again.
   * @throws CheckpointError `INVALID_ARGUMENT` if an id cannot be stored; `UNSUPPORTED_VALUE` as for `put`
   */
  override async putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
    taskPath?: string,
  ): Promise<void> {
    const timeline = timelineIn(config);
    const checkpointId = checkpointIdIn("config", config);
    if (checkpointId === undefined || revisionRange(timeline, checkpointId) === null) {
      throw invalidWord("config.configurable.checkpoint_id", "a UUIDv6 of a time since 1970", checkpointId);
    }
    checkTaskWrites(writes, taskId, taskPath);
    await this.#addWrites({ ...timeline, checkpointId }, writesOf(writes, taskId, taskPath));
  }

  /** Adds writes whose values are not serialized yet. */
  async #addWrites(address: CheckpointAddress, writes: readonly CheckpointWrite[]): Promise<void> {
    if (writes.length > 0) await this.#queue.add(address, await this.#serializeWrites(writes));
  }

  async #serializeWrites(writes: readonly CheckpointWrite[]): Promise<Writes> {
    const serializer = this.#serializer();
    const dumped = await Promise.all(
      writes.map(async ({ channel, value }) => await serializer.dump(`put writes: ${channelField(channel)}`, value)),
    );
    const bytes = dumped.reduce((sum, one) => sum + one.bytes, 0);
    return { writes: writes.map((write, at) => ({ ...write, value: dumped[at]?.serialized })), bytes };
  }

  /** Deletes all checkpoints and writes of a thread, in all namespaces, after this saver's puts that are under way. */
  override async deleteThread(threadId: string): Promise<void> {
    checkAgentId("threadId", threadId);
    await this.#queue.dropThread(threadId);
    this.#lastPuts.dropThread(threadId);
    await this.#checkpoints.deleteThread(threadId);
  }

  /**
   * Returns for each channel the value at the nearest ancestor that has one (`seed`), and the writes since then, oldest
   * first. Reads several ancestors at once, and of each only these channels.
   */
  override async getDeltaChannelHistory(options: {
    config: RunnableConfig;
    channels: string[];
  }): Promise<DeltaChannelHistories> {
    const { config, channels } = options;
    const threadId = threadIdIn(config);
    const timeline = { threadId: threadId ?? "", namespace: namespaceIn(config) ?? "" };
    const checkpointId = checkpointIdIn("config", config);
    const serializer = this.#serializer();
    const newestFirst = new Map(channels.map((channel): [string, CheckpointWrite[]] => [channel, []]));
    const seeds = new Map<string, unknown>();

    if (threadId !== undefined && channels.length > 0) {
      const ancestors = this.#checkpoints.ancestors(timeline, checkpointId);
      for await (const read of this.#checkpoints.readEach(ancestors, MAX_CONCURRENT_ANCESTORS)) {
        if (read === undefined) break;
        const { state, writes } = read;
        for (const write of writes.toReversed()) {
          if (!seeds.has(write.channel)) newestFirst.get(write.channel)?.push(write);
        }
        for (const channel of newestFirst.keys()) {
          const stored = Object.hasOwn(state.channels, channel) ? state.channels[channel] : undefined;
          if (seeds.has(channel) || stored === undefined) continue;
          const seed = await serializer.load(stored);
          if (seed !== undefined) seeds.set(channel, seed);
        }
        if (seeds.size === newestFirst.size) break;
      }
    }

    const histories = [...newestFirst].map(async ([channel, since]): Promise<[string, DeltaChannelHistory]> => {
      const writes = await this.#loadWrites(since.toReversed());
      return [channel, { writes, ...(seeds.has(channel) ? { seed: seeds.get(channel) } : {}) }];
    });
    return Object.fromEntries(await Promise.all(histories));
  }

  /**
   * Iterates over the threads that wait, by their ids: those that an interrupt or a failed task has stopped. For each agent in
   * the storage it reads the head and the writes of the latest checkpoint, and no state, several agents at a time. An agent
   * whose latest checkpoint another program has stored is left out.
   * @throws CheckpointError `INVALID_ARGUMENT`
   */
  async *listWaiting(query: WaitingQuery = {}): AsyncGenerator<WaitingThread> {
    const { after: last } = objectWithKeys("query", query, ["after"]);
    const after = last === undefined ? undefined : checkAgentId("query.after", last);
    for await (const threadIds of this.#checkpoints.threadPages(after, MAX_CONCURRENT_THREADS)) {
      const stopped = await Promise.all(threadIds.map(async (threadId) => await this.#readStops(threadId)));
      for (const { head, stops } of stopped) {
        if (head === undefined || stops.length === 0) continue;
        const { threadId, checkpointId } = head;
        const loaded = await this.#loadWrites(stops);
        const valuesOf = (of: string) => loaded.filter(([, channel]) => channel === of).map(([, , value]) => value);
        const interrupts = dropRepeatedQuestions(valuesOf(INTERRUPT).flat(1));
        yield { threadId, checkpointId, interrupts, errors: valuesOf(ERROR) };
      }
    }
  }

  async #readStops(threadId: string) {
    const head = await this.#checkpoints.findLatest({ threadId, namespace: "" });
    return { head, stops: stopsOf(await this.#checkpoints.readWrites(head)) };
  }

  /** @internal Finds the checkpoints of a thread, by {@link checkpointKey}. */
  async [FIND_ALL](threadId: string): Promise<ReadonlyMap<string, CheckpointHead>> {
    const heads = new Map<string, CheckpointHead>();
    for await (const head of this.#checkpoints.list({ agentId: threadId }, PAGE)) heads.set(checkpointKey(head), head);
    return heads;
  }

  /** @internal Reads the pending writes of a checkpoint. `head`: undefined if it is not stored; `pendingWrites`: the original's. */
  async [READ_COPIED_WRITES](
    head: CheckpointHead | undefined,
    pendingWrites: readonly CheckpointPendingWrite[],
  ): Promise<CopiedWrites> {
    const stored = await this.#checkpoints.readWrites(head);
    const paths = new Map(stored.map(({ taskId, taskPath }) => [taskId, taskPath]));
    const original = [...groupByTask(pendingWrites)].flatMap(([taskId, ofTask], place) => {
      checkTaskWrites(ofTask, taskId, undefined);
      // The path keeps the tasks in their order.
      return writesOf(ofTask, taskId, paths.get(taskId) ?? String(place).padStart(6, "0"));
    });
    if (stored.length === 0) return { stored, original };
    const { writes } = await this.#serializeWrites(original);
    return { stored: await this.#withValues(stored), original: await this.#withValues(writes) };
  }

  /** @internal Adds pending writes to a checkpoint. */
  async [ADD_WRITES](address: CheckpointAddress, writes: readonly CheckpointWrite[]): Promise<void> {
    await this.#addWrites(address, writes);
  }

  /** Returns the current serializer: `this.serde` is public, and may be replaced. */
  #serializer(): Serializer {
    return new Serializer(this.serde, this.serde === this.#defaultSerde);
  }

  async #toTuple(read: ReadCheckpoint): Promise<CheckpointTuple> {
    const serializer = this.#serializer();
    const { state, writes } = read;
    this.#lastPuts.dropIfStale(read);
    const [rest, metadata, pendingWrites, channels] = await Promise.all([
      serializer.load(state.checkpoint) as Promise<Omit<Checkpoint, "channel_values">>,
      serializer.load(state.metadata) as Promise<CheckpointMetadata>,
      this.#loadWrites(writes),
      Promise.all(Object.entries(state.channels).map(async ([name, value]) => [name, await serializer.load(value)])),
    ]);
    const checkpoint: Checkpoint = {
      ...rest,
      channel_versions: rest.channel_versions ?? {},
      versions_seen: rest.versions_seen ?? {},
      channel_values: Object.fromEntries(channels),
    };
    const tuple: CheckpointTuple = { config: configOf(read), checkpoint, metadata, pendingWrites };
    if (state.parent === null) return tuple;
    const parent = { ...read, checkpointId: state.parent };
    if (checkpoint.v < 4) await this.#addPendingSends(checkpoint, parent);
    return { ...tuple, parentConfig: configOf(parent) };
  }

  /** Adds messages sent to tasks. Before version 4 of LangGraph's format, they were among the parent's writes. */
  async #addPendingSends(checkpoint: Checkpoint, parent: CheckpointAddress): Promise<void> {
    const writes = await this.#checkpoints.readWrites(await this.#checkpoints.find(parent));
    const sends = await this.#loadWrites(writes.filter(({ channel }) => channel === TASKS));
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[TASKS] = sends.map(([, , value]) => value);
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }

  async #loadWrites(writes: readonly CheckpointWrite[]): Promise<CheckpointPendingWrite[]> {
    return (await this.#withValues(writes)).map(({ taskId, channel, value }) => [taskId, channel, value]);
  }

  /** Returns the writes with their values deserialized. */
  async #withValues(writes: readonly CheckpointWrite[]): Promise<CheckpointWrite[]> {
    const serializer = this.#serializer();
    return await Promise.all(
      writes.map(async (write) => ({ ...write, value: await serializer.load(write.value as Serialized) })),
    );
  }
}

/** The arguments of `list`, checked. */
interface CheckedList {
  readonly rows: ListQuery;
  readonly filter: Filter;
  /** Returns `false` for a checkpoint whose head alone shows that it does not match. */
  readonly mayMatch: (head: CheckpointHead) => boolean;
}

/** Checks the arguments of `list`. `null`: LangGraph makes no such id, so that nothing can match. */
function listQuery(config: RunnableConfig, options: CheckpointListOptions): CheckedList | null {
  const threadId = threadIdIn(config);
  const namespace = namespaceIn(config);
  const checkpointId = checkpointIdIn("config", config);
  const beforeId = checkpointIdIn("options.before", options.before);
  const filter = filterOf(options.filter);
  const range = checkpointId === undefined ? undefined : rangeInAllTimelines(checkpointId);
  if (range === null) return null;
  const before = beforeId === undefined ? undefined : rangeInAllTimelines(beforeId)?.before;
  const rows: ListQuery = {
    ...(threadId === undefined ? {} : { agentId: threadId }),
    ...(threadId === undefined || namespace === undefined ? {} : { namespace }),
    ...(before === undefined ? {} : { before }),
    ...range,
  };
  const mayMatch = (head: CheckpointHead) =>
    (checkpointId === undefined || head.checkpointId === checkpointId) &&
    (beforeId === undefined || head.checkpointId < beforeId) &&
    (namespace === undefined || head.namespace === namespace) &&
    !isRuledOut(head.revisions[0], filter);
  return { rows, filter, mayMatch };
}

async function* filterItems<Item>(
  items: AsyncIterable<Item>,
  predicate: (item: Item) => boolean,
): AsyncGenerator<Item> {
  for await (const item of items) if (predicate(item)) yield item;
}

function configOf({ threadId, namespace, checkpointId }: CheckpointAddress): RunnableConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: checkpointId } };
}

/** Returns the name of a channel in error messages. */
function channelField(channel: string): string {
  return `channel ${quoted(channel)}`;
}

/** Returns a name for people, such as `input -1` or `loop 3`. */
function nameOf(metadata: CheckpointMetadata | undefined): string {
  const { source, step }: { source?: unknown; step?: unknown } = metadata ?? {};
  const words = [source, step].filter((word) => /^[\w-]{1,64}$/.test(String(word)) && word !== undefined);
  return words.length > 0 ? words.join(" ") : "checkpoint";
}
