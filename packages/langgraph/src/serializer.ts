import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";

/**
 * A value as LangGraph's serializer wrote it: the name of its format, and what it wrote. JSON is kept as the data that it
 * stands for, so that Waymark finds what two states share; anything else as the serializer's bytes.
 */
export type Serialized = readonly [type: string, value: unknown];

/** Between LangGraph's serializer and what a storage keeps. Objects are made of data by LangGraph's alone. */
export class Serializer {
  readonly #serde: SerializerProtocol;
  /** LangGraph's own writes the JSON that `JSON.stringify` does, and calls nothing else JSON. */
  readonly isLangGraphs: boolean;

  constructor(serde: SerializerProtocol, isLangGraphs: boolean) {
    this.#serde = serde;
    this.isLangGraphs = isLangGraphs;
  }

  /**
   * `bytes`: how long it is as text. `field`: for the message of an error.
   * @throws CheckpointError `UNSUPPORTED_VALUE` for a function, a symbol or a class, of which LangGraph's serializer writes nothing
   *   that could be read
   */
  async dump(field: string, value: unknown): Promise<{ readonly serialized: Serialized; readonly bytes: number }> {
    // LangGraph's serializer hands bytes back as they are: a copy, which their owner cannot change. (Buffer's own `slice` makes none.)
    const own: unknown = value instanceof Uint8Array ? Uint8Array.prototype.slice.call(value) : value;
    const [type, data] = await this.#serde.dumpsTyped(own);
    if (this.isLangGraphs && type === "json" && data.byteLength === 0) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `${field} is a ${typeof value}, which cannot be stored`);
    }
    const parsed = type === "json" ? this.#parse(data) : undefined;
    return { serialized: [type, parsed === undefined ? data : parsed], bytes: data.byteLength };
  }

  async load([type, value]: Serialized): Promise<unknown> {
    return await this.#serde.loadsTyped(type, value instanceof Uint8Array ? value : JSON.stringify(value));
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
