import { setImmediate } from "node:timers/promises";
import {
  type CheckedCheckpoint,
  type CheckedPrunePolicy,
  checkAgentId,
  checkAgentsQuery,
  checkCallOptions,
  checkCheckpoint,
  checkLatestQuery,
  checkListQuery,
  checkLookup,
  checkPrunePolicy,
  checkStatsQuery,
  checkStoreOptions,
  decodeMetadata,
  MAX_LIMIT,
} from "./arguments.ts";
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
} from "./chains.ts";
import { oneOf } from "./checks.ts";
import { DamagedState, type Snapshot, sameState, stateOf, takeSnapshot, UnknownEncoding } from "./codec/snapshots.ts";
import { MalformedText, UnsupportedValue } from "./codec/values.ts";
import type {
  AgentCheckpointListItem,
  AgentsQuery,
  CallOptions,
  CheckpointStorage,
  CommonStorageOptions,
  LatestQuery,
  ListQuery,
  MigrateMode,
  NamedAgentCheckpoint,
  PrunePolicy,
  PruneResult,
  StorageHealth,
  StorageStats,
  StoredAgentCheckpoint,
  StoreOptions,
} from "./contract.ts";
import { type Change, type Dialect, NIL_ID, type Row, type RowHead, type RowQuery, rowBytes } from "./dialect.ts";
import { DialectSession } from "./dialect-session.ts";
import { CheckpointError, invalidArgument, property } from "./errors.ts";
import { idClock } from "./ids.ts";
import { type ResolvedCommonOptions, resolveCommonOptions } from "./options.ts";
import { keeper } from "./prune.ts";
import { planRebasing, planRemoval, type Removal, type RemovalRequest } from "./removal.ts";
import { StateCache } from "./state-cache.ts";
import { StoreQueue } from "./store-queue.ts";

/** Rows of one page, where we page ourselves. */
const PAGE = 1_000;

/** States without a base at hand are stored whole up to this length: reading one would cost more than it saves. */
const READ_BASE_FROM_BYTES = 16_384;

/** How many rows that stay are rewritten by one commit. */
const REBASED_AT_ONCE = 64;

/** How often a removal is planned again because other clients have changed the rows. */
const MAX_PLANS = 20;

type StorageOptions = Pick<CommonStorageOptions, "operationTimeoutMs" | "cacheBytes" | "freeze">;

/** Makes a checkpoint storage of a dialect. For backend authors; users call a dialect package's own factory. */
export function createStorage(dialect: Dialect, options: StorageOptions = {}): CheckpointStorage {
  return new DialectStorage(dialect, resolveCommonOptions(options));
}

class DialectStorage implements CheckpointStorage {
  readonly #dialect: Dialect;
  readonly #session: DialectSession;
  readonly #freeze: boolean;
  readonly #cache: StateCache;
  readonly #queue: StoreQueue;

