import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
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
export async function forget(
  owner: string,
  { memory, checkpoints, agentIds = [owner], signal }: ForgetOptions,
): Promise<ForgottenEverywhere> {
  const options = signal === undefined ? {} : { signal };
  const forgotten = await memory.forgetOwner(owner, options);
  let count = 0;
  for (const agentId of agentIds) count += await checkpoints.deleteAgent(agentId, options);
  return { ...forgotten, checkpoints: count };
}
