import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import { revive } from "./revive.ts";

/**
 * A value as LangGraph's serializer wrote it: the name of its format, and what it wrote. JSON is kept as the data that it
 * stands for, so that Waymark finds what two states share; anything else as the serializer's bytes.
 */
export type Serialized = readonly [type: string, value: unknown];

/** What the serializer wrote, and what of it is stored. */
export interface Dumped {
  readonly serialized: Serialized;
  readonly data: Uint8Array;
}

const COMMA = 0x2c;

/** Between LangGraph's serializer and what a storage keeps. Objects are made of data by LangGraph and LangChain alone. */
export class Serializer {
  readonly #serde: SerializerProtocol;
  /** LangGraph's own writes the JSON that `JSON.stringify` does, and calls nothing else JSON. */
  readonly isLangGraphs: boolean;

  constructor(serde: SerializerProtocol, isLangGraphs: boolean) {
    this.#serde = serde;
    this.isLangGraphs = isLangGraphs;
  }

  /**
   * `field`: for the message of an error. `earlier`: what the value was before; if it is an array that was added to, what is
   * in it is not parsed again.
   * @throws CheckpointError `UNSUPPORTED_VALUE` for a function, a symbol or a class, of which LangGraph's serializer writes nothing
   *   that could be read
   */
  async dump(field: string, value: unknown, earlier?: Dumped): Promise<Dumped> {
    // LangGraph's serializer hands bytes back as they are: a copy, which their owner cannot change. (Buffer's own `slice` makes none.)
    const own: unknown = value instanceof Uint8Array ? Uint8Array.prototype.slice.call(value) : value;
    const [type, data] = await this.#serde.dumpsTyped(own);
    if (this.isLangGraphs && type === "json" && data.byteLength === 0) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `${field} is a ${typeof value}, which cannot be stored`);
    }
    const parsed = type === "json" ? (this.#continue(data, earlier) ?? this.#parse(data)) : undefined;
    return { serialized: [type, parsed === undefined ? data : parsed], data };
  }

  /** What it returns may be made of the value itself, which has to be the caller's own. */
  async load([type, value]: Serialized): Promise<unknown> {
    if (value instanceof Uint8Array) return await this.#serde.loadsTyped(type, value);
    const revived = this.isLangGraphs && type === "json" ? await revive(value) : undefined;
    return revived === undefined ? await this.#serde.loadsTyped(type, JSON.stringify(value)) : revived.value;
  }

  /** The data of a JSON text that is an earlier array's and then more; undefined if it is not. */
  #continue(data: Uint8Array, earlier: Dumped | undefined): unknown[] | undefined {
    if (!this.isLangGraphs || earlier === undefined) return undefined;
    const [, elements] = earlier.serialized;
    if (!Array.isArray(elements) || elements.length === 0) return undefined;
    const end = earlier.data.byteLength - 1; // up to its bracket
    if (data[end] !== COMMA || !Buffer.from(data.buffer, data.byteOffset, end).equals(earlier.data.subarray(0, end))) {
      return undefined;
    }
    return [...elements, ...(JSON.parse(`[${new TextDecoder().decode(data.subarray(end + 1))}`) as unknown[])];
  }

  /** The data of a JSON text. Undefined if that would lose what it says (numbers of 20 digits), or if it is none. */
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
