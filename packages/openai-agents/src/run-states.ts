import { Agent, type RunContext, RunState } from "@openai/agents-core";
import { CheckpointError, type CheckpointStorage } from "@waymark/core";
import { invalidArgument, members, property, string } from "@waymark/core/kit";
import { checkAgentId, checkStorage } from "./arguments.ts";

export interface RunStatesOptions {
  /** Where the states are kept. It stays the caller's, who closes it. */
  readonly storage: CheckpointStorage;
  /** Whose runs these are: 1 to 255 bytes of UTF-8. The id of the session, most likely, or that of a task. */
  readonly agentId: string;
  /** The namespace of that agent: up to 1,024 bytes of UTF-8. No one else may store there. Default `"run"`. */
  readonly namespace?: string;
}

export interface SaveOptions {
  /** What a person calls this state. Default `"run state"`. */
  readonly name?: string;
  /**
   * Save only if the state that was saved last is the one with this id (`null`: only if there is none). Of any number of
   * processes that name the same one exactly one wins; the others get `CONFLICT`. Default: save in any case.
   */
  readonly ifLatest?: string | null;
}

export interface LoadOptions<Context> {
  /** Which one, if not the one that was saved last. */
  readonly id?: string;
  /** The run's context, if not as it was saved: what is in it that JSON cannot hold is made anew by its owner. */
  readonly context?: RunContext<Context>;
  /** What becomes of the approvals that were saved, where there is a `context`: as the SDK says. Default `"merge"`. */
  readonly contextStrategy?: "merge" | "replace";
}

export interface StoredRunState<Context, TAgent extends AnyAgent> {
  /** Of the checkpoint that holds it: for `ifLatest`. */
  readonly id: string;
  /** What it was saved as: whether it waits for a decision, or somebody has decided and is at work. */
  readonly name: string;
  /** When it was saved, in milliseconds since 1970-01-01 UTC, by the clock of who did. */
  readonly createdAt: number;
  readonly state: RunState<Context, TAgent>;
}

/** The SDK's own bound for an agent, with its own `any`. */
type AnyAgent = Parameters<typeof RunState.fromString>[0];

/**
 * The states of runs that were interrupted, to be resumed by any process: `save` what `run()` returns as `state`, `load` it,
 * approve or reject its interruptions, and hand it to `run()` as the input. Each state is a checkpoint, and all of them stay
 * until they are pruned or deleted.
 */
export class WaymarkRunStates {
  readonly #storage: CheckpointStorage;
  readonly #agentId: string;
  readonly #namespace: string;

  /** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
  constructor(options: RunStatesOptions) {
    const { storage, agentId, namespace = "run" } = members("options", options, ["storage", "agentId", "namespace"]);
    this.#storage = checkStorage("options.storage", storage);
    this.#agentId = checkAgentId("options.agentId", agentId);
    this.#namespace = string("options.namespace", namespace);
  }

  /**
   * Saves a state as it is now, and returns the id of its checkpoint once the database has it durably. Keys for tracing are
   * left out, as the SDK's `toString()` does.
   * @throws CheckpointError `CONFLICT` if another one was saved after `ifLatest`; and what the storage rejects with
   */
  async save<Context, TAgent extends AnyAgent>(
    state: RunState<Context, TAgent>,
    options: SaveOptions = {},
  ): Promise<string> {
    if (!(state instanceof RunState)) throw invalidArgument("state", `a RunState ${OF_THIS_SDK}`, state);
    members("options", options, ["name", "ifLatest"]);
    const { name = "run state", ifLatest } = options;
    const checkpoint = {
      agentId: this.#agentId,
      namespace: this.#namespace,
      name,
      // Parsed, so that of the next state only what has changed is written.
      state: JSON.parse(state.toString()),
      createdAt: Date.now(),
      ...(typeof ifLatest === "string" ? { parentId: ifLatest } : {}),
    };
    return await this.#storage.storeCheckpoint(checkpoint, ifLatest === undefined ? {} : { ifLatest });
  }

  /**
   * The state that was saved last, or the one with `options.id`; `null` if there is none. `agent` is the one that the run began
   * with, with the same tools and handoffs.
   * @throws CheckpointError `INVALID_ARGUMENT` if the checkpoint holds no run state; what the storage rejects with; and the
   *   SDK's own errors if the state does not fit the agent, or a newer version of the SDK has written it
   */
  async load<Context = unknown, TAgent extends AnyAgent = AnyAgent>(
    agent: TAgent,
    options: LoadOptions<Context> = {},
  ): Promise<StoredRunState<Context, TAgent> | null> {
    if (!(agent instanceof Agent)) throw invalidArgument("agent", `an Agent ${OF_THIS_SDK}`, agent);
    const { id, context, contextStrategy } = options;
    members("options", options, ["id", "context", "contextStrategy"]);
    const checkpoint =
      id === undefined
        ? await this.#storage.retrieveLatestCheckpoint(this.#agentId, { namespace: this.#namespace })
        : await this.#storage.retrieveCheckpoint(id);
    if (checkpoint === null) return null;
    // Who may ask for an id has not said whose it is.
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
    return { id: checkpoint.id, name: checkpoint.name, createdAt: checkpoint.createdAt, state };
  }
}

/** Another copy of the SDK has other classes, and its `run()` would take a state of this one for a list of items. */
const OF_THIS_SDK =
  "of the @openai/agents-core that @waymark/openai-agents imports (is there a second copy, of another version or by require()?)";
