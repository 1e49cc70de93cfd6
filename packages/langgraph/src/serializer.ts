import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import { encode } from "./encode.ts";
import { revive } from "./revive.ts";
import { share } from "./share.ts";

/**
 * A value as the serializer wrote it: the name of its format, and the output. JSON is kept as parsed data, so that Waymark
 * finds the parts that two states share; any other format as the serializer's bytes.
 */
export type Serialized = readonly [type: string, value: unknown];

/** The form in which a value is stored, and about as many bytes as its text has. */
export interface Dumped {
  readonly serialized: Serialized;
  readonly bytes: number;
}

/** The text that LangGraph's serializer writes in place of a value that it cannot write. */
const FALLBACK = "[unable to serialize, circular reference is too complex to analyze]";
/** The text that it writes in place of a member that contains itself. */
const CYCLE = "[Circular]";

/** Adapter between a serializer and a storage. Only LangGraph and LangChain make objects of data. */
export class Serializer {
  readonly #serde: SerializerProtocol;
  /** Set for LangGraph's own serializer: its values are encoded here, and it only reads. */
  readonly isLangGraphs: boolean;

  constructor(serde: SerializerProtocol, isLangGraphs: boolean) {
    this.#serde = serde;
    this.isLangGraphs = isLangGraphs;
  }

  /**
   * Serializes a value. `field`: its name in error messages. `earlier`: the value before this one, whose parts are used again
   * where they are equal.
   * @throws CheckpointError `UNSUPPORTED_VALUE` for a value that cannot be written
   */
  async dump(field: string, value: unknown, earlier?: Dumped): Promise<Dumped> {
    // LangGraph's serializer returns the very bytes that it is given. A copy cannot be changed by their owner. (Buffer's own
    // `slice` makes none.)
    const own: unknown = value instanceof Uint8Array ? Uint8Array.prototype.slice.call(value) : value;
    if (this.isLangGraphs && !(own instanceof Uint8Array)) {
      const [type, before] = earlier?.serialized ?? [];
      const { data, bytes } = encode(field, own, type === "json" ? before : undefined);
      const isEqual = earlier !== undefined && data === before;
      return { serialized: isEqual ? earlier.serialized : Object.freeze<Serialized>(["json", data]), bytes };
    }
    const [type, data] = await this.#serde.dumpsTyped(own);
    if (type === "json") refuseFallback(field, own, data);
    const parsed = type === "json" ? parse(data) : undefined;
    const serialized: Serialized = [type, parsed === undefined ? data : parsed];
    return { serialized: share(earlier?.serialized, serialized), bytes: data.byteLength };
  }

  /** Deserializes a value. The result may be made of the argument, so the caller must own it. */
  async load([type, value]: Serialized): Promise<unknown> {
    if (value instanceof Uint8Array) return await this.#serde.loadsTyped(type, value);
    if (this.isLangGraphs && type === "json") return await revive(value, this.#serde);
    return await this.#serde.loadsTyped(type, JSON.stringify(value));
  }
}

/** Refuses texts of LangGraph's serializer that stand for what it could not write: a serializer may be built upon it. */
function refuseFallback(field: string, value: unknown, data: Uint8Array): void {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (value !== FALLBACK && text.equals(Buffer.from(JSON.stringify(FALLBACK)))) {
    const message = `${field} has a part that the serializer cannot write, such as a bigint or a toJSON that throws`;
    throw new CheckpointError("UNSUPPORTED_VALUE", message);
  }
  if (text.includes(JSON.stringify(CYCLE)) && hasCycle(value, new Set(), new Set())) {
    throw new CheckpointError("UNSUPPORTED_VALUE", `${field} has a part that contains itself`);
  }
}

function hasCycle(value: unknown, ancestors: Set<unknown>, done: Set<unknown>): boolean {
  if (typeof value !== "object" || value === null || done.has(value)) return false;
  if (ancestors.has(value)) return true;
  ancestors.add(value);
  const found = Object.values(value).some((member) => hasCycle(member, ancestors, done));
  ancestors.delete(value);
  done.add(value);
  return found;
}

/** Parses a JSON text. Undefined if parsing would lose something (numbers of 20 digits), or if it is no JSON. */
function parse(data: Uint8Array): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    const parsed: unknown = JSON.parse(text);
    return JSON.stringify(parsed) === text ? parsed : undefined;
  } catch {
    return undefined;
  }
}
