import { Agent, type RunContext, RunState } from "@openai/agents-core";
import { CheckpointError, type CheckpointMetadata, type CheckpointStorage } from "@waymark/core";
import {
  checkAgentId,
  checkIfLatestIsGiven,
  checkMetadata,
  checkNamespace,
  invalidArgument,
  objectWithKeys,
  property,
  refuseUndefined,
} from "@waymark/core/kit";
import { checkStorage } from "./arguments.ts";

export interface RunStatesOptions {
  /** Storage of the states. The caller closes it. */
  readonly storage: CheckpointStorage;
  /** Owner of the runs: 1 to 255 bytes of UTF-8. For example the id of a session or a task. */
  readonly agentId: string;
  /** Namespace of that agent: up to 1,024 bytes of UTF-8. Nothing else may be stored there. Default `"run"`. */
  readonly namespace?: string | undefined;
  /**
   * Labels of every state that is saved: a user or a tenant, for example, whose runs `storage.deleteAgents` erases if the label
   * is indexed (see `indexedLabels` of the storage). Default: none.
   */
  readonly metadata?: CheckpointMetadata | undefined;
}

export interface SaveOptions {
  /** Name of the state, for people. Default `"run state"`. */
  readonly name?: string | undefined;
  /** Labels of this state, beside those of all and before them: `{ status: "waits for approval" }`. Default: none. */
  readonly metadata?: CheckpointMetadata | undefined;
  /**
   * Compare-and-save: save only if the latest state has this id (`null`: only if there is none). Of any number of processes
   * that name the same latest exactly one wins; the others get `CONFLICT`. Default: save in any case. `undefined` is refused.
   */
  readonly ifLatest?: string | null;
}

export interface LoadOptions<Context> {
  /** Id of the state. Default: the latest. `undefined` is refused. */
  readonly id?: string;
  /** Context of the run, with the members that JSON cannot hold. Default: the context as it was saved. */
  readonly context?: RunContext<Context> | undefined;
  /** With `context`: use of the saved approvals, see the SDK. Default `"merge"`. */
  readonly contextStrategy?: "merge" | "replace" | undefined;
}

export interface StoredRunState<Context, TAgent extends AnyAgent> {
  /** Id of its checkpoint, for `ifLatest`. */
  readonly id: string;
  /** Name under which it was saved: says, for example, that the run waits for a decision, or was decided. */
  readonly name: string;
  /** Time at which it was saved, in milliseconds since 1970-01-01 UTC, by the clock of that process. */
  readonly createdAt: number;
  /** Labels with which it was saved; absent if there are none. */
  readonly metadata?: CheckpointMetadata | undefined;
  readonly state: RunState<Context, TAgent>;
}

/** The SDK's own type of any agent. */
type AnyAgent = Parameters<typeof RunState.fromString>[0];

/**
 * States of interrupted runs, which any process can resume: `save` the `state` that `run()` returns, `load` it, approve or
 * reject its interruptions, and pass it to `run()` as the input. Each state is a checkpoint, and stays until it is pruned or
 * deleted.
 */
export class WaymarkRunStates {
  readonly #storage: CheckpointStorage;
  readonly #agentId: string;
  readonly #namespace: string;
  readonly #metadata: CheckpointMetadata;

  /** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
  constructor(options: RunStatesOptions) {
    const {
      storage,
      agentId,
      namespace = "run",
      metadata = {},
    } = objectWithKeys("options", options, ["storage", "agentId", "namespace", "metadata"]);
    this.#storage = checkStorage("options.storage", storage);
    this.#agentId = checkAgentId("options.agentId", agentId);
    this.#namespace = checkNamespace("options.namespace", namespace);
    this.#metadata = checkMetadata("options.metadata", metadata);
  }

  /**
   * Saves a state as it is now, and returns the id of its checkpoint once it is durable in the database. Tracing keys are left
   * out, as in the SDK's `toString()`.
   * @throws CheckpointError `CONFLICT` if another state was saved after `ifLatest`; errors of the storage
   */
  async save<Context, TAgent extends AnyAgent>(
    state: RunState<Context, TAgent>,
    options: SaveOptions = {},
  ): Promise<string> {
    if (!(state instanceof RunState)) throw invalidArgument("state", `a RunState ${OF_THIS_SDK}`, state);
    checkIfLatestIsGiven(objectWithKeys("options", options, ["name", "metadata", "ifLatest"]));
    const { name = "run state", metadata = {}, ifLatest } = options;
    const labels = { ...this.#metadata, ...checkMetadata("options.metadata", metadata) };
    const checkpoint = {
      agentId: this.#agentId,
      namespace: this.#namespace,
      name,
      // Parsed, so that only the changes to the next state are written.
      state: JSON.parse(state.toString()),
      createdAt: Date.now(),
      ...(Object.keys(labels).length > 0 ? { metadata: labels } : {}),
      ...(typeof ifLatest === "string" ? { parentId: ifLatest } : {}),
    };
    return await this.#storage.storeCheckpoint(checkpoint, ifLatest === undefined ? {} : { ifLatest });
  }

  /**
   * Loads the latest state, or the one with `options.id`; `null` if there is none. `agent`: the agent that the run began with,
   * with the same tools and handoffs.
   * @throws CheckpointError `INVALID_ARGUMENT` if the checkpoint holds no run state; errors of the storage; and the SDK's own
   *   errors if the state does not fit the agent, or if a newer version of the SDK has written it
   */
  async load<Context = unknown, TAgent extends AnyAgent = AnyAgent>(
    agent: TAgent,
    options: LoadOptions<Context> = {},
  ): Promise<StoredRunState<Context, TAgent> | null> {
    if (!(agent instanceof Agent)) throw invalidArgument("agent", `an Agent ${OF_THIS_SDK}`, agent);
    const { id, context, contextStrategy } = options;
    refuseUndefined("options", objectWithKeys("options", options, ["id", "context", "contextStrategy"]), ["id"]);
    const checkpoint =
      id === undefined
        ? await this.#storage.retrieveLatestCheckpoint(this.#agentId, { namespace: this.#namespace })
        : await this.#storage.retrieveCheckpoint(id);
    if (checkpoint === null) return null;
    // An id from a caller may be that of another agent's checkpoint.
    if (checkpoint.agentId !== this.#agentId || (checkpoint.namespace ?? "") !== this.#namespace) return null;
    if (typeof property(checkpoint.state, "$schemaVersion") !== "string") {
      throw new CheckpointError("INVALID_ARGUMENT", `expected checkpoint ${checkpoint.id} to hold a run state`);
    }
    const text = JSON.stringify(checkpoint.state);
    const state =
      context === undefined
        ? await RunState.fromString<Context, TAgent>(agent, text)
        : await RunState.fromStringWithContext<Context, TAgent>(agent, text, context, {
            ...(contextStrategy === undefined ? {} : { contextStrategy }),
          });
    const { name, createdAt, metadata } = checkpoint;
    return { id: checkpoint.id, name, createdAt, ...(metadata === undefined ? {} : { metadata }), state };
  }
}

/** A second copy of the SDK has other classes, and its `run()` would take a state of this copy for a list of items. */
const OF_THIS_SDK =
  "of the @openai/agents-core that @waymark/openai-agents imports (is there a second copy, of another version or by require()?)";
