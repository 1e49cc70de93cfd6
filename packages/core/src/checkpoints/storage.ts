import { setImmediate } from "node:timers/promises";
import { DamagedState, EncryptionMismatch, UnknownEncoding } from "../codec/format.ts";
import { decodeSnapshot, type Snapshot, sameContent, takeSnapshot } from "../codec/snapshot.ts";
import { MalformedText, UnsupportedValue } from "../codec/values.ts";
import type {
  AgentCheckpointListItem,
  AgentsQuery,
  CallOptions,
  CheckpointStorage,
  CheckpointWrite,
  CloseOptions,
  CloseReport,
  CommonStorageOptions,
  LatestQuery,
  ListQuery,
  MigrateMode,
  NamedAgentCheckpoint,
  PrunePolicy,
  PruneResult,
  ReadOptions,
  StorageEvents,
  StorageHealth,
  StorageStats,
  StorageStatus,
  StoredAgentCheckpoint,
  StoreOptions,
} from "../contract/checkpoints.ts";
import { oneOf } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, property } from "../contract/errors.ts";
import { Events } from "../database/events.ts";
import { type ResolvedStorageOptions, resolveCommonOptions } from "../database/options.ts";
import { DialectSession } from "../database/session.ts";
import { checkNewest, sealedDialect } from "../encryption/encrypted-dialect.ts";
import {
  type CheckedCheckpoint,
  type CheckedPrunePolicy,
  checkAgentId,
  checkAgentsQuery,
  checkCallOptions,
  checkCheckpoint,
  checkCloseOptions,
  checkLatestQuery,
  checkListQuery,
  checkLookup,
  checkPrunePolicy,
  checkReadOptions,
  checkStatsQuery,
  checkStoreOptions,
  checkWrites,
  decodeMetadata,
  MAX_LIMIT,
} from "./arguments.ts";
import { StateCache } from "./cache.ts";
import {
  findState,
  isSmall,
  lineOf,
  type PackedChain,
  packNext,
  packWhole,
  readChain,
  type StoredChain,
  UnreadableRow,
} from "./chain.ts";
import {
  type Base,
  type Change,
  type Dialect,
  NIL_ID,
  type Row,
  type RowHead,
  type RowQuery,
  rowBytes,
  standsFor,
} from "./dialect.ts";
import { type QueuedRow, StoreQueue } from "./group-commit.ts";
import { idClock, predecessor, successor } from "./ids.ts";
import { chunks, eachOf, lineage, PAGE } from "./paging.ts";
import { planRebasing, planRemoval, type Removal, type RemovalRequest } from "./rebase.ts";
import { keeper } from "./retention.ts";
import {
  bytesOfWrites,
  idOfRank,
  mergeWrites,
  type PreparedWrite,
  packWrite,
  type RankedWrite,
  readWrite,
  withoutKnown,
  withoutRepeated,
} from "./task-writes.ts";
import { isTombstone, tombstoneOf } from "./tombstones.ts";

/** States without a base at hand are stored whole up to this length: reading one would cost more than it saves. */
const READ_BASE_FROM_BYTES = 16_384;

/** How many rows that stay are rewritten by one commit. */
const REBASED_AT_ONCE = 64;

/** How many tombstones one commit brings. */
const BURIED_AT_ONCE = 100;
const ASKED_AT_ONCE = 8;

/** How often a removal is planned again because other clients have changed the rows. */
const MAX_PLANS = 20;

type StorageOptions = Pick<
  CommonStorageOptions,
  "operationTimeoutMs" | "cacheBytes" | "freeze" | "retry" | "circuit" | "encryption"
>;

/** Makes a checkpoint storage of a dialect. For backend authors; users call a dialect package's own factory. */
export function createStorage(dialect: Dialect, options: StorageOptions = {}): CheckpointStorage {
  const { encryption, ...resolved } = resolveCommonOptions(options);
  return new DialectStorage(encryption === undefined ? dialect : sealedDialect(dialect, encryption), resolved);
}

/** A checkpoint that was handed in, as it was then. */
export interface Prepared {
  readonly head: Identity;
  readonly snapshot: Snapshot;
  readonly base: StoredChain | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Writes that were handed in, as they were then. `checkpointId`: `null` if it is no id of ours. */
export interface PreparedWrites {
  readonly checkpointId: string | null;
  readonly writes: readonly PreparedWrite[];
  readonly signal: AbortSignal | undefined;
}

/** Two copies of core in one process know each other's storages by this mark. */
const ENGINE = Symbol.for("waymark.DialectStorage");

/** What stands behind a storage of `createStorage`; `null`: it is another one. */
export function engineOf(storage: CheckpointStorage): DialectStorage | null {
  return (property(storage, ENGINE) as DialectStorage | undefined) ?? null;
}

/** Beside the contract's, its methods are for who puts two of them together: see `replication/`. */
export class DialectStorage implements CheckpointStorage {
  readonly dialect: Dialect;
  readonly session: DialectSession;
  readonly events = new Events();
  /** Whether what is removed leaves a tombstone that is still to be sent. */
  leavesTombstones = false;
  readonly #freeze: boolean;
  readonly #cache: StateCache;
  readonly #queue: StoreQueue;

