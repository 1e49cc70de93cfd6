import { setImmediate as turn } from "node:timers/promises";
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
  RestoreOptions,
  StoredAgentCheckpoint,
  StoreOptions,
} from "../contract/checkpoints.ts";
import { property } from "../contract/errors.ts";
import { parseState } from "../contract/state-parser.ts";
import type {
  CloseReport,
  PruneResult,
  StorageEvents,
  StorageHealth,
  StorageStats,
  StorageStatus,
} from "../contract/status.ts";
import { checkCallOptions, checkCloseOptions, checkLookup, checkMigrateMode } from "../database/arguments.ts";
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
} from "./arguments.ts";
import type { RowQuery } from "./dialect.ts";
import { checkHealth, closeEngine, type Engine, migrateEngine } from "./engine.ts";
import { iterateLineage, iteratePages } from "./paging.ts";
import { pruneCheckpoints } from "./prune.ts";
import {
  countCheckpoints,
  listAgents,
  listCheckpoints,
  listWithOlder,
  retrieveCheckpoint,
  retrieveLatestCheckpoint,
} from "./read.ts";
import { deleteAgent, deleteAgents, deleteCheckpoint } from "./remove.ts";
import { askReplicated } from "./replicated.ts";
import { findToRestore, prepareRestored } from "./restore.ts";
import { prepareCheckpoint, storeCheckpoint } from "./store.ts";
import { appendWrites, listRankedWrites, prepareWrites } from "./task-writes.ts";

/** Two copies of core in one process recognise each other's storages by this mark. */
const ENGINE = Symbol.for("waymark.Engine");

/** Time for a database to answer, for `status`. */
const STATUS_MS = 1_000;

/** Returns the engine of a storage; `null`: it is not one of `createStorage`. */
export function engineOf(storage: CheckpointStorage): Engine | null {
  return (property(storage, ENGINE) as Engine | undefined) ?? null;
}

/** The engine that decides, for storages that stand around others. */
const MAIN_ENGINE = Symbol.for("waymark.MainEngine");

/** Returns the engine of a storage, or that of its main; `null`: it is not one of ours. */
export function mainEngineOf(storage: CheckpointStorage): Engine | null {
  return (property(storage, MAIN_ENGINE) as Engine | undefined) ?? engineOf(storage);
}

/** Makes {@link mainEngineOf} return this engine for a storage. */
export function markMainEngine(storage: CheckpointStorage, engine: Engine | null): void {
  Object.defineProperty(storage, MAIN_ENGINE, { value: engine });
}

