/**
 * What a checkpoint store promises to its users.
 *
 * {@link AgentCheckpointProvider} is the part that every agent framework needs. {@link CheckpointStorage} is what
 * every provider we ship gives. Everything here is data and promises: no SQL, no rows, no encoding, no drivers.
 */

/**
 * One snapshot of an agent's state, as handed in.
 *
 * `state` may hold JSON values and also `undefined`, `-0`, `NaN`, `±Infinity`, `bigint`, `Date`, `Map`, `Set`,
 * `Uint8Array`, `Buffer`, sparse arrays and objects without a prototype. What comes back equals what went in.
 * Functions, symbols, class instances, cycles and nesting deeper than 1,000 levels are refused with an error
 * that names the path.
 */
export interface NamedAgentCheckpoint {
  /** Who owns the checkpoint: 1 to 255 bytes of UTF-8, compared byte for byte. */
  readonly agentId: string;
  /** What a person calls this checkpoint, maybe a whole user message: up to 16 KiB of UTF-8. */
  readonly name: string;
  /** The agent's state. Encoded before the first `await`: what is changed later is not stored. */
  readonly state: unknown;
  /** The caller's own label, in milliseconds since 1970-01-01 UTC. Never an order: checkpoints are ordered by `id`. */
  readonly createdAt: number;
  /** A line of checkpoints within the agent (a sub-agent, a tenant, a graph): up to 1,024 bytes. Default `""`. */
  readonly namespace?: string;
  /** The `id` of the checkpoint that this one continues. It need not be stored here, and may be pruned later. */
  readonly parentId?: string;
  /** Flat labels to filter lists by: up to 16 KiB when written as JSON lines. */
  readonly metadata?: CheckpointMetadata;
  /** A UUIDv7 of the caller's own, for stores that are retried by someone else. Default: a new one. */
  readonly id?: string;
}

/**
 * What a task has produced in the step that began from a checkpoint, kept beside that checkpoint until the next one holds it:
 * so a step that was broken off need not repeat what was done.
 */
export interface CheckpointWrite {
  /** Which task of the step: 1 to 255 bytes of UTF-8. */
  readonly taskId: string;
  /**
   * Which write of the task: a whole number of 32 bits. From 0 on, what was written first stays; below 0, what was written
   * last does (the task's latest error, or its latest interrupt).
   */
  readonly index: number;
  /** Where the value is to go: 1 to 1,024 bytes of UTF-8. */
  readonly channel: string;
  /** As a checkpoint's `state`, and encoded as early. */
  readonly value: unknown;
  /** Where the task stands in its step: up to 16 KiB of UTF-8. Default `""`; absent if it is `""`. */
  readonly taskPath?: string;
}

/** Labels of a checkpoint. Numbers must be finite. */
export type CheckpointMetadata = Readonly<Record<string, MetadataValue>>;
export type MetadataValue = string | number | boolean | null;

/** A checkpoint as it comes back. Members that were not given are absent; `namespace` is absent if it is `""`. */
export interface StoredAgentCheckpoint extends NamedAgentCheckpoint {
  readonly id: string;
  /** With a backup: which provider this came from. Not enumerable: copies and JSON do not have it. */
  readonly source?: Source;
}

/** The providers of a storage with a backup. */
export type Source = "main" | "backup";

/** What a list says of a checkpoint: all but its state. */
export type AgentCheckpointListItem = Omit<StoredAgentCheckpoint, "state">;

/** Ends a call early. The call then rejects with `ABORTED`; a store may or may not have taken place. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface ReadOptions extends CallOptions {
  /**
   * With a backup, while main is out of reach: whether this answer may be an old one, since the backup may not have all
   * that main has. `false`: such a call rejects with `STALE`. Default: as the config says, `false` there.
   */
  readonly allowStale?: boolean;
}

export interface StoreOptions extends CallOptions {
  /**
   * Compare-and-store: store only if the latest checkpoint of this agent and namespace is the one with this id
   * (`null`: only if there is none). Of any number of writers that name the same latest exactly one wins; the
   * others get `CONFLICT`. Stores without `ifLatest` are not held back by it.
   */
  readonly ifLatest?: string | null;
}

