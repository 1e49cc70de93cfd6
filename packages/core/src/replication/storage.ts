import { setImmediate as turn } from "node:timers/promises";
import {
  checkAgentId,
  checkAgentsQuery,
  checkCheckpoint,
  checkDeleteAgentQuery,
  checkDeleteAgentsQuery,
  checkIndexLabelsOptions,
  checkLatestQuery,
  checkListener,
  checkListQuery,
  checkPrunePolicy,
  checkReadOptions,
  checkRestoreOptions,
  checkStatsQuery,
  checkStoreOptions,
  checkWrites,
} from "../checkpoints/arguments.ts";
import type { RowQuery } from "../checkpoints/dialect.ts";
import { checkHealth, closeEngine, migrateEngine } from "../checkpoints/engine.ts";
import { iterateLineage, iteratePages } from "../checkpoints/paging.ts";
import {
  countCheckpoints,
  listAgents,
  listCheckpoints,
  listWithOlder,
  retrieveCheckpoint,
  retrieveLatestCheckpoint,
} from "../checkpoints/read.ts";
import { findToRestore, prepareRestored } from "../checkpoints/restore.ts";
import { markMainEngine } from "../checkpoints/storage.ts";
import { prepareCheckpoint } from "../checkpoints/store.ts";
import { listRankedWrites, mergeRanked, prepareWrites } from "../checkpoints/task-writes.ts";
import { isDeleted } from "../checkpoints/tombstones.ts";
import type {
  AgentCheckpointListItem,
  AgentsQuery,
  CallOptions,
  CheckpointStorage,
  CheckpointWrite,
  CloseOptions,
  DeleteAgentQuery,
  DeleteAgentsQuery,
  DeleteAgentsResult,
  IndexLabelsOptions,
  IndexLabelsResult,
  LatestQuery,
  ListQuery,
  MigrateMode,
  NamedAgentCheckpoint,
  PrunePolicy,
  ReadOptions,
  ReconcileOptions,
  RestoreOptions,
  StoredAgentCheckpoint,
  StoreOptions,
} from "../contract/checkpoints.ts";
import { objectWithKeys } from "../contract/checks.ts";
import { invalidArgument } from "../contract/errors.ts";
import { parseState } from "../contract/state-parser.ts";
import type {
  Backlog,
  CloseReport,
  PruneResult,
  ReconcileResult,
  Source,
  StorageEvents,
  StorageHealth,
  StorageStats,
  StorageStatus,
} from "../contract/status.ts";
import {
  checkCallOptions,
  checkCloseOptions,
  checkLookup,
  checkMigrateMode,
  checkProgressOptions,
} from "../database/arguments.ts";
import { MAX_TIMEOUT_MS } from "../database/options.ts";
import { refuseClosed } from "../database/session.ts";
import { observePair } from "../database/telemetry.ts";
import {
  REPLICATION_OPTIONS,
  type ReplicationOptions,
  type ResolvedReplicationOptions,
  resolveReplication,
} from "./options.ts";
import type { OutboxRelay } from "./outbox-relay.ts";
import { createPair, isMainUnreachable, type Pair, withinDeadline } from "./pair.ts";
import { mergeLists, readFromPair, unlessDeleted } from "./read.ts";
import { deleteAgentInPair, deleteAgentsInPair, deleteInPair, pruneInPair } from "./remove.ts";
import { appendInPair, storeInPair } from "./store.ts";
import { settled, settlesBefore } from "./wait.ts";

/** A storage with a main and a backup. */
export interface ReplicatedStorage<State = unknown> extends CheckpointStorage<State> {
  /**
   * Compares all that main and backup have, copies what one lacks, verified, and deletes in one what was deleted in the
   * other. Can be ended and repeated, also by several processes.
   * @throws CheckpointError if one of them is unreachable
   */
  reconcile(options?: ReconcileOptions): Promise<ReconcileResult>;
}

/** Time for closing connections, beyond the time for sending the backlog. */
const GRACE_MS = 1_000;
/** Time for a provider to count its backlog, for `status`. */
const STATUS_MS = 1_000;

