import { checkPrunePolicy } from "../checkpoints/arguments.ts";
import type {
  AgentCheckpointListItem,
  AgentCheckpointProvider,
  CheckpointStorage,
  ListQuery,
  NamedAgentCheckpoint,
  PrunePolicy,
  StoredAgentCheckpoint,
} from "../contract/checkpoints.ts";
import { integer, members, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, property } from "../contract/errors.ts";
import { MAX_TIMEOUT_MS } from "../database/options.ts";

/** What an agent tells of itself: a checkpoint that has no name and no id yet. */
export interface AgentCheckpoint extends Omit<NamedAgentCheckpoint, "id" | "name" | "createdAt"> {
  /** Default: the time of the store. */
  readonly createdAt?: number;
  /** Default: the checkpoint that the service has stored or restored last of this agent. */
  readonly parentId?: string;
}

/** All that the service asks of an agent, whatever it is made with. */
export interface CheckpointedAgent {
  /**
   * What it takes to go on from here. The state is encoded as soon as the store begins; that may be later than this call,
   * see {@link CheckpointService.autoCheckpoint}.
   */
  generateCheckpoint(): AgentCheckpoint | Promise<AgentCheckpoint>;
  /**
   * Takes over the state of a checkpoint that it has generated, maybe in another process. A stored `state` is `unknown`: the
   * agent checks it before it changes anything of its own. It must not wait for a save or restore of itself.
   */
  restoreCheckpoint(checkpoint: StoredAgentCheckpoint): void | Promise<void>;
}

export interface AutoCheckpointOptions {
  /**
   * Called once, with the function to call at the end of every turn; returns what ends the subscription. For an event
   * emitter: `(turnDone) => { agent.on("turn", turnDone); return () => agent.off("turn", turnDone); }`. Default: nothing
   * calls it, and whoever runs the agent calls the handle's `turnDone`.
   */
  readonly after?: (turnDone: () => void) => () => void;
  /** What the checkpoints are called; a function is called at the end of each turn. Default `"auto"`. */
  readonly name?: string | (() => string);
  /**
   * For how long the end of a turn may wait for others to be stored with it, in milliseconds: 0 to 2,147,483,647. Later
   * turns do not make it wait longer. Default 0: the store begins before `turnDone` returns, if none is under way.
   */
  readonly debounceMs?: number;
  /**
   * What to keep of the agent's checkpoints in its namespace, those of other names too. Applied after the first store
   * and after every 20th from then on, beside the stores. Needs a provider with `pruneCheckpoints`. Default: all.
   */
  readonly keep?: Pick<PrunePolicy, "keepLast" | "keepWithinMs" | "keepEvery" | "keepMetadata">;
  /**
   * Called with each failure: of the provider, and of the agent's `generateCheckpoint`. Default: a failure that no `flush`
   * or `stop` is waiting for is an unhandled rejection, which ends a Node process that does not listen to them.
   */
  readonly onError?: (error: unknown) => void;
}

/** What stores an agent after each turn, until it is stopped. */
export interface AutoCheckpoint extends AsyncDisposable {
  /** Says that a turn has ended. Never throws. Does nothing after `stop`. Bound: may be handed out as a listener. */
  readonly turnDone: () => void;
  /** The last failure of a store or of pruning; `null`: there was none. */
  readonly lastError: unknown;
  /**
   * Resolves when all turns that ended before this call are stored, and stores at once what waits. Where the store of the
   * last of them fails it rejects with that error; a later call tries again.
   */
  flush(): Promise<void>;
  /**
   * Ends the subscription, then does what `flush` does; pruning that is under way ends with its batch. The store ends within
   * the storage's `operationTimeoutMs`, as one under way before it does. Where it rejects it can be called again.
   */
  stop(): Promise<void>;
}

/**
 * Checkpoints for agents without a framework: providers by name, one of them active, and agents that are saved to it and
 * restored from it.
 *
 * Saves and restores of one agent object run one after another, in the order of the calls; those of different agents do
 * not wait for each other. Each save is a child of the checkpoint that the service stored or restored last of this agent
 * object, so what is saved after a restore is a branch; a turn that ended before a restore belongs to the line before it,
 * also where it is stored later. The service opens nothing and closes nothing.
 */
export class CheckpointService {
  readonly #providers = new Map<string, AgentCheckpointProvider>();
  #active: string | undefined;
  /** What the next save of each agent continues. */
  readonly #lines = new WeakMap<CheckpointedAgent, Line>();
  /** The last call of each agent that has any under way. Never rejects. */
  readonly #calls = new Map<CheckpointedAgent, Promise<unknown>>();

