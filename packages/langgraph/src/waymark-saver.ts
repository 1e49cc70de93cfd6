import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  maxChannelVersion,
  type PendingWrite,
  type SerializerProtocol,
  TASKS,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage, CheckpointWrite, ListQuery } from "@waymark/core";
import { momentOf, revisionsOf } from "./checkpoint-id.ts";
import { Checkpoints, type Found, type Read, type StoredState } from "./checkpoints.ts";
import {
  checkpointIdIn,
  checkStorage,
  checkText,
  checkThreadId,
  lineOf,
  namespaceIn,
  refuse,
  serdeIn,
  threadIdIn,
} from "./config.ts";
import { filterOf, labelFilter, labelsOf, matches, ruledOut } from "./labels.ts";
import { LastPuts, share } from "./last-puts.ts";
import type { Target } from "./pending-writes.ts";
import { type Serialized, Serializer } from "./serializer.ts";
import { WriteQueue } from "./write-queue.ts";

/** How many checkpoints are read at once at most: for a list, whose reader may stop; and when delta channels are put together. */
const MAX_LISTED_AT_ONCE = 8;
const MAX_ANCESTORS_AT_ONCE = 64;

export interface WaymarkSaverOptions {
  /** How values become bytes, and bytes values. Default: LangGraph's `JsonPlusSerializer`. */
  readonly serde?: SerializerProtocol;
}

type DeltaChannelHistories = Awaited<ReturnType<BaseCheckpointSaver["getDeltaChannelHistory"]>>;
type DeltaChannelHistory = DeltaChannelHistories[string];

