import type {
  CloseReport,
  PruneResult,
  ReconcileResult,
  Source,
  StorageEvents,
  StorageHealth,
  StorageStats,
  StorageStatus,
} from "./status.ts";

/**
 * The contract of a checkpoint store.
 *
 * {@link AgentCheckpointProvider} is the part that every agent framework needs. {@link CheckpointStorage} is what every
 * provider of ours implements. Data and promises only: no SQL, no rows, no encoding, no drivers.
 */

/**
 * A snapshot of an agent's state, as handed in.
 *
 * `state` may hold JSON values and also `undefined`, `-0`, `NaN`, `±Infinity`, `bigint`, `Date`, `Map`, `Set`,
 * `Uint8Array`, `Buffer`, sparse arrays and objects without a prototype. What comes back equals what went in.
 * Functions, symbols, class instances, cycles and nesting deeper than 1,000 levels are refused with an error
 * that names the path.
 */
export interface NamedAgentCheckpoint<State = unknown> {
  /** The agent that owns the checkpoint: 1 to 255 bytes of UTF-8, compared byte for byte. */
  readonly agentId: string;
  /** A name for people, maybe a whole user message: up to 16 KiB of UTF-8. */
  readonly name: string;
  /** The agent's state. Encoded before the first `await`: later changes are not stored. */
  readonly state: State;
  /** A label of the caller's, in milliseconds since 1970-01-01 UTC. Never an order: checkpoints are ordered by `id`. */
  readonly createdAt: number;
  /** A separate history within the agent (a sub-agent, a tenant, a graph): up to 1,024 bytes. Default `""`. */
  readonly namespace?: string | undefined;
  /** `id` of the checkpoint that this one continues. It need not be stored here, and may be pruned later. */
  readonly parentId?: string | undefined;
  /** Flat labels to filter lists by: up to 16 KiB when encoded as JSON lines. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** A UUIDv7 of the caller's, for stores that somebody else may repeat. Default: a new one. */
  readonly id?: string | undefined;
}

/**
 * A task's result (LangGraph's "pending write") in the step that began from a checkpoint. It is stored with that checkpoint
 * until the next one holds it: so a step that was interrupted need not repeat what was done.
 */
export interface CheckpointWrite {
  /** The task within the step: 1 to 255 bytes of UTF-8. */
  readonly taskId: string;
  /**
   * Number of the write within its task: an integer of 32 bits. For 0 and above the first write stays; below 0 the last one
   * does (the task's latest error, or its latest interrupt).
   */
  readonly index: number;
  /** Destination of the value: 1 to 1,024 bytes of UTF-8. */
  readonly channel: string;
  /** Any value that a checkpoint's `state` may have, encoded as early. */
  readonly value: unknown;
  /** Position of the task in its step: up to 16 KiB of UTF-8. Default `""`; absent if it is `""`. */
  readonly taskPath?: string | undefined;
}

/** Labels of a checkpoint. Numbers must be finite. */
export type CheckpointMetadata = Readonly<Record<string, MetadataValue>>;
export type MetadataValue = string | number | boolean | null;

/** A checkpoint as it comes back. Members that were not given are absent; `namespace` is absent if it is `""`. */
export interface StoredAgentCheckpoint<State = unknown> extends NamedAgentCheckpoint<State> {
  readonly id: string;
  readonly namespace?: string;
  readonly parentId?: string;
  readonly metadata?: CheckpointMetadata;
  /** With a backup: the provider that it was read from. Not enumerable: copies and JSON do not have it. */
  readonly source?: Source;
}

/** An item of a list: a checkpoint without its state. */
export type AgentCheckpointListItem = Omit<StoredAgentCheckpoint, "state">;

/** Cancellation. A cancelled call rejects with `ABORTED`; a store may or may not have taken place. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ReadOptions extends CallOptions {
  /**
   * With a backup, while main is unreachable: whether the answer may be stale, since the backup may lack what main has.
   * `false`: such a call rejects with `STALE`. Default: as the config says, `false` there.
   */
  readonly allowStale?: boolean | undefined;
}

export interface StoreOptions extends CallOptions {
  /**
   * Compare-and-store: store only if the latest checkpoint of this agent and namespace has this id (`null`: only if there
   * is none). Of any number of writers that name the same latest exactly one wins; the others get `CONFLICT`. Stores
   * without `ifLatest` are not checked. `undefined` is refused: write `latest?.id ?? null`.
   */
  readonly ifLatest?: string | null;
}

