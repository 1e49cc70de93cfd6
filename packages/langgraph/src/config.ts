import type { RunnableConfig } from "@langchain/core/runnables";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import type { Line } from "./checkpoint-id.ts";

/**
 * The door: what callers hand in, and what a `RunnableConfig` says, checked by name. Its members come from requests as often as not; what is no string is
 * refused, and never used as one.
 */

/** The bytes of UTF-8 that a thread's id may have. */
const MAX_THREAD_ID_BYTES = 255;
const MAX_NAMESPACE_BYTES = 1_024;
const MAX_CHECKPOINT_ID_BYTES = 1_024;

export function checkStorage(storage: unknown): void {
  if (!hasMethods(storage, ["storeCheckpoint", "appendWrites", "listWrites"])) {
    throw refuse("storage", "a CheckpointStorage of this version of Waymark", storage);
  }
}

/** The serializer in the saver's options; undefined if there is none. */
export function serdeIn(options: { readonly serde?: SerializerProtocol }): SerializerProtocol | undefined {
  const isObject = typeof options === "object" && options !== null;
  // A serializer in place of the options, as other savers take it, would be passed over.
  if (!isObject || "dumpsTyped" in options) throw refuse("options", "an object such as { serde }", options);
  const unknown = Object.keys(options).find((key) => key !== "serde");
  if (unknown !== undefined) {
    const shown = JSON.stringify(unknown.slice(0, 64));
    throw new CheckpointError("INVALID_ARGUMENT", `expected options to have the member serde, got ${shown}`);
  }
  const { serde } = options;
  if (serde === undefined || hasMethods(serde, ["dumpsTyped", "loadsTyped"])) return serde;
  throw refuse("options.serde", "a serializer with dumpsTyped and loadsTyped", serde);
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== "object" || value === null) return false;
  return names.every((name) => typeof Reflect.get(value, name) === "function");
}

export function threadIdIn(config: RunnableConfig): string | undefined {
  const threadId: unknown = config.configurable?.["thread_id"];
  return threadId === undefined ? undefined : checkThreadId("config.configurable.thread_id", threadId);
}

export function namespaceIn(config: RunnableConfig): string | undefined {
  const namespace: unknown = config.configurable?.["checkpoint_ns"];
  if (namespace === undefined) return undefined;
  return checkText("config.configurable.checkpoint_ns", namespace, 0, MAX_NAMESPACE_BYTES);
}

/** The thread and namespace to write to. */
export function lineOf(config: RunnableConfig): Line {
  const threadId = checkThreadId("config.configurable.thread_id", config.configurable?.["thread_id"]);
  return { threadId, namespace: namespaceIn(config) ?? "" };
}

/** A checkpoint's id; as LangGraph does, an empty one is taken for none. */
export function checkpointIdIn(field: string, config: RunnableConfig | undefined): string | undefined {
  const id: unknown = config?.configurable?.["checkpoint_id"];
  if (id === undefined || id === null || id === "") return undefined;
  return checkText(`${field}.configurable.checkpoint_id`, id, 1, MAX_CHECKPOINT_ID_BYTES);
}

export function checkThreadId(field: string, value: unknown): string {
  return checkText(field, value, 1, MAX_THREAD_ID_BYTES);
}

export function checkText(field: string, value: unknown, minBytes: number, maxBytes: number): string {
  const bytes = typeof value === "string" ? Buffer.byteLength(value) : Number.NaN;
  if (typeof value === "string" && bytes >= minBytes && bytes <= maxBytes) {
    if (!value.includes("\0") && value.isWellFormed()) return value;
    throw refuse(field, "text without NUL characters and lone surrogates", value);
  }
  throw refuse(field, `a string of ${minBytes} to ${maxBytes} bytes of UTF-8`, value);
}

export function refuse(field: string, expected: string, received: unknown): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}, got ${kindOf(received)}`);
}

/** A value's kind; never its content. */
function kindOf(value: unknown): string {
  if (typeof value === "string")
    return value === "" ? "an empty string" : `a string of ${Buffer.byteLength(value)} bytes`;
  if (typeof value === "number" || value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