  constructor(dialect: Dialect, { operationTimeoutMs, cacheBytes, freeze }: ResolvedCommonOptions) {
    this.#dialect = dialect;
    this.#session = new DialectSession(dialect, operationTimeoutMs);
    this.#freeze = freeze;
    this.#cache = new StateCache(cacheBytes);
    this.#queue = new StoreQueue(
      (insert, bases, signal) => dialect.commit({ insert, bases }, signal),
      (error) => this.#session.mayBeOneRows(error),
    );
  }

  async storeCheckpoint(checkpoint: NamedAgentCheckpoint, options: StoreOptions = {}): Promise<string> {
    // All of this comes before the first await: what the caller changes afterwards is not stored.
    const head = checkCheckpoint(checkpoint);
    const { ifLatest, signal } = checkStoreOptions(options);
    const base = this.#cachedBase(head);
    const snapshot = snapshotOf(checkpoint.state, base?.snapshot, this.#freeze);
    for (const known of [head.id, head.parentId, ifLatest]) {
      if (typeof known === "string") idClock.observe(known);
    }
    const id = head.id ?? idClock.next();
    const afterId = ifLatest === undefined ? null : (ifLatest ?? NIL_ID);
    if (afterId !== null && id <= afterId) throw invalidArgument("checkpoint.id", "above options.ifLatest", id);
    await this.#session.run("store checkpoint", signal, (limit, { maxStatementBytes }) =>
      this.#store({ ...head, id, afterId }, snapshot, base, maxStatementBytes, limit),
    );
    return id;
  }

  async #store(
    head: Identity,
    snapshot: Snapshot,
    cachedBase: StoredChain | undefined,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
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
    if (!stored) await this.#explainRefusal(toRow(head, next), snapshot, signal);
    else if (!isSmall(snapshot)) this.#cache.put(lineOf(head), next.chain, next.base?.id ?? null);
  }

  #cachedBase({ parentId, ...head }: Pick<CheckedCheckpoint, "agentId" | "namespace" | "parentId">) {
    const line = lineOf(head);
    return (parentId === null ? undefined : this.#cache.get(line, parentId)) ?? this.#cache.latest(line);
  }

  /** What the state may be a difference to, if it is worth to be read. */
  async #readBase(head: Identity, { stateBytes }: Snapshot, signal: AbortSignal): Promise<StoredChain | null> {
    if (stateBytes < READ_BASE_FROM_BYTES) return null;
    const { agentId, namespace, id } = head;
    const [latest] = await this.#dialect.list({ agentId, namespace, before: id, limit: 1 }, signal);
    if (latest === undefined) return null;
    return await findState(this.#dialect, latest.id, signal);
  }

  /** `false`: the row, or another one after the same row, is there; or its base is not. */
  async #insert(head: Identity, packed: PackedChain, maxBytes: number, signal: AbortSignal): Promise<boolean> {
    const row = toRow(head, packed);
    const bytes = rowBytes(row);
    if (bytes > maxBytes) throw tooLarge(bytes, maxBytes);
    const base = packed.base === null ? null : { id: packed.base.id, digest: packed.base.snapshot.digest };
    try {
      if (row.afterId === null) return await this.#queue.insert({ row, base }, maxBytes, signal);
      return await this.#dialect.commit({ insert: [row], bases: base === null ? [] : [base] }, signal);
    } catch (error) {
      if (this.#session.isDuplicate(error) || this.#session.isForeignKey(error)) return false;
      throw error;
    }
  }

  /** Returns if the row is there: an earlier attempt, whose answer was lost, has stored it. */
  async #explainRefusal(row: Row, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const [existing] = await this.#dialect.list({ id: row.id, limit: 1 }, signal);
    if (existing === undefined) {
      if (row.afterId === null) {
        throw new CheckpointError("CONTENTION", `store checkpoint: ${row.id} was there, and was deleted meanwhile`);
      }
      const expected = row.afterId === NIL_ID ? "the agent to have no checkpoint" : `${row.afterId} to be the latest`;
      throw new CheckpointError("CONFLICT", `store checkpoint: expected ${expected}, but another one was stored`);
    }
    if (!(await this.#isSame(existing, row, snapshot, signal))) {
      throw new CheckpointError("CONFLICT", `store checkpoint: ${row.id} is there with other content`);
    }
  }

  async #isSame(existing: RowHead, row: Row, snapshot: Snapshot, signal: AbortSignal): Promise<boolean> {
    if (IDENTITY.some((member) => existing[member] !== row[member])) return false;
    if (Buffer.compare(existing.digest, row.digest) === 0) return true;
    // Another version may have cut the same text into other pieces.
    const stored = await findState(this.#dialect, row.id, signal);
    return stored !== null && sameState(stored.snapshot, snapshot);
  }

  async retrieveCheckpoint(id: string, options: CallOptions = {}): Promise<StoredAgentCheckpoint | null> {
    const known = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return await this.#session.run("retrieve checkpoint", signal, (limit) =>
      known === null ? Promise.resolve(null) : this.#read(known, limit),
    );
  }

  async retrieveLatestCheckpoint(agentId: string, query: LatestQuery = {}): Promise<StoredAgentCheckpoint | null> {
    const agent = checkAgentId(agentId);
    const { namespace = "", signal } = checkLatestQuery(query);
    return await this.#session.run("retrieve latest checkpoint", signal, async (limit) => {
      let gone: string | null = null;
      for (;;) {
        const [head] = await this.#dialect.list({ agentId: agent, namespace, limit: 1 }, limit);
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
      const [head] = await this.#dialect.list({ id, limit: 1 }, signal);
      if (head !== undefined && Buffer.compare(head.digest, found.snapshot.digest) === 0) {
        return this.#checkpointOf(head, found);
      }
      this.#cache.forget(id);
    }
    const rows = await this.#dialect.readChain(id, signal);
    const [row] = rows;
    if (row === undefined) return null;
    try {
      const chain = (await readChain(rows))[0] as StoredChain;
      if (!isSmall(chain.snapshot)) this.#cache.put(lineOf(row), chain, null);
      return this.#checkpointOf(row, chain);
    } catch (error) {
      throw unreadable(id, error);
    }
  }

  #checkpointOf(row: RowHead, { snapshot }: StoredChain): StoredAgentCheckpoint {
    idClock.observe(row.id);
    try {
      return { ...toItem(row, decodeMetadataOf(row)), state: stateOf(snapshot) };
    } catch (error) {
      throw unreadable(row.id, error);
    }
  }

  async listCheckpoints(query: ListQuery = {}): Promise<AgentCheckpointListItem[]> {
    const { rows, signal } = checkListQuery(query);
    return await this.#session.run("list checkpoints", signal, async (limit) =>
      rows === null ? [] : await this.#page(rows, limit),
    );
  }

  async #page(query: RowQuery, signal: AbortSignal): Promise<AgentCheckpointListItem[]> {
    const rows = await this.#dialect.list(query, signal);
    const [newest] = rows;
    if (newest !== undefined) idClock.observe(newest.id);
    return rows.map((row) => toItem(row, metadataOrNothing(row)));
  }

  iterateCheckpoints(query: ListQuery = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const { rows, limit = Number.POSITIVE_INFINITY, signal } = checkListQuery(query);
    return this.#iterate(rows, limit, signal);
  }

  async *#iterate(
    first: RowQuery | null,
    total: number,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<AgentCheckpointListItem> {
    let query = first;
    let left = total;
    while (query !== null && left > 0) {
      const page: RowQuery = { ...query, limit: Math.min(PAGE, left) };
      const items = await this.#session.run("iterate checkpoints", signal, (limit) => this.#page(page, limit));
      yield* items;
      left -= items.length;
      const last = items.at(-1);
      query = last === undefined || items.length < page.limit ? null : { ...query, before: last.id };
    }
  }

  iterateAncestors(id: string, options: CallOptions = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const known = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return this.#ancestors(known, signal);
  }

  async *#ancestors(
    from: string | null,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<AgentCheckpointListItem> {
    const shown = new Set<string>(); // ids that callers bring may name each other as parents
    let rows = new Map<string, RowHead>();
    let id = from;
    while (id !== null && !shown.has(id)) {
      const wanted: string = id;
      if (!rows.has(wanted)) {
        rows = await this.#session.run("iterate ancestors", signal, (limit) => this.#withOlder(wanted, limit));
      }
      const row = rows.get(wanted);
      if (row === undefined) return;
      idClock.observe(row.id);
      yield toItem(row, metadataOrNothing(row));
      shown.add(row.id);
      id = row.parentId;
    }
  }

  /** A row, if it is there, and a page of those before it in its line: its ancestors, most often. */
  async #withOlder(id: string, signal: AbortSignal): Promise<Map<string, RowHead>> {
    const [row] = await this.#dialect.list({ id, limit: 1 }, signal);
    if (row === undefined) return new Map();
    const { agentId, namespace } = row;
    const older = await this.#dialect.list({ agentId, namespace, before: row.id, limit: PAGE }, signal);
    return new Map([row, ...older].map((one) => [one.id, one]));
  }

  async listAgents(query: AgentsQuery = {}): Promise<string[]> {
    const { after, limit, signal } = checkAgentsQuery(query);
    return await this.#session.run("list agents", signal, (deadline) => this.#dialect.agents(after, limit, deadline));
  }

  async deleteCheckpoint(id: string, options: CallOptions = {}): Promise<boolean> {
    const known = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return await this.#session.run("delete checkpoint", signal, async (limit, { maxStatementBytes }) => {
      if (known === null) return false;
      const [row] = await this.#dialect.list({ id: known, limit: 1 }, limit);
      if (row === undefined) return false;
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
      await this.#dialect.reclaim(limit);
      return true;
    });
  }

  async deleteAgent(agentId: string, query: LatestQuery = {}): Promise<number> {
    const agent = checkAgentId(agentId);
    const { namespace, signal } = checkLatestQuery(query);
    let removed = 0;
    for await (const rows of this.#heads("delete agent", agent, namespace ?? null, signal)) {
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
      const page: string[] = await this.#session.run("prune checkpoints", signal, (limit) =>
        this.#dialect.agents(cursor, PAGE, limit),
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
    for await (const rows of this.#heads("prune checkpoints", agent, policy.namespace, policy.signal)) {
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
    const ids = [...doomed];
    for (let at = 0; at < ids.length; at += policy.batchSize) {
      const batch = ids.slice(at, at + policy.batchSize);
      progress.removed += policy.dryRun
        ? batch.length
        : await this.#remove("prune checkpoints", batch, isDoomed, policy.signal);
      policy.onProgress?.({ ...progress });
    }
  }

  /** All heads of an agent, newest first, in pages; what is stored meanwhile is not among them. */
  async *#heads(
    operation: string,
    agentId: string,
    namespace: string | null,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<RowHead[]> {
    const query: RowQuery = { agentId, ...(namespace === null ? {} : { namespace }), limit: PAGE };
    let before: string | undefined;
    for (;;) {
      const page: RowQuery = before === undefined ? query : { ...query, before };
      const rows = await this.#session.run(operation, signal, (limit) => this.#dialect.list(page, limit));
      if (rows.length > 0) yield rows;
      if (rows.length < PAGE) return;
      before = rows.at(-1)?.id;
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
      const step = await this.#session.run(operation, signal, (limit, { maxStatementBytes: maxRowBytes }) =>
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
      const done = await this.#session.run(operation, signal, async (limit, { maxStatementBytes: maxRowBytes }) => {
        const rebasing = await planRebasing(this.#dialect, { ids: some, isDoomed, maxRowBytes }, limit);
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
      const { ids, change, kept } = await planRemoval(this.#dialect, request, signal);
      if (change.remove.length === 0 || (await this.#commitPlan(change, signal))) {
        for (const id of change.remove) this.#cache.forget(id);
        return { done: ids.length, removed: change.remove.length, kept };
      }
    }
    throw new CheckpointError("CONTENTION", "remove checkpoints: other clients keep on changing what builds on them");
  }

  /** `false`: other clients have changed the rows since it was planned. */
  async #commitPlan(change: Change, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#dialect.commit(change, signal);
    } catch (error) {
      if (this.#session.isForeignKey(error)) return false;
      throw error;
    }
  }

  async #reclaim(operation: string, signal: AbortSignal | undefined): Promise<void> {
    while (await this.#session.run(operation, signal, (limit) => this.#dialect.reclaim(limit))) await setImmediate();
  }

  async stats(query: { readonly agentId?: string } & CallOptions = {}): Promise<StorageStats> {
    const { agentId, signal } = checkStatsQuery(query);
    return await this.#session.run("count checkpoints", signal, async (limit) => {
      const { rows, ...counts } = await this.#dialect.stats(agentId, limit);
      return { checkpoints: rows, ...counts };
    });
  }

  async health(options: CallOptions = {}): Promise<StorageHealth> {
    const { signal } = checkCallOptions(options);
    const start = performance.now();
    const elapsed = () => performance.now() - start;
    try {
      await this.#session.run("check health", signal, (limit) => this.#dialect.ping(limit));
      return { ok: true, latencyMs: elapsed() };
    } catch (error) {
      return { ok: false, latencyMs: elapsed(), error: error as CheckpointError };
    }
  }

  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    const checked = oneOf("mode", mode, ["apply", "verify", "sql"]);
    return await this.#session.runUnopened("migrate schema", undefined, (limit) =>
      this.#dialect.migrate(checked, limit),
    );
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function snapshotOf(state: unknown, like: Snapshot | undefined, freeze: boolean): Snapshot {
  try {
    return takeSnapshot(state, { like, freeze });
  } catch (error) {
    if (error instanceof UnsupportedValue) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `store checkpoint: ${error.message}`);
    }
    // Of the engine (JSON.stringify, allocation), or of Node (base64).
    const tooLong = error instanceof RangeError && /string length|buffer|array length/i.test(error.message);
    if (tooLong || property(error, "code") === "ERR_STRING_TOO_LONG") {
      throw new CheckpointError("STATE_TOO_LARGE", "store checkpoint: the state's JSON is longer than a string can be");
    }
    if (error instanceof RangeError) {
      throw new CheckpointError(
        "UNSUPPORTED_VALUE",
        "store checkpoint: the state is nested deeper than the stack reaches",
      );
    }
    // A getter or proxy of the state threw: its error is the caller's, and may hold the caller's data.
    throw new CheckpointError("UNSUPPORTED_VALUE", "store checkpoint: reading the state threw an error");
  }
}

