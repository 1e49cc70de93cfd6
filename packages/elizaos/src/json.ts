import { CheckpointError, invalidArgument } from "@waymark/core/records";
import { checkString } from "./checks.ts";

/** Values as texts of JSON, which columns keep to the character. */

/** Stands for a member's value in JSON. */
export type Replacer = (name: string, value: unknown) => unknown;

/** Makes JSON of an argument. What JSON leaves out or changes is left out or changed. */
export function toJson(field: string, value: unknown, replacer?: Replacer): string {
  const text = stringify(field, value, replacer);
  if (text === undefined) throw invalidArgument(field, "a value that JSON has", value);
  return text;
}

function stringify(field: string, value: unknown, replacer: Replacer | undefined): string | undefined {
  try {
    return JSON.stringify(value, replacer);
  } catch {
    // The engine's own words quote names of members.
    throw invalidArgument(field, "a value that JSON has, without cycles and big integers", value);
  }
}

/** As {@link toJson}; `null` for a value that is not given. */
export function optionalJson(field: string, value: unknown): string | null {
  return value === undefined || value === null ? null : toJson(field, value);
}

/** Parses a column's text. */
export function fromJson<Value>(text: string): Value {
  try {
    return JSON.parse(text) as Value;
  } catch {
    throw new CheckpointError("CORRUPT_CHECKPOINT", "read row: a column of JSON does not parse");
  }
}

/** Makes a column's text of a free text, which may have characters that columns of text do not take: JSON escapes these. */
export function textToJson(text: string): string {
  return JSON.stringify(text);
}

export function textOfJson(text: string): string {
  return fromJson<string>(text);
}

/** Checks a free text, and makes a column's text of it; `null` for one that is not given. */
export function optionalText(field: string, value: unknown): string | null {
  return value === undefined || value === null ? null : textToJson(checkString(field, value));
}
