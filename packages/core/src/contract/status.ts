/** Health, status, counts and events: what a storage reports about itself and its databases. */

/** The providers of a storage with a backup. */
export type Source = "main" | "backup";

/** State of a circuit breaker: `open` lets no call through, `half-open` lets probes through. */
export type CircuitState = "closed" | "open" | "half-open";

export interface StorageHealth {
  readonly ok: boolean;
  /** Duration of the check, in milliseconds. */
  readonly latencyMs: number;
  /** Reason why `ok` is `false`. */
  readonly error?: Error;
}

export interface ProviderStatus {
  readonly circuit: CircuitState;
  /** The last failure that was the database's, with its time; `null`: none so far. */
  readonly lastError: { readonly code: string; readonly at: number } | null;
  /** Moving average of the latency of successful calls, in milliseconds; `null`: none so far. */
  readonly latencyMs: number | null;
  /**
   * The database: the absolute path of its file, or the server's host, port and database, `localhost:5432/app`. No user, no
   * password. `null`: it is in memory, or a connection of your own leads to it.
   */
  readonly location: string | null;
  /** The driver: `postgres.js`, for example; `null`: the database was not opened yet, or its backend names none. */
  readonly driver: string | null;
  /** Rows that the other provider does not have yet; `null`: there is no other provider, or this one does not answer. */
  readonly backlog: Backlog | null;
  /**
   * Whether this database has, or ever had, a backup, or is one: then what is deleted or pruned leaves tombstones, whoever
   * does it. `null`: this process has not opened the database yet, or it does not answer.
   */
  readonly replicated: boolean | null;
}

export interface Backlog {
  /** Checkpoints and deletions. */
  readonly rows: number;
  /** Bytes of their states as stored. */
  readonly bytes: number;
  /** Age of the oldest, in milliseconds. 0 if there is none. */
  readonly ageMs: number;
}

export interface StorageStatus {
  /** A storage without a backup is `main`, whatever a config calls it. */
  readonly providers: { readonly main: ProviderStatus; readonly backup?: ProviderStatus };
  /**
   * `main`: main has everything. `failover`: main is unreachable, and the backup takes stores and answers. `draining`: main
   * is back, and the rows that only the backup has are on their way to it; reads ask both.
   */
  readonly mode: "main" | "failover" | "draining";
}

/** Events of a storage. None holds a state; only `conflict` holds an id. */
export interface StorageEvents {
  /** A call is retried after `delayMs`. */
  readonly retry: {
    readonly provider: string;
    readonly operation: string;
    readonly code: string;
    readonly attempt: number;
    readonly delayMs: number;
  };
  readonly circuit: { readonly provider: string; readonly state: CircuitState };
  /**
   * A database file that was missing was created. If nobody listens, and the file is below the working directory, the process
   * emits a warning with the code `WAYMARK_CREATED`: started in another folder than before, it would go on with nothing.
   */
  readonly created: { readonly provider: string; readonly location: string };
  readonly mode: { readonly mode: StorageStatus["mode"] };
  /**
   * A failover begins: a call that main did not take, for the reason `code`, went to the backup. It ends when the mode is
   * `main` again, after this number of such calls. Not emitted for the calls in between.
   */
  readonly failover:
    | { readonly phase: "begin"; readonly operation: string; readonly code: string }
    | { readonly phase: "end"; readonly calls: number };
  readonly replicated: { readonly from: Source; readonly to: Source; readonly rows: number; readonly bytes: number };
  /** `provider`: the one that failed. */
  readonly replicationFailed: {
    readonly from: Source;
    readonly to: Source;
    readonly provider: Source;
    readonly code: string;
  };
  /** Main and backup have different content under one id. Both keep theirs. */
  readonly conflict: { readonly id: string };
  readonly reconciled: ReconcileResult;
  /** All checkpoints that were there are in the index of labels. */
  readonly labelsIndexed: {
    readonly provider: string;
    readonly labels: readonly string[];
    readonly names: readonly string[];
    readonly examined: number;
  };
  /** Indexing labels in the background failed. It is tried again by a later call, or by `indexLabels()`. */
  readonly labelIndexingFailed: { readonly provider: string; readonly code: string };
  /** The retention of a config, or of `startRetention`, has pruned in this process. */
  readonly pruned: PruneResult & { readonly durationMs: number };
  /** It could not, and tries again. */
  readonly pruneFailed: { readonly code: string };
}

/** Counts of checkpoints, unless a member says otherwise. With `dryRun`: what a real run would do now. */
export interface PruneResult {
  /** Checkpoints that were looked at. Those of agents that no rule concerns are not. */
  readonly examined: number;
  readonly removed: number;
  /** Agents that went whole. */
  readonly droppedAgents: number;
  /** `removed` by reason. */
  readonly removedBy: {
    /** `dropAgentsIdleForMs`: the agent was idle. */
    readonly idleAgent: number;
    /** None of the `keep…` rules kept it. */
    readonly noRule: number;
  };
  /** Those that stay, by the first of the rules that keeps it, in this order. */
  readonly keptBy: KeptBy;
}

export interface KeptBy {
  /** The latest of its agent and namespace. */
  readonly latest: number;
  readonly keepLast: number;
  readonly keepWithinMs: number;
  readonly keepEvery: number;
  readonly keepMetadata: number;
}

/** Counts of a reconciliation of main and backup. */
export interface ReconcileResult {
  /** Checkpoints that were compared, in either database. */
  readonly compared: number;
  readonly copiedToBackup: number;
  readonly copiedToMain: number;
  /** Deletions that one database had not received. */
  readonly deleted: number;
  /** Ids under which the two have different content: left as they are. */
  readonly conflicts: number;
  /** Checkpoints that cannot be read where they are, and were not copied. */
  readonly damaged: number;
  /** Checkpoints that the other database refuses, being too large for it: they stay where they are. */
  readonly refused: number;
}

export interface StorageStats {
  /** Number of checkpoints. */
  readonly checkpoints: number;
  /** Bytes of their states as stored. */
  readonly storedBytes: number;
  /** Bytes of their states as text. */
  readonly stateBytes: number;
  /** The most rows that are read to retrieve one checkpoint: a state stored as a delta needs its bases. */
  readonly longestChain: number;
}

export interface CloseReport {
  /** Rows that the backup still lacks of main's, and main of the backup's; `null`: there is no backup. */
  readonly unsent: { readonly toBackup: number | null; readonly toMain: number | null } | null;
}