/** The public face of an engine: checks arguments and delegates. */
export class EngineStorage implements CheckpointStorage {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    Object.defineProperty(this, ENGINE, { value: engine });
  }

  async storeCheckpoint(checkpoint: NamedAgentCheckpoint, options: StoreOptions = {}): Promise<string> {
    const head = checkCheckpoint(checkpoint);
    const prepared = prepareCheckpoint(this.#engine, head, checkpoint.state, checkStoreOptions(options));
    await storeCheckpoint(this.#engine, prepared, null);
    return prepared.head.id;
  }

  async retrieveCheckpoint(id: string, options: ReadOptions = {}): Promise<StoredAgentCheckpoint | null> {
    const checkedId = checkLookup("id", id);
    const { signal } = checkReadOptions(options);
    return await parseState(this.#engine.parse, await retrieveCheckpoint(this.#engine, checkedId, signal));
  }

  async retrieveLatestCheckpoint(agentId: string, query: LatestQuery = {}): Promise<StoredAgentCheckpoint | null> {
    checkAgentId("agentId", agentId);
    const { namespace, signal } = checkLatestQuery(query);
    const found = await retrieveLatestCheckpoint(this.#engine, { agentId, namespace }, signal);
    return await parseState(this.#engine.parse, found);
  }

  async restoreCheckpoint(id: string, options: RestoreOptions = {}): Promise<string> {
    const checkedId = checkLookup("id", id);
    const checked = checkRestoreOptions(options);
    const prepared = prepareRestored(await findToRestore(this.#engine, checkedId, checked.signal), checked);
    await storeCheckpoint(this.#engine, prepared, null);
    return prepared.head.id;
  }

  async listCheckpoints(query: ListQuery = {}): Promise<AgentCheckpointListItem[]> {
    const { rowQuery, signal } = checkListQuery(query);
    return await listCheckpoints(this.#engine, "list checkpoints", rowQuery, signal);
  }

  iterateCheckpoints(query: ListQuery = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const { rowQuery, limit = Number.POSITIVE_INFINITY, signal } = checkListQuery(query);
    return iteratePages(rowQuery === null ? 0 : limit, (before, pageSize) => {
      const page = { ...rowQuery, ...(before === undefined ? {} : { before }), limit: pageSize } satisfies RowQuery;
      return listCheckpoints(this.#engine, "iterate checkpoints", page, signal);
    });
  }

  iterateAncestors(id: string, options: ReadOptions = {}): AsyncIterableIterator<AgentCheckpointListItem> {
    const checkedId = checkLookup("id", id);
    const { signal } = checkReadOptions(options);
    return iterateLineage(checkedId, (wanted) => listWithOlder(this.#engine, wanted, signal));
  }

  async appendWrites(
    checkpointId: string,
    writes: readonly CheckpointWrite[],
    options: CallOptions = {},
  ): Promise<void> {
    const checkedId = checkLookup("checkpointId", checkpointId);
    const { signal } = checkCallOptions(options);
    await appendWrites(this.#engine, prepareWrites(checkedId, checkWrites(writes), writes, signal), null);
  }

  async listWrites(checkpointId: string, options: ReadOptions = {}): Promise<CheckpointWrite[]> {
    const checkedId = checkLookup("checkpointId", checkpointId);
    const { signal } = checkReadOptions(options);
    return (await listRankedWrites(this.#engine, checkedId, signal)).map(({ write }) => write);
  }

  async listAgents(query: AgentsQuery = {}): Promise<string[]> {
    const { signal, ...page } = checkAgentsQuery(query);
    return await listAgents(this.#engine, "list agents", page, signal);
  }

  async deleteCheckpoint(id: string, options: CallOptions = {}): Promise<boolean> {
    const checkedId = checkLookup("id", id);
    const { signal } = checkCallOptions(options);
    return await deleteCheckpoint(this.#engine, checkedId, signal);
  }

  async deleteAgent(agentId: string, query: DeleteAgentQuery = {}): Promise<number> {
    checkAgentId("agentId", agentId);
    const { namespace, signal } = checkDeleteAgentQuery(query);
    return await deleteAgent(this.#engine, { agentId, ...(namespace === undefined ? {} : { namespace }) }, signal);
  }

  async deleteAgents(query: DeleteAgentsQuery): Promise<DeleteAgentsResult> {
    const checked = checkDeleteAgentsQuery(query);
    const deleteOne = (agentId: string) => deleteAgent(this.#engine, { agentId }, checked.signal);
    return await deleteAgents(this.#engine, checked, deleteOne);
  }

  async indexLabels(options: IndexLabelsOptions = {}): Promise<IndexLabelsResult> {
    return await this.#engine.labels.index(checkIndexLabelsOptions(options));
  }

  async pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult> {
    return await pruneCheckpoints(this.#engine, checkPrunePolicy(policy));
  }

  async stats(query: { readonly agentId?: string } & ReadOptions = {}): Promise<StorageStats> {
    const { agentId, signal } = checkStatsQuery(query);
    return await countCheckpoints(this.#engine, agentId, signal);
  }

  async health(options: CallOptions = {}): Promise<StorageHealth> {
    const { signal } = checkCallOptions(options);
    return await checkHealth(this.#engine, signal);
  }

  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    return await migrateEngine(this.#engine, checkMigrateMode(mode));
  }

  async status(options: CallOptions = {}): Promise<StorageStatus> {
    const { signal } = checkCallOptions(options);
    await turn(); // a caller that waits for a circuit in a loop would otherwise starve its probe
    const deadline = AbortSignal.timeout(STATUS_MS);
    const within = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    const replicated = await askReplicated(this.#engine, within);
    return { providers: { main: { ...this.#engine.session.status(), backlog: null, replicated } }, mode: "main" };
  }

  on<Name extends keyof StorageEvents>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void {
    checkListener(event, listener);
    return this.#engine.events.on(event, listener);
  }

  async close(options: CloseOptions = {}): Promise<CloseReport> {
    checkCloseOptions(options);
    await closeEngine(this.#engine);
    return { unsent: null };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
