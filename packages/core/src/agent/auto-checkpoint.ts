import { checkPrunePolicy } from "../checkpoints/arguments.ts";
import type { PrunePolicy } from "../contract/checkpoints.ts";
import { type Given, integer, objectWithKeys } from "../contract/checks.ts";
import { invalidArgument, property } from "../contract/errors.ts";
import { MAX_TIMEOUT_MS } from "../database/options.ts";
import type { AgentCheckpoint, AutoCheckpoint, AutoCheckpointOptions, CheckpointedAgent } from "./contract.ts";

/** A branch of checkpoints of one agent, each the child of the one before. A restore begins another branch. */
export interface Branch {
  last: string | undefined;
}

/** Number of stores from one pruning to the next. */
const PRUNE_EVERY = 20;

/** Ends a pruning after a batch. Not before the first: a process that takes a single turn would never prune anything. */
const ENOUGH = Symbol("enough");

/** A turn that is due to be stored. */
interface DueTurn {
  readonly turn: number;
  readonly branch: Branch;
  readonly name: string;
  readonly checkpoint: AgentCheckpoint | Promise<AgentCheckpoint>;
}

interface Failure {
  /** The last turn that was not stored because of it. */
  readonly turn: number;
  readonly error: unknown;
}

/** The service, as it serves one agent. */
interface AgentService {
  inTurn<Result>(work: () => Promise<Result>): Promise<Result>;
  branch(): Branch;
  store(name: string, checkpoint: AgentCheckpoint, branch: Branch): Promise<string>;
  prune(policy: PrunePolicy): Promise<void>;
}

/** Stores one agent after each of its turns. */
export class AutoCheckpointer implements AutoCheckpoint {
  readonly #agent: CheckpointedAgent;
  readonly #options: ResolvedOptions;
  readonly #service: AgentService;
  readonly #unsubscribe: () => void;
  #stopped = false;
  #lastError: unknown = null;

  /** Number of turns that have ended. */
  #ended = 0;
  /** The last turn that is stored. */
  #stored = 0;
  /** The last turn, if it is not stored; `null`: it is. */
  #due: DueTurn | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isStoring = false;
  /** Outcome of the store under way, or of the last one. Never rejects. */
  #storing: Promise<Failure | null> = Promise.resolve(null);
  /** Set while another store is to follow the one under way. */
  #again = false;
  /** The turns that `flush` calls under way wait for: these report a failure. */
  readonly #awaited = new Set<{ readonly turn: number }>();
  #stores = 0;
  /** Never rejects. */
  #pruning: Promise<void> | null = null;

