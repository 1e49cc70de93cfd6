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
import { oneOf } from "./checks.ts";
import {
  DamagedState,
  packSnapshot,
  type Snapshot,
  type StoredState,
  takeSnapshot,
  UnknownEncoding,
  unpackState,
} from "./codec/snapshots.ts";
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
import { type Dialect, NIL_ID, type Row, type RowHead, type RowQuery, rowBytes } from "./dialect.ts";
import { DialectSession } from "./dialect-session.ts";
import { CheckpointError, invalidArgument, property } from "./errors.ts";
import { idClock } from "./ids.ts";
import { resolveCommonOptions } from "./options.ts";
import { keeper } from "./prune.ts";

/** Rows of one page, where we page ourselves. */
const PAGE = 1_000;

/** Makes a checkpoint storage of a dialect. For backend authors; users call a dialect package's own factory. */
export function createStorage(
  dialect: Dialect,
  options: Pick<CommonStorageOptions, "operationTimeoutMs"> = {},
): CheckpointStorage {
  const { operationTimeoutMs } = resolveCommonOptions(options);
  return new DialectStorage(dialect, operationTimeoutMs);
}

class DialectStorage implements CheckpointStorage {
  readonly #dialect: Dialect;
  readonly #session: DialectSession;

  constructor(dialect: Dialect, operationTimeoutMs: number) {
    this.#dialect = dialect;
    this.#session = new DialectSession(dialect, operationTimeoutMs);
  }