/** Which checkpoints. Members that are absent filter nothing; members that are unknown are refused. */
export interface CheckpointQuery {
  readonly agentId?: string;
  /** Only this namespace of the agent (`""` is the default one); absent: all of them. Needs `agentId`. */
  readonly namespace?: string;
  /** Only checkpoints of exactly this name. Needs `agentId`. */
  readonly name?: string;
  /** Only the children of this checkpoint. Needs `agentId`. */
  readonly parentId?: string;
  /** Only checkpoints that have all of these labels with exactly these values. Needs `agentId`. */
  readonly metadata?: CheckpointMetadata;
  /** Only checkpoints older than this id: the cursor of the next page. It need not exist. */
  readonly before?: string;
  /** Only checkpoints newer than this id. It need not exist. */
  readonly since?: string;
}

export interface ListQuery extends CheckpointQuery, ReadOptions {
  /** How many at most: 1 to 10,000. Default 1,000. */
  readonly limit?: number;
}

export interface LatestQuery extends ReadOptions {
  /** Default: `""`. */
  readonly namespace?: string;
}

export interface AgentsQuery extends ReadOptions {
  /** Only agents after this one, in the order of their ids' bytes: the cursor of the next page. */
  readonly after?: string;
  /** How many at most: 1 to 10,000. Default 1,000. */
  readonly limit?: number;
}

/**
 * What to keep. What any rule keeps stays, and the latest checkpoint of every agent and namespace always does.
 * Time is the id's, not `createdAt`. A policy without a rule is refused.
 */
export interface PrunePolicy extends CallOptions {
  /** Only this agent. Default: all agents. */
  readonly agentId?: string;
  /** Only this namespace of the agent. Needs `agentId`. */
  readonly namespace?: string;
  /** Keep the newest so many of each agent and namespace, from 1. */
  readonly keepLast?: number;
  /** Keep what was stored within the last so many milliseconds. */
  readonly keepWithinMs?: number;
  /** Keep the newest one of every `everyMs`, for `forMs` back from now. */
  readonly keepEvery?: readonly { readonly everyMs: number; readonly forMs: number }[];
  /** Keep what has all of these labels. */
  readonly keepMetadata?: CheckpointMetadata;
  /** Only count. Default `false`. */
  readonly dryRun?: boolean;
  /** How many checkpoints one commit removes at most: 1 to 10,000. Default 500. */
  readonly batchSize?: number;
  /** Called after each batch, with the counts so far. What it throws ends the pruning and comes back as it is. */
  readonly onProgress?: (progress: PruneResult) => void;
}

export interface PruneResult {
  readonly examined: number;
  readonly removed: number;
}

export interface StorageStats {
  /** How many checkpoints there are. */
  readonly checkpoints: number;
  /** The bytes of their states as they are stored. */
  readonly storedBytes: number;
  /** The bytes of their states as text. */
  readonly stateBytes: number;
  /** The most rows that are read to retrieve one checkpoint: a state that is stored as a difference needs its bases. */
  readonly longestChain: number;
}

/** Of a circuit breaker: `open` lets no call through, `half-open` only probes. */
export type CircuitState = "closed" | "open" | "half-open";

export interface ProviderStatus {
  readonly circuit: CircuitState;
  /** The last call that failed for the database's sake; `null`: none did. */
  readonly lastError: { readonly code: string; readonly at: number } | null;
  /** Of the last calls that succeeded, the mean with the newer ones weighing more, in milliseconds; `null`: none did. */
  readonly latencyMs: number | null;
  /** What is here and not yet in the other provider; `null`: there is no other one, or this one does not answer. */
  readonly backlog: Backlog | null;
}

export interface Backlog {
  /** Checkpoints and deletions. */
  readonly rows: number;
  /** The bytes of their states as they are stored. */
  readonly bytes: number;
  /** For how long the oldest has waited, in milliseconds. 0 if there is none. */
  readonly ageMs: number;
}

