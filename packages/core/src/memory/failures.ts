import { CheckpointError, quoted } from "../contract/errors.ts";

/** Errors of memory. None holds a text, a vector or a value; ids and names stay out too. */

export function noSuch(operation: string, what: string): CheckpointError {
  return new CheckpointError("NOT_FOUND", `${operation}: there is no ${what} of this owner`);
}

export function conflict(operation: string, what: string): CheckpointError {
  return new CheckpointError("CONFLICT", `${operation}: ${what}`);
}

export function changedTooOften(operation: string): CheckpointError {
  return new CheckpointError("CONTENTION", `${operation}: other clients keep changing the same rows`);
}

/** `asSaid`: where the expected kind of vectors is said, as a clause: `the embedder makes`, `the collection has`. */
export function dimensionMismatch(operation: string, asSaid: string, expected: number, got: number): CheckpointError {
  return new CheckpointError(
    "DIMENSION_MISMATCH",
    `${operation}: expected a vector of ${expected} dimensions, as ${asSaid}, got ${got}: see reembed()`,
  );
}

export function modelMismatch(operation: string, asSaid: string, expected: string, got: string): CheckpointError {
  return new CheckpointError(
    "MODEL_MISMATCH",
    `${operation}: expected a vector of the model ${quoted(expected)}, as ${asSaid}, got one of ${quoted(got)}: see reembed()`,
  );
}
