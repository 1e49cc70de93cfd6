import { isDeepStrictEqual } from "node:util";
import {
  type AgentCheckpointListItem,
  CheckpointError,
  type CheckpointMetadata,
  type CheckpointStorage,
  type CheckpointWrite,
  type ListQuery,
  type StoredAgentCheckpoint,
} from "@waymark/core";
import { type IdRange, type Line, MAX_REVISION, revisionOf, revisionsOf, withRevision } from "./checkpoint-id.ts";
import { checkpointIdOf, PARTIAL_ONLY } from "./labels.ts";
import { byTask, keyOf, mergeWrites, type Target } from "./pending-writes.ts";
import type { Serialized } from "./serializer.ts";

/** How many writes a storage takes at once. */
const MAX_WRITES = 10_000;
/** How many heads of checkpoints are listed at once. */
const PAGE = 1_000;
/** Of how many checkpoints the row is remembered. */
const MAX_ROWS = 1_000;
/** How many heads are listed first when ancestors are looked for. */
const ANCESTORS = 100;

/** What a Waymark checkpoint's state holds of a LangGraph checkpoint. */
export interface StoredState {
  /** The checkpoint without `channel_values`. */
  readonly checkpoint: Serialized;
  readonly channels: Readonly<Record<string, Serialized>>;
  readonly metadata: Serialized;
  /** LangGraph's id of the checkpoint that this one continues. */
  readonly parent: string | null;
}

/** A checkpoint to be stored. */
export interface Put {
  /** What a person calls it. */
  readonly name: string;
  readonly state: StoredState;
  readonly labels: CheckpointMetadata;
}

/** A checkpoint that is stored: the heads of its revisions, the newest first. */
export interface Found extends Target {
  readonly revisions: readonly [AgentCheckpointListItem, ...AgentCheckpointListItem[]];
}

/** A checkpoint as it was read. Its writes are in the order in which LangGraph applies them. */
export interface Read extends Target {
  /** Waymark's id of its newest revision. */
  readonly row: string;
  readonly state: StoredState;
  readonly writes: readonly CheckpointWrite[];
}

/**
 * LangGraph's checkpoints in a Waymark storage. A checkpoint is found by the ids that its own id is made into; to put it again
 * with other content stores another revision, and the newest is the one that counts. Writes belong to all revisions.
 */