export interface StorageStatus {
  /** A storage that stands alone is `main`, whatever a config calls it. */
  readonly providers: { readonly main: ProviderStatus; readonly backup?: ProviderStatus };
  /**
   * `main`: it has all. `failover`: it is out of reach, and the backup takes stores and answers. `draining`: it is there, and
   * what the backup has taken meanwhile is on its way to it; reads look into both.
   */
  readonly mode: "main" | "failover" | "draining";
}

/** What a storage tells of itself while it works. No states, and no ids but those of `conflict`. */
export interface StorageEvents {
  /** A call is made again, after `delayMs`. */
  readonly retry: {
    readonly provider: string;
    readonly operation: string;
    readonly code: string;
    readonly attempt: number;
    readonly delayMs: number;
  };
  readonly circuit: { readonly provider: string; readonly state: CircuitState };
  readonly mode: { readonly mode: StorageStatus["mode"] };
  /** A call that main could not take went to the backup. */
  readonly failover: { readonly operation: string; readonly code: string };
  readonly replicated: { readonly from: Source; readonly to: Source; readonly rows: number; readonly bytes: number };
  readonly replicationFailed: { readonly from: Source; readonly to: Source; readonly code: string };
  /** Both have a checkpoint of this id, with different contents. Both keep their own. */
  readonly conflict: { readonly id: string };
  readonly reconciled: ReconcileResult;
}

export interface ReconcileOptions extends CallOptions {
  /** Called after each range of ids, with the counts so far. */
  readonly onProgress?: (progress: ReconcileResult) => void;
}

/** What a comparison of main and backup has found and done. */
export interface ReconcileResult {
  /** Checkpoints that were looked at, in either. */
  readonly compared: number;
  readonly copiedToBackup: number;
  readonly copiedToMain: number;
  /** Deletions that one had not heard of. */
  readonly deleted: number;
  /** Ids under which the two have different contents: left as they are. */
  readonly conflicts: number;
  /** Checkpoints that cannot be read where they are, and so were not copied. */
  readonly damaged: number;
  /** Checkpoints that the other provider does not take, being too large for it: they stay where they are. */
  readonly refused: number;
}

export interface CloseOptions {
  /** How long it may take to send what the other provider lacks, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
}

export interface CloseReport {
  /** What main has and the backup lacks, or the other way round, at the end; `null`: there is no backup. */
  readonly unsent: { readonly toBackup: number | null; readonly toMain: number | null } | null;
}

export interface StorageHealth {
  readonly ok: boolean;
  /** How long the probe took, in milliseconds. */
  readonly latencyMs: number;
  /** Why not, where it is not. */
  readonly error?: Error;
}

/** `apply` what is missing, `verify` that nothing is, or only tell the `sql` of what is missing. */
export type MigrateMode = "apply" | "verify" | "sql";

/** The three methods that every agent framework needs. */
export interface AgentCheckpointProvider {
  /**
   * Stores a checkpoint and returns its id, once the database has it durably.
   *
   * Storing the same id again with the same content is a no-op; with other content it is a `CONFLICT`.
   * @throws CheckpointError `INVALID_ARGUMENT`, `UNSUPPORTED_VALUE` and `STATE_TOO_LARGE` before anything is sent;
   *   `CONFLICT`; and what the database may answer, see `CheckpointErrorCode`.
   */
  storeCheckpoint(checkpoint: NamedAgentCheckpoint): Promise<string>;
  /**
   * The checkpoint with this id, exactly as it was stored, or `null` if there is none.
   * @throws CheckpointError `CORRUPT_CHECKPOINT` if what is stored does not match its digest, `UNSUPPORTED_FORMAT`
   *   if a newer version has written it.
   */
  retrieveCheckpoint(id: string): Promise<StoredAgentCheckpoint | null>;
  /** Newest first, the newest 1,000 if no `limit` is given. Never reads a state. */
  listCheckpoints(query?: ListQuery): Promise<AgentCheckpointListItem[]>;
}

