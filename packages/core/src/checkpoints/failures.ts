import { DamagedState, EncryptionMismatch, UnknownEncoding } from "../codec/damage.ts";
import { type Snapshot, takeSnapshot } from "../codec/snapshot.ts";
import { MalformedText, UnsupportedValue } from "../codec/values.ts";
import { CheckpointError, property } from "../contract/errors.ts";
import { UnreadableRow } from "./chain.ts";

/** Errors of the codec and of rows, as a user gets them. */

/** Takes a snapshot of a state or value. `field`: its name in messages, `state` or that of a write's value. */
export function snapshotOf(field: string, value: unknown, base: Snapshot | undefined, freeze: boolean): Snapshot {
  const operation = field === "state" ? "store checkpoint" : "append writes";
  try {
    return takeSnapshot(value, { base, freeze });
  } catch (error) {
    if (error instanceof UnsupportedValue) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `${operation}: ${error.message.replace(/^state/, field)}`);
    }
    // From V8 (JSON.stringify, allocation), or from Node (base64).
    const isTooLong = error instanceof RangeError && /string length|buffer|array length/i.test(error.message);
    if (isTooLong || property(error, "code") === "ERR_STRING_TOO_LONG") {
      throw new CheckpointError("STATE_TOO_LARGE", `${operation}: the ${field}'s JSON is longer than a string can be`);
    }
    if (error instanceof RangeError) {
      const message = `${operation}: the ${field} is nested deeper than the stack reaches`;
      throw new CheckpointError("UNSUPPORTED_VALUE", message);
    }
    // A getter or proxy of the state threw: its error is the caller's, and may hold the caller's data.
    throw new CheckpointError("UNSUPPORTED_VALUE", `${operation}: reading the ${field} threw an error`);
  }
}

/** Makes the error for a checkpoint that cannot be read. */
export function unreadable(operation: string, id: string, error: unknown): CheckpointError {
  const where = error instanceof UnreadableRow && error.id !== id ? `${id}, which builds on ${error.id}` : id;
  const reason = error instanceof UnreadableRow ? error.cause : error;
  if (reason instanceof UnknownEncoding) {
    const message = `${operation}: ${where}: ${reason.message}; a newer version wrote it`;
    return new CheckpointError("UNSUPPORTED_FORMAT", message);
  }
  if (reason instanceof EncryptionMismatch) {
    return new CheckpointError("ENCRYPTION_MISMATCH", `${operation}: ${where}: ${reason.message}`);
  }
  const isKnown = reason instanceof DamagedState || reason instanceof MalformedText;
  const problem = isKnown ? reason.message : "its metadata or text is damaged";
  return new CheckpointError("CORRUPT_CHECKPOINT", `${operation}: ${where}: ${problem}`);
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
