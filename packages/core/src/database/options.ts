import type { CircuitOptions, CommonStorageOptions, RetryOptions } from "../contract/checkpoints.ts";
import { boolean, identifier, integer, members, oneOf } from "../contract/checks.ts";
import { type ResolvedEncryption, resolveEncryption } from "../encryption/key-ring.ts";

/** The options that every dialect takes, as they are listed in its README. */
export const COMMON_OPTIONS = [
  "operationTimeoutMs",
  "migrate",
  "tablePrefix",
  "cacheBytes",
  "freeze",
  "retry",
  "circuit",
  "encryption",
] as const;

/** Timers hold 31 bits. */
export const MAX_TIMEOUT_MS = 2_147_483_647;

/** MySQL's identifiers end at 64 characters, PostgreSQL's at 63; the longest of ours has 37. */
const MAX_PREFIX_LENGTH = 24;

/** The options with their defaults: inside, nothing is optional. */
export interface ResolvedCommonOptions
  extends Required<Omit<CommonStorageOptions, "retry" | "circuit" | "encryption">> {
  readonly encryption: ResolvedEncryption | undefined;
  readonly retry: Required<RetryOptions>;
  readonly circuit: Required<CircuitOptions>;
}

/** Those that are not the dialect's affair. */
export type ResolvedStorageOptions = Omit<ResolvedCommonOptions, "migrate" | "tablePrefix" | "encryption">;

/** Those of the calls to one database. */
export type ResolvedResilience = Pick<ResolvedCommonOptions, "operationTimeoutMs" | "retry" | "circuit">;

export function resolveCommonOptions(
  options: { readonly [name in keyof CommonStorageOptions]?: unknown },
): ResolvedCommonOptions {
  const {
    operationTimeoutMs = 30_000,
    migrate = "auto",
    tablePrefix = "",
    cacheBytes = 64_000_000,
    freeze = false,
    retry = {},
    circuit = {},
  } = options;
  return {
    operationTimeoutMs: timeout("options.operationTimeoutMs", operationTimeoutMs),
    migrate: oneOf("options.migrate", migrate, ["auto", "verify", "off"]),
    tablePrefix: tablePrefix === "" ? "" : identifier("options.tablePrefix", tablePrefix, MAX_PREFIX_LENGTH),
    cacheBytes: integer("options.cacheBytes", cacheBytes, 0, Number.MAX_SAFE_INTEGER, "bytes"),
    freeze: boolean("options.freeze", freeze),
    retry: resolveRetry(retry),
    circuit: resolveCircuit(circuit),
    encryption: resolveEncryption(options.encryption),
  };
}

function resolveRetry(value: unknown): Required<RetryOptions> {
  const names = ["maxRetries", "baseDelayMs", "maxDelayMs", "jitterMaxMs"] as const;
  const {
    maxRetries = 3,
    baseDelayMs = 1_000,
    maxDelayMs = 10_000,
    jitterMaxMs = 1_000,
  } = members("options.retry", value, names);
  return {
    maxRetries: integer("options.retry.maxRetries", maxRetries, 0, 1_000, "retries"),
    baseDelayMs: timeout("options.retry.baseDelayMs", baseDelayMs),
    maxDelayMs: timeout("options.retry.maxDelayMs", maxDelayMs),
    jitterMaxMs: integer("options.retry.jitterMaxMs", jitterMaxMs, 0, MAX_TIMEOUT_MS, "milliseconds"),
  };
}

function resolveCircuit(value: unknown): Required<CircuitOptions> {
  const names = ["failureThreshold", "resetTimeoutMs", "halfOpenMaxAttempts"] as const;
  const {
    failureThreshold = 5,
    resetTimeoutMs = 60_000,
    halfOpenMaxAttempts = 3,
  } = members("options.circuit", value, names);
  return {
    failureThreshold: integer("options.circuit.failureThreshold", failureThreshold, 1, 1_000_000, "calls"),
    resetTimeoutMs: timeout("options.circuit.resetTimeoutMs", resetTimeoutMs),
    halfOpenMaxAttempts: integer("options.circuit.halfOpenMaxAttempts", halfOpenMaxAttempts, 1, 1_000, "probes"),
  };
}

export function timeout(field: string, value: unknown): number {
  return integer(field, value, 1, MAX_TIMEOUT_MS, "milliseconds");
}