/**
 * A store of checkpoints on one database. Methods may be called at once and from anywhere; the database is opened at
 * first use, once, however many calls arrive together, and a failed opening is tried again by the next call.
 *
 * Every call ends within its deadline. Every error is a `CheckpointError`.
 */
export interface CheckpointStorage extends AgentCheckpointProvider, AsyncDisposable {
  storeCheckpoint(checkpoint: NamedAgentCheckpoint, options?: StoreOptions): Promise<string>;
  retrieveCheckpoint(id: string, options?: ReadOptions): Promise<StoredAgentCheckpoint | null>;
  /** The newest checkpoint of one agent in one namespace, or `null` if it has none: where to go on after a crash. */
  retrieveLatestCheckpoint(agentId: string, query?: LatestQuery): Promise<StoredAgentCheckpoint | null>;
  /** All that match, newest first, fetched page by page. What is stored meanwhile is neither repeated nor skipped. */
  iterateCheckpoints(query?: ListQuery): AsyncIterableIterator<AgentCheckpointListItem>;
  /**
   * The checkpoint with this id, then its parent, and so on back to a root: a branch as it came about. Ends where a
   * parent is not stored here (any more); empty if there is no such checkpoint.
   */
  iterateAncestors(id: string, options?: ReadOptions): AsyncIterableIterator<AgentCheckpointListItem>;
  /**
   * Keeps what a step has produced so far, all of it or nothing, with the checkpoint that the step began from. It goes with
   * that checkpoint, whoever deletes or prunes it. To append the same task and index again does no harm, see
   * {@link CheckpointWrite.index}; within one call the same rule holds.
   * @throws CheckpointError `NOT_FOUND` if there is no such checkpoint; `INVALID_ARGUMENT`, also for more than 10,000 writes
   *   at once; `UNSUPPORTED_VALUE`; `STATE_TOO_LARGE` if they are larger together than the server takes at once
   */
  appendWrites(checkpointId: string, writes: readonly CheckpointWrite[], options?: CallOptions): Promise<void>;
  /**
   * What was appended to a checkpoint, by `taskId` in the order of its bytes, then by `index`. Empty if nothing was, or if
   * there is no such checkpoint.
   * @throws CheckpointError `CORRUPT_CHECKPOINT` if what is stored does not match its digest
   */
  listWrites(checkpointId: string, options?: ReadOptions): Promise<CheckpointWrite[]>;
  /** The ids of the agents that have checkpoints, in the order of their bytes. */
  listAgents(query?: AgentsQuery): Promise<string[]>;
  /** Deletes one checkpoint. `false` if there was none, or if an attempt whose answer was lost had deleted it. */
  deleteCheckpoint(id: string, options?: CallOptions): Promise<boolean>;
  /** Deletes all that an agent has, in all namespaces or in one, and returns how many checkpoints that were. */
  deleteAgent(agentId: string, query?: LatestQuery): Promise<number>;
  /** Deletes what no rule keeps, in bounded batches; stores go on meanwhile. Ended early, it can be called again. */
  pruneCheckpoints(policy: PrunePolicy): Promise<PruneResult>;
  /** Counts, of one agent or of all. Reads every row's head: not for a hot path. */
  stats(query?: { readonly agentId?: string } & ReadOptions): Promise<StorageStats>;
  /** Asks the database for a sign of life. Never rejects for a database that is down: `ok` is then `false`. */
  health(options?: CallOptions): Promise<StorageHealth>;
  /**
   * Brings the schema up to date (`"apply"`, the default) and returns the names of the migrations that were missing;
   * `"verify"` throws `SCHEMA_OUTDATED` if any is; `"sql"` returns the statements that are to be run, and runs none.
   */
  migrate(mode?: MigrateMode): Promise<string[]>;
  /**
   * Finishes what was accepted, then releases what the storage has opened itself; a driver instance of the caller's
   * stays open. May be called twice. Later calls of other methods reject with `CLOSED`; `health` says it.
   */
  close(options?: CloseOptions): Promise<CloseReport>;
  /** What is known of the providers. Asks each for its backlog, if there is a backup. Never rejects for one that is down. */
  status(options?: CallOptions): Promise<StorageStatus>;
  /** Calls back at each such event; returns what ends that. What a listener throws is dropped. */
  on<Name extends keyof StorageEvents>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void;
}

