import type { RunnableConfig } from "@langchain/core/runnables";
import type { PendingWrite, SerializerProtocol } from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import {
  checkAgentId,
  checkChannel,
  checkNamespace,
  checkTaskId,
  checkTaskPath,
  checkText,
  invalidArgument,
  objectWithKeys,
  property,
} from "@waymark/core/kit";
import type { Timeline } from "./address.ts";

/**
 * Checks of the saver's arguments and of a `RunnableConfig`. The members of a config often come from requests: a value that
 * is no string is refused, and never used as one.
 */

/** Of an id of LangGraph's, which may be any text. */
const MAX_CHECKPOINT_ID_BYTES = 1_024;

/** Checks a storage, and that it has task writes, which those of earlier versions of Waymark lack. */
export function checkStorage(storage: unknown): CheckpointStorage {
  if (hasMethods(storage, ["storeCheckpoint", "appendWrites", "listWrites"])) return storage as CheckpointStorage;
  throw invalidArgument("storage", "a CheckpointStorage of this version of Waymark", storage);
}

/** Returns the serializer in the saver's options; undefined if there is none. */
export function serdeIn(options: { readonly serde?: SerializerProtocol | undefined }): SerializerProtocol | undefined {
  // Other savers take a serializer in place of the options. Here it would be ignored.
  if (property(options, "dumpsTyped") !== undefined) {
    throw invalidArgument("options", "an object such as { serde }", options);
  }
  const { serde } = objectWithKeys("options", options, ["serde"]);
  if (serde !== undefined && !hasMethods(serde, ["dumpsTyped", "loadsTyped"])) {
    throw invalidArgument("options.serde", "a serializer with dumpsTyped and loadsTyped", serde);
  }
  return serde as SerializerProtocol | undefined;
}

export function hasMethods(value: unknown, names: readonly string[]): boolean {
  return names.every((name) => typeof property(value, name) === "function");
}

export function threadIdIn(config: RunnableConfig): string | undefined {
  const threadId: unknown = config.configurable?.["thread_id"];
  return threadId === undefined ? undefined : checkAgentId("config.configurable.thread_id", threadId);
}

export function namespaceIn(config: RunnableConfig): string | undefined {
  const namespace: unknown = config.configurable?.["checkpoint_ns"];
  return namespace === undefined ? undefined : checkNamespace("config.configurable.checkpoint_ns", namespace);
}

/** Returns the timeline to write to, which a config must name. */
export function timelineIn(config: RunnableConfig): Timeline {
  const threadId = checkAgentId("config.configurable.thread_id", config.configurable?.["thread_id"]);
  return { threadId, namespace: namespaceIn(config) ?? "" };
}

/** Returns the id of a checkpoint; undefined for an empty one, which LangGraph takes for none. */
export function checkpointIdIn(field: string, config: RunnableConfig | undefined): string | undefined {
  const id: unknown = config?.configurable?.["checkpoint_id"];
  if (id === undefined || id === null || id === "") return undefined;
  return checkCheckpointId(`${field}.configurable.checkpoint_id`, id);
}

export function checkCheckpointId(field: string, value: unknown): string {
  return checkText(field, value, 1, MAX_CHECKPOINT_ID_BYTES);
}

/** Checks the arguments of `putWrites` as the storage will: held writes reach it much later. */
export function checkTaskWrites(writes: readonly PendingWrite[], taskId: unknown, taskPath: unknown): void {
  checkTaskId("taskId", taskId);
  if (taskPath !== undefined) checkTaskPath("taskPath", taskPath);
  for (const [at, [channel]] of writes.entries()) checkChannel(`writes[${at}][0]`, channel);
}
