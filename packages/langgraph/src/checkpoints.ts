import { isDeepStrictEqual } from "node:util";
import {
  type AgentCheckpointListItem,
  CheckpointError,
  type CheckpointErrorCode,
  type CheckpointMetadata,
  type CheckpointStorage,
  type CheckpointWrite,
  type ListQuery,
  type StoredAgentCheckpoint,
} from "@waymark/core";
import { dropRepeated, MAX_WRITES, PAGE, slices } from "@waymark/core/kit";
import { type CheckpointAddress, checkpointKey, type Timeline } from "./address.ts";
import { type IdRange, MAX_REVISION, revisionOf, revisionRange, withRevision } from "./checkpoint-id.ts";
import { checkpointIdOf, PARTIAL_ONLY } from "./labels.ts";
import { byTask } from "./pending-writes.ts";
import type { Serialized } from "./serializer.ts";

/** Heads that the first list reads when ancestors are looked for. */
const FIRST_ANCESTORS = 100;
/** Checkpoints whose newest revision is remembered. */
const MAX_REMEMBERED = 1_000;

/** The state of a Waymark checkpoint: a LangGraph checkpoint. */
export interface StoredState {
  /** The checkpoint without `channel_values`. */
  readonly checkpoint: Serialized;
  readonly channels: Readonly<Record<string, Serialized>>;
  readonly metadata: Serialized;
  /** LangGraph's id of the parent. */
  readonly parent: string | null;
}

/** A checkpoint to store. */
export interface NewCheckpoint {
  /** Name for people. */
  readonly name: string;
  readonly state: StoredState;
  readonly labels: CheckpointMetadata;
}

/** A stored checkpoint: the heads of its revisions, newest first. */
export interface CheckpointHead extends CheckpointAddress {
  readonly revisions: readonly [AgentCheckpointListItem, ...AgentCheckpointListItem[]];
}

/** A checkpoint that was read. Its writes are in the order in which LangGraph applies them. */
export interface ReadCheckpoint extends CheckpointAddress {
  /** Waymark's id of the newest revision. */
  readonly revisionId: string;
  readonly state: StoredState;
  readonly writes: readonly CheckpointWrite[];
}

/**
 * LangGraph's checkpoints in a Waymark storage. A checkpoint is found by the ids that are derived from its own. Putting it
 * again with other content stores another revision, and the newest revision counts. Writes belong to all revisions.
 */
export class Checkpoints {
  readonly #storage: CheckpointStorage;
  /** Waymark's id of the newest revision of checkpoints that were put or read: writes are appended to it. */
  readonly #revisionIds = new Map<string, string>();
  #lastTime = 0;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  /** Stores a checkpoint and returns Waymark's id of its revision. `range`: ids of its revisions. */
  async put(address: CheckpointAddress, { since }: IdRange, { name, state, labels }: NewCheckpoint): Promise<string> {
    const parent = state.parent === null ? null : revisionRange(address, state.parent);
    // No two puts have the same time. Otherwise, putting the content before last again would pass for a repetition of that put.
    this.#lastTime = Math.max(this.#lastTime + 1, Date.now());
    const checkpoint = {
      agentId: address.threadId,
      namespace: address.namespace,
      name,
      createdAt: this.#lastTime,
      metadata: labels,
      state,
      ...(parent === null ? {} : { parentId: withRevision(parent.since, 1) }),
    };
    let earlier: CheckpointHead | undefined;
    for (let revision = 1; ; ) {
      const id = withRevision(since, revision);
      try {
        await this.#storage.storeCheckpoint({ ...checkpoint, id });
        if (earlier !== undefined) await this.#copyWrites(earlier, id);
        this.#remember(address, id);
        return id;
      } catch (error) {
        if (!hasCode(error, "CONFLICT") || revision === MAX_REVISION) throw error;
      }
      // The checkpoint was put before. Otherwise the row is not ours: its hash is the same, or it is a tombstone.
      earlier = await this.find(address);
      const newest = earlier?.revisions[0];
      const stored = newest && (await this.#storage.retrieveCheckpoint(newest.id));
      if (stored && isDeepStrictEqual(stored.state, state)) {
        this.#remember(address, stored.id);
        return stored.id;
      }
      revision = Math.min(MAX_REVISION, Math.max(revision, newest === undefined ? 0 : revisionOf(newest.id)) + 1);
    }
  }

  /** Copies the writes of earlier revisions to a new one, so that they stay if the earlier ones are pruned. */
  async #copyWrites(from: CheckpointHead, toRevisionId: string): Promise<void> {
    await this.#append(toRevisionId, await this.readWrites(from));
  }

