import { type Given, identifier, integer, objectWithKeys, oneOf } from "../contract/checks.ts";
import type { CircuitOptions, DatabaseOptions, RetryOptions } from "../contract/options.ts";

/** Options of every database, whatever is stored in it: deadlines, retries, circuit breaker, schema, pool size. */

export const DATABASE_OPTIONS = ["operationTimeoutMs", "migrate", "tablePrefix", "retry", "circuit"] as const;

/** The longest time of a timer: 31 bits of milliseconds. */
export const MAX_TIMEOUT_MS = 2_147_483_647;

/** MySQL's identifiers end at 64 characters, PostgreSQL's at 63; the longest of ours has 37. */
const MAX_PREFIX_LENGTH = 24;

/** Connections of a pool where tests run: many test processes together would otherwise take all that a server has. */
const POOL_SIZE_IN_TESTS = 2;

/** The options, checked and with their defaults. */
export interface ResolvedDatabaseOptions
  extends Given<Pick<DatabaseOptions, "operationTimeoutMs" | "migrate" | "tablePrefix">> {
  readonly retry: Given<RetryOptions>;
  readonly circuit: Given<CircuitOptions>;
}

type Unchecked = { readonly [name in (typeof DATABASE_OPTIONS)[number]]?: unknown };

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
export function resolveDatabaseOptions(options: Unchecked): ResolvedDatabaseOptions {
  const { operationTimeoutMs = 30_000, migrate = "auto", tablePrefix = "", retry = {}, circuit = {} } = options;
  return {
    operationTimeoutMs: timeout("options.operationTimeoutMs", operationTimeoutMs),
    migrate: oneOf("options.migrate", migrate, ["auto", "verify", "off"]),
    tablePrefix: tablePrefix === "" ? "" : identifier("options.tablePrefix", tablePrefix, MAX_PREFIX_LENGTH),
    retry: resolveRetry(retry),
    circuit: resolveCircuit(circuit),
  };
}

function resolveRetry(value: unknown): Given<RetryOptions> {
  const keys = ["maxRetries", "baseDelayMs", "maxDelayMs", "jitterMaxMs"] as const;
  const {
    maxRetries = 3,
    baseDelayMs = 1_000,
    maxDelayMs = 10_000,
    jitterMaxMs = 1_000,
  } = objectWithKeys("options.retry", value, keys);
  return {
    maxRetries: integer("options.retry.maxRetries", maxRetries, 0, 1_000, "retries"),
    baseDelayMs: timeout("options.retry.baseDelayMs", baseDelayMs),
    maxDelayMs: timeout("options.retry.maxDelayMs", maxDelayMs),
    jitterMaxMs: integer("options.retry.jitterMaxMs", jitterMaxMs, 0, MAX_TIMEOUT_MS, "milliseconds"),
  };
}

function resolveCircuit(value: unknown): Given<CircuitOptions> {
  const keys = ["failureThreshold", "resetTimeoutMs", "halfOpenMaxAttempts"] as const;
  const {
    failureThreshold = 5,
    resetTimeoutMs = 60_000,
    halfOpenMaxAttempts = 3,
  } = objectWithKeys("options.circuit", value, keys);
  return {
    failureThreshold: integer("options.circuit.failureThreshold", failureThreshold, 1, 1_000_000, "calls"),
    resetTimeoutMs: timeout("options.circuit.resetTimeoutMs", resetTimeoutMs),
    halfOpenMaxAttempts: integer("options.circuit.halfOpenMaxAttempts", halfOpenMaxAttempts, 1, 1_000, "probes"),
  };
}

export function timeout(field: string, value: unknown): number {
  return integer(field, value, 1, MAX_TIMEOUT_MS, "milliseconds");
}

/** Returns the default size of a pool: `usual`, or a few connections where tests run (`NODE_ENV=test`, Vitest). */
export function defaultPoolSize(usual: number): number {
  const { NODE_ENV, VITEST } = process.env;
  const inTests = NODE_ENV === "test" || (VITEST !== undefined && VITEST !== "");
  return inTests ? Math.min(usual, POOL_SIZE_IN_TESTS) : usual;
}
