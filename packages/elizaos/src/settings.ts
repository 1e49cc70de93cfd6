import { checkObject } from "./checks.ts";
import { fromJson, toJson } from "./json.ts";

/** Settings of agents, which updates merge. */

type Members = Readonly<Record<string, unknown>>;

/** Takes a copy of settings. What JSON has no value for becomes `null`, which removes. */
export function copySettings(field: string, settings: object): unknown {
  return fromJson(toJson(field, checkObject(field, settings), (_, value) => (isMissing(value) ? null : value)));
}

function isMissing(value: unknown): boolean {
  return value === undefined || typeof value === "function" || typeof value === "symbol";
}

/**
 * Merges given settings into stored ones: objects member by member, everything else replaces. `null` removes a member, and so does an
 * object that leaves nothing of it. Returns `undefined` if nothing is left.
 */
export function mergeSettings(stored: unknown, given: unknown): unknown {
  if (given === null) return undefined;
  if (!isObject(given)) return given;
  const merged = new Map(isObject(stored) ? Object.entries(stored) : []);
  for (const [name, value] of Object.entries(given)) {
    const member = mergeSettings(merged.get(name), value);
    if (member === undefined) merged.delete(name);
    else merged.set(name, member);
  }
  const isEmptied = merged.size === 0 && Object.keys(given).length > 0;
  return isEmptied ? undefined : Object.fromEntries(merged);
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
