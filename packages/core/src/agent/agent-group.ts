import { checkCheckpoint } from "../checkpoints/arguments.ts";
import type { CheckpointMetadata, StoredAgentCheckpoint } from "../contract/checkpoints.ts";
import { objectWithKeys, oneOf, plainObject, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, property } from "../contract/errors.ts";
import { isPromise } from "./auto-checkpoint.ts";
import { checkAgent, checkGenerated } from "./checks.ts";
import type { AgentCheckpoint, CheckpointedAgent } from "./contract.ts";

/** The application's own state, beside its agents. */
export interface ApplicationState<State = unknown> {
  /** Returns the state to go on from. */
  save(): State | Promise<State>;
  /** Takes over a state that `save` has returned, maybe in another process. Called before the agents: it may add some. */
  restore(state: State): void | Promise<void>;
}

export interface AgentGroupOptions<Application = unknown> {
  /** `agentId` of the group's checkpoints: one of its own, if its agents are saved alone too. */
  readonly agentId: string;
  /** Namespace of the group's checkpoints. Default `""`. */
  readonly namespace?: string | undefined;
  /** Labels of the group's checkpoints. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** The agents by name. Looked at again for each save and restore: agents may come and go. */
  readonly agents: Readonly<Record<string, CheckpointedAgent>>;
  readonly application?: ApplicationState<Application> | undefined;
  /**
   * What becomes of the states, in a checkpoint that is restored, for which there is no agent any more, or no `application`.
   * `"keep"`: they are saved again with the next checkpoints, until there is one. `"drop"`: the next checkpoints lack them.
   * Default `"keep"`.
   */
  readonly unknownStates?: "keep" | "drop" | undefined;
}

/** What an agent has generated, as a part of a group's state. */
export type GroupedCheckpoint = Omit<AgentCheckpoint, "createdAt" | "parentId">;

/** State of a group's checkpoint. */
export interface AgentGroupState<Application = unknown> {
  /** By the agents' names. */
  readonly agents: Readonly<Record<string, GroupedCheckpoint>>;
  /** Absent without an `application`. */
  readonly application?: Application;
}