  /**
   * The first provider is the active one. The same provider under the same name again changes nothing.
   * @throws CheckpointError `INVALID_ARGUMENT` if the name is empty or another provider's, or if it is no provider
   */
  registerProvider(name: string, provider: AgentCheckpointProvider): void {
    if (string("name", name) === "") throw invalidArgument("name", "a name", name);
    for (const method of ["storeCheckpoint", "retrieveCheckpoint", "listCheckpoints"]) {
      if (typeof property(provider, method) !== "function") {
        throw invalidArgument("provider", `one that has the method ${method}`, provider);
      }
    }
    const known = this.#providers.get(name);
    if (known !== undefined && known !== provider) {
      throw refused(`register provider: ${JSON.stringify(name)} is another one already; ${this.#known()}`);
    }
    this.#providers.set(name, provider);
    this.#active ??= name;
  }

  /** @throws CheckpointError `INVALID_ARGUMENT` if none is registered */
  getActiveProvider(): AgentCheckpointProvider {
    const provider = this.#active === undefined ? undefined : this.#providers.get(this.#active);
    if (provider === undefined) throw refused(`get active provider: ${this.#known()}`);
    return provider;
  }

  /**
   * Whatever begins from now on goes to this provider, also of agents that are checkpointed automatically.
   * @throws CheckpointError `INVALID_ARGUMENT` if none of this name is registered
   */
  setActiveProviderName(name: string): void {
    if (!this.#providers.has(string("name", name))) {
      throw refused(`set active provider: ${JSON.stringify(name.slice(0, 64))} is not registered; ${this.#known()}`);
    }
    this.#active = name;
  }

  /** The names, in the order of registration. */
  getAvailableProviders(): string[] {
    return [...this.#providers.keys()];
  }

  /**
   * Stores what the agent's `generateCheckpoint` gives, once, and returns the id. Where nothing else is under way for
   * this agent and `generateCheckpoint` is synchronous, the state is encoded before this returns: what is changed later
   * is not stored.
   * @throws CheckpointError `INVALID_ARGUMENT` for a checkpoint with other members, and what `storeCheckpoint` throws;
   *   what the agent throws comes as it is
   */
  async saveAgentCheckpoint(name: string, agent: CheckpointedAgent): Promise<string> {
    checkAgent(agent);
    return await this.#inTurn(agent, () => {
      const generated = agent.generateCheckpoint();
      return isPromise(generated)
        ? generated.then((checkpoint) => this.#store(name, checkpoint, this.#lineOf(agent)))
        : this.#store(name, generated, this.#lineOf(agent));
    });
  }

