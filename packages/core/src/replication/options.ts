import { boolean, integer, members, oneOf } from "../contract/checks.ts";

/** What a storage with a backup does, and when. In a config file these stand beside `providers`. */
export interface ReplicationOptions {
  /**
   * `"async"`: a store is acknowledged when main has it, and the backup gets it right after. `"required"`: when both have
   * it; only while main is out of reach does the backup alone do. `"off"`: the backup is left alone. Default `"async"`.
   */
  readonly replication?: "async" | "required" | "off";
  /**
   * While main is out of reach: `"automatic"`, the backup takes stores and answers; `"read-only"`, it only answers;
   * `"off"`: calls fail. Default `"automatic"`.
   */
  readonly failover?: "automatic" | "read-only" | "off";
  /**
   * While main is out of reach, whether the backup may answer what a newer checkpoint in main would change: the latest, lists,
   * "there is none". `"refuse"`: such calls reject with `STALE`, unless they say `allowStale`. Default `"refuse"`.
   */
  readonly staleReads?: "refuse" | "allow";
  /** Whether main and backup are compared by themselves, at the start, after one was away, and every hour. Default `true`. */
  readonly reconcile?: boolean;
  /** How long it is remembered that a checkpoint was deleted, in milliseconds. Default 30 days. */
  readonly tombstoneRetentionMs?: number;
}

export type ReplicationPolicy = Required<ReplicationOptions>;

export const REPLICATION_OPTIONS = [
  "replication",
  "failover",
  "staleReads",
  "reconcile",
  "tombstoneRetentionMs",
] as const;

const THIRTY_DAYS_MS = 2_592_000_000;

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveReplication(field: string, value: unknown): ReplicationPolicy {
  const options = members(field, value, REPLICATION_OPTIONS);
  const { replication = "async", failover = "automatic", staleReads = "refuse" } = options;
  const { reconcile = true, tombstoneRetentionMs = THIRTY_DAYS_MS } = options;
  return {
    replication: oneOf(`${field}.replication`, replication, ["async", "required", "off"]),
    failover: oneOf(`${field}.failover`, failover, ["automatic", "read-only", "off"]),
    staleReads: oneOf(`${field}.staleReads`, staleReads, ["refuse", "allow"]),
    reconcile: boolean(`${field}.reconcile`, reconcile),
    tombstoneRetentionMs: integer(
      `${field}.tombstoneRetentionMs`,
      tombstoneRetentionMs,
      0,
      Number.MAX_SAFE_INTEGER,
      "milliseconds",
    ),
  };
}