  /** Appends writes. `false`: there is no such checkpoint. */
  async append(address: CheckpointAddress, writes: readonly CheckpointWrite[]): Promise<boolean> {
    const key = checkpointKey(address);
    for (;;) {
      const remembered = this.#revisionIds.get(key);
      const revisionId = remembered ?? (await this.find(address))?.revisions[0].id;
      if (revisionId === undefined) return false;
      try {
        await this.#append(revisionId, writes);
        if (remembered === undefined) this.#remember(address, revisionId);
        return true;
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND")) throw error;
      }
      this.#revisionIds.delete(key); // deleted meanwhile; there may be another revision
      if (remembered === undefined) return false;
    }
  }

  /** Appends writes to a revision, in several calls if they are too many for one. Each call may be repeated. */
  async #append(revisionId: string, writes: readonly CheckpointWrite[]): Promise<void> {
    for (const slice of slices(writes, MAX_WRITES)) await this.#storage.appendWrites(revisionId, slice);
  }

  /** Reads the newest checkpoint of a timeline. */
  async readLatest(timeline: Timeline): Promise<ReadCheckpoint | undefined> {
    const { threadId: agentId, namespace } = timeline;
    const row = await this.#storage.retrieveLatestCheckpoint(agentId, { namespace });
    if (row === null) return undefined;
    const checkpointId = checkpointIdOf(row);
    if (checkpointId === undefined) {
      // Another program has stored this one for the same agent.
      const newest = await first(this.list({ agentId, namespace }, PAGE));
      return newest && (await this.read(newest));
    }
    const address = { ...timeline, checkpointId };
    const isOnly = revisionOf(row.id) === 1;
    const revisionIds = isOnly ? [row.id] : ((await this.find(address))?.revisions ?? []).map(({ id }) => id);
    return this.#toRead(address, row, await this.#readWrites(revisionIds));
  }

  /** Finds the head of the newest checkpoint of a timeline; undefined if another program has stored the newest one. */
  async findLatest(timeline: Timeline): Promise<CheckpointHead | undefined> {
    const { threadId: agentId, namespace } = timeline;
    const [row] = await this.#storage.listCheckpoints({ agentId, namespace, limit: 1 });
    const checkpointId = row && checkpointIdOf(row);
    if (row === undefined || checkpointId === undefined) return undefined;
    const address = { ...timeline, checkpointId };
    return revisionOf(row.id) === 1 ? { ...address, revisions: [row] } : await this.find(address);
  }

  /** Reads the checkpoint at an address. */
  async readAt(address: CheckpointAddress): Promise<ReadCheckpoint | undefined> {
    const range = revisionRange(address, address.checkpointId);
    if (range === null) return undefined;
    // Nearly every checkpoint has one revision: all is requested at once.
    const id = withRevision(range.since, 1);
    const [head, row, writes] = await Promise.all([
      this.find(address),
      this.#storage.retrieveCheckpoint(id),
      this.#readWrites([id]),
    ]);
    if (head === undefined) return undefined;
    const isOnly = head.revisions.length === 1 && head.revisions[0].id === id;
    if (!isOnly) return await this.read(head);
    return row === null ? undefined : this.#toRead(address, row, writes);
  }

  /** Reads a checkpoint by its head. Undefined if it was deleted meanwhile. */
  async read(head: CheckpointHead): Promise<ReadCheckpoint | undefined> {
    const [row, writes] = await Promise.all([
      this.#storage.retrieveCheckpoint(head.revisions[0].id),
      this.readWrites(head),
    ]);
    return row === null ? undefined : this.#toRead(head, row, writes);
  }

  /**
   * Reads checkpoints in the order of their heads: one, then two concurrently, then four, up to `maxConcurrency`. Undefined
   * for one that was deleted meanwhile.
   */
  async *readEach(
    heads: AsyncIterable<CheckpointHead>,
    maxConcurrency: number,
  ): AsyncGenerator<ReadCheckpoint | undefined> {
    let batch: Promise<ReadCheckpoint | undefined>[] = [];
    let size = 1;
    for await (const head of heads) {
      const reading = this.read(head);
      reading.catch(() => {}); // the caller gets the error below, or reads no further
      batch.push(reading);
      if (batch.length < size) continue;
      for (const read of batch) yield await read;
      batch = [];
      size = Math.min(size * 2, maxConcurrency);
    }
    for (const read of batch) yield await read;
  }

  /** Finds the head of the checkpoint at an address. */
  async find(address: CheckpointAddress): Promise<CheckpointHead | undefined> {
    const range = revisionRange(address, address.checkpointId);
    if (range === null) return undefined;
    const { threadId: agentId, namespace, checkpointId } = address;
    const rows = await this.#storage.listCheckpoints({ agentId, namespace, ...range, limit: MAX_REVISION });
    const [newest, ...older] = rows.filter((row) => checkpointIdOf(row) === checkpointId);
    return newest && { ...address, revisions: [newest, ...older] };
  }

  /** Reads the writes of a checkpoint; none if there is no checkpoint. */
  async readWrites(head: CheckpointHead | undefined): Promise<CheckpointWrite[]> {
    return await this.#readWrites((head?.revisions ?? []).map(({ id }) => id));
  }

  /** Lists LangGraph's checkpoints that match, newest first. `expected`: number that the caller will probably take. */
  async *list(query: ListQuery, expected: number): AsyncGenerator<CheckpointHead> {
    for await (const head of this.#listMatching(query, expected)) {
      if (query.metadata === undefined) {
        yield head;
        continue;
      }
      // The list has only those revisions that match. A newer revision may not match.
      const current = await this.find(head);
      if (current?.revisions[0].id === head.revisions[0].id) yield current;
    }
  }

  /** Returns a query for these labels; an empty one if some checkpoint of the thread lacks part of its metadata in its labels. */
  async labelQuery(threadId: string, labels: CheckpointMetadata): Promise<Pick<ListQuery, "metadata">> {
    if (Object.keys(labels).length === 0) return {};
    const partial = await this.#storage.listCheckpoints({ agentId: threadId, metadata: PARTIAL_ONLY, limit: 1 });
    return partial.length > 0 ? {} : { metadata: labels };
  }

  /**
   * Iterates over the ancestors of a checkpoint (of the newest in its timeline, if no id is given): its parent first, back to
   * the root or to a parent that is not stored.
   */
  async *ancestors(timeline: Timeline, checkpointId: string | undefined): AsyncGenerator<CheckpointHead> {
    const query = { agentId: timeline.threadId, namespace: timeline.namespace };
    let current =
      checkpointId === undefined ? await first(this.list(query, 1)) : await this.find({ ...timeline, checkpointId });
    let older: AsyncGenerator<CheckpointHead> | undefined;
    const visited = new Set<string>(); // ids that callers choose may name each other as parents
    while (current !== undefined) {
      const bound = revisionZero(current.revisions[0]);
      const { parentId } = current.revisions[0];
      if (parentId === undefined || visited.has(parentId)) return;
      visited.add(parentId);
      const parentBound = withRevision(parentId, 0);
      if (parentBound < bound) {
        older ??= this.list({ ...query, before: bound }, FIRST_ANCESTORS);
        current = await advanceTo(older, parentBound);
      } else {
        // The parent is later than its child: another process, whose clock is ahead, has stored it.
        older = undefined;
        current = await first(
          this.list({ ...query, since: parentBound, before: withRevision(parentBound, MAX_REVISION + 1) }, 1),
        );
      }
      if (current !== undefined) yield current;
    }
  }

  /** Iterates over the ids of all threads above `after`, in the order of their bytes. */
  async *threadPages(after: string | undefined, size: number): AsyncGenerator<readonly string[]> {
    for (let last = after; ; ) {
      const page = await this.#storage.listAgents({ ...(last === undefined ? {} : { after: last }), limit: size });
      yield page;
      if (page.length < size) return;
      last = page.at(-1);
    }
  }

  /** Deletes everything that a thread has. */
  async deleteThread(threadId: string): Promise<void> {
    for (const key of this.#revisionIds.keys()) {
      if ((JSON.parse(key) as string[])[0] === threadId) this.#revisionIds.delete(key);
    }
    await this.#storage.deleteAgent(threadId);
  }

  async *#listMatching(query: ListQuery, expected: number): AsyncGenerator<CheckpointHead> {
    let revisions: AgentCheckpointListItem[] = [];
    for await (const row of this.#listRows(query, expected)) {
      const [newest] = revisions;
      if (newest !== undefined && revisionZero(newest) !== revisionZero(row)) {
        yield* groupByCheckpoint(revisions);
        revisions = [];
      }
      revisions.push(row);
    }
    yield* groupByCheckpoint(revisions);
  }

  async *#listRows(query: ListQuery, expected: number): AsyncGenerator<AgentCheckpointListItem> {
    // One more than expected shows where the revisions of the last checkpoint end.
    let limit = Math.min(expected + 1, PAGE);
    for (let { before } = query; ; limit = PAGE) {
      const rows = await this.#storage.listCheckpoints({
        ...query,
        ...(before === undefined ? {} : { before }),
        limit,
      });
      yield* rows;
      before = rows.at(-1)?.id;
      if (rows.length < limit) return;
    }
  }

  /** Reads the writes of all revisions of one checkpoint. The ids are newest first. */
  async #readWrites(revisionIds: readonly string[]): Promise<CheckpointWrite[]> {
    const oldestFirst = revisionIds.toReversed();
    const writes = await Promise.all(oldestFirst.map(async (id) => await this.#storage.listWrites(id)));
    return dropRepeated(writes.flat()).sort(byTask);
  }

  #toRead(address: CheckpointAddress, row: StoredAgentCheckpoint, writes: readonly CheckpointWrite[]): ReadCheckpoint {
    this.#remember(address, row.id);
    const { threadId, namespace, checkpointId } = address;
    return { threadId, namespace, checkpointId, revisionId: row.id, state: row.state as StoredState, writes };
  }

  #remember(address: CheckpointAddress, revisionId: string): void {
    const key = checkpointKey(address);
    this.#revisionIds.delete(key);
    this.#revisionIds.set(key, revisionId);
    if (this.#revisionIds.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#revisionIds.keys()) return void this.#revisionIds.delete(oldest);
  }
}