export interface RestoreOptions extends StoreOptions {
  /** Restore only a checkpoint of this agent: for an id that a user has sent. One of another agent is `NOT_FOUND`. */
  readonly agentId?: string;
}

/**
 * A filter. Absent members filter nothing; unknown members are refused, and so is `undefined` as a filter, which would list
 * what was not asked for. Cursors (`before`, `since`) may be `undefined`: the first page has none.
 */
export interface CheckpointQuery {
  readonly agentId?: string;
  /** Only this namespace of the agent (`""` is the default one). Absent: all of them. Needs `agentId`. */
  readonly namespace?: string;
  /** Only checkpoints of exactly this name. Needs `agentId`, or a name that is indexed (see `indexedNames`). */
  readonly name?: string;
  /** Only the children of this checkpoint. Needs `agentId`. */
  readonly parentId?: string;
  /**
   * Only checkpoints that have all of these labels with exactly these values. Needs `agentId`, or a label that is indexed (see
   * `indexedLabels`): of several the first such one is looked up, so name first what fewest checkpoints have. Beside `name`
   * without `agentId` they filter what has that name.
   */
  readonly metadata?: CheckpointMetadata;
  /** Only checkpoints older than this id: the cursor of the next page. It need not exist. */
  readonly before?: string | undefined;
  /** Only checkpoints newer than this id. It need not exist. */
  readonly since?: string | undefined;
}

export interface ListQuery extends CheckpointQuery, ReadOptions {
  /** Maximum number of items: 1 to 10,000. Default 1,000. */
  readonly limit?: number | undefined;
}

export interface LatestQuery extends ReadOptions {
  /** Default: `""`. */
  readonly namespace?: string | undefined;
}

export interface DeleteAgentQuery extends CallOptions {
  /** Only this namespace of the agent (`""` is the default one). Absent: all of them. `undefined` is refused. */
  readonly namespace?: string;
}

export interface AgentsQuery extends ReadOptions {
  /** Only agents with a checkpoint that has this label: exactly one, and indexed (see `indexedLabels`). */
  readonly metadata?: CheckpointMetadata;
  /** Only agents after this one, in the order of their ids' bytes: the cursor of the next page. */
  readonly after?: string | undefined;
  /** Maximum number of ids: 1 to 10,000. Default 1,000. */
  readonly limit?: number | undefined;
}

/** Whole agents to delete. */
export interface DeleteAgentsQuery extends CallOptions {
  /** Agents with a checkpoint that has this label: exactly one, and indexed (see `indexedLabels`). */
  readonly metadata: CheckpointMetadata;
  /** Only count. Default `false`. */
  readonly dryRun?: boolean;
  /** Called after each agent with the counts so far. An error that it throws ends the call, and is rethrown as it is. */
  readonly onProgress?: ((progress: DeleteAgentsResult) => void) | undefined;
}

export interface DeleteAgentsResult {
  readonly agents: number;
  readonly checkpoints: number;
}

export interface IndexLabelsOptions extends CallOptions {
  /**
   * Look at all checkpoints again, not only at those that were stored since the last time. It finds those that a process of an
   * earlier version has stored with an id of its caller's that is older. Default `false`.
   */
  readonly all?: boolean | undefined;
  /** Called after each thousand checkpoints with the counts so far. */
  readonly onProgress?: ((progress: IndexLabelsResult) => void) | undefined;
}

export interface IndexLabelsResult {
  /** Names of the labels that are indexed. */
  readonly labels: readonly string[];
  /** Names of checkpoints that are indexed. */
  readonly names: readonly string[];
  /** Checkpoints that were looked at. */
  readonly examined: number;
}

/**
 * Retention policy. `dropAgentsIdleForMs` decides about whole agents. Of the other agents' checkpoints, one that any `keep…`
 * rule keeps stays, and the latest of every agent and namespace always does; without a `keep…` rule all of them stay. Age is
 * the age of the id, not of `createdAt`. A policy without a rule is refused, and so is `undefined` as a `keep…` rule or as
 * `agentId`, `namespace` or `dryRun`: it would remove more.
 */