export class Checkpoints {
  readonly #storage: CheckpointStorage;
  /** The newest revision of checkpoints that were put or read, which writes are appended to. */
  readonly #rows = new Map<string, string>();
  #lastTime = 0;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
  }

  /** Stores it and returns Waymark's id of it. `range` is where its revisions are. */
  async put(target: Target, { since }: IdRange, { name, state, labels }: Put): Promise<string> {
    const parent = state.parent === null ? null : revisionsOf(target, state.parent);
    // No two puts have the same time: to put again what was there before last would else be taken for a repetition of that.
    this.#lastTime = Math.max(this.#lastTime + 1, Date.now());
    const checkpoint = {
      agentId: target.threadId,
      namespace: target.namespace,
      name,
      createdAt: this.#lastTime,
      metadata: labels,
      state,
      ...(parent === null ? {} : { parentId: withRevision(parent.since, 1) }),
    };
    let before: Found | undefined;
    for (let revision = 1; ; ) {
      const id = withRevision(since, revision);
      try {
        await this.#storage.storeCheckpoint({ ...checkpoint, id });
        // So that they stay if the revisions before are pruned.
        const writes = before === undefined ? [] : await this.#writesIn(before.revisions.map((row) => row.id));
        if (writes.length > 0) await this.#append(id, writes);
        this.#remember(target, id);
        return id;
      } catch (error) {
        if (!(error instanceof CheckpointError) || error.code !== "CONFLICT" || revision === MAX_REVISION) throw error;
      }
      // It was put before. Or else what is there is none of ours: another's hash is the same, or a deleted one's tombstone.
      before = await this.find(target);
      const newest = before?.revisions[0];
      const stored = newest && (await this.#storage.retrieveCheckpoint(newest.id));
      if (stored && isDeepStrictEqual(stored.state, state)) {
        this.#remember(target, stored.id);
        return stored.id;
      }
      revision = Math.min(MAX_REVISION, Math.max(revision, newest === undefined ? 0 : revisionOf(newest.id)) + 1);
    }
  }

  /** `false`: there is no such checkpoint. */
  async append(target: Target, writes: readonly CheckpointWrite[]): Promise<boolean> {
    const key = keyOf(target);
    for (;;) {
      const remembered = this.#rows.get(key);
      const row = remembered ?? (await this.find(target))?.revisions[0].id;
      if (row === undefined) return false;
      try {
        await this.#append(row, writes);
        if (remembered === undefined) this.#remember(target, row);
        return true;
      } catch (error) {
        if (!(error instanceof CheckpointError) || error.code !== "NOT_FOUND") throw error;
      }
      this.#rows.delete(key); // deleted since; another revision may be there
      if (remembered === undefined) return false;
    }
  }

  /** In parts, if they are more than a storage takes at once: each may be appended again. */
  async #append(row: string, writes: readonly CheckpointWrite[]): Promise<void> {
    for (let at = 0; at < writes.length; at += MAX_WRITES) {
      await this.#storage.appendWrites(row, writes.slice(at, at + MAX_WRITES));
    }
  }

  /** The newest checkpoint of a thread and namespace. */
  async latest(line: Line): Promise<Read | undefined> {
    const row = await this.#storage.retrieveLatestCheckpoint(line.threadId, { namespace: line.namespace });
    if (row === null) return undefined;
    const checkpointId = checkpointIdOf(row);
    if (checkpointId === undefined) {
      // What somebody else has stored for the same agent is none of LangGraph's.
      const newest = await first(this.list({ agentId: line.threadId, namespace: line.namespace }, PAGE));
      return newest && (await this.read(newest));
    }
    const target = { ...line, checkpointId };
    const isOnly = revisionOf(row.id) === 1;
    const rows = isOnly ? [row.id] : ((await this.find(target))?.revisions ?? []).map(({ id }) => id);
    return this.#asRead(target, row, await this.#writesIn(rows));
  }

  /** The checkpoint of this id. */
  async named(target: Target): Promise<Read | undefined> {
    const range = revisionsOf(target, target.checkpointId);
    if (range === null) return undefined;
    // It has one revision, as good as always: all is asked for at once.
    const id = withRevision(range.since, 1);
    const [found, row, writes] = await Promise.all([
      this.find(target),
      this.#storage.retrieveCheckpoint(id),
      this.#writesIn([id]),
    ]);
    if (found === undefined) return undefined;
    const isOnly = found.revisions.length === 1 && found.revisions[0].id === id;
    if (!isOnly) return await this.read(found);
    return row === null ? undefined : this.#asRead(target, row, writes);
  }

  /** Undefined if it was deleted since it was found. */
  async read(found: Found): Promise<Read | undefined> {
    const [row, writes] = await Promise.all([
      this.#storage.retrieveCheckpoint(found.revisions[0].id),
      this.#writesIn(found.revisions.map(({ id }) => id)),
    ]);
    return row === null ? undefined : this.#asRead(found, row, writes);
  }

  /**
   * Each of these, in their order: one, then two at once, then four, up to so many. Undefined where one was deleted since it was
   * found.
   */
  async *readEach(found: AsyncIterable<Found>, atOnce: number): AsyncGenerator<Read | undefined> {
    let batch: Promise<Read | undefined>[] = [];
    let size = 1;
    for await (const one of found) {
      const reading = this.read(one);
      reading.catch(() => {}); // it is heard of below, or not asked for any more
      batch.push(reading);
      if (batch.length < size) continue;
      for (const read of batch) yield await read;
      batch = [];
      size = Math.min(size * 2, atOnce);
    }
    for (const read of batch) yield await read;
  }

  /** Where the checkpoint of this id is stored, if it is. */
  async find(target: Target): Promise<Found | undefined> {
    const range = revisionsOf(target, target.checkpointId);
    if (range === null) return undefined;
    const { threadId: agentId, namespace, checkpointId } = target;
    const rows = await this.#storage.listCheckpoints({ agentId, namespace, ...range, limit: MAX_REVISION });
    const [newest, ...older] = rows.filter((row) => checkpointIdOf(row) === checkpointId);
    return newest && { ...target, revisions: [newest, ...older] };
  }

  /** The writes of the checkpoint of this id; none if there is no such checkpoint. */
  async writesOf(target: Target): Promise<CheckpointWrite[]> {
    const rows = (await this.find(target))?.revisions ?? [];
    return await this.#writesIn(rows.map(({ id }) => id));
  }

  /** LangGraph's checkpoints that match, the newest first. `wanted`: how many will be asked for, as far as is known. */
  async *list(query: ListQuery, wanted: number): AsyncGenerator<Found> {
    for await (const found of this.#matching(query, wanted)) {
      if (query.metadata === undefined) {
        yield found;
        continue;
      }
      // Of its revisions only those were listed that match: a newer one may not.
      const current = await this.find(found);
      if (current?.revisions[0].id === found.revisions[0].id) yield current;
    }
  }

  /** The labels that a thread's checkpoints can be listed by: these, or none if somewhere they are not all of the metadata. */
  async labelsToListBy(threadId: string, labels: CheckpointMetadata): Promise<Pick<ListQuery, "metadata">> {
    if (Object.keys(labels).length === 0) return {};
    const partial = await this.#storage.listCheckpoints({ agentId: threadId, metadata: PARTIAL_ONLY, limit: 1 });
    return partial.length > 0 ? {} : { metadata: labels };
  }

  /**
   * The ancestors of a checkpoint (of the line's newest, if no id is given), its parent first, back to a root or to where a parent
   * is not stored.
   */
  async *ancestors(line: Line, checkpointId: string | undefined): AsyncGenerator<Found> {
    const query = { agentId: line.threadId, namespace: line.namespace };
    let current =
      checkpointId === undefined ? await first(this.list(query, 1)) : await this.find({ ...line, checkpointId });
    let older: AsyncGenerator<Found> | undefined;
    const shown = new Set<string>(); // ids that callers bring may name each other as parents
    while (current !== undefined) {
      const place = placeOf(current.revisions[0]);
      const { parentId } = current.revisions[0];
      if (parentId === undefined || shown.has(parentId)) return;
      shown.add(parentId);
      const wanted = withRevision(parentId, 0);
      if (wanted < place) {
        older ??= this.list({ ...query, before: place }, ANCESTORS);
        current = await firstAt(older, wanted);
      } else {
        // Of another process, whose clock is ahead.
        older = undefined;
        current = await first(
          this.list({ ...query, since: wanted, before: withRevision(wanted, MAX_REVISION + 1) }, 1),
        );
      }
      if (current !== undefined) yield current;
    }
  }

  /** Deletes all that a thread has. */
  async deleteThread(threadId: string): Promise<void> {
    for (const key of this.#rows.keys()) if ((JSON.parse(key) as string[])[0] === threadId) this.#rows.delete(key);
    await this.#storage.deleteAgent(threadId);
  }

  async *#matching(query: ListQuery, wanted: number): AsyncGenerator<Found> {
    let revisions: AgentCheckpointListItem[] = [];
    for await (const row of this.#rowsOf(query, wanted)) {
      const [newest] = revisions;
      if (newest !== undefined && placeOf(newest) !== placeOf(row)) {
        yield* byCheckpoint(revisions);
        revisions = [];
      }
      revisions.push(row);
    }
    yield* byCheckpoint(revisions);
  }

  async *#rowsOf(query: ListQuery, wanted: number): AsyncGenerator<AgentCheckpointListItem> {
    // One more than is wanted shows where the revisions of the last one end.
    let limit = Math.min(wanted + 1, PAGE);
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

  /** What was appended to revisions of one checkpoint, the newest of which is first. */
  async #writesIn(rows: readonly string[]): Promise<CheckpointWrite[]> {
    const oldestFirst = await Promise.all(rows.toReversed().map(async (id) => await this.#storage.listWrites(id)));
    return mergeWrites(oldestFirst.flat()).sort(byTask);
  }

  #asRead(target: Target, row: StoredAgentCheckpoint, writes: readonly CheckpointWrite[]): Read {
    this.#remember(target, row.id);
    const { threadId, namespace, checkpointId } = target;
    return { threadId, namespace, checkpointId, row: row.id, state: row.state as StoredState, writes };
  }

  #remember(target: Target, row: string): void {
    const key = keyOf(target);
    this.#rows.delete(key);
    this.#rows.set(key, row);
    if (this.#rows.size <= MAX_ROWS) return;
    for (const oldest of this.#rows.keys()) return void this.#rows.delete(oldest);
  }
}

