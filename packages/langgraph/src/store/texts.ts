/**
 * Texts of a value that are searched, by paths as LangGraph has them: `title`, `author.name`, `chapters[0]`, `chapters[-1]`,
 * `chapters[*].content`, `*` for all members, `{title,author.name}` for several; `$` for the value as JSON.
 */

/** Returns the texts at a path; strings, numbers and booleans, or JSON of what is more than that. */
export function textsAt(value: unknown, path: string): string[] {
  return valuesAt(value, tokensOf(path)).flatMap(textOf);
}

function textOf(value: unknown): string[] {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return [String(value)];
  if (typeof value !== "object" || value === null) return [];
  try {
    return [JSON.stringify(value, (_, member) => (typeof member === "bigint" ? String(member) : member), 2)];
  } catch {
    return []; // a cycle, or a toJSON that throws: whether it can be stored, the memory says
  }
}

/** Splits a path at its dots and before its brackets, but not within braces. */
function tokensOf(path: string): string[] {
  const tokens = path.match(/\[[^\]]*\]|\{[^}]*\}|[^.[{]+/g) ?? [];
  return tokens[0] === "$" ? tokens.slice(1) : tokens;
}

function valuesAt(value: unknown, [token, ...rest]: readonly string[]): unknown[] {
  if (token === undefined) return [value];
  if (typeof value !== "object" || value === null) return [];
  if (token.startsWith("{")) {
    const paths = token.slice(1, -1).split(",");
    return paths.flatMap((path) => valuesAt(value, [...tokensOf(path.trim()), ...rest]));
  }
  if (token === "*" || (token === "[*]" && Array.isArray(value))) {
    return Object.values(value).flatMap((one) => valuesAt(one, rest));
  }
  if (token.startsWith("[")) {
    const index = Number.parseInt(token.slice(1, -1), 10);
    return Array.isArray(value) && Number.isInteger(index) && value.at(index) !== undefined
      ? valuesAt(value.at(index), rest)
      : [];
  }
  return Object.hasOwn(value, token) ? valuesAt((value as Record<string, unknown>)[token], rest) : [];
}