export interface PrunePolicy extends CallOptions {
  /** Only this agent. Default: all agents. */
  readonly agentId?: string;
  /** Only this namespace of the agent. Needs `agentId`. */
  readonly namespace?: string;
  /**
   * Remove an agent whole, in all its namespaces, if its newest checkpoint and its newest task write (`appendWrites`) are older
   * than this, in milliseconds; the `keep…` rules do not hold it, but for `keepMetadata`: an agent with a checkpoint that it
   * keeps is not idle. Cannot be combined with `namespace`.
   *
   * An agent of up to 1,000 checkpoints goes in one commit, whatever `batchSize` is: if it stores or appends meanwhile, all
   * stay, or all were removed before. Of a larger one the history goes first, in batches, then the latest checkpoint of each
   * namespace in one commit: if it comes back meanwhile, the rest stays, and with it the latest of each namespace. That holds for
   * its 1,000 newest namespaces, or only for the newest one if a latest checkpoint cannot be read.
   */
  readonly dropAgentsIdleForMs?: number | undefined;
  /** Keep this many of the newest of each agent and namespace; from 1. */
  readonly keepLast?: number;
  /** Keep checkpoints that are younger than this, in milliseconds. */
  readonly keepWithinMs?: number;
  /** Keep the newest of every `everyMs`, for `forMs` back from now. */
  readonly keepEvery?: readonly { readonly everyMs: number; readonly forMs: number }[];
  /** Keep checkpoints that have all of these labels. */
  readonly keepMetadata?: CheckpointMetadata;
  /** Only count. Default `false`. */
  readonly dryRun?: boolean;
  /** Maximum number of checkpoints that one commit removes: 1 to 10,000. Default 500. */
  readonly batchSize?: number | undefined;
  /** Called after each batch with the counts so far. An error that it throws ends the pruning, and is rethrown as it is. */
  readonly onProgress?: ((progress: PruneResult) => void) | undefined;
}

export interface ReconcileOptions extends CallOptions {
  /** Called after each range of ids with the counts so far. */
  readonly onProgress?: ((progress: ReconcileResult) => void) | undefined;
}

export interface CloseOptions {
  /**
   * Time to send what the other provider lacks, in milliseconds. The `retention` of a config is ended first, which may take as long
   * once more. Default 10,000.
   */
  readonly timeoutMs?: number | undefined;
}

/** `apply` the missing migrations, `verify` that none is missing, or return their `sql`. */
export type MigrateMode = "apply" | "verify" | "sql";

/** The three methods that every agent framework needs. */
export interface AgentCheckpointProvider<State = unknown> {
  /**
   * Stores a checkpoint and returns its id, once it is durable in the database.
   *
   * Storing the same id again with the same content is a no-op; with other content it is a `CONFLICT`.
   * @throws CheckpointError `INVALID_ARGUMENT`, `UNSUPPORTED_VALUE` and `STATE_TOO_LARGE` before anything is sent;
   *   `CONFLICT`; and the codes of a database, see `CheckpointErrorCode`.
   */
  storeCheckpoint(checkpoint: NamedAgentCheckpoint<State>): Promise<string>;
  /**
   * Returns the checkpoint with this id, exactly as it was stored, or `null` if there is none.
   * @throws CheckpointError `CORRUPT_CHECKPOINT` if it does not match its digest, `UNSUPPORTED_FORMAT` if a newer version
   *   has written it.
   */
  retrieveCheckpoint(id: string): Promise<StoredAgentCheckpoint<State> | null>;
  /** Lists checkpoints, newest first; the newest 1,000 if no `limit` is given. Never reads a state. */
  listCheckpoints(query?: ListQuery): Promise<AgentCheckpointListItem[]>;
}

/**
 * A store of checkpoints on one database, whose states are of the type `State`. Methods may be called concurrently. The database is opened at first use, once,
 * however many calls arrive together; if opening fails, the next call tries again.
 *
 * Every call ends within its deadline. Every error is a `CheckpointError`.
 */
