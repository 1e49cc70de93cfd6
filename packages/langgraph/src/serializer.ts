import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import { revive } from "./revive.ts";

/**
 * A value as LangGraph's serializer wrote it: the name of its format, and the output. JSON is kept as parsed data, so that
 * Waymark finds the parts that two states share; any other format as the serializer's bytes.
 */
export type Serialized = readonly [type: string, value: unknown];

/** The serializer's output, and the form in which it is stored. */
export interface Dumped {
  readonly serialized: Serialized;
  readonly data: Uint8Array;
}

const COMMA = 0x2c;

/** Adapter between LangGraph's serializer and a storage. Only LangGraph and LangChain make objects of data. */
export class Serializer {
  readonly #serde: SerializerProtocol;
  /** Set for LangGraph's own serializer: its JSON is the JSON of `JSON.stringify`, and it calls nothing else JSON. */
  readonly isLangGraphs: boolean;

  constructor(serde: SerializerProtocol, isLangGraphs: boolean) {
    this.#serde = serde;
    this.isLangGraphs = isLangGraphs;
  }

  /**
   * Serializes a value. `field`: its name in error messages. `earlier`: the value before this one; if this one is that
   * array with more elements, only those are parsed.
   * @throws CheckpointError `UNSUPPORTED_VALUE` for a function, a symbol or a class: LangGraph's serializer writes nothing
   *   for it
   */
  async dump(field: string, value: unknown, earlier?: Dumped): Promise<Dumped> {
    // LangGraph's serializer returns the very bytes that it is given. A copy cannot be changed by their owner. (Buffer's own
    // `slice` makes none.)
    const own: unknown = value instanceof Uint8Array ? Uint8Array.prototype.slice.call(value) : value;
    const [type, data] = await this.#serde.dumpsTyped(own);
    if (this.isLangGraphs && type === "json" && data.byteLength === 0) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `${field} is a ${typeof value}, which cannot be stored`);
    }
    const parsed = type === "json" ? (this.#parseAppended(data, earlier) ?? this.#parse(data)) : undefined;
    return { serialized: [type, parsed === undefined ? data : parsed], data };
  }

  /** Deserializes a value. The result may be made of the argument, so the caller must own it. */
  async load([type, value]: Serialized): Promise<unknown> {
    if (value instanceof Uint8Array) return await this.#serde.loadsTyped(type, value);
    const revived = this.isLangGraphs && type === "json" ? await revive(value) : undefined;
    return revived === undefined ? await this.#serde.loadsTyped(type, JSON.stringify(value)) : revived.value;
  }

  /** Parses a JSON text that is an earlier array with elements appended; undefined for any other text. */
  #parseAppended(data: Uint8Array, earlier: Dumped | undefined): unknown[] | undefined {
    if (!this.isLangGraphs || earlier === undefined) return undefined;
    const [, elements] = earlier.serialized;
    if (!Array.isArray(elements) || elements.length === 0) return undefined;
    const end = earlier.data.byteLength - 1; // up to its bracket
    if (data[end] !== COMMA || !Buffer.from(data.buffer, data.byteOffset, end).equals(earlier.data.subarray(0, end))) {
      return undefined;
    }
    return [...elements, ...(JSON.parse(`[${new TextDecoder().decode(data.subarray(end + 1))}`) as unknown[])];
  }

  /** Parses a JSON text. Undefined if parsing would lose something (numbers of 20 digits), or if it is no JSON. */
  #parse(data: Uint8Array): unknown {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
      const parsed: unknown = JSON.parse(text);
      return this.isLangGraphs || JSON.stringify(parsed) === text ? parsed : undefined;
    } catch {
      return undefined;
    }
  }
}
