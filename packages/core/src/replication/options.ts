import { boolean, type Given, integer, objectWithKeys, oneOf } from "../contract/checks.ts";

/** Options of a storage with a main and a backup. In a config file they stand beside `providers`. */
export interface ReplicationOptions {
  /**
   * `"async"`: a store is acknowledged when main has it, and is sent to the backup right after. `"required"`: it is
   * acknowledged when both have it; only while main is unreachable is the backup alone enough. `"off"`: the backup is not
   * used. Default `"async"`.
   */
  readonly replication?: "async" | "required" | "off" | undefined;
  /**
   * While main is unreachable: with `"automatic"` the backup takes stores and answers reads; with `"read-only"` it only
   * answers reads; with `"off"` calls fail. Default `"automatic"`.
   */
  readonly failover?: "automatic" | "read-only" | "off" | undefined;
  /**
   * While main is unreachable: whether the backup may answer questions whose answer a newer checkpoint in main would change
   * (the latest, lists, "there is none"). `"refuse"`: such calls reject with `STALE`, unless they set `allowStale`. Default
   * `"refuse"`.
   */
  readonly staleReads?: "refuse" | "allow" | undefined;
  /** Compare main and backup automatically: at the start, after an outage of one of them, and every hour. Default `true`. */
  readonly reconcile?: boolean | undefined;
  /** Time that deleted ids are remembered for, in milliseconds. Default 30 days. */
  readonly tombstoneRetentionMs?: number | undefined;
}

export type ResolvedReplicationOptions = Given<ReplicationOptions>;

export const REPLICATION_OPTIONS = [
  "replication",
  "failover",
  "staleReads",
  "reconcile",
  "tombstoneRetentionMs",
] as const;

const THIRTY_DAYS_MS = 2_592_000_000;

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveReplication(field: string, value: unknown): ResolvedReplicationOptions {
  const options = objectWithKeys(field, value, REPLICATION_OPTIONS);
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