export interface CheckpointStorage<State = unknown> extends AgentCheckpointProvider<State>, AsyncDisposable {
  storeCheckpoint(checkpoint: NamedAgentCheckpoint<State>, options?: StoreOptions): Promise<string>;
  retrieveCheckpoint(id: string, options?: ReadOptions): Promise<StoredAgentCheckpoint<State> | null>;
  /** Returns the newest checkpoint of an agent in one namespace, or `null`: where to go on after a crash. */
  retrieveLatestCheckpoint(agentId: string, query?: LatestQuery): Promise<StoredAgentCheckpoint<State> | null>;
  /**
   * Goes back to an earlier state: stores it once more, as the latest checkpoint of its agent and namespace. The new one is
   * a child of the restored one and has its name and labels, but none of its task writes; nothing else changes. Returns the
   * new id. The state is copied as it is stored, mostly as a delta of some hundred bytes.
   *
   * Repeating it after an error may store a second one; with `ifLatest` it does not.
   * @throws CheckpointError `NOT_FOUND` if there is no such checkpoint; `CORRUPT_CHECKPOINT`; what `storeCheckpoint` throws
   */
  restoreCheckpoint(id: string, options?: RestoreOptions): Promise<string>;
  /** Iterates over all that match, newest first, page by page. Checkpoints stored meanwhile are neither repeated nor skipped. */
  iterateCheckpoints(query?: ListQuery): AsyncIterableIterator<AgentCheckpointListItem>;
  /**
   * Iterates over the checkpoint with this id, its parent, and so on back to the root: a branch. Ends where a parent is not
   * stored here (any more). Empty if there is no such checkpoint.
   */
  iterateAncestors(id: string, options?: ReadOptions): AsyncIterableIterator<AgentCheckpointListItem>;
  /**
   * Stores what the step after a checkpoint has produced so far, all or nothing. The writes go with the checkpoint when it
   * is deleted or pruned. Appending the same task and index again does no harm, see {@link CheckpointWrite.index}; the same
   * rule holds within one call.
   * @throws CheckpointError `NOT_FOUND` if there is no such checkpoint; `INVALID_ARGUMENT`, also for more than 10,000 writes
   *   in one call; `UNSUPPORTED_VALUE`; `STATE_TOO_LARGE` if they are together larger than the server takes in one statement
   */
  appendWrites(checkpointId: string, writes: readonly CheckpointWrite[], options?: CallOptions): Promise<void>;
  /**
   * Lists the writes of a checkpoint, by `taskId` in the order of its bytes, then by `index`. Empty if there are none, or no
   * such checkpoint.
   * @throws CheckpointError `CORRUPT_CHECKPOINT` if a value does not match its digest
   */
  listWrites(checkpointId: string, options?: ReadOptions): Promise<CheckpointWrite[]>;
  /** Lists the ids of the agents that have checkpoints, in the order of their bytes. */
  listAgents(query?: AgentsQuery): Promise<string[]>;
  /** Deletes a checkpoint. Returns `false` if there was none, or if an attempt whose answer was lost had deleted it. */
  deleteCheckpoint(id: string, options?: CallOptions): Promise<boolean>;
  /** Deletes all checkpoints of an agent, in all namespaces or in one. Returns their number. */
  deleteAgent(agentId: string, query?: DeleteAgentQuery): Promise<number>;
  /**
   * Deletes all that belongs to somebody or something: every agent with a checkpoint that has this label goes whole, in all
   * namespaces, with its checkpoints that do not have it. First indexes what may be missing, see `indexLabels`: in the first ten
   * minutes of a label that looks at all checkpoints. An agent that stores meanwhile may be there again: end its sessions first.
   * With a backup a dry run counts what main has.
   * @throws CheckpointError `INVALID_ARGUMENT` if the label is not indexed
   */
  deleteAgents(query: DeleteAgentsQuery): Promise<DeleteAgentsResult>;
  /**
   * Indexes labels and names now: those of `indexedLabels` and `indexedNames`, and rows that processes of earlier versions have
   * stored since the last time. Without a call the first use of a storage with one of these options does that in the background.
   * Can be ended and repeated.
   */
  indexLabels(options?: IndexLabelsOptions): Promise<IndexLabelsResult>;
  /** Deletes the checkpoints that no rule keeps, in bounded batches; stores go on meanwhile. Can be repeated if it was ended. */
  pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult>;
  /** Counts the checkpoints of one agent or of all. Reads the head of every row: not for a hot path. */
  stats(query?: { readonly agentId?: string } & ReadOptions): Promise<StorageStats>;
  /** Checks the database. Resolves with `ok: false`, and does not reject, if it is down. */
  health(options?: CallOptions): Promise<StorageHealth>;
  /**
   * Migrates the schema (`"apply"`, the default) and returns the names of the migrations that were missing; `"verify"`
   * throws `SCHEMA_OUTDATED` if any is missing; `"sql"` returns the statements to run, and runs none.
   */
  migrate(mode?: MigrateMode): Promise<string[]>;
  /**
   * Waits for the calls under way, then closes what the storage has opened itself; a driver instance of the caller's stays
   * open. May be called twice. Later calls of other methods reject with `CLOSED`; `health` resolves with it.
   */
  close(options?: CloseOptions): Promise<CloseReport>;
  /** Returns the status of the providers. Asks each for its backlog, if there is a backup. Does not reject if one is down. */
  status(options?: CallOptions): Promise<StorageStatus>;
  /** Subscribes to an event and returns an unsubscribe function. Errors thrown by listeners are ignored. */
  on<Name extends keyof StorageEvents>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void;
}
