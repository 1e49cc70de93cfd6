import type { CheckpointStorage } from "@waymark/core";
import { invalidArgument, property } from "@waymark/core/kit";

/** Checks the storage option of sessions and run states. One without task writes, of an earlier version of Waymark, will do. */
export function checkStorage(field: string, value: unknown): CheckpointStorage {
  if (typeof property(value, "storeCheckpoint") === "function") return value as CheckpointStorage;
  throw invalidArgument(field, "a CheckpointStorage", value);
}