export interface ReplicatedStorageOptions<State = unknown> extends ReplicationOptions {
  readonly main: CheckpointStorage<State>;
  readonly backup: CheckpointStorage<State>;
}

/**
 * Makes one storage of a main and a backup, as a config with both does. Closing it closes both. States are parsed as main parses
 * them. Each is of a factory, or a `provider(name)` of `openCheckpointStorage`; a whole storage of the latter is refused, since
 * it has more to close, such as other providers and its retention.
 * @throws CheckpointError `INVALID_ARGUMENT`, also if a dialect has no outbox
 */
export function createReplicatedStorage<State = unknown>(
  value: ReplicatedStorageOptions<State>,
): ReplicatedStorage<State> {
  const { main, backup, ...options } = objectWithKeys("options", value, ["main", "backup", ...REPLICATION_OPTIONS]);
  const resolved = resolveReplication("options", options);
  if (resolved.replication === "off") throw invalidArgument("options.replication", '"async" or "required"', "off");
  return replicate(main as CheckpointStorage, backup as CheckpointStorage, resolved) as ReplicatedStorage<State>;
}

/** @throws CheckpointError `INVALID_ARGUMENT` if the storages cannot be main and backup of each other */
export function replicate(
  main: CheckpointStorage,
  backup: CheckpointStorage,
  options: ResolvedReplicationOptions,
): ReplicatedStorage {
  return new PairStorage(createPair(main, backup, options));
}

/** The public face of a pair: checks arguments and delegates. */
class PairStorage implements ReplicatedStorage {
  readonly #pair: Pair;
  readonly #underWay = new Set<Promise<unknown>>();
  #wasUsed = false;
  #endObservation = () => {};
  #closing: Promise<CloseReport> | null = null;

  constructor(pair: Pair) {
    this.#pair = pair;
    markMainEngine(this, pair.main);
  }

  async storeCheckpoint(checkpoint: NamedAgentCheckpoint, options: StoreOptions = {}): Promise<string> {
    return await this.#call("store checkpoint", () => {
      // Prepared synchronously: what the caller changes afterwards is not stored.
      const head = checkCheckpoint(checkpoint);
      const prepared = prepareCheckpoint(this.#pair.main, head, checkpoint.state, checkStoreOptions(options));
      return storeInPair(this.#pair, prepared);
    });
  }

