import { checkPrunePolicy } from "../checkpoints/arguments.ts";
import type { PrunePolicy } from "../contract/checkpoints.ts";
import { integer, objectWithKeys } from "../contract/checks.ts";
import { MAX_TIMEOUT_MS } from "../database/options.ts";

/** Pruning by itself: a policy of `pruneCheckpoints` for all agents, and how often. In a config it stands beside `providers`. */
export interface RetentionOptions
  extends Pick<
    PrunePolicy,
    "dropAgentsIdleForMs" | "keepLast" | "keepWithinMs" | "keepEvery" | "keepMetadata" | "batchSize"
  > {
  /** Time between two prunes of the database, in milliseconds: at most 24 days. Default one hour. */
  readonly everyMs?: number | undefined;
}

export interface ResolvedRetention {
  readonly policy: PrunePolicy;
  readonly everyMs: number;
}

const HOUR_MS = 3_600_000;

const RULES = ["dropAgentsIdleForMs", "keepLast", "keepWithinMs", "keepEvery", "keepMetadata", "batchSize"] as const;

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveRetention(field: string, value: unknown): ResolvedRetention {
  const { everyMs = HOUR_MS, ...policy } = objectWithKeys(field, value as RetentionOptions, ["everyMs", ...RULES]);
  checkPrunePolicy(policy as PrunePolicy, field);
  return {
    policy: policy as PrunePolicy,
    everyMs: integer(`${field}.everyMs`, everyMs, 1_000, MAX_TIMEOUT_MS, "milliseconds"),
  };
}
