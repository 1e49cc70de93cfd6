import { CheckpointError } from "../contract/errors.ts";

/** Vectors of one model. `model`: `null` if nobody has named it. */
export interface VectorKind {
  readonly model: string | null;
  readonly dimensions: number;
}

/** Errors of memory. None holds a text, a vector or a value; ids and names of owners stay out too. */

export function noSuch(operation: string, what: string): CheckpointError {
  return new CheckpointError("NOT_FOUND", `${operation}: there is no ${what} of this owner`);
}

export function conflict(operation: string, what: string): CheckpointError {
  return new CheckpointError("CONFLICT", `${operation}: ${what}`);
}

export function changedTooOften(operation: string): CheckpointError {
  return new CheckpointError("CONTENTION", `${operation}: other clients keep changing the same rows`);
}

/** `model`: whose dimensions are expected; `null`: nobody has named it. */
export function dimensionMismatch(
  operation: string,
  { model, dimensions: expected }: VectorKind,
  got: number,
): CheckpointError {
  const ofModel = model === null ? "as the collection has" : `as the model ${JSON.stringify(model)} has`;
  const advice =
    model === null
      ? "see reembed()"
      : `a model's name is its identity: one of ${got} dimensions needs another, such as ${JSON.stringify(`${model}@${got}`)}, and reembed()`;
  const message = `${operation}: expected a vector of ${expected} dimensions, ${ofModel}, got ${got}; ${advice}`;
  return new CheckpointError("DIMENSION_MISMATCH", message);
}

/** `expected`: `null`: the model of the collection's vectors has no name. */
export function modelMismatch(operation: string, expected: string | null, got: string): CheckpointError {
  const model =
    expected === null
      ? "whose model is not named, as the collection's are not"
      : `of the model ${JSON.stringify(expected)}, as the collection has`;
  const message = `${operation}: expected a vector ${model}, got one of ${JSON.stringify(got)}: see reembed()`;
  return new CheckpointError("MODEL_MISMATCH", message);
}
