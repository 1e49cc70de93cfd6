import { isDeepStrictEqual } from "node:util";
import type { CheckpointMetadata, MetadataValue } from "@waymark/core";

/**
 * Labels of a Waymark checkpoint: LangGraph's id of it, and those entries of LangGraph's metadata by which a database can
 * filter. All of the metadata is in the state; the labels are a copy, in which nothing is missing unless it says so.
 */

/** The label that makes a Waymark checkpoint one of LangGraph's. */
const ID = "langgraph_checkpoint_id";
/** Says that there were more entries than labels may be. */
const PARTIAL = "langgraph_labels_partial";

const MAX_TEXT_BYTES = 256;
/** Of the 16 KiB that labels may take; the rest is for our own. */
const MAX_BYTES = 15 * 1_024;

/** What finds the checkpoints of a thread whose labels are not all of their metadata. */
export const PARTIAL_ONLY: CheckpointMetadata = { [PARTIAL]: true };

export function labelsOf(checkpointId: string, metadata: unknown): CheckpointMetadata {
  const labels: [string, MetadataValue][] = [[ID, checkpointId]];
  let bytes = 0;
  for (const [key, value] of entriesOf(metadata)) {
    if (!isLabel(key, value)) continue;
    bytes += Buffer.byteLength(JSON.stringify([key, value]));
    if (bytes > MAX_BYTES) return Object.fromEntries([...labels, [PARTIAL, true]]);
    labels.push([key, value]);
  }
  return Object.fromEntries(labels);
}

/** LangGraph's id of a checkpoint; undefined if it is not LangGraph's. */
export function checkpointIdOf({ metadata }: { readonly metadata?: CheckpointMetadata }): string | undefined {
  const id = metadata !== undefined && Object.hasOwn(metadata, ID) ? metadata[ID] : undefined;
  return typeof id === "string" ? id : undefined;
}

/** What a filter asks for. Entries that are undefined ask for nothing. */
export type Filter = readonly (readonly [key: string, value: unknown])[];

export function filterOf(filter: unknown): Filter {
  return entriesOf(filter).filter(([, value]) => value !== undefined);
}

/** The part of a filter that a database can answer by labels. */
export function labelFilter(filter: Filter): CheckpointMetadata {
  return Object.fromEntries(filter.filter((entry): entry is [string, MetadataValue] => isLabel(...entry)));
}

/** Whether labels say that the metadata does not match. */
export function ruledOut({ metadata = {} }: { readonly metadata?: CheckpointMetadata }, filter: Filter): boolean {
  if (Object.hasOwn(metadata, PARTIAL)) return false;
  return filter.some(
    ([key, value]) => isLabel(key, value) && !(Object.hasOwn(metadata, key) && metadata[key] === value),
  );
}

export function matches(metadata: unknown, filter: Filter): boolean {
  const found = new Map(entriesOf(metadata));
  return filter.every(([key, value]) => found.has(key) && isDeepStrictEqual(found.get(key), value));
}

function isLabel(key: string, value: unknown): value is MetadataValue {
  if (key === ID || key === PARTIAL || Buffer.byteLength(key) > MAX_TEXT_BYTES) return false;
  if (typeof value === "string") return Buffer.byteLength(value) <= MAX_TEXT_BYTES;
  return value === null || typeof value === "boolean" || (Number.isFinite(value) && !Object.is(value, -0));
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}