/**
 * A LangGraph checkpointer on any Waymark storage: `graph.compile({ checkpointer: new WaymarkSaver(storage) })`.
 *
 * A thread is an agent, and `checkpoint_ns` a namespace of it. The storage stays its owner's: the saver never closes it. What the
 * storage rejects with (`CheckpointError`) comes through as it is.
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
    checkStorage(storage);
    this.#defaultSerde = serde === undefined ? this.serde : null;
    this.#checkpoints = new Checkpoints(storage);
    this.#queue = new WriteQueue((target, writes) => this.#checkpoints.append(target, writes));
  }

  /**
   * The checkpoint that `config` names, or else the newest of its thread and namespace, with the writes that are pending;
   * undefined if there is none.
   */
  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const threadId = threadIdIn(config);
    if (threadId === undefined) return undefined;
    const line = { threadId, namespace: namespaceIn(config) ?? "" };
    const checkpointId = checkpointIdIn("config", config);
    const read =
      checkpointId === undefined
        ? await this.#checkpoints.latest(line)
        : await this.#checkpoints.named({ ...line, checkpointId });
    return read && (await this.#tuple(read));
  }

  /**
   * Checkpoints, the newest first: of all threads if `config` names none, of all namespaces if it names none. They are read a few
   * at a time, as they are asked for.
   *
   * `filter`: entries that the metadata must have, equal all the way down; those that are undefined ask for nothing. Within a thread
   * the database looks for strings of up to 256 bytes, numbers, booleans and null. For anything else states are read.
   */
  override async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const threadId = threadIdIn(config);
    const namespace = namespaceIn(config);
    const checkpointId = checkpointIdIn("config", config);
    const before = checkpointIdIn("options.before", options.before);
    const { limit = Number.POSITIVE_INFINITY } = options;
    if (typeof limit !== "number" || Number.isNaN(limit)) throw refuse("options.limit", "a number", limit);
    const filter = filterOf(options.filter);
    const moment = checkpointId === undefined ? undefined : momentOf(checkpointId);
    if (moment === null || limit <= 0) return;

    const bound = before === undefined ? undefined : momentOf(before)?.before;
    const query: ListQuery = {
      ...(threadId === undefined ? {} : { agentId: threadId }),
      ...(threadId === undefined || namespace === undefined ? {} : { namespace }),
      ...(bound === undefined ? {} : { before: bound }),
      ...moment,
    };
    const labels = threadId === undefined ? {} : await this.#checkpoints.labelsToListBy(threadId, labelFilter(filter));
    const mayMatch = (found: Found) =>
      (checkpointId === undefined || found.checkpointId === checkpointId) &&
      (before === undefined || found.checkpointId < before) &&
      (namespace === undefined || found.namespace === namespace) &&
      !ruledOut(found.revisions[0], filter);
    let left = Math.ceil(limit);
    const candidates = those(mayMatch, this.#checkpoints.list({ ...query, ...labels }, left));
    for await (const read of this.#checkpoints.readEach(candidates, Math.min(left, MAX_LISTED_AT_ONCE))) {
      const tuple = read && (await this.#tuple(read));
      if (tuple === undefined || !matches(tuple.metadata, filter)) continue;
      yield tuple;
      left -= 1;
      if (left === 0) return;
    }
  }

  /**
   * Stores a checkpoint and returns the config that names it, once the database has it durably. An id that was put before can be
   * put again: what was put last is what is read.
   *
   * As with LangGraph's own savers, a checkpoint without a parent keeps only the channels in `newVersions`, unless it is a fork.
   * @throws CheckpointError `INVALID_ARGUMENT` if `thread_id` or `checkpoint_ns` is none that can be stored, or if the checkpoint's
   *   id is no UUIDv6; `UNSUPPORTED_VALUE` for a channel whose value is a function, a symbol or a class
   */
  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const line = lineOf(config);
    const parent = checkpointIdIn("config", config) ?? null;
    const target = { ...line, checkpointId: checkpoint.id };
    const range = revisionsOf(target, checkText("checkpoint.id", checkpoint.id, 1, 1_024));
    if (range === null) throw refuse("checkpoint.id", "a UUIDv6 of a time since 1970", checkpoint.id);

    await this.#queue.put(target, async () => {
      const serializer = this.#serializer();
      const { channel_values = {}, ...rest } = checkpoint;
      const versions = checkpoint.channel_versions ?? {};
      const last = this.#lastPuts.of(target);
      const keepsAll = parent !== null || metadata?.source === "fork" || newVersions === undefined;
      const isNew = (channel: string) => newVersions === undefined || Object.hasOwn(newVersions, channel);
      // LangGraph's serializer writes all of them out before the first `await`: what is changed later is not stored.
      const dumpingChannels = Object.entries(channel_values)
        .filter(([channel]) => keepsAll || isNew(channel))
        .map(async ([channel, value]) => {
          const version = Object.hasOwn(versions, channel) ? versions[channel] : undefined;
          const before = last?.channels.get(channel);
          const isUnchanged = last?.checkpointId === parent && !isNew(channel) && version !== undefined;
          if (before !== undefined && isUnchanged && before.version === version) return [channel, before] as const;
          const field = `put: channel ${JSON.stringify(channel.slice(0, 64))}`;
          const { serialized, data } = await serializer.dump(field, value, before);
          return [channel, { serialized: share(before?.serialized, serialized), data, version }] as const;
        });
      const [dumpedRest, dumpedMetadata, channels] = await Promise.all([
        serializer.dump("put: the checkpoint", rest),
        serializer.dump("put: the metadata", metadata),
        Promise.all(dumpingChannels),
      ]);
      const state: StoredState = {
        checkpoint: dumpedRest.serialized,
        channels: Object.fromEntries(channels.map(([channel, { serialized }]) => [channel, serialized])),
        metadata: dumpedMetadata.serialized,
        parent,
      };
      // As it will be read, where that is known.
      const labels = labelsOf(checkpoint.id, serializer.isLangGraphs ? dumpedMetadata.serialized[1] : metadata);
      const row = await this.#checkpoints.put(target, range, { name: nameOf(metadata), state, labels });
      this.#lastPuts.add(target, row, new Map(channels));
    });
    return configOf(target);
  }

  /**
   * Stores results of a task with the checkpoint that its step began from: up to 10,000 of them all or none, more in parts, each
   * of which may be stored again.
   * @throws CheckpointError `INVALID_ARGUMENT` if an id is none that can be stored; `UNSUPPORTED_VALUE` for a function, a symbol or
   *   a class
   */
  override async putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
    taskPath?: string,
  ): Promise<void> {
    const line = lineOf(config);
    const checkpointId = checkpointIdIn("config", config);
    if (checkpointId === undefined || revisionsOf(line, checkpointId) === null) {
      throw refuse("config.configurable.checkpoint_id", "a UUIDv6 of a time since 1970", checkpointId);
    }
    checkText("taskId", taskId, 1, 255);
    if (taskPath !== undefined) checkText("taskPath", taskPath, 0, 16 * 1_024);
    for (const [index, [channel]] of writes.entries()) checkText(`writes[${index}][0]`, channel, 1, 1_024);
    if (writes.length === 0) return;

    const serializer = this.#serializer();
    const dumped = await Promise.all(
      writes.map(async ([, value], index) => await serializer.dump(`put writes: writes[${index}][1]`, value)),
    );
    const results = writes.map(([channel], index): CheckpointWrite => {
      const { serialized } = dumped[index] as (typeof dumped)[number];
      const place = Object.hasOwn(WRITES_IDX_MAP, channel) ? (WRITES_IDX_MAP[channel] as number) : index;
      return { taskId, index: place, channel, value: serialized, ...(taskPath ? { taskPath } : {}) };
    });
    const bytes = dumped.reduce((sum, { data }) => sum + data.byteLength, 0);
    await this.#queue.add({ ...line, checkpointId }, { writes: results, bytes });
  }

  /** Deletes all checkpoints and writes of a thread, in all namespaces. Puts of this saver that are under way come first. */
  override async deleteThread(threadId: string): Promise<void> {
    checkThreadId("threadId", threadId);
    await this.#queue.settle(threadId);
    this.#lastPuts.forget(threadId);
    await this.#checkpoints.deleteThread(threadId);
  }

  /**
   * For each channel the value at the nearest ancestor that has one (`seed`), and the writes from there on, oldest first. Reads
   * several ancestors at once, and of each only what is asked for.
   */
  override async getDeltaChannelHistory(options: {
    config: RunnableConfig;
    channels: string[];
  }): Promise<DeltaChannelHistories> {
    const { config, channels } = options;
    const threadId = threadIdIn(config);
    const line = { threadId: threadId ?? "", namespace: namespaceIn(config) ?? "" };
    const checkpointId = checkpointIdIn("config", config);
    const serializer = this.#serializer();
    const newestFirst = new Map(channels.map((channel): [string, CheckpointWrite[]] => [channel, []]));
    const seeds = new Map<string, unknown>();

    if (threadId !== undefined && channels.length > 0) {
      const ancestors = this.#checkpoints.ancestors(line, checkpointId);
      for await (const read of this.#checkpoints.readEach(ancestors, MAX_ANCESTORS_AT_ONCE)) {
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

    const histories = [...newestFirst].map(async ([channel, found]): Promise<[string, DeltaChannelHistory]> => {
      const writes = await this.#load(found.toReversed());
      return [channel, { writes, ...(seeds.has(channel) ? { seed: seeds.get(channel) } : {}) }];
    });
    return Object.fromEntries(await Promise.all(histories));
  }

  /** `this.serde` is a public member, which somebody may replace. */
  #serializer(): Serializer {
    return new Serializer(this.serde, this.serde === this.#defaultSerde);
  }

  async #tuple(read: Read): Promise<CheckpointTuple> {
    const serializer = this.#serializer();
    const { state, writes } = read;
    this.#lastPuts.check(read);
    const [rest, metadata, pendingWrites, channels] = await Promise.all([
      serializer.load(state.checkpoint) as Promise<Omit<Checkpoint, "channel_values">>,
      serializer.load(state.metadata) as Promise<CheckpointMetadata>,
      this.#load(writes),
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

  /** Before version 4 of the format, what was sent to tasks was with the parent's writes. */
  async #addPendingSends(checkpoint: Checkpoint, parent: Target): Promise<void> {
    const writes = await this.#checkpoints.writesOf(parent);
    const sends = await this.#load(writes.filter(({ channel }) => channel === TASKS));
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[TASKS] = sends.map(([, , value]) => value);
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }

  async #load(writes: readonly CheckpointWrite[]): Promise<CheckpointPendingWrite[]> {
    const serializer = this.#serializer();
    return await Promise.all(
      writes.map(async ({ taskId, channel, value }): Promise<CheckpointPendingWrite> => {
        return [taskId, channel, await serializer.load(value as Serialized)];
      }),
    );
  }
}

async function* those<Item>(wanted: (item: Item) => boolean, items: AsyncIterable<Item>): AsyncGenerator<Item> {
  for await (const item of items) if (wanted(item)) yield item;
}

function configOf({ threadId, namespace, checkpointId }: Target): RunnableConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: checkpointId } };
}

/** What a person reads in a list: `input -1`, `loop 3`. */
function nameOf(metadata: CheckpointMetadata | undefined): string {
  const { source, step }: { source?: unknown; step?: unknown } = metadata ?? {};
  const words = [source, step].filter((word) => /^[\w-]{1,64}$/.test(String(word)) && word !== undefined);
  return words.length > 0 ? words.join(" ") : "checkpoint";
}