/** The id that no revision has, and that all of them have in common otherwise. */
function placeOf({ id }: { readonly id: string }): string {
  return withRevision(id, 0);
}

/** Rows in one place, by the checkpoint that they are revisions of. That is one, unless hashes are the same. */
function byCheckpoint(rows: readonly AgentCheckpointListItem[]): Iterable<Found> {
  const found = new Map<string, Target & { revisions: [AgentCheckpointListItem, ...AgentCheckpointListItem[]] }>();
  for (const row of rows) {
    const checkpointId = checkpointIdOf(row);
    if (checkpointId === undefined) continue;
    const target = { threadId: row.agentId, namespace: row.namespace ?? "", checkpointId };
    const key = keyOf(target);
    const known = found.get(key);
    if (known === undefined) found.set(key, { ...target, revisions: [row] });
    else known.revisions.push(row);
  }
  return found.values();
}

async function first<Item>(items: AsyncIterable<Item>): Promise<Item | undefined> {
  for await (const item of items) return item;
  return undefined;
}

/** The one that is stored in this place, among those from the newest to the oldest. The iterator stays open. */
async function firstAt(newestFirst: AsyncGenerator<Found>, place: string): Promise<Found | undefined> {
  for (;;) {
    const { done, value } = await newestFirst.next();
    if (done) return undefined;
    const at = placeOf(value.revisions[0]);
    if (at <= place) return at === place ? value : undefined;
  }
}
