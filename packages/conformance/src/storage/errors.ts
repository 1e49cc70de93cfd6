import type { CheckpointError, CheckpointErrorCode } from "@waymark/core";
import { expect } from "vitest";

/** By the mark that all copies of core agree on: the suite's own copy may be another one than the backend's. */
export function expectCheckpointError(value: unknown, what?: string): asserts value is CheckpointError {
  expect(value, what).toBeInstanceOf(Error);
  expect(Reflect.get(value as Error, Symbol.for("waymark.CheckpointError")), `${what}: ${value}`).toBe(true);
}

/** The error that a call rejects with, which must be a `CheckpointError` with this code. */
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