  constructor(dialect: Dialect, { cacheBytes, freeze, ...resilience }: ResolvedStorageOptions) {
    this.dialect = dialect;
    this.session = new DialectSession(dialect, resilience, this.events, (limit) => checkNewest(dialect, limit));
    this.#freeze = freeze;
    this.#cache = new StateCache(cacheBytes);
    this.#queue = new StoreQueue(
      (insert, bases, signal) => dialect.commit({ insert, bases }, signal),
      (error) => this.session.mayBeOneRows(error),
    );
    Object.defineProperty(this, ENGINE, { value: this });
  }

  async storeCheckpoint(checkpoint: NamedAgentCheckpoint, options: StoreOptions = {}): Promise<string> {
    const prepared = this.prepare(checkpoint, options);
    await this.storePrepared(prepared, null);
    return prepared.head.id;
  }

  /** All of it at once: what the caller changes afterwards is not stored. */
  prepare(checkpoint: NamedAgentCheckpoint, options: StoreOptions): Prepared {
    const head = checkCheckpoint(checkpoint);
    const { ifLatest, signal } = checkStoreOptions(options);
    const base = this.#cachedBase(head);
    const snapshot = snapshotOf("state", checkpoint.state, base?.snapshot, this.#freeze);
    for (const known of [head.id, head.parentId, ifLatest]) {
      if (typeof known === "string") idClock.observe(known);
    }
    const id = head.id ?? idClock.next();
    const afterId = ifLatest === undefined ? null : (ifLatest ?? NIL_ID);
    if (afterId !== null && id <= afterId) throw invalidArgument("checkpoint.id", "above options.ifLatest", id);
    return { head: { ...head, id, afterId }, snapshot, base, signal };
  }

  /** `pending`: see `RowHead`. The row as it was inserted, and what it was made the difference to; `null`: it was there. */
  storePrepared({ head, snapshot, base, signal }: Prepared, pending: number | null): Promise<QueuedRow | null> {
    const fate: Fate = { unknown: false };
    return this.session.run(
      "store checkpoint",
      signal,
      async (limit, { maxStatementBytes }) => {
        try {
          return await this.#store({ ...head, pending }, snapshot, base, fate, maxStatementBytes, limit);
        } catch (error) {
          fate.unknown ||= this.session.isUnknown(error);
          throw error;
        }
      },
      { "waymark.state.bytes": snapshot.stateBytes },
    );
  }

  /** One that another storage has prepared: what that has cached may be no base here. */
  async storeElsewhere(prepared: Prepared, pending: number | null): Promise<QueuedRow | null> {
    return await this.storePrepared({ ...prepared, base: this.#cachedBase(prepared.head) }, pending);
  }

  async #store(
    head: PendingIdentity,
    snapshot: Snapshot,
    cachedBase: StoredChain | undefined,
    fate: Fate,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<QueuedRow | null> {
    const base = cachedBase ?? (await this.#readBase(head, snapshot, signal));
    let next = await packNext(head.id, snapshot, base);
    let stored = await this.#insert(head, next, maxBytes, signal);
    if (!stored && next.base !== null) {
      // Somebody has removed what it is the difference to; or the row is there, which the last attempt tells.
      this.#cache.forgetLine(lineOf(head));
      next = await packNext(head.id, snapshot, await this.#readBase(head, snapshot, signal));
      stored = await this.#insert(head, next, maxBytes, signal);
    }
    if (!stored && next.base !== null) {
      next = await packWhole(head.id, snapshot);
      stored = await this.#insert(head, next, maxBytes, signal);
    }
    if (!stored) {
      await this.#explainRefusal(toRow(head, next), snapshot, fate, signal);
      return null;
    }
    if (!isSmall(snapshot)) this.#cache.put(lineOf(head), next.chain, next.base?.id ?? null);
    return { row: toRow(head, next), base: baseOf(next) };
  }

  #cachedBase({ parentId, ...head }: Pick<CheckedCheckpoint, "agentId" | "namespace" | "parentId">) {
    const line = lineOf(head);
    return (parentId === null ? undefined : this.#cache.get(line, parentId)) ?? this.#cache.latest(line);
  }

  /** What the state may be a difference to, if it is worth to be read. */
  async #readBase(head: Identity, { stateBytes }: Snapshot, signal: AbortSignal): Promise<StoredChain | null> {
    if (stateBytes < READ_BASE_FROM_BYTES) return null;
    const { agentId, namespace, id } = head;
    const [latest] = await this.dialect.list({ agentId, namespace, before: id, limit: 1 }, signal);
    if (latest === undefined) return null;
    return await findState(this.dialect, latest.id, signal);
  }

  /** `false`: the row, or another one after the same row, is there; or its base is not. */
  async #insert(head: PendingIdentity, packed: PackedChain, maxBytes: number, signal: AbortSignal): Promise<boolean> {
    const row = toRow(head, packed);
    const bytes = rowBytes(row);
    if (bytes > maxBytes) throw tooLarge("store checkpoint", bytes, maxBytes);
    const base = baseOf(packed);
    try {
      if (row.afterId === null) return await this.#queue.insert({ row, base }, maxBytes, signal);
      return await this.dialect.commit({ insert: [row], bases: base === null ? [] : [base] }, signal);
    } catch (error) {
      if (this.session.isDuplicate(error) || this.session.isForeignKey(error)) return false;
      throw error;
    }
  }

  /** Returns if the row is there: an earlier attempt, whose answer was lost, has stored it. */
  async #explainRefusal(row: Row, snapshot: Snapshot, fate: Fate, signal: AbortSignal): Promise<void> {
    const [existing] = await this.dialect.list({ id: row.id, limit: 1 }, signal);
    if (existing === undefined) {
      if (row.afterId === null) {
        throw new CheckpointError("CONTENTION", `store checkpoint: ${row.id} was there, and was deleted meanwhile`);
      }
      if (fate.unknown) {
        // That it is not there may mean that it was stored, and removed since: whoever would make it again would do it twice.
        const message = `store checkpoint: the connection was lost, and whether ${row.id} was stored then nobody can tell now`;
        throw new CheckpointError("UNAVAILABLE", message);
      }
      const expected = row.afterId === NIL_ID ? "the agent to have no checkpoint" : `${row.afterId} to be the latest`;
      throw new CheckpointError("CONFLICT", `store checkpoint: expected ${expected}, but another one was stored`);
    }
    if (isTombstone(existing)) throw new CheckpointError("CONFLICT", `store checkpoint: ${row.id} was deleted`);
    if (!(await this.#isSame(existing, row, snapshot, signal))) {
      throw new CheckpointError("CONFLICT", `store checkpoint: ${row.id} is there with other content`);
    }
  }

  async #isSame(existing: RowHead, row: RowHead, snapshot: Snapshot, signal: AbortSignal): Promise<boolean> {
    if (!haveSameHead(existing, row)) return false;
    if (standsFor(this.dialect, existing, row.digest)) return true;
    // Another version may have cut the same text into other pieces.
    const stored = await findState(this.dialect, row.id, signal);
    return stored !== null && sameContent(stored.snapshot, snapshot);
  }

  async retrieveCheckpoint(id: string, options: ReadOptions = {}): Promise<StoredAgentCheckpoint | null> {
    const known = checkLookup("id", id);
    const { signal } = checkReadOptions(options);
    return await this.session.run("retrieve checkpoint", signal, (limit) =>
      known === null ? Promise.resolve(null) : this.#read(known, limit),
    );
  }

  async retrieveLatestCheckpoint(agentId: string, query: LatestQuery = {}): Promise<StoredAgentCheckpoint | null> {
    const agent = checkAgentId(agentId);
    const { namespace = "", signal } = checkLatestQuery(query);
    return await this.session.run("retrieve latest checkpoint", signal, async (limit) => {
      let gone: string | null = null;
      for (;;) {
        const [head] = await this.dialect.list({ agentId: agent, namespace, limit: 1 }, limit);
        if (head === undefined) return null;
        const checkpoint = await this.#read(head.id, limit);
        if (checkpoint !== null) return checkpoint;
        if (head.id === gone) {
          throw new CheckpointError(
            "CORRUPT_CHECKPOINT",
            `retrieve latest checkpoint: ${gone} is listed, but is not there`,
          );
        }
        gone = head.id;
        limit.throwIfAborted(); // deleted between the two statements: another one is the latest now
      }
    });
  }

  async #read(id: string, signal: AbortSignal): Promise<StoredAgentCheckpoint | null> {
    const found = this.#cache.find(id);
    if (found !== undefined) {
      // Whether it is still there, and what else belongs to it, only the database knows.
      const [head] = await this.dialect.list({ id, limit: 1 }, signal);
      if (head !== undefined && standsFor(this.dialect, head, found.snapshot.digest)) {
        return this.#checkpointOf(head, found);
      }
      this.#cache.forget(id);
    }
    const rows = await this.dialect.readChain(id, signal);
    const [row] = rows;
    if (row === undefined || isTombstone(row)) return null;
    try {
      const chain = (await readChain(rows))[0] as StoredChain;
      if (!isSmall(chain.snapshot)) this.#cache.put(lineOf(row), chain, null);
      return this.#checkpointOf(row, chain);
    } catch (error) {
      throw unreadable("retrieve checkpoint", id, error);
    }
  }

  #checkpointOf(row: RowHead, { snapshot }: StoredChain): StoredAgentCheckpoint {
    idClock.observe(row.id);
    try {
      return { ...toItem(row, decodeMetadataOf(row)), state: decodeSnapshot(snapshot) };
    } catch (error) {
      throw unreadable("retrieve checkpoint", row.id, error);
    }
  }