/** How often, and how far apart, a call is made again that failed because the database was out of reach. */
export interface RetryOptions {
  /** Default 3. 0: never. */
  readonly maxRetries?: number;
  /** Before the first retry, in milliseconds; then twice as long each time. Default 1,000. */
  readonly baseDelayMs?: number;
  /** Default 10,000. */
  readonly maxDelayMs?: number;
  /** Up to so much more, at random. Default 1,000. */
  readonly jitterMaxMs?: number;
}

/** When a database that fails again and again is left alone for a while: calls then end at once. */
export interface CircuitOptions {
  /** After so many calls in a row that failed since it was out of reach. Default 5. */
  readonly failureThreshold?: number;
  /** For how long it is left alone, before it is probed, in milliseconds. Default 60,000. */
  readonly resetTimeoutMs?: number;
  /** How many probes are made before it is left alone again. One that succeeds closes the circuit. Default 3. */
  readonly halfOpenMaxAttempts?: number;
}

/** Keys by their names, each of 32 bytes: as they are, in hex (64 digits) or in base64. They come from a good random source. */
export interface KeyRing {
  /** The name of the key that is used for what is stored from now on. */
  readonly current: string;
  /** This one, and all that something stored was encrypted with. A name is not secret, and stands beside what is encrypted. */
  readonly keys: Readonly<Record<string, Uint8Array | string>>;
  /** For the digests of states, so that they do not tell what a state may be. One for good: it is not rotated. */
  readonly digestKey: Uint8Array | string;
}

export interface EncryptionOptions {
  /**
   * A key ring, or a function that gets it from where keys are kept: called at first use, and again when a checkpoint
   * names a key that the ring lacks, since another process has taken a new one.
   */
  readonly keys: KeyRing | (() => KeyRing | Promise<KeyRing>);
  /**
   * Whether checkpoints that are not encrypted are read all the same: while a store that was not encrypted becomes one that
   * is, see `reencryptCheckpoints`. Default `false`: they are refused with `ENCRYPTION_MISMATCH`.
   */
  readonly migrate?: boolean;
}

/** The options that every dialect takes. */
export interface CommonStorageOptions {
  /** The deadline of one operation in milliseconds, opening and retries included. Default 30,000. */
  readonly operationTimeoutMs?: number;
  /**
   * What opening does about the schema: `"auto"` creates or upgrades it, `"verify"` only checks it (for roles without
   * DDL rights), `"off"` trusts it unseen. Default `"auto"`.
   */
  readonly migrate?: "auto" | "verify" | "off";
  /**
   * How much memory recent states may take, in bytes, so that a store writes only what has changed and a retrieve reads
   * nothing twice. 0 keeps none: each store then reads the state before from the database. Default 64 MB (64,000,000).
   */
  readonly cacheBytes?: number;
  /**
   * Freeze the plain objects and arrays of every state that is stored, deeply and for good (as Immer does): what is
   * frozen is known by identity the next time, so that a store costs only what is new. What you have frozen deeply
   * yourself is recognised without it. Default `false`.
   */
  readonly freeze?: boolean;
  readonly retry?: RetryOptions;
  readonly circuit?: CircuitOptions;
  /**
   * Encrypt states with AES-256-GCM. Ids, agents, namespaces, names, labels and times are not encrypted: lists filter by
   * them. Default: nothing is.
   */
  readonly encryption?: EncryptionOptions | undefined;
  /** Put before the names of our tables: letters, digits and `_`, at most 24, not starting with a digit. Default `""`. */
  readonly tablePrefix?: string;
}
