import { expect } from "vitest";

/**
 * Repeats a call for as long as its error says that it may be made again, and returns what it gives. For calls before the part
 * of a test that a short deadline is for: on a busy machine they may well run into it. The test's own timeout ends it.
 */
export async function untilDone<Result>(call: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      expect(error).toMatchObject({ name: "CheckpointError", retryable: true });
    }
  }
}