  async listCheckpoints(query: ListQuery = {}): Promise<AgentCheckpointListItem[]> {
    const { rows, signal } = checkListQuery(query);
    return await this.session.run("list checkpoints", signal, async (limit) =>
      rows === null ? [] : await this.#page(rows, limit),
    );
  }

  async #page(query: RowQuery, signal: AbortSignal): Promise<AgentCheckpointListItem[]> {
    const rows = await this.dialect.list(query, signal);
    const [newest] = rows;
    if (newest !== undefined) idClock.observe(newest.id);
    return rows.map((row) => toItem(row, metadataOrNothing(row)));
  }

  iterateCheckpoints(query: ListQuery = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const { rows, limit = Number.POSITIVE_INFINITY, signal } = checkListQuery(query);
    if (rows === null) return eachOf(0, async () => []);
    return eachOf(limit, (before, pageSize) => {
      const page: RowQuery = { ...rows, ...(before === undefined ? {} : { before }), limit: pageSize };
      return this.session.run("iterate checkpoints", signal, (deadline) => this.#page(page, deadline));
    });
  }

  iterateAncestors(id: string, options: ReadOptions = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const known = checkLookup("id", id);
    const { signal } = checkReadOptions(options);
    return lineage(known, (wanted) => this.withOlder(wanted, signal));
  }

  /** A checkpoint, if it is there, and those before it in its line: its ancestors, most often. */
  async withOlder(id: string, signal?: AbortSignal): Promise<AgentCheckpointListItem[]> {
    return await this.session.run("iterate ancestors", signal, async (limit) => {
      const [row] = await this.dialect.list({ id, limit: 1 }, limit);
      if (row === undefined || isTombstone(row)) return [];
      const { agentId, namespace } = row;
      return [
        toItem(row, metadataOrNothing(row)),
        ...(await this.#page({ agentId, namespace, before: row.id, limit: PAGE }, limit)),
      ];
    });
  }

  async appendWrites(checkpointId: string, writes: readonly CheckpointWrite[], options: CallOptions = {}) {
    await this.appendPrepared(this.prepareWrites(checkpointId, writes, options), null);
  }

  /** All of it at once, as with {@link DialectStorage.prepare}. */
  prepareWrites(checkpointId: string, writes: readonly CheckpointWrite[], options: CallOptions): PreparedWrites {
    const known = checkLookup("checkpointId", checkpointId);
    const { signal } = checkCallOptions(options);
    const prepared = checkWrites(writes).map((head, at) => {
      const { value } = writes[at] as CheckpointWrite;
      return { ...head, snapshot: snapshotOf(`writes[${at}].value`, value, undefined, false) };
    });
    return { checkpointId: known, writes: withoutRepeated(prepared), signal };
  }

  /** `pending`: from when on the checkpoint is pending, with what was appended; `null`: nobody is to be sent it. */
  async appendPrepared({ checkpointId: id, writes, signal }: PreparedWrites, pending: number | null): Promise<void> {
    await this.session.run("append writes", signal, async (limit, { maxStatementBytes }) => {
      if (id === null) throw noCheckpoint("append writes", "with such an id");
      const known = await this.dialect.writeKeys({ since: predecessor(id), before: successor(id) }, limit);
      // What is there came first, whatever the clocks of those say who wrote it.
      for (const key of known) idClock.observe(idOfRank(key));
      const rank = idClock.next();
      const append = await Promise.all(withoutKnown(writes, known).map((write) => packWrite(id, write, rank)));
      if (append.length === 0) {
        const [row] = await this.dialect.list({ id, limit: 1 }, limit);
        if (row === undefined || isTombstone(row)) throw noCheckpoint("append writes", id);
        return;
      }
      const bytes = bytesOfWrites(append);
      if (bytes > maxStatementBytes) throw tooLarge("append writes", bytes, maxStatementBytes);
      const pend = pending === null ? [] : [{ id, pending }];
      if (!(await this.#commitPlan({ append, pend }, limit))) throw noCheckpoint("append writes", id);
    });
  }

  async listWrites(checkpointId: string, options: ReadOptions = {}): Promise<CheckpointWrite[]> {
    return (await this.rankedWrites(checkpointId, options)).map(({ write }) => write);
  }

  async rankedWrites(checkpointId: string, options: ReadOptions): Promise<RankedWrite[]> {
    const id = checkLookup("checkpointId", checkpointId);
    const { signal } = checkReadOptions(options);
    return await this.session.run("list writes", signal, async (limit) => {
      const rows = id === null ? [] : await this.dialect.readWrites([id], limit);
      for (const row of rows) idClock.observe(idOfRank(row));
      try {
        return mergeWrites(await Promise.all(rows.map(readWrite)));
      } catch (error) {
        throw unreadable("list writes", id as string, error);
      }
    });
  }

  async listAgents(query: AgentsQuery = {}): Promise<string[]> {
    const { after, limit, signal } = checkAgentsQuery(query);
    return await this.session.run("list agents", signal, (deadline) => this.dialect.agents(after, limit, deadline));
  }

  async deleteCheckpoint(id: string, options: CallOptions = {}): Promise<boolean> {
    const known = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return await this.session.run("delete checkpoint", signal, async (limit, { maxStatementBytes }) => {
      if (known === null) return false;
      const [row] = await this.dialect.list({ id: known, limit: 1 }, limit);
      if (row === undefined || isTombstone(row)) return false;
      const isDoomed = (one: string) => one === known;
      const { kept } = await this.#removeSome({ ids: [known], isDoomed, maxRowBytes: maxStatementBytes }, limit);
      if (kept === "damaged") {
        const message = `delete checkpoint: a later one that cannot be read builds on ${known}: delete that first`;
        throw new CheckpointError("CORRUPT_CHECKPOINT", message);
      }
      if (kept === "too large") {
        const message = `delete checkpoint: a later one builds on ${known}, and is too large to be written without it`;
        throw new CheckpointError("STATE_TOO_LARGE", message);
      }
      await this.dialect.reclaim(limit);
      return true;
    });
  }

  async deleteAgent(agentId: string, query: LatestQuery = {}): Promise<number> {
    const agent = checkAgentId(agentId);
    const { namespace, signal } = checkLatestQuery(query);
    let removed = 0;
    for await (const rows of this.heads("delete agent", within(agent, namespace), signal)) {
      const ids = rows.map((row) => row.id);
      removed += await this.#remove("delete agent", ids, () => true, signal);
    }
    await this.#reclaim("delete agent", signal);
    return removed;
  }

  async pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult> {
    const checked = checkPrunePolicy(policy);
    const now = Date.now();
    const progress = { examined: 0, removed: 0 };
    for await (const agent of this.#agentsOf(checked)) await this.#pruneAgent(agent, checked, now, progress);
    if (!checked.dryRun) await this.#reclaim("prune checkpoints", checked.signal);
    return { ...progress };
  }

  async *#agentsOf({ agentId, signal }: CheckedPrunePolicy): AsyncIterableIterator<string> {
    if (agentId !== null) {
      yield agentId;
      return;
    }
    let after: string | null = null;
    for (;;) {
      const cursor: string | null = after;
      const page: string[] = await this.session.run("prune checkpoints", signal, (limit) =>
        this.dialect.agents(cursor, PAGE, limit),
      );
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1) ?? null;
    }
  }

  async #pruneAgent(
    agent: string,
    policy: CheckedPrunePolicy,
    nowMs: number,
    progress: { examined: number; removed: number },
  ): Promise<void> {
    const keepers = new Map<string, (row: RowHead) => boolean>();
    const doomed = new Set<string>(); // highest first
    const kept: Pick<RowHead, "id" | "baseId">[] = []; // too
    for await (const rows of this.heads(
      "prune checkpoints",
      within(agent, policy.namespace ?? undefined),
      policy.signal,
    )) {
      for (const row of rows) {
        const keep = keepers.get(row.namespace) ?? keeper(policy, nowMs);
        keepers.set(row.namespace, keep);
        progress.examined += 1;
        if (keep(row)) kept.push({ id: row.id, baseId: row.baseId });
        else doomed.add(row.id);
      }
    }
    const isDoomed = (id: string) => doomed.has(id);
    if (!policy.dryRun) {
      const dependent = kept.filter(({ baseId }) => baseId !== null && doomed.has(baseId)).map(({ id }) => id);
      await this.#rebase("prune checkpoints", dependent.reverse(), isDoomed, policy.signal);
    }
    for (const batch of chunks([...doomed], policy.batchSize)) {
      progress.removed += policy.dryRun
        ? batch.length
        : await this.#remove("prune checkpoints", batch, isDoomed, policy.signal);
      policy.onProgress?.({ ...progress });
    }
  }

  /** All heads that match, newest first, in pages; what is stored meanwhile is not among them. */
  async *heads(
    operation: string,
    query: Omit<RowQuery, "limit">,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<RowHead[]> {
    for (let page: RowQuery = { ...query, limit: PAGE }; ; ) {
      const rows = await this.session.run(operation, signal, (limit) => this.dialect.list(page, limit));
      if (rows.length > 0) yield rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      page = { ...page, before: last.id };
      await setImmediate(); // some databases answer before anything else has its turn
    }
  }

  /** Removes rows, highest first, in bounded steps. Returns how many: what a row that stays needs is not. */
  async #remove(
    operation: string,
    ids: readonly string[],
    isDoomed: (id: string) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    let removed = 0;
    for (let left = ids; left.length > 0; ) {
      const some = left.slice(0, MAX_LIMIT);
      const step = await this.session.run(operation, signal, (limit, { maxStatementBytes: maxRowBytes }) =>
        this.#removeSome({ ids: some, isDoomed, maxRowBytes }, limit),
      );
      removed += step.removed;
      left = left.slice(step.done);
      await setImmediate(); // some databases answer before anything else has its turn
    }
    return removed;
  }

  /**
   * Makes rows independent of those that are to go, lowest first: so each builds on what has its place already, however
   * many there are, and no chain gets long. What cannot be done now, the removal tells.
   */
  async #rebase(
    operation: string,
    ids: readonly string[],
    isDoomed: (id: string) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for (let left = ids; left.length > 0; ) {
      const some = left.slice(0, REBASED_AT_ONCE);
      const done = await this.session.run(operation, signal, async (limit, { maxStatementBytes: maxRowBytes }) => {
        const rebasing = await planRebasing(this.dialect, { ids: some, isDoomed, maxRowBytes }, limit);
        await this.#commitPlan(rebasing.change, limit); // who was in the way is met again when the rows are removed
        return rebasing.ids.length;
      });
      left = left.slice(done);
      await setImmediate();
    }
  }

  /** Removes the first ones of these rows, or all. */
  async #removeSome(
    request: RemovalRequest,
    signal: AbortSignal,
  ): Promise<{ done: number; removed: number; kept: Removal["kept"] }> {
    for (let plan = 1; plan <= MAX_PLANS; plan++) {
      const { ids, change, kept } = await planRemoval(this.dialect, request, signal);
      const now = Date.now();
      const bury = this.leavesTombstones ? change.remove.map((id) => tombstoneOf(id, now, now)) : [];
      if (change.remove.length === 0 || (await this.#commitPlan({ ...change, bury }, signal))) {
        for (const id of change.remove) this.#cache.forget(id);
        return { done: ids.length, removed: change.remove.length, kept };
      }
    }
    throw new CheckpointError("CONTENTION", "remove checkpoints: other clients keep on changing what builds on them");
  }

  /** `false`: other clients have changed the rows since it was planned. */
  async #commitPlan(change: Change, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.dialect.commit(change, signal);
    } catch (error) {
      if (this.session.isForeignKey(error) || this.session.isDuplicate(error)) return false;
      throw error;
    }
  }

  /** Whether it is known that this checkpoint was deleted. */
  async isBuried(id: string, signal?: AbortSignal): Promise<boolean> {
    return await this.session.run("look for a tombstone", signal, async (limit) => {
      const [head] = await this.dialect.list({ id, limit: 1 }, limit);
      return head !== undefined && isTombstone(head);
    });
  }

  /** Those of these that are known to have been deleted. */
  async buriedAmong(ids: readonly string[], signal?: AbortSignal): Promise<ReadonlySet<string>> {
    const buried = new Set<string>();
    for (const some of chunks(ids, PAGE)) {
      const rows = await this.session.run("look for tombstones", signal, (limit) => this.dialect.readRows(some, limit));
      for (const row of rows) if (isTombstone(row)) buried.add(row.id);
    }
    return buried;
  }

  /**
   * Puts tombstones in the place of these checkpoints, whether they are here or not: what is not here cannot come any more.
   * `pending`: see `RowHead`. Returns how many were here.
   */
  async bury(ids: readonly string[], pending: number | null, signal?: AbortSignal): Promise<number> {
    let removed = 0;
    for (let left = [...ids].sort().reverse(); left.length > 0; ) {
      const some = left.slice(0, BURIED_AT_ONCE);
      const step = await this.session.run("delete checkpoint", signal, (limit, { maxStatementBytes: maxRowBytes }) =>
        this.#burySome(some, new Set(ids), maxRowBytes, pending, limit),
      );
      removed += step.removed;
      left = left.slice(step.done);
    }
    return removed;
  }

  async #burySome(
    ids: readonly string[],
    doomed: ReadonlySet<string>,
    maxRowBytes: number,
    pending: number | null,
    signal: AbortSignal,
  ): Promise<{ done: number; removed: number }> {
    const isDoomed = (id: string) => doomed.has(id);
    // A new backup has none of them.
    const all = ids.map((id) => tombstoneOf(id, Date.now(), pending));
    if (await this.#commitPlan({ bury: all }, signal)) return { done: ids.length, removed: 0 };
    for (let plan = 1; plan <= MAX_PLANS; plan++) {
      const heads = await this.#headsOf(ids, signal);
      const here = ids.filter((id) => heads.has(id) && !isTombstone(heads.get(id) as RowHead));
      const removal = await planRemoval(this.dialect, { ids: here, isDoomed, maxRowBytes }, signal);
      const done = removal.ids.length < here.length ? ids.indexOf(removal.ids.at(-1) as string) + 1 : ids.length;
      const { remove } = removal.change;
      const absent = ids.slice(0, done).filter((id) => !heads.has(id));
      const bury = [...remove, ...absent].map((id) => tombstoneOf(id, Date.now(), pending));
      if (bury.length === 0 || (await this.#commitPlan({ ...removal.change, bury }, signal))) {
        for (const id of remove) this.#cache.forget(id);
        return { done, removed: remove.length };
      }
    }
    throw new CheckpointError("CONTENTION", "remove checkpoints: other clients keep on changing what builds on them");
  }

  async #headsOf(ids: readonly string[], signal: AbortSignal): Promise<Map<string, RowHead>> {
    const heads = new Map<string, RowHead>();
    for (const some of chunks(ids, ASKED_AT_ONCE)) {
      const lists = some.map((id) => this.dialect.list({ id, limit: 1 }, signal));
      for (const head of (await Promise.all(lists)).flat()) heads.set(head.id, head);
    }
    return heads;
  }

  /** The state of a row that another storage has read, stored as one of ours. */
  async storeSnapshot(row: RowHead, snapshot: Snapshot, signal?: AbortSignal): Promise<void> {
    const { agentId, namespace, name, parentId, createdAt, metadata, id } = row;
    const head = { agentId, namespace, name, parentId, createdAt, metadata, id, afterId: null };
    await this.storePrepared({ head, snapshot, base: this.#cachedBase(head), signal }, null);
  }

  /** Whether a row says the same as one that is here, with this head, whatever pieces their texts were cut into. */
  async saysTheSame(
    here: RowHead,
    row: RowHead,
    read: () => Promise<Snapshot | null>,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (!haveSameHead(here, row)) return false;
    const [state, other] = [await findState(this.dialect, here.id, signal), await read()];
    return state !== null && other !== null && sameContent(state.snapshot, other);
  }

  async #reclaim(operation: string, signal: AbortSignal | undefined): Promise<void> {
    while (await this.session.run(operation, signal, (limit) => this.dialect.reclaim(limit))) await setImmediate();
  }

  async stats(query: { readonly agentId?: string } & ReadOptions = {}): Promise<StorageStats> {
    const { agentId, signal } = checkStatsQuery(query);
    return await this.session.run("count checkpoints", signal, async (limit) => {
      const { rows, ...counts } = await this.dialect.stats(agentId, limit);
      return { checkpoints: rows, ...counts };
    });
  }

  async health(options: CallOptions = {}): Promise<StorageHealth> {
    const { signal } = checkCallOptions(options);
    const start = performance.now();
    const elapsed = () => performance.now() - start;
    try {
      await this.session.ping(signal);
      return { ok: true, latencyMs: elapsed() };
    } catch (error) {
      return { ok: false, latencyMs: elapsed(), error: error as CheckpointError };
    }
  }

  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    const checked = oneOf("mode", mode, ["apply", "verify", "sql"]);
    return await this.session.runUnopened("migrate schema", undefined, (limit) => this.dialect.migrate(checked, limit));
  }

  async status(options: CallOptions = {}): Promise<StorageStatus> {
    checkCallOptions(options);
    return { providers: { main: { ...this.session.status(), backlog: null } }, mode: "main" };
  }

  on<Name extends keyof StorageEvents>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void {
    return this.events.on(event, listener);
  }

  async close(options: CloseOptions = {}): Promise<CloseReport> {
    checkCloseOptions(options);
    await this.session.close();
    return { unsent: null };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** An agent, in one namespace or in all. */
function within(agentId: string, namespace: string | undefined): Pick<RowQuery, "agentId" | "namespace"> {
  return namespace === undefined ? { agentId } : { agentId, namespace };
}

/** `field`: what it is called in the messages of errors, `state` or a write's value. */
function snapshotOf(field: string, state: unknown, like: Snapshot | undefined, freeze: boolean): Snapshot {
  const operation = field === "state" ? "store checkpoint" : "append writes";
  try {
    return takeSnapshot(state, { base: like, freeze });
  } catch (error) {
    if (error instanceof UnsupportedValue) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `${operation}: ${error.message.replace(/^state/, field)}`);
    }
    // Of the engine (JSON.stringify, allocation), or of Node (base64).
    const tooLong = error instanceof RangeError && /string length|buffer|array length/i.test(error.message);
    if (tooLong || property(error, "code") === "ERR_STRING_TOO_LONG") {
      throw new CheckpointError("STATE_TOO_LARGE", `${operation}: the ${field}'s JSON is longer than a string can be`);
    }
    if (error instanceof RangeError) {
      throw new CheckpointError(
        "UNSUPPORTED_VALUE",
        `${operation}: the ${field} is nested deeper than the stack reaches`,
      );
    }
    // A getter or proxy of the state threw: its error is the caller's, and may hold the caller's data.
    throw new CheckpointError("UNSUPPORTED_VALUE", `${operation}: reading the ${field} threw an error`);
  }
}