function hasCode(error: unknown, code: CheckpointErrorCode): boolean {
  return error instanceof CheckpointError && error.code === code;
}

/** Returns the id of revision 0: never stored, and the same for all revisions of a checkpoint. */
function revisionZero({ id }: { readonly id: string }): string {
  return withRevision(id, 0);
}

/** Groups rows with the same revision 0 by checkpoint. It is one checkpoint, unless two hashes are the same. */
function groupByCheckpoint(rows: readonly AgentCheckpointListItem[]): Iterable<CheckpointHead> {
  const heads = new Map<
    string,
    CheckpointAddress & { revisions: [AgentCheckpointListItem, ...AgentCheckpointListItem[]] }
  >();
  for (const row of rows) {
    const checkpointId = checkpointIdOf(row);
    if (checkpointId === undefined) continue;
    const address = { threadId: row.agentId, namespace: row.namespace ?? "", checkpointId };
    const key = checkpointKey(address);
    const head = heads.get(key);
    if (head === undefined) heads.set(key, { ...address, revisions: [row] });
    else head.revisions.push(row);
  }
  return heads.values();
}

async function first<Item>(items: AsyncIterable<Item>): Promise<Item | undefined> {
  for await (const item of items) return item;
  return undefined;
}

/** Advances an iterator, newest first, to the checkpoint with this revision 0. The iterator stays open. */
async function advanceTo(
  newestFirst: AsyncGenerator<CheckpointHead>,
  bound: string,
): Promise<CheckpointHead | undefined> {
  for (;;) {
    const { done, value } = await newestFirst.next();
    if (done) return undefined;
    const at = revisionZero(value.revisions[0]);
    if (at <= bound) return at === bound ? value : undefined;
  }
}