  constructor(agent: CheckpointedAgent, options: ResolvedOptions, service: AgentService) {
    this.#agent = agent;
    this.#options = options;
    this.#service = service;
    this.#unsubscribe = options.after(this.turnDone);
    if (typeof this.#unsubscribe !== "function") {
      this.#stopped = true;
      throw invalidArgument("the result of options.after", "an unsubscribe function", this.#unsubscribe);
    }
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  readonly turnDone = (): void => {
    if (this.#stopped) return;
    this.#ended += 1;
    this.#due = { turn: this.#ended, branch: this.#service.branch(), ...this.#generate() };
    if (this.#options.debounceMs === 0) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), this.#options.debounceMs);
  };

  async flush(): Promise<void> {
    const awaited = { turn: this.#ended };
    this.#awaited.add(awaited);
    try {
      // The store under way may have begun before the last turn ended: then one more is needed.
      while (this.#stored < awaited.turn) {
        if (!this.#isStoring) this.#begin();
        const failure = await this.#storing;
        if (failure !== null && failure.turn >= awaited.turn) throw failure.error;
      }
    } finally {
      this.#awaited.delete(awaited);
    }
  }

  async stop(): Promise<void> {
    try {
      if (!this.#stopped) {
        this.#stopped = true;
        this.#unsubscribe();
      }
    } finally {
      try {
        await this.flush();
      } finally {
        await this.#pruning;
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Calls the agent. Its error becomes the failure of the store. */
  #generate(): Pick<DueTurn, "name" | "checkpoint"> {
    try {
      const name = this.#options.name();
      const checkpoint = this.#agent.generateCheckpoint();
      if (isPromise(checkpoint)) checkpoint.catch(() => {}); // a newer turn may replace it before it is awaited
      return { name, checkpoint };
    } catch (error) {
      const checkpoint = Promise.reject(error);
      checkpoint.catch(() => {});
      return { name: "", checkpoint };
    }
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isStoring) this.#again = true;
    else if (this.#due !== null) this.#storing = this.#store(this.#due);
  }

  async #store(first: DueTurn): Promise<Failure | null> {
    this.#isStoring = true;
    let due = first;
    let failure: Failure | null = null;
    try {
      await this.#service.inTurn(async () => {
        due = this.#due ?? first; // more turns may have ended while another call of this agent was under way
        // No `await` without need: so the state is encoded as the turn has left it.
        const checkpoint = isPromise(due.checkpoint) ? await due.checkpoint : due.checkpoint;
        await this.#service.store(due.name, checkpoint, due.branch);
        this.#prune(checkpoint);
      });
      this.#stored = due.turn;
      if (this.#due === due) this.#due = null;
    } catch (error) {
      failure = { turn: due.turn, error };
      this.#report(
        error,
        [...this.#awaited].some(({ turn }) => turn <= due.turn),
      );
    }
    this.#isStoring = false;
    if (this.#again) {
      this.#again = false;
      this.#begin();
    }
    return failure;
  }

  /** Prunes beside the stores: the first pruning of an old store may take long. */
  #prune({ agentId, namespace = "" }: AgentCheckpoint): void {
    const { keep } = this.#options;
    if (keep === undefined || this.#stores++ % PRUNE_EVERY !== 0 || this.#pruning !== null) return;
    const onProgress = () => {
      if (this.#stopped) throw ENOUGH;
    };
    this.#pruning = this.#service
      .prune({ ...keep, agentId, namespace, onProgress })
      .catch((error: unknown) => {
        if (error !== ENOUGH) this.#report(error, false);
      })
      .finally(() => {
        this.#pruning = null;
      });
  }

  #report(error: unknown, isAwaited: boolean): void {
    this.#lastError = error;
    const { onError } = this.#options;
    // These promises are not awaited, so that a rejection is unhandled, also one by an error of `onError`.
    if (onError !== undefined) void (async () => await onError(error))();
    else if (!isAwaited) void Promise.reject(error);
  }
}

interface ResolvedOptions extends Given<Pick<AutoCheckpointOptions, "after" | "debounceMs">> {
  readonly name: () => string;
  readonly keep: AutoCheckpointOptions["keep"] | undefined;
  readonly onError: AutoCheckpointOptions["onError"] | undefined;
}

/** Checks the options. @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveAutoCheckpoint(options: AutoCheckpointOptions): ResolvedOptions {
  const given = objectWithKeys("options", options, ["after", "name", "debounceMs", "keep", "onError"]);
  const { after = () => () => {}, name = "auto", debounceMs = 0, keep, onError } = given;
  if (typeof after !== "function") throw invalidArgument("options.after", "a function", after);
  if (onError !== undefined && typeof onError !== "function") {
    throw invalidArgument("options.onError", "a function", onError);
  }
  if (typeof name !== "string" && typeof name !== "function") {
    throw invalidArgument("options.name", "a string or a function", name);
  }
  if (keep !== undefined) {
    objectWithKeys("options.keep", keep, ["keepLast", "keepWithinMs", "keepEvery", "keepMetadata"]);
    checkPrunePolicy(keep as PrunePolicy, "options.keep");
  }
  return {
    after: after as ResolvedOptions["after"],
    name: typeof name === "string" ? () => name : (name as () => string),
    debounceMs: integer("options.debounceMs", debounceMs, 0, MAX_TIMEOUT_MS, "milliseconds"),
    keep: keep as ResolvedOptions["keep"],
    onError: onError as ResolvedOptions["onError"],
  };
}

export function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof property(value, "then") === "function";
}