  async storeCheckpoint(checkpoint: NamedAgentCheckpoint, options: StoreOptions = {}): Promise<string> {
    // All of this comes before the first await: what the caller changes afterwards is not stored.
    const head = checkCheckpoint(checkpoint);
    const { ifLatest, signal } = checkStoreOptions(options);
    const snapshot = snapshotOf(checkpoint.state);
    for (const known of [head.id, head.parentId, ifLatest]) {
      if (typeof known === "string") idClock.observe(known);
    }
    const id = head.id ?? idClock.next();
    const afterId = ifLatest === undefined ? null : (ifLatest ?? NIL_ID);
    if (afterId !== null && id <= afterId) throw invalidArgument("checkpoint.id", "above options.ifLatest", id);
    return await this.#session.run("store checkpoint", signal, async (limit, { maxStatementBytes }) => {
      const row = toRow({ ...head, id }, await packSnapshot(snapshot), afterId);
      const bytes = rowBytes(row);
      if (bytes > maxStatementBytes) throw tooLarge(bytes, maxStatementBytes);
      if (await this.#insert(row, limit)) return id;
      await this.#explainRefusal(row, limit);
      return id;
    });
  }

  async #insert(row: Row, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#dialect.commit({ insert: [row] }, signal);
    } catch (error) {
      if (this.#session.isDuplicate(error)) return false;
      throw error;
    }
  }

  /** Returns if the row is there: an earlier attempt, whose answer was lost, has stored it. */
  async #explainRefusal(row: Row, signal: AbortSignal): Promise<void> {
    const [existing] = await this.#dialect.list({ id: row.id, limit: 1 }, signal);
    if (existing === undefined) {
      if (row.afterId === null) {
        throw new CheckpointError("CONTENTION", `store checkpoint: ${row.id} was there, and was deleted meanwhile`);
      }
      const expected = row.afterId === NIL_ID ? "the agent to have no checkpoint" : `${row.afterId} to be the latest`;
      throw new CheckpointError("CONFLICT", `store checkpoint: expected ${expected}, but another one was stored`);
    }
    if (!sameContent(existing, row)) {
      throw new CheckpointError("CONFLICT", `store checkpoint: ${row.id} is there with other content`);
    }
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
    const [row] = await this.#dialect.readChain(id, signal);
    if (row === undefined) return null;
    idClock.observe(row.id);
    try {
      if (row.baseId !== null) throw new UnknownEncoding(`the encoding ${JSON.stringify(row.encoding)} is not known`);
      const state = await unpackState(row);
      return { ...toItem(row, decodeMetadataOf(row)), state };
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

  async listAgents(query: AgentsQuery = {}): Promise<string[]> {
    const { after, limit, signal } = checkAgentsQuery(query);
    return await this.#session.run("list agents", signal, (deadline) => this.#dialect.agents(after, limit, deadline));
  }

  async deleteCheckpoint(id: string, options: CallOptions = {}): Promise<boolean> {
    const known = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return await this.#session.run("delete checkpoint", signal, async (limit) => {
      if (known === null) return false;
      const [row] = await this.#dialect.list({ id: known, limit: 1 }, limit);
      if (row === undefined) return false;
      await this.#dialect.commit({ remove: [known] }, limit);
      return true;
    });
  }

  async deleteAgent(agentId: string, query: LatestQuery = {}): Promise<number> {
    const agent = checkAgentId(agentId);
    const { namespace, signal } = checkLatestQuery(query);
    let removed = 0;
    for await (const rows of this.#heads("delete agent", agent, namespace ?? null, signal)) {
      await this.#remove(
        "delete agent",
        rows.map((row) => row.id),
        signal,
      );
      removed += rows.length;
    }
    return removed;
  }

  async pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult> {
    const checked = checkPrunePolicy(policy);
    const now = Date.now();
    const progress = { examined: 0, removed: 0 };
    for await (const agent of this.#agentsOf(checked)) await this.#pruneAgent(agent, checked, now, progress);
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
    let doomed: string[] = [];
    const flush = async () => {
      if (doomed.length === 0) return;
      if (!policy.dryRun) await this.#remove("prune checkpoints", doomed, policy.signal);
      progress.removed += doomed.length;
      doomed = [];
      policy.onProgress?.({ ...progress });
    };
    for await (const rows of this.#heads("prune checkpoints", agent, policy.namespace, policy.signal)) {
      for (const row of rows) {
        const keep = keepers.get(row.namespace) ?? keeper(policy, nowMs);
        keepers.set(row.namespace, keep);
        progress.examined += 1;
        if (keep(row)) continue;
        doomed.push(row.id);
        if (doomed.length === policy.batchSize) await flush();
      }
    }
    await flush();
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

  async #remove(operation: string, ids: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    for (let at = 0; at < ids.length; at += MAX_LIMIT) {
      const remove = ids.slice(at, at + MAX_LIMIT);
      await this.#session.run(operation, signal, (limit) => this.#dialect.commit({ remove }, limit));
    }
  }

  async stats(query: { readonly agentId?: string } & CallOptions = {}): Promise<StorageStats> {
    const { agentId, signal } = checkStatsQuery(query);
    return await this.#session.run("count checkpoints", signal, async (limit) => {
      const { rows, storedBytes, stateBytes } = await this.#dialect.stats(agentId, limit);
      return { checkpoints: rows, storedBytes, stateBytes };
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

function snapshotOf(state: unknown): Snapshot {
  try {
    return takeSnapshot(state);
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

function toRow(head: CheckedCheckpoint & { readonly id: string }, stored: StoredState, afterId: string | null): Row {
  return { ...head, ...stored, baseId: null, afterId, pending: null };
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

function sameContent(one: RowHead, other: RowHead): boolean {
  return IDENTITY.every((member) => one[member] === other[member]) && Buffer.compare(one.digest, other.digest) === 0;
}

function unreadable(id: string, error: unknown): CheckpointError {
  if (error instanceof UnknownEncoding) {
    return new CheckpointError(
      "UNSUPPORTED_FORMAT",
      `retrieve checkpoint: ${id}: ${error.message}; a newer version wrote it`,
    );
  }
  const known = error instanceof DamagedState || error instanceof MalformedText;
  const problem = known ? error.message : "its metadata or text is damaged";
  return new CheckpointError("CORRUPT_CHECKPOINT", `retrieve checkpoint: ${id}: ${problem}`);
}

function tooLarge(bytes: number, limit: number): CheckpointError {
  const advice = "raise the server's limit or keep large files outside of the state";
  const message = `store checkpoint: it takes ${bytes} bytes as sent, and the limit here is ${limit}; ${advice}`;
  return new CheckpointError("STATE_TOO_LARGE", message);
}
