import type { NamedAgentCheckpoint, PrunePolicy, StoredAgentCheckpoint } from "../contract/checkpoints.ts";

/** A checkpoint as an agent generates it: without a name and an id. */
export interface AgentCheckpoint<State = unknown>
  extends Omit<NamedAgentCheckpoint<State>, "id" | "name" | "createdAt"> {
  /** Default: the time of the store. */
  readonly createdAt?: number | undefined;
  /** Default: the checkpoint of this agent that the service has stored or restored last. */
  readonly parentId?: string | undefined;
}

/** An agent, as far as the service uses it. */
export interface CheckpointedAgent<State = unknown> {
  /**
   * Returns the state to go on from. It is encoded as soon as the store begins; that may be later than this call, see
   * {@link CheckpointService.autoCheckpoint}.
   */
  generateCheckpoint(): AgentCheckpoint<State> | Promise<AgentCheckpoint<State>>;
  /**
   * Takes over the state of a checkpoint that it has generated, maybe in another process. Unless the
   * storage parses states, the agent validates `state` before it changes anything of its own. It must not wait for a save or restore of itself.
   */
  restoreCheckpoint(checkpoint: StoredAgentCheckpoint<State>): void | Promise<void>;
}

export interface AutoCheckpointOptions {
  /**
   * Subscribes to the end of turns: called once with a function to call at the end of every turn, returns an unsubscribe
   * function. For an event emitter: `(turnDone) => { agent.on("turn", turnDone); return () => agent.off("turn", turnDone); }`.
   * Default: no subscription; the code that runs the agent calls the handle's `turnDone`.
   */
  readonly after?: ((turnDone: () => void) => () => void) | undefined;
  /** Name of the checkpoints; a function is called at the end of each turn. Default `"auto"`. */
  readonly name?: (string | (() => string)) | undefined;
  /**
   * Longest time that the end of a turn waits for others to be stored with it, in milliseconds: 0 to 2,147,483,647. Later
   * turns do not prolong the wait. Default 0: the store begins before `turnDone` returns, if none is under way.
   */
  readonly debounceMs?: number | undefined;
  /**
   * Retention policy for the agent's checkpoints in its namespace, of all names. Applied after the first store and after
   * every 20th from then on, beside the stores. Needs a provider with `pruneCheckpoints`. Default: all are kept.
   */
  readonly keep?: Pick<PrunePolicy, "keepLast" | "keepWithinMs" | "keepEvery" | "keepMetadata"> | undefined;
  /**
   * Called with each failure of the provider, and of the agent's `generateCheckpoint`. Default: a failure that no `flush` or
   * `stop` waits for is an unhandled rejection, which ends a Node process without a listener for these.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** Handle of automatic checkpoints: the agent is stored after each turn until it is stopped. */
export interface AutoCheckpoint extends AsyncDisposable {
  /** Reports the end of a turn. Never throws. Does nothing after `stop`. Bound: can be passed on as a listener. */
  readonly turnDone: () => void;
  /** The last failure of a store or of pruning; `null`: there was none. */
  readonly lastError: unknown;
  /**
   * Stores what is due at once. Resolves when all turns that ended before this call are stored. If the store of the last of
   * them fails, it rejects with that error; a later call tries again.
   */
  flush(): Promise<void>;
  /**
   * Ends the subscription, then does what `flush` does; pruning under way ends with its batch. The store ends within the
   * storage's `operationTimeoutMs`, as does one under way before it. If it rejects, it can be called again.
   */
  stop(): Promise<void>;
}
