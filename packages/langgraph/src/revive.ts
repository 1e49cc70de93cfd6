import { load } from "@langchain/core/load";

/**
 * Revives the value that LangGraph's serializer would read from the JSON of this data, in about half of the time. The
 * serializer copies plain data, with a promise for each member, and changes only records that have the key `lc`. So data
 * without such a record is returned as it is, and LangChain's objects are loaded all at once, by the function that the
 * serializer calls for each. `undefined`: the data holds more, which the serializer itself has to read.
 */
export async function revive(data: unknown): Promise<{ readonly value: unknown } | undefined> {
  const content = contentOf(data);
  if (content === "data") return { value: data };
  if (content === "other") return undefined;
  try {
    return { value: await load(JSON.stringify(data)) };
  } catch {
    return undefined; // the serializer reports what is wrong with it
  }
}

/** `objects`: some of the data are objects of LangChain's, none of which is nested in another. */
type Content = "data" | "objects" | "other";

/** Keys that the serializer and `load` treat differently: one sets a prototype, the other is an escape in `load` alone. */
const SPECIAL_KEYS: ReadonlySet<string> = new Set(["__proto__", "__lc_escaped__"]);

function contentOf(data: unknown): Content {
  if (typeof data !== "object" || data === null) return "data";
  let hasObjects = false;
  for (const [key, member] of Object.entries(data)) {
    const content = SPECIAL_KEYS.has(key) ? "other" : contentOf(member);
    if (content === "other") return "other";
    hasObjects ||= content === "objects";
  }
  if (Array.isArray(data) || !Object.hasOwn(data, "lc")) return hasObjects ? "objects" : "data";
  return isConstructor(data) && !hasObjects ? "objects" : "other";
}

/** Returns `true` for an object of LangChain's, as its `toJSON` writes it. */
function isConstructor({ lc, type, id }: { lc?: unknown; type?: unknown; id?: unknown }): boolean {
  return lc === 1 && type === "constructor" && Array.isArray(id);
}
