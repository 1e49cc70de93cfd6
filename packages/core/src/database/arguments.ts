import type { CallOptions, CloseOptions, MigrateMode } from "../contract/checkpoints.ts";
import { integer, objectWithKeys, oneOf, string } from "../contract/checks.ts";
import { invalidArgument, invalidWord } from "../contract/errors.ts";
import { hasPlausibleTime, parseId } from "./ids.ts";
import { MAX_TIMEOUT_MS } from "./options.ts";

/** Checks of arguments that calls of every domain have. */

/** The range of a JavaScript Date. */
export const MAX_DATE_MS = 8_640_000_000_000_000;

/** Checks an id to look up. `null`: a text that is no id of ours, under which there is nothing. */
export function checkLookup(field: string, value: unknown): string | null {
  return parseId(string(field, value));
}

export function checkCloseOptions(value: CloseOptions): { readonly timeoutMs: number } {
  const { timeoutMs = 10_000 } = objectWithKeys("options", value, ["timeoutMs"]);
  return { timeoutMs: integer("options.timeoutMs", timeoutMs, 0, MAX_TIMEOUT_MS, "milliseconds") };
}

/** Options of work that reports its progress. */
export interface CheckedProgressOptions<Progress> {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export function checkProgressOptions<Progress>(
  value: CallOptions & { readonly onProgress?: ((progress: Progress) => void) | undefined },
): CheckedProgressOptions<Progress> {
  const { signal, onProgress } = objectWithKeys("options", value, ["signal", "onProgress"]);
  return progressOptions("options", signal, onProgress);
}

export function progressOptions<Progress>(field: string, signal: unknown, onProgress: unknown) {
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalidArgument(`${field}.onProgress`, "a function", onProgress);
  }
  const listener = onProgress as CheckedProgressOptions<Progress>["onProgress"];
  return { ...signalOf(field, signal), ...(listener === undefined ? {} : { onProgress: listener }) };
}

export function checkCallOptions(value: CallOptions): { signal?: AbortSignal } {
  return signalOf("options", objectWithKeys("options", value, ["signal"]).signal);
}

/** Checks an id of ours: a checkpoint's, a parent's, a cursor. */
export function ownId(field: string, value: unknown): string {
  const id = parseId(string(field, value));
  if (id === null) throw invalidWord(field, "a UUIDv7", value);
  if (!hasPlausibleTime(id)) throw invalidWord(field, "a UUIDv7 of a time before the year 10000", value);
  return id;
}

export function signalOf(field: string, value: unknown): { signal?: AbortSignal } {
  if (value === undefined) return {};
  if (!(value instanceof AbortSignal)) throw invalidArgument(`${field}.signal`, "an AbortSignal", value);
  return { signal: value };
}

export function checkMigrateMode(value: unknown): MigrateMode {
  return oneOf("mode", value, ["apply", "verify", "sql"]);
}
