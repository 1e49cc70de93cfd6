import { randomUUID } from "node:crypto";
import { load } from "@langchain/core/load";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";

/**
 * Revives the value that LangGraph's serializer would read from the JSON of this data, in about half of the time. The
 * serializer copies plain data, with a promise for each member, and changes only records that have the key `lc`. So data
 * without such a record is returned as it is, and LangChain's objects are loaded all at once, by the function that the
 * serializer calls for each. The serializer itself reads all else, and reports what is wrong with it.
 *
 * JSON has no bigints. While others read the data, texts stand for them.
 */
export async function revive(data: unknown, serde: SerializerProtocol): Promise<unknown> {
  const content = contentOf(data);
  if ((content & (OBJECTS | OTHER)) === 0) return data;
  if ((content & BIG_INTS) === 0) return await read(JSON.stringify(data), content, serde);
  const standIn = `${randomUUID()}:`; // no text of the data begins with it
  const text = JSON.stringify(withoutBigInts(data, standIn));
  return withBigInts(await read(text, content, serde), standIn, new Set());
}

async function read(text: string, content: number, serde: SerializerProtocol): Promise<unknown> {
  if ((content & OTHER) !== 0) return await serde.loadsTyped("json", text);
  try {
    return await load(text);
  } catch {
    return await serde.loadsTyped("json", text);
  }
}

/** What data contains, as bits: objects of LangChain's, none of which is nested in another. */
const OBJECTS = 1;
/** Records that the serializer itself has to read. */
const OTHER = 2;
const BIG_INTS = 4;

/** Keys that the serializer and `load` treat differently: one sets a prototype, the other is an escape in `load` alone. */
const SPECIAL_KEYS: ReadonlySet<string> = new Set(["__proto__", "__lc_escaped__"]);

function contentOf(data: unknown): number {
  if (typeof data === "bigint") return BIG_INTS;
  if (typeof data !== "object" || data === null) return 0;
  let content = 0;
  for (const [key, member] of Object.entries(data)) {
    content |= SPECIAL_KEYS.has(key) ? OTHER | contentOf(member) : contentOf(member);
  }
  if (Array.isArray(data) || !Object.hasOwn(data, "lc")) return content;
  return content | (isConstructor(data) && (content & OBJECTS) === 0 ? OBJECTS : OTHER);
}

/** Returns `true` for an object of LangChain's, as its `toJSON` writes it. */
function isConstructor({ lc, type, id }: { lc?: unknown; type?: unknown; id?: unknown }): boolean {
  return lc === 1 && type === "constructor" && Array.isArray(id);
}

/** Returns a copy with a text in place of each bigint. */
function withoutBigInts(data: unknown, standIn: string): unknown {
  if (typeof data === "bigint") return `${standIn}${data}`;
  if (typeof data !== "object" || data === null) return data;
  if (Array.isArray(data)) return data.map((element) => withoutBigInts(element, standIn));
  return Object.fromEntries(Object.entries(data).map(([key, member]) => [key, withoutBigInts(member, standIn)]));
}

/** Puts the bigints back where texts stand for them, in place. `visited`: objects may be in several places. */
function withBigInts(value: unknown, standIn: string, visited: Set<object>): unknown {
  if (typeof value === "string" && value.startsWith(standIn)) return BigInt(value.slice(standIn.length));
  if (typeof value !== "object" || value === null || visited.has(value)) return value;
  visited.add(value);
  const restored = (member: unknown) => withBigInts(member, standIn, visited);
  if (value instanceof Map) {
    const entries = [...value].map(([key, member]) => [restored(key), restored(member)] as const);
    value.clear();
    for (const [key, member] of entries) value.set(key, member);
  } else if (value instanceof Set) {
    const members = [...value].map(restored);
    value.clear();
    for (const member of members) value.add(member);
  } else if (!ArrayBuffer.isView(value)) {
    for (const key of Object.keys(value)) {
      const member: unknown = Reflect.get(value, key);
      const after = restored(member);
      if (after !== member) Reflect.set(value, key, after);
    }
  }
  return value;
}
