import { checkText, integer, invalidArgument, invalidWord, objectWithKeys } from "@waymark/core/kit";
import { copyOf } from "./copy.ts";
import { labelsOfValue, parseFilter } from "./filter.ts";
import type { NewStoreItem } from "./items.ts";
import { checkNamespace, type NamespacePattern, PART_RULES } from "./namespace.ts";
import { checkFields, checkTtl, type ResolvedStoreOptions } from "./options.ts";
import type { NamespaceQuery, ReadQuery } from "./reader.ts";
import { textsAt } from "./texts.ts";

/** Operations of a batch, checked before any of them is run. */

/** Address of an item. */
export interface ItemAddress {
  readonly namespace: readonly string[];
  readonly key: string;
}

export type CheckedOperation =
  | ({ readonly kind: "get" } & ItemAddress)
  /** `query`: `null`: items are listed. */
  | ({ readonly kind: "search"; readonly query: string | null } & ReadQuery)
  | { readonly kind: "put"; readonly item: NewStoreItem }
  | ({ readonly kind: "delete" } & ItemAddress)
  | ({ readonly kind: "namespaces" } & NamespaceQuery);

/** Options of LangGraph's `search` and `listNamespaces`, which leaves others out in silence. */
export const SEARCH_OPTIONS = ["filter", "limit", "offset", "query"] as const;
export const NAMESPACES_OPTIONS = ["prefix", "suffix", "maxDepth", "limit", "offset"] as const;

type Given = { readonly [name: string]: unknown };

/** Read by LangGraph's stores in this order: an operation has no other mark of its kind. */
export function checkOperation(field: string, operation: unknown, options: ResolvedStoreOptions): CheckedOperation {
  if (typeof operation !== "object" || operation === null) throw invalidArgument(field, "an operation", operation);
  const given = operation as Given;
  if ("namespacePrefix" in given) return checkSearch(field, given, options);
  if ("value" in given) return checkPut(field, given, options);
  if ("key" in given) {
    return { kind: "get", ...checkAddress(field, objectWithKeys(field, given, ["namespace", "key"])) };
  }
  if ("matchConditions" in given || "limit" in given) return checkNamespaceQuery(field, given);
  throw invalidArgument(field, "a get, search, put or list of namespaces", operation);
}

function checkAddress(field: string, { namespace, key }: Given): ItemAddress {
  return {
    namespace: checkNamespace(`${field}.namespace`, namespace, { allowReservedRoot: true }),
    key: checkText(`${field}.key`, key, 1, 1_024),
  };
}

function checkSearch(field: string, given: Given, { index }: ResolvedStoreOptions): CheckedOperation {
  const { namespacePrefix, filter, query, limit, offset } = objectWithKeys(field, given, [
    "namespacePrefix",
    ...SEARCH_OPTIONS,
  ]);
  if (query !== undefined && query !== null && typeof query !== "string") {
    throw invalidWord(`${field}.query`, "a text", query);
  }
  if (query && index === null) {
    throw invalidArgument(`${field}.query`, "absent, since options.index is false", query);
  }
  return {
    kind: "search",
    prefix: checkNamespace(`${field}.namespacePrefix`, namespacePrefix, PART_RULES),
    filter: parseFilter(`${field}.filter`, filter),
    query: query ? query : null,
    ...checkPage(field, limit ?? 10, offset),
  };
}

function checkPut(field: string, given: Given, { index, defaultTtl }: ResolvedStoreOptions): CheckedOperation {
  const put = objectWithKeys(field, given, ["namespace", "key", "value", "index", "options"]);
  const address = checkAddress(field, put);
  const { value, index: paths, options } = put;
  if (value === null) return { kind: "delete", ...address };
  if (typeof value !== "object" || Array.isArray(value)) throw invalidArgument(`${field}.value`, "an object", value);
  const { ttl } = objectWithKeys(`${field}.options`, options ?? {}, ["ttl"]);
  const isSearched = index !== null && paths !== false;
  const fields = paths === undefined || paths === null || paths === false ? null : checkFields(`${field}.index`, paths);
  const searched = isSearched ? (fields ?? index.fields) : [];
  const text = searched.flatMap((path) => textsAt(value, path)).join("\n");
  return {
    kind: "put",
    item: {
      ...address,
      value: copyOf(value) as Record<string, unknown>,
      text: text.trim() === "" ? "" : text,
      labels: labelsOfValue(`${field}.value`, value as object),
      ttl: ttl === undefined ? defaultTtl : checkTtl(`${field}.options.ttl`, ttl),
    },
  };
}

function checkNamespaceQuery(field: string, given: Given): CheckedOperation {
  const { matchConditions, maxDepth, limit, offset } = objectWithKeys(field, given, [
    "matchConditions",
    "maxDepth",
    "limit",
    "offset",
  ]);
  if (matchConditions !== undefined && !Array.isArray(matchConditions)) {
    throw invalidArgument(`${field}.matchConditions`, "an array", matchConditions);
  }
  return {
    kind: "namespaces",
    patterns: Array.from(matchConditions ?? [], (one: unknown, at) =>
      checkPattern(`${field}.matchConditions[${at}]`, one),
    ),
    maxDepth:
      maxDepth === undefined ? null : integer(`${field}.maxDepth`, maxDepth, 1, Number.MAX_SAFE_INTEGER, "labels"),
    ...checkPage(field, limit ?? Number.MAX_SAFE_INTEGER, offset),
  };
}

function checkPattern(field: string, value: unknown): NamespacePattern {
  const { matchType, path } = objectWithKeys(field, value, ["matchType", "path"]);
  if (matchType !== "prefix" && matchType !== "suffix") {
    throw invalidWord(`${field}.matchType`, '"prefix" or "suffix"', matchType);
  }
  return { isSuffix: matchType === "suffix", labels: checkNamespace(`${field}.path`, path, PART_RULES) };
}

function checkPage(
  field: string,
  limit: unknown,
  offset: unknown,
): { readonly limit: number; readonly offset: number } {
  return {
    limit: integer(`${field}.limit`, limit, 0, Number.MAX_SAFE_INTEGER, "results"),
    offset: integer(`${field}.offset`, offset ?? 0, 0, Number.MAX_SAFE_INTEGER, "results"),
  };
}
