import type { CheckpointError, CheckpointErrorCode } from "@waymark/core";
import { expect } from "vitest";

/** Expects a `CheckpointError`, by the mark that every copy of core sets: the backend may use another copy than the suite. */
export function expectCheckpointError(value: unknown, what?: string): asserts value is CheckpointError {
  expect(value, what).toBeInstanceOf(Error);
  expect(Reflect.get(value as Error, Symbol.for("waymark.CheckpointError")), `${what}: ${value}`).toBe(true);
}

/** Returns the error that a call rejects with (its refusal), and expects a `CheckpointError` with this code. */
export async function refusal(
  call: Promise<unknown> | (() => Promise<unknown>),
  code: CheckpointErrorCode,
): Promise<CheckpointError> {
  const outcome = await Promise.resolve(typeof call === "function" ? call() : call).then(
    () => "the call did not reject",
    (error: unknown) => error,
  );
  expectCheckpointError(outcome);
  expect(outcome.code, outcome.message).toBe(code);
  return outcome;
}