/** All of a row but its state, and whether it is pending. */
type Identity = CheckedCheckpoint & { readonly id: string; readonly afterId: string | null };

type PendingIdentity = Identity & { readonly pending: number | null };

function toRow(head: PendingIdentity, { base, packed, chain: { snapshot } }: PackedChain): Row {
  const { stateBytes, digest } = snapshot;
  return { ...head, ...packed, stateBytes, digest, baseId: base?.id ?? null };
}

function baseOf({ base }: PackedChain): Base | null {
  return base === null ? null : { id: base.id, digest: base.snapshot.digest };
}

/** Whether an attempt to store has failed so that it may have taken place. */
interface Fate {
  unknown: boolean;
}

/** A list item; members that were not given are absent. */
function toItem(row: RowHead, metadata: AgentCheckpointListItem["metadata"]): AgentCheckpointListItem {
  return {
    id: row.id,
    agentId: row.agentId,
    ...(row.namespace === "" ? {} : { namespace: row.namespace }),
    name: row.name,
    createdAt: row.createdAt,
    ...(row.parentId === null ? {} : { parentId: row.parentId }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

function decodeMetadataOf(row: RowHead): AgentCheckpointListItem["metadata"] {
  return row.metadata === null ? undefined : decodeMetadata(row.metadata);
}

/** One damaged row must not break a list; retrieving it tells. */
function metadataOrNothing(row: RowHead): AgentCheckpointListItem["metadata"] {
  try {
    return decodeMetadataOf(row);
  } catch {
    return undefined;
  }
}

/** Whether two rows say the same of their checkpoints, all but the state. */
export function haveSameHead(one: RowHead, other: RowHead): boolean {
  return IDENTITY.every((member) => one[member] === other[member]);
}

const IDENTITY = ["agentId", "namespace", "name", "parentId", "createdAt", "metadata", "stateBytes"] as const;

function unreadable(operation: string, id: string, error: unknown): CheckpointError {
  const where = error instanceof UnreadableRow && error.id !== id ? `${id}, which builds on ${error.id}` : id;
  const reason = error instanceof UnreadableRow ? error.cause : error;
  if (reason instanceof UnknownEncoding) {
    return new CheckpointError(
      "UNSUPPORTED_FORMAT",
      `${operation}: ${where}: ${reason.message}; a newer version wrote it`,
    );
  }
  if (reason instanceof EncryptionMismatch) {
    return new CheckpointError("ENCRYPTION_MISMATCH", `${operation}: ${where}: ${reason.message}`);
  }
  const known = reason instanceof DamagedState || reason instanceof MalformedText;
  const problem = known ? reason.message : "its metadata or text is damaged";
  return new CheckpointError("CORRUPT_CHECKPOINT", `${operation}: ${where}: ${problem}`);
}

function noCheckpoint(operation: string, which: string): CheckpointError {
  return new CheckpointError("NOT_FOUND", `${operation}: there is no checkpoint ${which}`);
}

function tooLarge(operation: string, bytes: number, limit: number): CheckpointError {
  const advice = "raise the server's limit or keep large files outside of the state";
  const message = `${operation}: it takes ${bytes} bytes as sent, and the limit here is ${limit}; ${advice}`;
  return new CheckpointError("STATE_TOO_LARGE", message);
}
