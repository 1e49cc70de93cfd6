import type {
  AgentCheckpointListItem,
  AgentCheckpointProvider,
  CheckpointStorage,
  ListQuery,
} from "../contract/checkpoints.ts";
import { objectWithKeys, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, property, quoted } from "../contract/errors.ts";
import { AutoCheckpointer, type Branch, isPromise, resolveAutoCheckpoint } from "./auto-checkpoint.ts";
import { checkAgent, checkGenerated } from "./checks.ts";
import type { AgentCheckpoint, AutoCheckpoint, AutoCheckpointOptions, CheckpointedAgent } from "./contract.ts";

/**
 * Checkpoints for agents without a framework: providers by name, one of them active, and agents that are saved to it and
 * restored from it.
 *
 * Saves and restores of one agent object run one after another, in the order of the calls; those of different agents do
 * not wait for each other. Each save is a child of the checkpoint of this agent object that the service stored or restored
 * last: a save after a restore begins a branch. A turn that ended before a restore belongs to the branch before it, even if
 * it is stored later. The service opens nothing and closes nothing.
 */
export class CheckpointService<State = unknown> {
  readonly #providers = new Map<string, AgentCheckpointProvider<State>>();
  #active: string | undefined;
  /** The branch that the next save of each agent continues. */
  readonly #branches = new WeakMap<CheckpointedAgent, Branch>();
  /** The last call of each agent with calls under way. Never rejects. */
  readonly #calls = new Map<CheckpointedAgent, Promise<unknown>>();

  /**
   * Registers a provider. The first one is active. The same provider under the same name again changes nothing.
   * @throws CheckpointError `INVALID_ARGUMENT` if the name is empty or taken, or if it is no provider
   */
  registerProvider(name: string, provider: AgentCheckpointProvider<State>): void {
    if (string("name", name) === "") throw invalidArgument("name", "a name", name);
    for (const method of ["storeCheckpoint", "retrieveCheckpoint", "listCheckpoints"]) {
      if (typeof property(provider, method) !== "function") {
        throw invalidArgument("provider", `one with the method ${method}`, provider);
      }
    }
    const existing = this.#providers.get(name);
    if (existing !== undefined && existing !== provider) {
      throw refused(`register provider: ${JSON.stringify(name)} is taken by another provider; ${this.#registered()}`);
    }
    this.#providers.set(name, provider);
    this.#active ??= name;
  }

  /** Returns the active provider. @throws CheckpointError `INVALID_ARGUMENT` if none is registered */
  getActiveProvider(): AgentCheckpointProvider<State> {
    const provider = this.#active === undefined ? undefined : this.#providers.get(this.#active);
    if (provider === undefined) throw refused(`get active provider: ${this.#registered()}`);
    return provider;
  }

  /** Returns the name of the active provider; `null`: none is registered. */
  getActiveProviderName(): string | null {
    return this.#active ?? null;
  }

  /**
   * Makes a provider the active one, for all calls that begin from now on, also of automatic checkpoints.
   * @throws CheckpointError `INVALID_ARGUMENT` if none of this name is registered
   */
  setActiveProviderName(name: string): void {
    if (!this.#providers.has(string("name", name))) {
      throw refused(`set active provider: ${quoted(name)} is not registered; ${this.#registered()}`);
    }
    this.#active = name;
  }

  /** Lists the names of the providers, in the order of registration. */
  getAvailableProviders(): string[] {
    return [...this.#providers.keys()];
  }

  /**
   * Stores the result of the agent's `generateCheckpoint` and returns the id. If no other call is under way for this agent
   * and `generateCheckpoint` is synchronous, the state is encoded before this returns: later changes are not stored.
   * @throws CheckpointError `INVALID_ARGUMENT` for a checkpoint with other members, and what `storeCheckpoint` throws;
   *   an error of the agent is rethrown as it is
   */
  async saveAgentCheckpoint(name: string, agent: CheckpointedAgent<State>): Promise<string> {
    checkAgent("agent", agent);
    return await this.#inTurn(agent, () => {
      const generated = agent.generateCheckpoint();
      return isPromise(generated)
        ? generated.then((checkpoint) => this.#store(name, checkpoint, this.#branchOf(agent)))
        : this.#store(name, generated, this.#branchOf(agent));
    });
  }

  /**
   * Passes a checkpoint to the agent's `restoreCheckpoint`; the agent is not called if there is none, or if it cannot be
   * read. From then on the agent's saves continue this checkpoint.
   * @throws CheckpointError `NOT_FOUND`, and what `retrieveCheckpoint` throws; an error of the agent is rethrown as it is
   */
  async restoreAgentCheckpoint(id: string, agent: CheckpointedAgent<State>): Promise<void> {
    checkAgent("agent", agent);
    await this.#inTurn(agent, () => this.#restore(id, agent));
  }

