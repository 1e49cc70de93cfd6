import { damageError } from "../codec/failures.ts";
import { CheckpointError } from "../contract/errors.ts";
import { UnreadableRow } from "./chain.ts";

/** Errors of rows, as a user gets them. */

/** Makes the error for a checkpoint that cannot be read. */
export function unreadable(operation: string, id: string, error: unknown): CheckpointError {
  const where = error instanceof UnreadableRow && error.id !== id ? `${id}, which builds on ${error.id}` : id;
  const reason = error instanceof UnreadableRow ? error.cause : error;
  return damageError(operation, where, reason);
}

/** Makes the error for a removal whose rows other clients change faster than it can be planned. */
export function changedTooOften(): CheckpointError {
  const message = "remove checkpoints: other clients keep changing the rows that build on them";
  return new CheckpointError("CONTENTION", message);
}

export function noCheckpoint(operation: string, which: string): CheckpointError {
  return new CheckpointError("NOT_FOUND", `${operation}: there is no checkpoint ${which}`);
}

export function tooLarge(operation: string, bytes: number, maxBytes: number): CheckpointError {
  const advice = "raise the server's limit, or keep large files outside of the state";
  const message = `${operation}: it takes ${bytes} bytes as sent, and the limit is ${maxBytes}; ${advice}`;
  return new CheckpointError("STATE_TOO_LARGE", message);
}
