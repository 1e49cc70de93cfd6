import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
import { checkText, objectWithKeys } from "../contract/checks.ts";
import { invalidArgument, property } from "../contract/errors.ts";
import { signalOf } from "../database/arguments.ts";
import type { ForgetResult, MemoryStorage } from "./contract.ts";

export interface ForgetOptions extends CallOptions {
  readonly memory: Pick<MemoryStorage, "forgetOwner">;
  readonly checkpoints: Pick<CheckpointStorage, "deleteAgent">;
  /** Agents whose checkpoints are the owner's. Default: the one of the same id. */
  readonly agentIds?: readonly string[] | undefined;
}

export interface ForgottenEverywhere extends ForgetResult {
  readonly checkpoints: number;
}

/**
 * Deletes all that an owner has: its memory, and the checkpoints of its agents. It may be called again if it was interrupted: what is
 * gone already is not counted then.
 * @throws CheckpointError of whichever storage fails; memory is deleted first
 */
export async function forget(owner: string, options: ForgetOptions): Promise<ForgottenEverywhere> {
  // Before anything is deleted: with a member mistyped half would be.
  const { memory, checkpoints, agentIds, ...call } = checkForgetOptions(owner, options);
  const forgotten = await memory.forgetOwner(owner, call);
  let count = 0;
  for (const agentId of agentIds) count += await checkpoints.deleteAgent(agentId, call);
  return { ...forgotten, checkpoints: count };
}

function checkForgetOptions(owner: string, value: ForgetOptions) {
  const options = objectWithKeys("options", value, ["memory", "checkpoints", "agentIds", "signal"]);
  const { memory, checkpoints, agentIds = [owner], signal } = options;
  if (typeof property(memory, "forgetOwner") !== "function")
    throw invalidArgument("options.memory", "a memory", memory);
  if (typeof property(checkpoints, "deleteAgent") !== "function") {
    throw invalidArgument("options.checkpoints", "a storage of checkpoints", checkpoints);
  }
  if (!Array.isArray(agentIds)) throw invalidArgument("options.agentIds", "an array", agentIds);
  return {
    memory: memory as ForgetOptions["memory"],
    checkpoints: checkpoints as ForgetOptions["checkpoints"],
    agentIds: Array.from(agentIds, (id: unknown, at) => checkText(`options.agentIds[${at}]`, id, 1, 255)),
    ...signalOf("options", signal),
  };
}