  /**
   * Hands a checkpoint to the agent's `restoreCheckpoint`, once; the agent is not touched where there is none, or where
   * it cannot be read. From then on the agent's saves continue this checkpoint.
   * @throws CheckpointError `NOT_FOUND`, and what `retrieveCheckpoint` throws; what the agent throws comes as it is
   */
  async restoreAgentCheckpoint(id: string, agent: CheckpointedAgent): Promise<void> {
    checkAgent(agent);
    await this.#inTurn(agent, async () => {
      const provider = JSON.stringify(this.#active);
      const checkpoint = await this.getActiveProvider().retrieveCheckpoint(id);
      if (checkpoint === null) {
        const shown = JSON.stringify(id.slice(0, 64));
        throw new CheckpointError(
          "NOT_FOUND",
          `restore agent checkpoint: there is no ${shown} in provider ${provider}`,
        );
      }
      await agent.restoreCheckpoint(checkpoint);
      this.#lines.set(agent, { last: checkpoint.id });
    });
  }

  /** Of the active provider: newest first, without states. */
  async listCheckpoints(query?: ListQuery): Promise<AgentCheckpointListItem[]> {
    return await this.getActiveProvider().listCheckpoints(query);
  }

  /**
   * Stores the agent after each of its turns, until the handle is stopped.
   *
   * `generateCheckpoint` is called at the end of each turn. What it gives is stored at once, or, while a store is under way
   * or `debounceMs` has not passed, as soon as that is over; meanwhile a newer turn takes its place. So stores never
   * overlap, any number of turns that end during a store make one more, and the last turn is always stored. A state that
   * has to wait is encoded when its turn comes: an agent that changes its state in place, and cannot go on from the
   * middle of a turn, hands out a copy.
   *
   * A store that failed is not repeated by itself (the storage has its own retries): what it held stays due, and the next
   * turn, or `flush`, or `stop`, stores it or what has taken its place. No failure passes in silence: see `onError`.
   * @throws CheckpointError `INVALID_ARGUMENT` if there is no provider, if `keep` is given and the active one cannot
   *   prune, or if an option is not as documented. What `after` throws comes as it is.
   */
  autoCheckpoint(agent: CheckpointedAgent, options: AutoCheckpointOptions = {}): AutoCheckpoint {
    checkAgent(agent);
    const resolved = resolveOptions(options);
    const provider = this.getActiveProvider();
    if (resolved.keep !== undefined) pruner(provider);
    return new TurnWatch(agent, resolved, {
      inTurn: (work) => this.#inTurn(agent, work),
      line: () => this.#lineOf(agent),
      store: (name, checkpoint, line) => this.#store(name, checkpoint, line),
      prune: async (policy) => void (await pruner(this.getActiveProvider()).pruneCheckpoints(policy)),
    });
  }

  async #store(name: string, checkpoint: AgentCheckpoint, line: Line): Promise<string> {
    const { createdAt = Date.now(), parentId = line.last, ...rest } = checkGenerated(checkpoint);
    const parent = parentId === undefined ? {} : { parentId };
    line.last = await this.getActiveProvider().storeCheckpoint({ ...rest, ...parent, name, createdAt });
    return line.last;
  }

  #lineOf(agent: CheckpointedAgent): Line {
    const line = this.#lines.get(agent) ?? { last: undefined };
    this.#lines.set(agent, line);
    return line;
  }

  /** Does it now, before this returns, if nothing is under way for this agent; else after that. */
  #inTurn<Result>(agent: CheckpointedAgent, work: () => Promise<Result>): Promise<Result> {
    const before = this.#calls.get(agent);
    const call = before === undefined ? (async () => await work())() : before.then(work);
    const over: Promise<void> = call.then(
      () => this.#leave(agent, over),
      () => this.#leave(agent, over),
    );
    this.#calls.set(agent, over);
    return call;
  }

  #leave(agent: CheckpointedAgent, over: Promise<void>): void {
    if (this.#calls.get(agent) === over) this.#calls.delete(agent);
  }

  #known(): string {
    const names = this.getAvailableProviders().map((name) => JSON.stringify(name));
    return names.length === 0 ? "no provider is registered" : `registered: ${names.join(", ")}`;
  }
}

/** Checkpoints of one agent, each the child of the one before. A restore begins another line. */
interface Line {
  last: string | undefined;
}

/** How many stores there are from one pruning to the next. */
const PRUNE_EVERY = 20;

/** Ends a pruning after a batch. Not before one: a process that takes a single turn would never prune anything. */
const ENOUGH = Symbol("enough");

/** What a turn has left to be stored. */
interface Due {
  readonly turn: number;
  readonly line: Line;
  readonly name: string;
  readonly checkpoint: AgentCheckpoint | Promise<AgentCheckpoint>;
}

interface Failure {
  /** The last turn that it has kept from being stored. */
  readonly turn: number;
  readonly error: unknown;
}

/** What the service does for one agent. */
interface OfService {
  inTurn<Result>(work: () => Promise<Result>): Promise<Result>;
  line(): Line;
  store(name: string, checkpoint: AgentCheckpoint, line: Line): Promise<string>;
  prune(policy: PrunePolicy): Promise<void>;
}

class TurnWatch implements AutoCheckpoint {
  readonly #agent: CheckpointedAgent;
  readonly #options: ResolvedOptions;
  readonly #service: OfService;
  readonly #unsubscribe: () => void;
  #stopped = false;
  #lastError: unknown = null;

  /** How many turns have ended. */
  #ended = 0;
  /** Up to which turn all is stored. */
  #stored = 0;
  /** Of the last turn that is not stored; `null`: all are. */
  #due: Due | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isStoring = false;
  /** The store under way, or the last one: how it failed. Never rejects. */
  #storing: Promise<Failure | null> = Promise.resolve(null);
  /** Whether another store is to follow the one under way. */
  #again = false;
  /** Up to which turn each `flush` under way waits: it will tell of a failure. */
  readonly #awaited = new Set<{ readonly turn: number }>();
  #stores = 0;
  /** Never rejects. */
  #pruning: Promise<void> | null = null;