  async retrieveCheckpoint(id: string, options: ReadOptions = {}): Promise<StoredAgentCheckpoint | null> {
    const checkedId = checkLookup("id", id);
    const { allowStale, signal } = checkReadOptions(options);
    const found = await this.#call("retrieve checkpoint", () =>
      readFromPair(this.#pair, "retrieve checkpoint", allowStale, {
        ask: (engine) => retrieveCheckpoint(engine, checkedId, signal),
        merge: async (inMain, inBackup) => inMain ?? (await unlessDeleted(this.#pair, inBackup, checkedId)),
        mayBeStale: (found) => found === null,
        mayGrow: false,
      }),
    );
    return await parseState(this.#pair.main.parse, found);
  }

  async retrieveLatestCheckpoint(agentId: string, query: LatestQuery = {}): Promise<StoredAgentCheckpoint | null> {
    checkAgentId("agentId", agentId);
    const { namespace, allowStale, signal } = checkLatestQuery(query);
    const found = await this.#call("retrieve latest checkpoint", () =>
      readFromPair(this.#pair, "retrieve latest checkpoint", allowStale, {
        ask: (engine) => retrieveLatestCheckpoint(engine, { agentId, namespace }, signal),
        merge: async (inMain, inBackup) => {
          if (inMain !== null && inMain.id >= (inBackup?.id ?? "")) return inMain;
          return (await unlessDeleted(this.#pair, inBackup, inBackup?.id ?? null)) ?? inMain;
        },
        mayBeStale: () => true,
      }),
    );
    if (found?.source === "main") this.#pair.failover.recordMainHas(found.id);
    return await parseState(this.#pair.main.parse, found);
  }

  async restoreCheckpoint(id: string, options: RestoreOptions = {}): Promise<string> {
    const checkedId = checkLookup("id", id);
    const checked = checkRestoreOptions(options);
    return await this.#call("restore checkpoint", async () => {
      const found = await readFromPair(this.#pair, "restore checkpoint", undefined, {
        ask: (engine) => findToRestore(engine, checkedId, checked.signal),
        merge: async (inMain, inBackup) => inMain ?? (await unlessDeleted(this.#pair, inBackup, checkedId)),
        mayBeStale: (answer) => answer === null,
        mayGrow: false,
      });
      return await storeInPair(this.#pair, prepareRestored(found, checked));
    });
  }

  async listCheckpoints(query: ListQuery = {}): Promise<AgentCheckpointListItem[]> {
    const { rowQuery, allowStale, signal } = checkListQuery(query);
    return await this.#list(rowQuery, allowStale, signal);
  }

  iterateCheckpoints(query: ListQuery = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const { rowQuery, limit = Number.POSITIVE_INFINITY, allowStale, signal } = checkListQuery(query);
    return iteratePages(rowQuery === null ? 0 : limit, (before, pageSize) => {
      const page = { ...rowQuery, ...(before === undefined ? {} : { before }), limit: pageSize } satisfies RowQuery;
      return this.#list(page, allowStale, signal);
    });
  }

  async #list(
    query: RowQuery | null,
    allowStale: boolean | undefined,
    signal: AbortSignal | undefined,
  ): Promise<AgentCheckpointListItem[]> {
    return await this.#call("list checkpoints", () =>
      readFromPair(this.#pair, "list checkpoints", allowStale, {
        ask: (engine) => listCheckpoints(engine, "list checkpoints", query, signal),
        merge: async (inMain, inBackup) => (await mergeLists(this.#pair, inMain, inBackup)).slice(0, query?.limit),
        mayBeStale: () => true,
      }),
    );
  }

  iterateAncestors(id: string, options: ReadOptions = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const checkedId = checkLookup("id", id);
    const { allowStale, signal } = checkReadOptions(options);
    return iterateLineage(checkedId, (wanted) =>
      this.#call("iterate ancestors", () =>
        readFromPair(this.#pair, "iterate ancestors", allowStale, {
          ask: (engine) => listWithOlder(engine, wanted, signal),
          merge: (inMain, inBackup) => mergeLists(this.#pair, inMain, inBackup),
          mayBeStale: (found) => found.length === 0,
        }),
      ),
    );
  }

