import {
  checkAgentId,
  checkAgentsQuery,
  checkCallOptions,
  checkCloseOptions,
  checkLatestQuery,
  checkListQuery,
  checkLookup,
  checkPrunePolicy,
  checkReadOptions,
  checkReconcileOptions,
  checkStatsQuery,
} from "../checkpoints/arguments.ts";
import type { QueuedRow } from "../checkpoints/group-commit.ts";
import { eachOf, lineage } from "../checkpoints/paging.ts";
import { type DialectStorage, engineOf, type Prepared, type PreparedWrites } from "../checkpoints/storage.ts";
import { mergeWrites } from "../checkpoints/task-writes.ts";
import type {
  AgentCheckpointListItem,
  AgentsQuery,
  Backlog,
  CallOptions,
  CheckpointStorage,
  CheckpointWrite,
  CloseOptions,
  CloseReport,
  LatestQuery,
  ListQuery,
  MigrateMode,
  NamedAgentCheckpoint,
  PrunePolicy,
  PruneResult,
  ReadOptions,
  ReconcileOptions,
  ReconcileResult,
  Source,
  StorageEvents,
  StorageHealth,
  StorageStats,
  StorageStatus,
  StoredAgentCheckpoint,
  StoreOptions,
} from "../contract/checkpoints.ts";
import { members, oneOf } from "../contract/checks.ts";
import { CheckpointError, type CheckpointErrorCode, codeOf, invalidArgument } from "../contract/errors.ts";
import { Events } from "../database/events.ts";
import { MAX_TIMEOUT_MS } from "../database/options.ts";
import { recordBacklog, recordReplicated } from "../database/telemetry.ts";
import { acknowledge, deliver, readForDelivery } from "./delivery.ts";
import { Standing } from "./failover-state.ts";
import { REPLICATION_OPTIONS, type ReplicationOptions, type ReplicationPolicy, resolveReplication } from "./options.ts";
import { Replicator } from "./outbox-relay.ts";
import { settled, soon, within } from "./wait.ts";

/** A storage on two databases. */
export interface ReplicatedStorage extends CheckpointStorage {
  /**
   * Compares all that main and backup have, copies what one lacks, verified, and deletes what was deleted in the other. It
   * may be ended and called again, by several processes too.
   * @throws CheckpointError if one of them is out of reach
   */
  reconcile(options?: ReconcileOptions): Promise<ReconcileResult>;
}

/** How long rows gather before they go to the backup together, where nobody waits for that. */
const LINGER_MS = 50;
/** What closing connections may take, beyond what sending the rest may. */
const GRACE_MS = 1_000;
/** How long a provider may take to count its backlog, for `status`. */
const STATUS_MS = 1_000;
/** How long a read waits for a backup that may not matter. */
const SECOND_OPINION_MS = 1_000;

/** What main may fail with so that the backup is turned to: it is out of reach, or does not take what it should. */
const OUT_OF_REACH: ReadonlySet<CheckpointErrorCode> = new Set(["UNAVAILABLE", "TIMEOUT"]);
const DOES_NOT_TAKE: ReadonlySet<CheckpointErrorCode> = new Set([
  "UNAVAILABLE",
  "TIMEOUT",
  "CONTENTION",
  "READ_ONLY",
  "STORAGE_FULL",
  "DATABASE_ERROR",
]);

export interface ReplicatedStorageOptions extends ReplicationOptions {
  readonly main: CheckpointStorage;
  readonly backup: CheckpointStorage;
}

/**
 * What a config with a main and a backup opens, of storages of one's own making. Closing it closes both.
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function createReplicatedStorage(value: ReplicatedStorageOptions): ReplicatedStorage {
  const { main, backup, ...options } = members("options", value, ["main", "backup", ...REPLICATION_OPTIONS]);
  const policy = resolveReplication("options", options);
  if (policy.replication === "off") throw invalidArgument("options.replication", '"async" or "required"', "off");
  return replicate(main as CheckpointStorage, backup as CheckpointStorage, policy);
}

/**
 * Main and backup as one storage.
 *
 * A checkpoint is the same in both: its id is made before anything is sent. So what either has acknowledged is kept, and
 * what one lacks the other brings it: rows are `pending` where they are until then.
 * @throws CheckpointError `INVALID_ARGUMENT` if one of them was not made by `createStorage`
 */