  constructor(agent: CheckpointedAgent, options: ResolvedOptions, service: OfService) {
    this.#agent = agent;
    this.#options = options;
    this.#service = service;
    this.#unsubscribe = options.after(this.turnDone);
    if (typeof this.#unsubscribe !== "function") {
      this.#stopped = true;
      throw invalidArgument("what options.after returns", "a function that ends the subscription", this.#unsubscribe);
    }
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  readonly turnDone = (): void => {
    if (this.#stopped) return;
    this.#ended += 1;
    this.#due = { turn: this.#ended, line: this.#service.line(), ...this.#generate() };
    if (this.#options.debounceMs === 0) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), this.#options.debounceMs);
  };

  async flush(): Promise<void> {
    const awaited = { turn: this.#ended };
    this.#awaited.add(awaited);
    try {
      // What is under way may have begun before the last turn ended: then one more is needed.
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

  /** What the agent throws is a failure of the store that it would have been for. */
  #generate(): Pick<Due, "name" | "checkpoint"> {
    try {
      const name = this.#options.name();
      const checkpoint = this.#agent.generateCheckpoint();
      if (isPromise(checkpoint)) checkpoint.catch(() => {}); // a newer turn may take its place before it is looked at
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

  async #store(first: Due): Promise<Failure | null> {
    this.#isStoring = true;
    let due = first;
    let failure: Failure | null = null;
    try {
      await this.#service.inTurn(async () => {
        due = this.#due ?? first; // while another call of this agent was under way, more turns may have ended
        // Without an `await` before it where there is no need for one: what is encoded now is what the turn has left.
        const checkpoint = isPromise(due.checkpoint) ? await due.checkpoint : due.checkpoint;
        await this.#service.store(due.name, checkpoint, due.line);
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

  /** Beside the stores: the first pruning of an old store may take long. */
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
    // Nobody holds these promises, so that what rejects them is an unhandled rejection: what `onError` throws, too.
    if (onError !== undefined) void (async () => await onError(error))();
    else if (!isAwaited) void Promise.reject(error);
  }
}

interface ResolvedOptions extends Required<Pick<AutoCheckpointOptions, "after" | "debounceMs">> {
  readonly name: () => string;
  readonly keep: AutoCheckpointOptions["keep"] | undefined;
  readonly onError: AutoCheckpointOptions["onError"] | undefined;
}

function resolveOptions(options: AutoCheckpointOptions): ResolvedOptions {
  const given = members("options", options, ["after", "name", "debounceMs", "keep", "onError"]);
  const { after = () => () => {}, name = "auto", debounceMs = 0, keep, onError } = given;
  if (typeof after !== "function") throw invalidArgument("options.after", "a function", after);
  if (onError !== undefined && typeof onError !== "function") {
    throw invalidArgument("options.onError", "a function", onError);
  }
  if (typeof name !== "string" && typeof name !== "function") {
    throw invalidArgument("options.name", "a string or a function", name);
  }
  if (keep !== undefined) {
    members("options.keep", keep, ["keepLast", "keepWithinMs", "keepEvery", "keepMetadata"]);
    checkPrunePolicy(keep as PrunePolicy);
  }
  return {
    after: after as ResolvedOptions["after"],
    name: typeof name === "string" ? () => name : (name as () => string),
    debounceMs: integer("options.debounceMs", debounceMs, 0, MAX_TIMEOUT_MS, "milliseconds"),
    keep: keep as ResolvedOptions["keep"],
    onError: onError as ResolvedOptions["onError"],
  };
}

function checkAgent(agent: CheckpointedAgent): void {
  for (const method of ["generateCheckpoint", "restoreCheckpoint"]) {
    if (typeof property(agent, method) !== "function") {
      throw invalidArgument("agent", `one that has the method ${method}`, agent);
    }
  }
}

/** A name is the caller's to give, and an id of the agent's own would make each save after the first a conflict. */
function checkGenerated(checkpoint: AgentCheckpoint): AgentCheckpoint {
  members("what agent.generateCheckpoint returns", checkpoint, [
    "agentId",
    "namespace",
    "state",
    "createdAt",
    "parentId",
    "metadata",
  ]);
  return checkpoint;
}

/** Of a provider the three methods are known; the one that prunes is a storage's. */
function pruner(provider: AgentCheckpointProvider): Pick<CheckpointStorage, "pruneCheckpoints"> {
  if (typeof property(provider, "pruneCheckpoints") === "function") return provider as CheckpointStorage;
  throw refused("auto checkpoint: options.keep needs a provider with pruneCheckpoints, and the active one has none");
}

function isPromise<Value>(value: Value | Promise<Value>): value is Promise<Value> {
  return typeof property(value, "then") === "function";
}

function refused(message: string): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", message);
}
