import { isDeepStrictEqual } from "node:util";
import type { CheckpointMetadata, MetadataValue } from "@waymark/core";

/**
 * Labels of a Waymark checkpoint: LangGraph's id of it, and those entries of LangGraph's metadata that a database can filter
 * by. The state holds all of the metadata; the labels are a copy of it. If some entries are missing, a label says so.
 *
 * Beside them the user's entries in the metadata of the run's config, which LangGraph JS, unlike that in Python, does not copy
 * into the checkpoint's metadata. They are labels only: filters of `list` apply to the checkpoint's metadata.
 */

/** The label that every LangGraph checkpoint has, and no other checkpoint. */
const ID = "langgraph_checkpoint_id";
/** The label of a checkpoint with more entries than labels may have. */
const PARTIAL = "langgraph_labels_partial";

const MAX_TEXT_BYTES = 256;
/** Of the 16 KiB that labels may have; the rest is for the two labels above. */
const MAX_BYTES = 15 * 1_024;

/** A filter for the checkpoints whose labels lack some of their metadata. */
export const PARTIAL_ONLY: CheckpointMetadata = { [PARTIAL]: true };

/** Keys that LangGraph copies into a run's metadata from its `configurable`; they differ from run to run. */
const RUN_KEYS: ReadonlySet<string> = new Set(["thread_id", "checkpoint_id", "checkpoint_ns", "task_id", "run_id"]);
/** Beginnings of the keys that LangGraph, LangChain and LangSmith add to a run's metadata. */
const THEIR_KEY = /^(?:__|langgraph_|lc_|ls_)/;

type Label = readonly [key: string, value: MetadataValue];

/** Returns the user's entries of a run's metadata that can be labels. */
export function runLabelsOf(runMetadata: unknown): readonly Label[] {
  return labelsIn(entriesOf(runMetadata)).filter(([key]) => !RUN_KEYS.has(key) && !THEIR_KEY.test(key));
}

/** Returns the labels of a checkpoint with this metadata, and of its run, as far as they fit. */
export function labelsOf(checkpointId: string, metadata: unknown, runLabels: readonly Label[]): CheckpointMetadata {
  const own = entriesOf(metadata);
  const labels = new Map<string, MetadataValue>([[ID, checkpointId]]);
  let bytes = 0;
  const add = ([key, value]: Label) => {
    const more = Buffer.byteLength(JSON.stringify([key, value]));
    if (bytes + more > MAX_BYTES) return false;
    bytes += more;
    labels.set(key, value);
    return true;
  };
  if (!labelsIn(own).every(add)) labels.set(PARTIAL, true);
  const keys = new Set(own.map(([key]) => key));
  for (const label of runLabels) if (!keys.has(label[0])) add(label);
  return Object.fromEntries(labels);
}

/** Returns LangGraph's id of a checkpoint; undefined if the checkpoint is not LangGraph's. */
export function checkpointIdOf({ metadata }: { readonly metadata?: CheckpointMetadata }): string | undefined {
  const id = metadata !== undefined && Object.hasOwn(metadata, ID) ? metadata[ID] : undefined;
  return typeof id === "string" ? id : undefined;
}

/** Entries that the metadata must have. */
export type Filter = readonly (readonly [key: string, value: unknown])[];

/** Returns the entries of a filter, without undefined ones, which filter nothing. */
export function filterOf(filter: unknown): Filter {
  return entriesOf(filter).filter(([, value]) => value !== undefined);
}

/** Returns the part of a filter that a database can apply to labels. */
export function labelFilter(filter: Filter): CheckpointMetadata {
  return Object.fromEntries(labelsIn(filter));
}

/** Returns `true` if the labels alone show that the metadata does not match. */
export function isRuledOut({ metadata = {} }: { readonly metadata?: CheckpointMetadata }, filter: Filter): boolean {
  if (Object.hasOwn(metadata, PARTIAL)) return false;
  return filter.some(
    ([key, value]) => isLabel(key, value) && !(Object.hasOwn(metadata, key) && metadata[key] === value),
  );
}

export function isMatch(metadata: unknown, filter: Filter): boolean {
  const entries = new Map(entriesOf(metadata));
  return filter.every(([key, value]) => entries.has(key) && isDeepStrictEqual(entries.get(key), value));
}

/** Returns those entries that can be labels. */
function labelsIn(entries: Filter): Label[] {
  return entries.filter((entry): entry is Label => isLabel(...entry));
}

function isLabel(key: string, value: unknown): value is MetadataValue {
  if (key === ID || key === PARTIAL || Buffer.byteLength(key) > MAX_TEXT_BYTES) return false;
  if (typeof value === "string") return Buffer.byteLength(value) <= MAX_TEXT_BYTES;
  return value === null || typeof value === "boolean" || (Number.isFinite(value) && !Object.is(value, -0));
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}
