import { checkMetadata } from "../codec/metadata.ts";
import type { CallOptions, CheckpointMetadata, CheckpointStorage } from "../contract/checkpoints.ts";
import { checkText, objectWithKeys, refuseUndefined } from "../contract/checks.ts";
import { invalidArgument, property } from "../contract/errors.ts";
import { signalOf } from "../database/arguments.ts";
import type { ForgetResult, MemoryStorage } from "./contract.ts";

export interface ForgetOptions extends CallOptions {
  readonly memory: Pick<MemoryStorage, "forgetOwner">;
  readonly checkpoints: Pick<CheckpointStorage, "deleteAgent" | "deleteAgents">;
  /** Agents whose checkpoints are the owner's. Default: the one of the same id, if `metadata` is not given. */
  readonly agentIds?: readonly string[];
  /** The label that agents of the owner have: exactly one, and indexed (see `indexedLabels`). */
  readonly metadata?: CheckpointMetadata;
}

export interface ForgottenEverywhere extends ForgetResult {
  readonly checkpoints: number;
}

/**
 * Deletes all that an owner has: the checkpoints of its agents, and its memory. It may be called again if it was interrupted: what is
 * gone already is not counted then.
 * @throws CheckpointError of whichever storage fails; checkpoints are deleted first
 */
export async function forget(owner: string, options: ForgetOptions): Promise<ForgottenEverywhere> {
  // Before anything is deleted: with a member mistyped half would be.
  const { memory, checkpoints, agentIds, metadata, ...call } = checkForgetOptions(owner, options);
  // The storage of checkpoints alone knows whether the label is indexed.
  let count = metadata === null ? 0 : (await checkpoints.deleteAgents({ metadata, ...call })).checkpoints;
  for (const agentId of agentIds) count += await checkpoints.deleteAgent(agentId, call);
  return { ...(await memory.forgetOwner(owner, call)), checkpoints: count };
}

function checkForgetOptions(owner: string, value: ForgetOptions) {
  const options = objectWithKeys("options", value, ["memory", "checkpoints", "agentIds", "metadata", "signal"]);
  // A lookup that found nothing must not delete the agent of the owner's name instead.
  refuseUndefined("options", options, ["agentIds", "metadata"]);
  const { memory, checkpoints, metadata, signal } = options;
  const { agentIds = metadata === undefined ? [owner] : [] } = options;
  if (typeof property(memory, "forgetOwner") !== "function")
    throw invalidArgument("options.memory", "a memory", memory);
  if (typeof property(checkpoints, "deleteAgents") !== "function") {
    throw invalidArgument("options.checkpoints", "a storage of checkpoints", checkpoints);
  }
  if (!Array.isArray(agentIds)) throw invalidArgument("options.agentIds", "an array", agentIds);
  return {
    memory: memory as ForgetOptions["memory"],
    checkpoints: checkpoints as ForgetOptions["checkpoints"],
    agentIds: Array.from(agentIds, (id: unknown, at) => checkText(`options.agentIds[${at}]`, id, 1, 255)),
    metadata: metadata === undefined ? null : checkMetadata("options.metadata", metadata),
    ...signalOf("options", signal),
  };
}