  /**
   * Restores the latest checkpoint of an `agentId` and a namespace (default `""`), as a process does when it starts. Returns
   * its id; `null`: there is none, and the agent is not called.
   * @throws CheckpointError what `listCheckpoints` and `restoreAgentCheckpoint` throw; `NOT_FOUND` if another process deletes
   *   the checkpoint meanwhile
   */
  async restoreLatestAgentCheckpoint(
    agentId: string,
    agent: CheckpointedAgent<State>,
    query: { readonly namespace?: string | undefined } = {},
  ): Promise<string | null> {
    checkAgent("agent", agent);
    string("agentId", agentId);
    const { namespace = "" } = objectWithKeys("query", query, ["namespace"]);
    const latest = { agentId, namespace: string("query.namespace", namespace), limit: 1 };
    return await this.#inTurn(agent, async () => {
      const [checkpoint] = await this.listCheckpoints(latest);
      if (checkpoint === undefined) return null;
      await this.#restore(checkpoint.id, agent);
      return checkpoint.id;
    });
  }

  /** Lists checkpoints of the active provider, newest first, without states. */
  async listCheckpoints(query?: ListQuery): Promise<AgentCheckpointListItem[]> {
    return await this.getActiveProvider().listCheckpoints(query);
  }

  /**
   * Stores the agent after each of its turns, until the handle is stopped.
   *
   * `generateCheckpoint` is called at the end of each turn. Its result is stored at once or, while a store is under way or
   * `debounceMs` has not passed, as soon as that is over; meanwhile a newer turn replaces it. So stores never overlap, any
   * number of turns that end during a store cause one more, and the last turn is always stored. A state that has to wait is
   * encoded when it is stored: an agent that changes its state in place, and cannot go on from the middle of a turn, returns
   * a copy.
   *
   * A store that failed is not repeated automatically (the storage has its own retries): its turn stays due, and the next
   * turn, `flush` or `stop` stores it, or the turn that has replaced it. No failure is silent: see `onError`.
   * @throws CheckpointError `INVALID_ARGUMENT` if there is no provider, if `keep` is given and the active one cannot
   *   prune, or if an option is not as documented. An error of `after` is rethrown as it is.
   */
  autoCheckpoint(agent: CheckpointedAgent<State>, options: AutoCheckpointOptions = {}): AutoCheckpoint {
    checkAgent("agent", agent);
    const resolved = resolveAutoCheckpoint(options);
    const provider = this.getActiveProvider();
    if (resolved.keep !== undefined) pruner(provider);
    return new AutoCheckpointer(agent, resolved, {
      inTurn: (work) => this.#inTurn(agent, work),
      branch: () => this.#branchOf(agent),
      store: (name, checkpoint, branch) => this.#store(name, checkpoint as AgentCheckpoint<State>, branch),
      prune: async (policy) => void (await pruner(this.getActiveProvider()).pruneCheckpoints(policy)),
    });
  }

  async #store(name: string, checkpoint: AgentCheckpoint<State>, branch: Branch): Promise<string> {
    const {
      createdAt = Date.now(),
      parentId = branch.last,
      ...rest
    } = checkGenerated("the result of agent.generateCheckpoint", checkpoint);
    const parent = parentId === undefined ? {} : { parentId };
    branch.last = await this.getActiveProvider().storeCheckpoint({ ...rest, ...parent, name, createdAt });
    return branch.last;
  }

  async #restore(id: string, agent: CheckpointedAgent<State>): Promise<void> {
    const provider = JSON.stringify(this.#active);
    const checkpoint = await this.getActiveProvider().retrieveCheckpoint(id);
    if (checkpoint === null) {
      throw new CheckpointError(
        "NOT_FOUND",
        `restore agent checkpoint: there is no ${quoted(id)} in provider ${provider}`,
      );
    }
    await agent.restoreCheckpoint(checkpoint);
    this.#branches.set(agent, { last: checkpoint.id });
  }

  #branchOf(agent: CheckpointedAgent<State>): Branch {
    const branch = this.#branches.get(agent) ?? { last: undefined };
    this.#branches.set(agent, branch);
    return branch;
  }

  /** Runs `work` now, before this returns, if no call is under way for this agent; else after it. */
  #inTurn<Result>(agent: CheckpointedAgent<State>, work: () => Promise<Result>): Promise<Result> {
    const before = this.#calls.get(agent);
    const call = before === undefined ? (async () => await work())() : before.then(work);
    const over: Promise<void> = call.then(
      () => this.#leave(agent, over),
      () => this.#leave(agent, over),
    );
    this.#calls.set(agent, over);
    return call;
  }

  #leave(agent: CheckpointedAgent<State>, over: Promise<void>): void {
    if (this.#calls.get(agent) === over) this.#calls.delete(agent);
  }

  #registered(): string {
    const names = this.getAvailableProviders().map((name) => JSON.stringify(name));
    return names.length === 0 ? "no provider is registered" : `registered: ${names.join(", ")}`;
  }
}

/** Returns a provider as one that prunes: of a provider only three methods are known. */
function pruner(provider: AgentCheckpointProvider): Pick<CheckpointStorage, "pruneCheckpoints"> {
  if (typeof property(provider, "pruneCheckpoints") === "function") return provider as CheckpointStorage;
  throw refused("auto checkpoint: options.keep needs a provider with pruneCheckpoints, and the active one has none");
}

function refused(message: string): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", message);
}
