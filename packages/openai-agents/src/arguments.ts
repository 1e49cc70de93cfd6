import type { CheckpointStorage } from "@waymark/core";
import { invalidArgument, property } from "@waymark/core/kit";

/** What sessions and run states are both made with, checked. */

const MAX_AGENT_ID_BYTES = 255;

export function checkStorage(field: string, value: unknown): CheckpointStorage {
  if (typeof property(value, "storeCheckpoint") === "function") return value as CheckpointStorage;
  throw invalidArgument(field, "a CheckpointStorage", value);
}

export function checkAgentId(field: string, value: unknown): string {
  if (typeof value === "string" && value !== "" && Buffer.byteLength(value) <= MAX_AGENT_ID_BYTES) return value;
  throw invalidArgument(field, `a string of 1 to ${MAX_AGENT_ID_BYTES} bytes of UTF-8`, value);
}