/**
 * Makes one agent of several, and of the application's own state: for a {@link CheckpointService}, which saves all of them as
 * one checkpoint, or none.
 *
 * A save calls all of them before it waits for any: states that are returned at once are of the same moment. If one throws,
 * nothing is stored, and the save rejects with that error. A restore calls the application first, then the agents that the
 * checkpoint has a state of, in the order of `agents`; an agent that is new is not called. One that throws ends it: those
 * before it are restored. Each agent gets its own `agentId`, `namespace`, `metadata` and `state`, and the rest of the
 * group's checkpoint.
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function groupAgents<Application = unknown>(
  options: AgentGroupOptions<Application>,
): CheckpointedAgent<AgentGroupState<Application>> {
  const names = ["agentId", "namespace", "metadata", "agents", "application", "unknownStates"] as const;
  const { agentId, namespace, agents, application, unknownStates = "keep" } = objectWithKeys("options", options, names);
  string("options.agentId", agentId);
  if (namespace !== undefined) string("options.namespace", namespace);
  if (application !== undefined) checkApplication(application);
  oneOf("options.unknownStates", unknownStates, ["keep", "drop"]);
  plainObject("options.agents", agents);
  const group = new AgentGroup<Application>(options);
  group.members(); // so that a mistake shows now, and not when the process ends
  return group;
}

class AgentGroup<Application> implements CheckpointedAgent<AgentGroupState<Application>> {
  readonly #options: AgentGroupOptions<Application>;
  /** States of the last restored checkpoint that nobody has taken over, nor saved another one of since. */
  #unknown: AgentGroupState<Application> = { agents: {} };

  constructor(options: AgentGroupOptions<Application>) {
    this.#options = options;
  }

  generateCheckpoint():
    | AgentCheckpoint<AgentGroupState<Application>>
    | Promise<AgentCheckpoint<AgentGroupState<Application>>> {
    const { application } = this.#options;
    const members = this.members();
    const results: unknown[] = [];
    try {
      for (const [, agent] of members) results.push(agent.generateCheckpoint());
      if (application !== undefined) results.push(application.save());
    } finally {
      // One that throws ends this: then nobody waits for those before it.
      for (const result of results) if (isPromise(result)) result.catch(() => {});
    }
    return results.some(isPromise)
      ? Promise.all(results).then((all) => this.#checkpoint(members, all))
      : this.#checkpoint(members, results);
  }

  async restoreCheckpoint(checkpoint: StoredAgentCheckpoint<AgentGroupState<Application>>): Promise<void> {
    const state = checkGroupState(checkpoint.state);
    const application = Object.hasOwn(state, "application") ? { application: state.application as Application } : {};
    if ("application" in application) await this.#options.application?.restore(application.application as Application);
    const { id, name, createdAt, parentId } = checkpoint;
    const shared = { id, name, createdAt, ...(parentId === undefined ? {} : { parentId }) };
    const members = this.members();
    for (const [member, agent] of members) {
      if (!Object.hasOwn(state.agents, member)) continue;
      const { agentId, namespace, metadata, state: own } = state.agents[member] as GroupedCheckpoint;
      const labels = {
        ...(namespace === undefined ? {} : { namespace }),
        ...(metadata === undefined ? {} : { metadata }),
      };
      await agent.restoreCheckpoint({ ...shared, agentId, ...labels, state: own });
    }
    if (this.#options.unknownStates === "drop") return;
    this.#unknown = { ...application, agents: state.agents };
    this.#forget(members);
  }

  members(): [string, CheckpointedAgent][] {
    const members = Object.entries(this.#options.agents);
    for (const [name, agent] of members) checkAgent(`options.agents[${JSON.stringify(name)}]`, agent);
    return members;
  }

  /** Forgets the unknown states of these members, and that of the application if there is one now: they have newer ones. */
  #forget(members: readonly [string, CheckpointedAgent][]): void {
    const known = new Set(members.map(([member]) => member));
    const { agents, ...application } = this.#unknown;
    this.#unknown = {
      ...(this.#options.application === undefined ? application : {}),
      agents: Object.fromEntries(Object.entries(agents).filter(([member]) => !known.has(member))),
    };
  }

  /** `results`: those of the members, and then that of the application, if there is one. */
  #checkpoint(
    members: readonly [string, CheckpointedAgent][],
    results: readonly unknown[],
  ): AgentCheckpoint<AgentGroupState<Application>> {
    const { agentId, namespace, metadata, application } = this.#options;
    const agents = members.map(([name], at): [string, GroupedCheckpoint] => {
      const field = `agents[${JSON.stringify(name)}].generateCheckpoint()`;
      const { createdAt: _, parentId: __, ...kept } = checkGenerated(field, results[at] as AgentCheckpoint);
      // The group's state is stored as it is: without this, no restore would take it.
      checkCheckpoint({ ...kept, name: "", createdAt: 0 }, field);
      return [name, kept];
    });
    this.#forget(members);
    return {
      agentId,
      namespace,
      metadata,
      state: {
        ...this.#unknown,
        agents: Object.fromEntries([...Object.entries(this.#unknown.agents), ...agents]),
        ...(application === undefined ? {} : { application: results.at(-1) as Application }),
      },
    };
  }
}

function checkApplication(application: unknown): void {
  for (const method of ["save", "restore"]) {
    if (typeof property(application, method) !== "function") {
      throw invalidArgument("options.application", `an object with the method ${method}`, application);
    }
  }
}

/** Checks that a checkpoint is of a group, before anything is restored from it. */
function checkGroupState<Application>(state: AgentGroupState<Application>): AgentGroupState<Application> {
  const agents = property(state, "agents");
  const isOne = typeof agents === "object" && agents !== null && !Array.isArray(agents);
  if (isOne && Object.values(agents).every((one) => typeof property(one, "agentId") === "string")) return state;
  throw new CheckpointError("INVALID_ARGUMENT", "restore group of agents: the checkpoint is not of a group of agents");
}
