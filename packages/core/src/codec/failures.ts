import { CheckpointError, property } from "../contract/errors.ts";
import { DamagedState, EncryptionMismatch, UnknownEncoding } from "./damage.ts";
import { type Snapshot, type SnapshotOptions, takeSnapshot } from "./snapshot.ts";
import { MalformedText, UnsupportedValue } from "./values.ts";

/** Errors of the codec, as a user gets them. */

/** Takes a snapshot of a value. `field`: its name in messages. */
export function snapshotOf(
  operation: string,
  field: string,
  value: unknown,
  options: Omit<SnapshotOptions, "name"> = {},
): Snapshot {
  try {
    return takeSnapshot(value, { ...options, name: field });
  } catch (error) {
    if (error instanceof UnsupportedValue) {
      throw new CheckpointError("UNSUPPORTED_VALUE", `${operation}: ${error.message}`);
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

/** Makes the error for a stored value that cannot be read. `where`: the id of its row. */
export function damageError(operation: string, where: string, reason: unknown): CheckpointError {
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