/** All of a row but its state. */
type Identity = CheckedCheckpoint & { readonly id: string; readonly afterId: string | null };

function toRow(head: Identity, { base, packed, chain: { snapshot } }: PackedChain): Row {
  const { stateBytes, digest } = snapshot;
  return { ...head, ...packed, stateBytes, digest, baseId: base?.id ?? null, pending: null };
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

const IDENTITY = ["agentId", "namespace", "name", "parentId", "createdAt", "metadata", "stateBytes"] as const;

function unreadable(id: string, error: unknown): CheckpointError {
  const where = error instanceof UnreadableRow && error.id !== id ? `${id}, which builds on ${error.id}` : id;
  const reason = error instanceof UnreadableRow ? error.cause : error;
  if (reason instanceof UnknownEncoding) {
    return new CheckpointError(
      "UNSUPPORTED_FORMAT",
      `retrieve checkpoint: ${where}: ${reason.message}; a newer version wrote it`,
    );
  }
  const known = reason instanceof DamagedState || reason instanceof MalformedText;
  const problem = known ? reason.message : "its metadata or text is damaged";
  return new CheckpointError("CORRUPT_CHECKPOINT", `retrieve checkpoint: ${where}: ${problem}`);
}

function tooLarge(bytes: number, limit: number): CheckpointError {
  const advice = "raise the server's limit or keep large files outside of the state";
  const message = `store checkpoint: it takes ${bytes} bytes as sent, and the limit here is ${limit}; ${advice}`;
  return new CheckpointError("STATE_TOO_LARGE", message);
}
