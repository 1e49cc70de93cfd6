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

/** Checks a namespace by LangGraph's rules. @throws InvalidNamespaceError with LangGraph's texts */
export function checkNamespace(field: string, namespace: unknown, rules: NamespaceRules = {}): string[] {
  if (!Array.isArray(namespace)) throw invalidArgument(field, "an array of labels", namespace);
  const labels: unknown[] = Array.from(namespace);
  if (labels.length === 0 && rules.allowEmpty !== true) throw new InvalidNamespaceError("Namespace cannot be empty.");
  for (const label of labels) checkLabel(label, labels);
  if (labels[0] === "langgraph" && rules.allowReservedRoot !== true) {
    throw new InvalidNamespaceError(`Root label for namespace cannot be "langgraph". Got: ${labels}`);
  }
  checkText(`${field}, joined by "/",`, pathOf(labels as string[]), 1, MAX_PATH_BYTES);
  return labels as string[];
}

function checkLabel(label: unknown, namespace: readonly unknown[]): void {
  if (typeof label !== "string") {
    const message = `Invalid namespace label '${label}' found in ${namespace}. Namespace labels must be strings, but got`;
    throw new InvalidNamespaceError(`${message} ${typeof label}.`);
  }
  const found = `Invalid namespace label '${label}' found in ${namespace}.`;
  if (label.includes(".")) throw new InvalidNamespaceError(`${found} Namespace labels cannot contain periods ('.').`);
  if (label.includes(":")) {
    throw new InvalidNamespaceError(
      `Invalid namespace label '${label}'. Namespace labels cannot contain colons (':').`,
    );
  }
  if (label.includes("\0")) throw new InvalidNamespaceError("Namespace labels cannot contain NUL bytes.");
  if (label === "") {
    throw new InvalidNamespaceError(`Namespace labels cannot be empty strings. Got ${label} in ${namespace}`);
  }
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
