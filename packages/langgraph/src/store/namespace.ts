import { InvalidNamespaceError } from "@langchain/langgraph-checkpoint";
import { checkText, invalidArgument } from "@waymark/core/kit";

/**
 * Namespaces of a store, and the collections that hold their items.
 *
 * A namespace is a collection, named by its path: `["users", "1"]` is `/users/1`. Labels are compared whole, never as patterns or
 * beginnings of texts: `/users/10` does not begin with `/users/1/`.
 */

/** Names of collections have up to 1,024 bytes. */
const MAX_PATH_BYTES = 1_024;

export interface NamespaceRules {
  /** `true`: an empty one is all namespaces. */
  readonly allowEmpty?: boolean;
  /** `true`: the first label may be `langgraph`, which is LangGraph's own. */
  readonly allowReservedRoot?: boolean;
}

/** Of namespaces that are the beginning or the end of others. */
export const PART_RULES: NamespaceRules = { allowEmpty: true, allowReservedRoot: true };

/**
 * Checks a namespace by LangGraph's rules. LangGraph's own errors quote the labels; these do not, since a label may be a user's name.
 * @throws InvalidNamespaceError, which names the label's place and the rule
 */
export function checkNamespace(field: string, namespace: unknown, rules: NamespaceRules = {}): string[] {
  if (!Array.isArray(namespace)) throw invalidArgument(field, "an array of labels", namespace);
  const labels: unknown[] = Array.from(namespace);
  if (labels.length === 0 && rules.allowEmpty !== true) throw refusal(field, "an array of at least one label", labels);
  for (const [at, label] of labels.entries()) checkLabel(`${field}[${at}]`, label);
  if (labels[0] === "langgraph" && rules.allowReservedRoot !== true) {
    throw new InvalidNamespaceError(
      `expected ${field}[0] to be another label than "langgraph", which is LangGraph's own`,
    );
  }
  checkText(`${field}, joined by "/",`, pathOf(labels as string[]), 1, MAX_PATH_BYTES);
  return labels as string[];
}

function checkLabel(field: string, label: unknown): void {
  if (typeof label !== "string" || label === "") throw refusal(field, "a string that is not empty", label);
  for (const [character, name] of Object.entries(NOT_IN_LABELS)) {
    if (label.includes(character)) throw refusal(field, `a label without ${name}`, label);
  }
}

const NOT_IN_LABELS = { ".": "periods (.)", ":": "colons (:)", "\0": "NUL characters" } as const;

function refusal(field: string, expected: string, received: unknown): InvalidNamespaceError {
  return new InvalidNamespaceError(invalidArgument(field, expected, received).message);
}

/** Returns the name of the collection of a namespace; of the empty one the beginning that all names have. */
export function pathOf(namespace: readonly string[]): string {
  return `/${namespace.map(escaped).join("/")}`;
}

/** Returns what the paths of all namespaces below one begin with. */
export function pathBelow(namespace: readonly string[]): string {
  return namespace.length === 0 ? "/" : `${pathOf(namespace)}/`;
}

/** Returns the namespace of a collection; `null` for one that is no namespace of a store. */
export function namespaceOf(collection: string): string[] | null {
  if (!collection.startsWith("/")) return null;
  const labels = collection.slice(1).split("/").map(unescaped);
  return labels.includes("") ? null : labels;
}

function escaped(label: string): string {
  return label.replace(/[%/]/g, (character) => (character === "%" ? "%25" : "%2F"));
}

function unescaped(label: string): string {
  return label.replace(/%(25|2F)/g, (_, code) => (code === "25" ? "%" : "/"));
}

/** A pattern of namespaces: labels at their beginning or end, `*` for any one label. */
export interface NamespacePattern {
  readonly isSuffix: boolean;
  readonly labels: readonly string[];
}

export function isMatch({ isSuffix, labels }: NamespacePattern, namespace: readonly string[]): boolean {
  const from = isSuffix ? namespace.length - labels.length : 0;
  return (
    labels.length <= namespace.length && labels.every((label, at) => label === "*" || label === namespace[from + at])
  );
}

/** Returns labels that all namespaces of these patterns begin with. */
export function commonBeginning(patterns: readonly NamespacePattern[]): readonly string[] {
  const beginnings = patterns
    .filter(({ isSuffix }) => !isSuffix)
    .map(({ labels }) => (labels.includes("*") ? labels.slice(0, labels.indexOf("*")) : labels));
  return beginnings.reduce((longest, labels) => (labels.length > longest.length ? labels : longest), []);
}