  async appendWrites(
    checkpointId: string,
    writes: readonly CheckpointWrite[],
    options: CallOptions = {},
  ): Promise<void> {
    await this.#call("append writes", () => {
      const checkedId = checkLookup("checkpointId", checkpointId);
      const { signal } = checkCallOptions(options);
      return appendInPair(this.#pair, prepareWrites(checkedId, checkWrites(writes), writes, signal));
    });
  }

  async listWrites(checkpointId: string, options: ReadOptions = {}): Promise<CheckpointWrite[]> {
    const id = checkLookup("checkpointId", checkpointId);
    const { allowStale, signal } = checkReadOptions(options);
    const ranked = await this.#call("list writes", () =>
      readFromPair(this.#pair, "list writes", allowStale, {
        ask: (engine) => listRankedWrites(engine, id, signal),
        merge: async (inMain, inBackup) => {
          // If main has some, it has their checkpoint; else it may know that it was deleted, and the backup not yet.
          const isDoubtful = id !== null && inMain.length === 0 && inBackup.length > 0;
          return isDoubtful && (await isDeleted(this.#pair.main, id)) ? [] : mergeRanked(inMain, inBackup);
        },
        mayBeStale: () => true,
      }),
    );
    return ranked.map(({ write }) => write);
  }

  async listAgents(query: AgentsQuery = {}): Promise<string[]> {
    const { after, limit, lookUp, allowStale, signal } = checkAgentsQuery(query);
    return await this.#call("list agents", () =>
      readFromPair(this.#pair, "list agents", allowStale, {
        ask: (engine) => listAgents(engine, "list agents", { after, limit, lookUp }, signal),
        merge: async (inMain, inBackup) => [...new Set([...inMain, ...inBackup])].sort(byBytes).slice(0, limit),
        mayBeStale: () => true,
      }),
    );
  }

  async deleteCheckpoint(id: string, options: CallOptions = {}): Promise<boolean> {
    const checkedId = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return await this.#call("delete checkpoint", () => deleteInPair(this.#pair, checkedId, signal));
  }

  async deleteAgent(agentId: string, query: DeleteAgentQuery = {}): Promise<number> {
    checkAgentId("agentId", agentId);
    const { namespace, signal } = checkDeleteAgentQuery(query);
    const rows = namespace === undefined ? { agentId } : { agentId, namespace };
    return await this.#call("delete agent", () => deleteAgentInPair(this.#pair, rows, signal));
  }

  async deleteAgents(query: DeleteAgentsQuery): Promise<DeleteAgentsResult> {
    const checked = checkDeleteAgentsQuery(query);
    return await this.#call("delete agents", () => deleteAgentsInPair(this.#pair, checked));
  }

  /** Indexes in both, and returns the counts of main. */
  async indexLabels(options: IndexLabelsOptions = {}): Promise<IndexLabelsResult> {
    const { onProgress, ...checked } = checkIndexLabelsOptions(options);
    const { main, backup } = this.#pair;
    return await this.#call("index labels", async () => {
      const result = await main.labels.index({ ...checked, ...(onProgress === undefined ? {} : { onProgress }) });
      await backup.labels.index(checked);
      return result;
    });
  }

  async pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult> {
    const checked = checkPrunePolicy(policy);
    return await this.#call("prune checkpoints", () => pruneInPair(this.#pair, checked));
  }

  /** Counts in main; in the backup while main is unreachable. */
  async stats(query: { readonly agentId?: string } & ReadOptions = {}): Promise<StorageStats> {
    const { agentId, allowStale, signal } = checkStatsQuery(query);
    return await this.#call("count checkpoints", () =>
      readFromPair(this.#pair, "count checkpoints", allowStale, {
        ask: (engine) => countCheckpoints(engine, agentId, signal),
        merge: async (inMain) => inMain,
        mayBeStale: () => true,
      }),
    );
  }

  async reconcile(options: ReconcileOptions = {}): Promise<ReconcileResult> {
    const { signal, onProgress } = checkProgressOptions<ReconcileResult>(options);
    const progress = onProgress === undefined ? {} : { onProgress };
    return await this.#call("reconcile", () => this.#pair.failover.reconcile({ signal, ...progress }));
  }

  /** `ok` if calls are answered: by main, or by the backup if main has failed so that it may take over. */
  async health(options: CallOptions = {}): Promise<StorageHealth> {
    const { signal } = checkCallOptions(options);
    const [main, backup] = await Promise.all([
      checkHealth(this.#pair.main, signal),
      checkHealth(this.#pair.backup, signal),
    ]);
    if (main.ok || this.#pair.options.failover === "off" || !isMainUnreachable(this.#pair, main.error)) return main;
    return backup.ok ? backup : { ...main, latencyMs: Math.max(main.latencyMs, backup.latencyMs) };
  }

  async status(options: CallOptions = {}): Promise<StorageStatus> {
    const { signal } = checkCallOptions(options);
    const { main, backup, failover } = this.#pair;
    await turn(); // a caller that waits for a circuit in a loop would otherwise starve its probe
    const backlogs = await this.#backlogs(signal);
    return {
      providers: {
        main: { ...main.session.status(), backlog: backlogs.main, replicated: main.isReplicated },
        backup: { ...backup.session.status(), backlog: backlogs.backup, replicated: backup.isReplicated },
      },
      mode: failover.mode,
    };
  }

  async #backlogs(signal?: AbortSignal): Promise<Record<Source, Backlog | null>> {
    const { main, backup, toBackup, toMain, failover } = this.#pair;
    const backlogOf = async (name: Source, relay: OutboxRelay, circuit: string): Promise<Backlog | null> => {
      if (circuit !== "closed") return null;
      const found = await settled(relay.backlog(withinDeadline(this.#pair, signal, STATUS_MS)));
      const backlog = found.ok ? found.value : null;
      if (found.ok && name === "main") failover.markMainReachable(); // perhaps no other call has asked main since its outage
      return backlog;
    };
    const [ofMain, ofBackup] = await Promise.all([
      backlogOf("main", toBackup, main.session.circuit),
      backlogOf("backup", toMain, backup.session.circuit),
    ]);
    return { main: ofMain, backup: ofBackup };
  }

  on<Name extends keyof StorageEvents>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void {
    checkListener(event, listener);
    return this.#pair.events.on(event, listener);
  }

  /** Migrates both; `"sql"` returns the statements for main. */
  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    const checked = checkMigrateMode(mode);
    const missing = await migrateEngine(this.#pair.main, checked);
    return checked === "sql" ? missing : [...missing, ...(await migrateEngine(this.#pair.backup, checked))];
  }

  async close(options: CloseOptions = {}): Promise<CloseReport> {
    const { timeoutMs } = checkCloseOptions(options);
    this.#closing ??= this.#close(timeoutMs);
    return await this.#closing;
  }

  async #close(timeoutMs: number): Promise<CloseReport> {
    this.#endObservation();
    await Promise.allSettled(this.#underWay); // calls under way have their own deadlines
    const signal = AbortSignal.timeout(timeoutMs);
    // Keeps the process alive: else one that has nothing else to do would end before the backlog is sent.
    const keepAlive = setTimeout(() => {}, Math.min(timeoutMs + 2 * GRACE_MS, MAX_TIMEOUT_MS));
    try {
      const unsent = this.#wasUsed ? await this.#sendBacklog(signal) : { toBackup: 0, toMain: 0 };
      const closing = this.#closeBoth();
      // A database whose connection is still being made may delay it for as long as a call may take.
      if (!(await settlesBefore(signal, closing, GRACE_MS))) closing.catch(() => {});
      return { unsent };
    } finally {
      clearTimeout(keepAlive);
    }
  }

  async #sendBacklog(signal: AbortSignal): Promise<NonNullable<CloseReport["unsent"]>> {
    const { toBackup, toMain } = this.#pair;
    await Promise.all([toMain.drain(signal), toBackup.drain(signal)]);
    const counting = AbortSignal.timeout(GRACE_MS); // also where the time for sending was not enough
    const [leftToBackup, leftToMain] = await Promise.all([
      countUnsent(toBackup, counting),
      countUnsent(toMain, counting),
    ]);
    return { toBackup: leftToBackup, toMain: leftToMain };
  }

  async #closeBoth(): Promise<void> {
    const { main, backup, toBackup, toMain, failover } = this.#pair;
    await Promise.all([toMain.stop(), toBackup.stop()]);
    await failover.stop();
    const closings = await Promise.allSettled([closeEngine(main), closeEngine(backup)]);
    for (const outcome of closings) if (outcome.status === "rejected") throw outcome.reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Runs a call, which `close` waits for. */
  async #call<Result>(operation: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#closing !== null) await refuseClosed(operation);
    this.#pair.failover.start();
    if (!this.#wasUsed) {
      this.#wasUsed = true;
      const { failover } = this.#pair;
      this.#endObservation = observePair({ mode: () => failover.mode, backlogs: () => this.#backlogs() });
    }
    const call = work();
    this.#underWay.add(call);
    try {
      return await call;
    } finally {
      this.#underWay.delete(call);
    }
  }
}

async function countUnsent(relay: OutboxRelay, signal: AbortSignal): Promise<number | null> {
  const found = await settled(relay.backlog(signal));
  return found.ok ? found.value.rows : null;
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
