import { objectWithKeys } from "../contract/checks.ts";
import { invalidArgument, property } from "../contract/errors.ts";
import type { AgentCheckpoint, CheckpointedAgent } from "./contract.ts";

/** Checks an agent. @throws CheckpointError `INVALID_ARGUMENT` */
export function checkAgent(field: string, agent: CheckpointedAgent): void {
  for (const method of ["generateCheckpoint", "restoreCheckpoint"]) {
    if (typeof property(agent, method) !== "function") {
      throw invalidArgument(field, `one with the method ${method}`, agent);
    }
  }
}

/** Checks a generated checkpoint: names are the caller's, and an id of the agent's would make each later save a conflict. */
export function checkGenerated<State>(field: string, checkpoint: AgentCheckpoint<State>): AgentCheckpoint<State> {
  const keys = ["agentId", "namespace", "state", "createdAt", "parentId", "metadata"] as const;
  objectWithKeys(field, checkpoint, keys);
  return checkpoint;
}