export function replicate(
  main: CheckpointStorage,
  backup: CheckpointStorage,
  policy: ReplicationPolicy,
): ReplicatedStorage {
  if (engineOf(main) !== null && engineOf(main) === engineOf(backup)) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected main and backup to be two storages, got one twice");
  }
  return new MainAndBackup(engine("main", main), engine("backup", backup), policy);
}

/** What a storage is called in its status, events and measurements; one that is not of `createStorage` says it itself. */
export function nameProvider(storage: CheckpointStorage, name: string): void {
  const found = engineOf(storage);
  if (found !== null) found.session.provider = name;
}

function engine(name: Source, storage: CheckpointStorage): DialectStorage {
  const found = engineOf(storage);
  if (found === null) throw invalidArgument(name, "a storage that core's createStorage has made", storage);
  found.session.provider = name;
  return found;
}

class MainAndBackup implements ReplicatedStorage {
  readonly #main: DialectStorage;
  readonly #backup: DialectStorage;
  readonly #policy: ReplicationPolicy;
  readonly #events = new Events();
  readonly #toBackup: Replicator;
  readonly #toMain: Replicator;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #standing: Standing;
  #used = false;
  #closing: Promise<CloseReport> | null = null;

  constructor(main: DialectStorage, backup: DialectStorage, policy: ReplicationPolicy) {
    this.#main = main;
    this.#backup = backup;
    this.#policy = policy;
    main.leavesTombstones = true;
    const lingerMs = policy.replication === "required" ? 0 : LINGER_MS;
    this.#toBackup = this.#replicator("main", "backup", lingerMs, () => {});
    this.#toMain = this.#replicator("backup", "main", 0, () => this.#standing.lookAtBackup());
    const [toBackup, toMain, events] = [this.#toBackup, this.#toMain, this.#events];
    this.#standing = new Standing({ main, backup, toBackup, toMain, policy, events });
  }

  #replicator(source: Source, target: Source, lingerMs: number, onSwept: () => void): Replicator {
    const [from, to] = source === "main" ? [this.#main, this.#backup] : [this.#backup, this.#main];
    const way = { from: source, to: target };
    return new Replicator({
      from,
      to,
      target,
      lingerMs,
      onSwept,
      onDelivered: (rows, bytes) => {
        if (target === "main") this.#standing.answered();
        recordReplicated(source, target, rows, bytes);
        this.#events.emit("replicated", { ...way, rows, bytes });
      },
      onFailed: (code) => this.#events.emit("replicationFailed", { ...way, code }),
      onConflict: (id) => this.#events.emit("conflict", { id }),
    });
  }

  async storeCheckpoint(checkpoint: NamedAgentCheckpoint, options: StoreOptions = {}): Promise<string> {
    // What it is prepared from is read before anything else has its turn.
    return await this.#call("store checkpoint", () => this.#store(this.#main.prepare(checkpoint, options)));
  }

  async #store(prepared: Prepared): Promise<string> {
    const { head, signal } = prepared;
    if (head.afterId !== null) await this.#standing.settle("store checkpoint", this.#within(signal));
    let queued: QueuedRow | null;
    try {
      queued = await this.#main.storePrepared(prepared, Replicator.lease());
    } catch (error) {
      if (!this.#turnsToBackup(error) || head.afterId !== null) throw error;
      const store = () => this.#backup.storeElsewhere(prepared, Date.now());
      await this.#doInBackup("store checkpoint", error as CheckpointError, store);
      return head.id;
    }
    this.#standing.has(head.id);
    const sent = () => (queued === null ? this.#deliver(head.id, signal) : this.#toBackup.offer(queued));
    if (this.#policy.replication === "required") await this.#bringToBackup("store checkpoint", head.id, sent, signal);
    else if (queued !== null) this.#toBackup.hand(queued);
    return head.id;
  }

  async #bringToBackup(
    operation: string,
    id: string,
    sent: () => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      if (!(await within(sent(), signal, 0))) {
        throw new CheckpointError("ABORTED", `${operation}: the caller's signal ended it`);
      }
    } catch (error) {
      if (isOne(error, OF_THE_CALLER)) throw error;
      const message = `${operation}: main has ${id}, and the backup, which is required, not yet (${codeOf(error)})`;
      throw new CheckpointError("UNAVAILABLE", message, { cause: error });
    }
  }

  /** To our own backup, whatever another process has brought to its own. */
  async #deliver(id: string, signal: AbortSignal | undefined): Promise<void> {
    const { rows } = await readForDelivery(this.#main, [id], signal);
    const { done } = await deliver(this.#main, this.#backup, rows, signal);
    if (done.length === 0) throw new CheckpointError("UNAVAILABLE", `replicate: ${id} was not taken`);
    await acknowledge(this.#main, done, signal);
  }

  #turnsToBackup(error: unknown): boolean {
    if (this.#policy.failover !== "automatic") return false;
    return isOne(error, DOES_NOT_TAKE) || this.#isLockedOut(error);
  }

  /** A password that was changed, or tables that are gone. At the start that is a mistake, and to be told. */
  #isLockedOut(error: unknown): boolean {
    return isOne(error, LOCKED_OUT) && this.#main.session.wasOpen;
  }

  /** What main does not do, for this reason, the backup does. */
  async #doInBackup(operation: string, reason: CheckpointError, work: () => Promise<unknown>): Promise<void> {
    try {
      this.#standing.took();
      await work();
    } catch (error) {
      if (isOne(reason, NOT_THERE) && isOne(error, NOT_THERE)) throw reason;
      throw bothFailed(operation, reason, error);
    } finally {
      this.#standing.took();
    }
    if (isOne(reason, NOT_THERE)) {
      this.#toMain.nudge(); // what main lacks is here, and main answers
      return;
    }
    if (!this.#isRefusal(reason)) this.#standing.isOutOfReach();
    this.#events.emit("failover", { operation, code: reason.code });
    this.#toMain.start();
  }

  async appendWrites(
    checkpointId: string,
    writes: readonly CheckpointWrite[],
    options: CallOptions = {},
  ): Promise<void> {
    await this.#call("append writes", () => this.#append(this.#main.prepareWrites(checkpointId, writes, options)));
  }

  async #append(prepared: PreparedWrites): Promise<void> {
    const { checkpointId, signal } = prepared;
    const required = this.#policy.replication === "required";
    try {
      // With `required` we send it by ourselves, and what we do not, anybody may at once.
      await this.#main.appendPrepared(prepared, required ? Date.now() : Replicator.lease());
    } catch (error) {
      if (!(await this.#mayBeInBackup(checkpointId, error, signal)) && !this.#turnsToBackup(error)) throw error;
      const append = () => this.#backup.appendPrepared(prepared, Date.now());
      await this.#doInBackup("append writes", error as CheckpointError, append);
      return;
    }
    const id = checkpointId as string;
    if (!required) this.#toBackup.handAppended(id);
    else {
      const sent = () => this.#deliver(id, signal);
      await this.#bringToBackup("append writes", id, sent, signal).catch((error: unknown) => {
        this.#toBackup.nudge();
        throw error;
      });
    }
  }

  /** Whether main lacks a checkpoint that the backup took while main was out of reach, and that has not come to main yet. */
  async #mayBeInBackup(id: string | null, error: unknown, signal: AbortSignal | undefined): Promise<boolean> {
    if (id === null || !isOne(error, NOT_THERE)) return false;
    await this.#standing.look();
    const mayBe = this.#standing.mayBeAhead || this.#standing.backupAnswers;
    return mayBe && !(await this.#main.isBuried(id, signal));
  }

  async listWrites(checkpointId: string, options: ReadOptions = {}): Promise<CheckpointWrite[]> {
    const id = checkLookup("checkpointId", checkpointId);
    const { allowStale } = checkReadOptions(options);
    const ranked = await this.#read("list writes", allowStale, {
      ask: (storage) => storage.rankedWrites(checkpointId, options),
      merge: async (inMain, inBackup) => {
        // Where main has some, it has their checkpoint; else it may know that it was deleted, and the backup not yet.
        const isInDoubt = id !== null && inMain.length === 0 && inBackup.length > 0;
        return isInDoubt && (await this.#main.isBuried(id)) ? [] : mergeWrites(inMain, inBackup);
      },
      mayBeOld: () => true,
    });
    return ranked.map(({ write }) => write);
  }

