import type { CheckpointMetadata, MetadataValue } from "../contract/checkpoints.ts";
import { isPlain, plainObject } from "../contract/checks.ts";
import { invalidArgument, quoted } from "../contract/errors.ts";

/**
 * Metadata as text: one line per label, `"key":value` in JSON, with a line break before the first and after each.
 *
 * JSON has no raw line breaks, and writes NUL and lone surrogates as escapes. So a label is there if its line, with its
 * breaks, is a part of the text, byte for byte, on every database alike.
 */

export const MAX_METADATA_BYTES = 16 * 1_024;

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function encodeMetadata(field: string, value: unknown): string {
  const text = `\n${encodeLabels(field, value)
    .map((label) => label.slice(1))
    .join("")}`;
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_METADATA_BYTES) {
    throw invalidArgument(field, `at most ${MAX_METADATA_BYTES} bytes as JSON lines`, bytes);
  }
  return text;
}

/** Checks labels, for adapters that store them later, and copies them. @throws CheckpointError `INVALID_ARGUMENT` */
export function checkMetadata(field: string, value: unknown): CheckpointMetadata {
  return decodeMetadata(encodeMetadata(field, value));
}

/** Encodes each label with a line break before and after it. @throws CheckpointError `INVALID_ARGUMENT` */
export function encodeLabels(field: string, value: unknown): string[] {
  const object = plainObject(field, value);
  if (!isPlain(object) || Reflect.ownKeys(object).length !== Object.keys(object).length) {
    throw invalidArgument(field, "a plain object of strings, numbers, booleans and nulls", value);
  }
  return Object.keys(object).map((key) => `\n${JSON.stringify(key)}:${encodeValue(field, key, object[key])}\n`);
}

function encodeValue(field: string, key: string, value: unknown): string {
  if (typeof value === "number" && Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "string" || typeof value === "boolean" || value === null) return JSON.stringify(value);
  throw invalidArgument(`${field}[${quoted(key)}]`, "a string, a finite number, a boolean or null", value);
}

/** Returns the lines of encoded metadata, each with a line break before and after it, as {@link encodeLabels} does. */
export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .slice(1, -1)
    .map((line) => `\n${line}\n`);
}

/** @throws SyntaxError for a text that {@link encodeMetadata} has not made */
export function decodeMetadata(text: string): CheckpointMetadata {
  const labels = text.split("\n").slice(1, -1);
  return JSON.parse(`{${labels.join(",")}}`) as Record<string, MetadataValue>;
}