  /** Main answers, and does not take it. */
  #isRefusal(error: CheckpointError): boolean {
    return !isOne(error, OUT_OF_REACH) && !this.#isLockedOut(error);
  }

  async retrieveCheckpoint(id: string, options: ReadOptions = {}): Promise<StoredAgentCheckpoint | null> {
    const { allowStale } = checkReadOptions(options);
    return await this.#read("retrieve checkpoint", allowStale, {
      ask: (storage) => storage.retrieveCheckpoint(id, options),
      merge: async (inMain, inBackup) => inMain ?? (await this.#unlessBuried(inBackup)),
      mayBeOld: (found) => found === null,
      mayGrow: false,
    });
  }

  async retrieveLatestCheckpoint(agentId: string, query: LatestQuery = {}): Promise<StoredAgentCheckpoint | null> {
    checkAgentId(agentId);
    const { allowStale } = checkLatestQuery(query);
    const found = await this.#read("retrieve latest checkpoint", allowStale, {
      ask: (storage) => storage.retrieveLatestCheckpoint(agentId, query),
      merge: async (inMain, inBackup) => {
        if (inMain !== null && inMain.id >= (inBackup?.id ?? "")) return inMain;
        return (await this.#unlessBuried(inBackup)) ?? inMain;
      },
      mayBeOld: () => true,
    });
    if (found?.source === "main") this.#standing.has(found.id);
    return found;
  }

  async listCheckpoints(query: ListQuery = {}): Promise<AgentCheckpointListItem[]> {
    const { rows, allowStale } = checkListQuery(query);
    return await this.#read("list checkpoints", allowStale, {
      ask: (storage) => storage.listCheckpoints(query),
      merge: async (inMain, inBackup) => (await this.#mergeNewestFirst(inMain, inBackup)).slice(0, rows?.limit),
      mayBeOld: () => true,
    });
  }

  iterateCheckpoints(query: ListQuery = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const { rows, limit } = checkListQuery(query);
    const total = rows === null ? 0 : (limit ?? Number.POSITIVE_INFINITY);
    return eachOf(total, (before, pageSize) =>
      this.listCheckpoints({ ...query, ...(before === undefined ? {} : { before }), limit: pageSize }),
    );
  }

  iterateAncestors(id: string, options: ReadOptions = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const known = checkLookup("id", id);
    checkReadOptions(options);
    return lineage(known, (wanted) => this.#withOlder(wanted, options));
  }

  async #withOlder(id: string, options: ReadOptions): Promise<AgentCheckpointListItem[]> {
    return await this.#read("iterate ancestors", options.allowStale, {
      ask: (storage) => storage.withOlder(id, options.signal),
      merge: (inMain, inBackup) => this.#mergeNewestFirst(inMain, inBackup),
      mayBeOld: (found) => found.length === 0,
    });
  }

  async listAgents(query: AgentsQuery = {}): Promise<string[]> {
    const { limit, allowStale } = checkAgentsQuery(query);
    return await this.#read("list agents", allowStale, {
      ask: (storage) => storage.listAgents(query),
      merge: async (inMain, inBackup) => [...new Set([...inMain, ...inBackup])].sort(byBytes).slice(0, limit),
      mayBeOld: () => true,
    });
  }

  /** Of main; where that is out of reach, of the backup. */
  async stats(query: { readonly agentId?: string } & ReadOptions = {}): Promise<StorageStats> {
    const { allowStale } = checkStatsQuery(query);
    return await this.#read("count checkpoints", allowStale, {
      ask: (storage) => storage.stats(query),
      merge: async (inMain) => inMain,
      mayBeOld: () => true,
    });
  }

  /**
   * Main answers. While the backup has what main lacks, both do; while main is out of reach, the backup, if what it says
   * cannot be old or may be.
   */
  async #read<Result>(operation: string, allowStale: boolean | undefined, question: Question<Result>): Promise<Result> {
    return await this.#call(operation, () => this.#readBoth(operation, allowStale, question));
  }

  async #readBoth<Result>(
    operation: string,
    allowStale: boolean | undefined,
    { ask, merge, mayBeOld, mayGrow = true }: Question<Result>,
  ): Promise<Result> {
    if (mayGrow) await this.#standing.look();
    const allowed = allowStale ?? this.#policy.staleReads === "allow";
    let fromBackup = this.#standing.mayBeAhead ? settled(ask(this.#backup)) : null;
    let answer: Result;
    try {
      answer = from("main", await ask(this.#main));
      this.#standing.answered();
      if (mayGrow && !(await this.#standing.isSameMain())) fromBackup ??= settled(ask(this.#backup));
    } catch (error) {
      if (!(error instanceof CheckpointError) || this.#isRefusal(error)) throw error;
      if (this.#policy.failover === "off") throw error;
      const second = await (fromBackup ?? settled(ask(this.#backup)));
      if (!second.ok) throw bothFailed(operation, error, second.error);
      this.#standing.isOutOfReach();
      if (mayBeOld(second.value) && !allowed) {
        const message = `${operation}: main is out of reach, and the backup may lack the newest: allowStale, or staleReads in the config, takes what it has`;
        throw new CheckpointError("STALE", message, { cause: error });
      }
      this.#events.emit("failover", { operation, code: error.code });
      return from("backup", second.value);
    }
    // That there is nothing is rare, and would be the worst of wrong answers.
    if (answer === null && this.#standing.backupAnswers) fromBackup ??= settled(ask(this.#backup));
    if (fromBackup === null) return answer;
    const second = this.#standing.isAhead ? await fromBackup : await soon(fromBackup, SECOND_OPINION_MS);
    if (second === null) return answer;
    if (second.ok) return await merge(answer, from("backup", second.value));
    if (this.#standing.isAhead && mayBeOld(answer) && !allowed) {
      const message = `${operation}: the backup has what main lacks, and does not give it (${codeOf(second.error)}): allowStale, or staleReads in the config, takes what main has`;
      throw new CheckpointError("STALE", message, { cause: second.error });
    }
    return answer;
  }

  /** What the backup has, unless main knows that it was deleted: the backup may not have heard of it. */
  async #unlessBuried(found: StoredAgentCheckpoint | null): Promise<StoredAgentCheckpoint | null> {
    if (found === null) return null;
    return (await this.#main.isBuried(found.id)) ? null : found;
  }

  async #mergeNewestFirst(
    inMain: readonly AgentCheckpointListItem[],
    inBackup: readonly AgentCheckpointListItem[],
  ): Promise<AgentCheckpointListItem[]> {
    const items = new Map(inMain.map((item) => [item.id, item]));
    const only = inBackup.filter(({ id }) => !items.has(id));
    const buried = await this.#main.buriedAmong(only.map(({ id }) => id));
    for (const item of only) if (!buried.has(item.id)) items.set(item.id, item);
    return [...items.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  async deleteCheckpoint(id: string, options: CallOptions = {}): Promise<boolean> {
    const known = checkLookup("id", id);
    checkCallOptions(options);
    return await this.#call("delete checkpoint", () => this.#delete(known, id, options));
  }

  async #delete(known: string | null, id: string, options: CallOptions): Promise<boolean> {
    await this.#standing.settle("delete checkpoint", this.#within(options.signal));
    const deleted = await this.#main.deleteCheckpoint(id, options);
    if (known === null) return deleted;
    let onlyInBackup = false;
    if (!deleted && !(await this.#main.isBuried(known, options.signal))) {
      // One that only the backup has, or may have, would be brought back.
      const inBackup = await this.#isInBackup(known, options.signal);
      if (inBackup === false) return false;
      await this.#main.bury([known], Date.now(), options.signal);
      onlyInBackup = inBackup === true;
    }
    await this.#deleted("delete checkpoint", options.signal, () => [known]);
    return deleted || onlyInBackup;
  }

  /** `null`: it cannot be asked. */
  async #isInBackup(id: string, signal: AbortSignal | undefined): Promise<boolean | null> {
    if (this.#backup.session.circuit !== "closed") return null;
    const found = await settled(this.#backup.retrieveCheckpoint(id, signal === undefined ? {} : { signal }));
    return found.ok ? found.value !== null : null;
  }

  async deleteAgent(agentId: string, query: LatestQuery = {}): Promise<number> {
    checkAgentId(agentId);
    checkLatestQuery(query);
    return await this.#call("delete agent", () => this.#deleteAgent(agentId, query));
  }

  async #deleteAgent(agentId: string, query: LatestQuery): Promise<number> {
    await this.#standing.settle("delete agent", this.#within(query.signal));
    const removed = await this.#main.deleteAgent(agentId, query);
    const only = await this.#onlyInBackup(agentId, query);
    await this.#main.bury(only, Date.now(), query.signal);
    await this.#deleted("delete agent", query.signal, () => this.#buriedInBackup(agentId, query));
    return removed + only.length;
  }

  /** What the backup alone has of an agent that was deleted: it would be brought back. */
  async #onlyInBackup(agentId: string, query: LatestQuery): Promise<string[]> {
    let ids: string[];
    try {
      ids = await this.#idsInBackup(agentId, query);
    } catch (error) {
      const message =
        "delete agent: main has done it; whether the backup alone has more nobody can tell now: try again";
      throw new CheckpointError("UNAVAILABLE", message, { cause: error });
    }
    const inMain = new Set<string>(); // stored meanwhile
    for await (const { id } of this.#main.iterateCheckpoints({ agentId, ...query })) inMain.add(id);
    const buried = await this.#main.buriedAmong(ids, query.signal);
    return ids.filter((id) => !inMain.has(id) && !buried.has(id));
  }

  async #idsInBackup(agentId: string, query: LatestQuery): Promise<string[]> {
    const ids: string[] = [];
    for await (const { id } of this.#backup.iterateCheckpoints({ agentId, ...query })) ids.push(id);
    return ids;
  }

  /** What our own backup has of an agent, and main knows to have been deleted. */
  async #buriedInBackup(agentId: string, query: LatestQuery): Promise<string[]> {
    return [...(await this.#main.buriedAmong(await this.#idsInBackup(agentId, query), query.signal))];
  }

  async pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult> {
    checkPrunePolicy(policy);
    return await this.#call("prune checkpoints", () => this.#prune(policy));
  }

  async #prune(policy: PrunePolicy): Promise<PruneResult> {
    await this.#standing.settle("prune checkpoints", this.#within(policy.signal));
    const result = await this.#main.pruneCheckpoints(policy);
    if (policy.dryRun !== true) await this.#deleted("prune checkpoints", policy.signal, () => []);
    return result;
  }

  /** `own`: what our own backup is to forget, whatever another process has told its own. */
  async #deleted(
    operation: string,
    signal: AbortSignal | undefined,
    own: () => readonly string[] | Promise<readonly string[]>,
  ): Promise<void> {
    if (this.#policy.replication !== "required") {
      this.#toBackup.nudge();
      return;
    }
    try {
      if (await this.#toBackup.drain(this.#within(signal))) {
        await this.#backup.bury(await own(), null, signal);
        return;
      }
    } catch {
      // it is out of reach, and hears of it later
    }
    const message = `${operation}: main has done it, and the backup, which is required, not yet`;
    throw new CheckpointError("UNAVAILABLE", message);
  }

  async reconcile(options: ReconcileOptions = {}): Promise<ReconcileResult> {
    const { signal, onProgress } = checkReconcileOptions(options);
    const progress = onProgress === undefined ? {} : { onProgress };
    return await this.#call("reconcile", () => this.#standing.reconcile({ signal, ...progress }));
  }

  /** `ok` if calls are answered, by main or by the backup. */
  async health(options: CallOptions = {}): Promise<StorageHealth> {
    const [main, backup] = await Promise.all([this.#main.health(options), this.#backup.health(options)]);
    if (main.ok || this.#policy.failover === "off") return main;
    return backup.ok ? backup : { ...main, latencyMs: Math.max(main.latencyMs, backup.latencyMs) };
  }

  async status(options: CallOptions = {}): Promise<StorageStatus> {
    const { signal } = checkCallOptions(options);
    const backlogOf = async (name: Source, replicator: Replicator, circuit: string): Promise<Backlog | null> => {
      if (circuit !== "closed") return null;
      const found = await settled(replicator.backlog(this.#within(signal, STATUS_MS)));
      const backlog = found.ok ? found.value : null;
      recordBacklog(name, backlog);
      return backlog;
    };
    const [toBackup, toMain] = await Promise.all([
      backlogOf("main", this.#toBackup, this.#main.session.circuit),
      backlogOf("backup", this.#toMain, this.#backup.session.circuit),
    ]);
    return {
      providers: {
        main: { ...this.#main.session.status(), backlog: toBackup },
        backup: { ...this.#backup.session.status(), backlog: toMain },
      },
      mode: this.#standing.mode,
    };
  }

  on<Name extends keyof StorageEvents>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void {
    return this.#events.on(event, listener);
  }

  /** Both; `"sql"` is what main lacks. */
  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    const checked = oneOf("mode", mode, ["apply", "verify", "sql"]);
    const missing = await this.#main.migrate(checked);
    return checked === "sql" ? missing : [...missing, ...(await this.#backup.migrate(checked))];
  }

  async close(options: CloseOptions = {}): Promise<CloseReport> {
    const { timeoutMs } = checkCloseOptions(options);
    this.#closing ??= this.#close(timeoutMs);
    return await this.#closing;
  }

  async #close(timeoutMs: number): Promise<CloseReport> {
    await Promise.allSettled(this.#underWay); // what was accepted has its own deadline
    const signal = AbortSignal.timeout(timeoutMs);
    const keepAlive = setTimeout(() => {}, Math.min(timeoutMs + 2 * GRACE_MS, MAX_TIMEOUT_MS)); // else a process with nothing but this to do would end
    try {
      const unsent = this.#used ? await this.#sendAll(signal) : { toBackup: 0, toMain: 0 };
      const closing = this.#closeBoth();
      // A database whose connection is still being made may hold it up for as long as a call may take.
      const closed = await within(closing, signal, GRACE_MS);
      if (!closed) closing.catch(() => {});
      return { unsent };
    } finally {
      clearTimeout(keepAlive);
    }
  }

  async #sendAll(signal: AbortSignal): Promise<NonNullable<CloseReport["unsent"]>> {
    await Promise.all([this.#toMain.drain(signal), this.#toBackup.drain(signal)]);
    const counting = AbortSignal.timeout(GRACE_MS); // there is some time for that, also where the rest was not enough
    const [toBackup, toMain] = await Promise.all([
      this.#unsent(this.#toBackup, counting),
      this.#unsent(this.#toMain, counting),
    ]);
    return { toBackup, toMain };
  }

  async #closeBoth(): Promise<void> {
    await Promise.all([this.#toMain.stop(), this.#toBackup.stop()]);
    await this.#standing.stop();
    const closings = await Promise.allSettled([this.#main.close(), this.#backup.close()]);
    for (const outcome of closings) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #unsent(replicator: Replicator, signal: AbortSignal): Promise<number | null> {
    const found = await settled(replicator.backlog(signal));
    return found.ok ? found.value.rows : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends with the caller's signal, and at the deadline of a call. */
  #within(signal: AbortSignal | undefined, ms: number = this.#main.session.timeoutMs): AbortSignal {
    const deadline = AbortSignal.timeout(ms);
    return signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  }

  /** A call that `close` waits for. */
  async #call<Result>(operation: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#closing !== null) throw new CheckpointError("CLOSED", `${operation}: the storage was closed`);
    this.#standing.begin();
    this.#used = true;
    const call = work();
    this.#underWay.add(call);
    try {
      return await call;
    } finally {
      this.#underWay.delete(call);
    }
  }
}

interface Question<Result> {
  ask(storage: DialectStorage): Promise<Result>;
  merge(inMain: Result, inBackup: Result): Promise<Result>;
  /** Whether a newer checkpoint, which is not where this comes from, might change it. */
  mayBeOld(answer: Result): boolean;
  /** Whether what main answers may lack something although main knows it at all. Default `true`. */
  readonly mayGrow?: boolean;
}

const NOT_THERE: ReadonlySet<CheckpointErrorCode> = new Set(["NOT_FOUND"]);
const LOCKED_OUT: ReadonlySet<CheckpointErrorCode> = new Set(["ACCESS_DENIED", "SCHEMA_OUTDATED"]);

/** What is wrong with the call, in whichever database: to do it again would not help. */
const OF_THE_CALLER: ReadonlySet<CheckpointErrorCode> = new Set([
  "ABORTED",
  "CONFLICT",
  "STATE_TOO_LARGE",
  "UNSUPPORTED_VALUE",
]);

function isOne(error: unknown, codes: ReadonlySet<CheckpointErrorCode>): boolean {
  return error instanceof CheckpointError && codes.has(error.code);
}

function bothFailed(operation: string, main: CheckpointError, backup: unknown): CheckpointError {
  if (backup instanceof CheckpointError && OF_THE_CALLER.has(backup.code)) return backup;
  const codes = `main ${main.code}, backup ${codeOf(backup)}`;
  const cause = new AggregateError([main, backup], `${operation}: ${codes}`);
  return new CheckpointError("UNAVAILABLE", `${operation}: neither provider did it: ${codes}`, { cause });
}

/** Says of an answer, and of the items of a list, where it comes from. Not enumerable, so that copies are what was stored. */
function from<Result>(source: Source, answer: Result): Result {
  if (Array.isArray(answer)) for (const item of answer) from(source, item);
  if (typeof answer === "object" && answer !== null) {
    Object.defineProperty(answer, "source", { value: source, configurable: true });
  }
  return answer;
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
