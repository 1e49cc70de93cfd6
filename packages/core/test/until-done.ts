import { expect } from "vitest";

/**
 * What a call gives, made again for as long as its error says that it may be: on a busy machine it may well run into a
 * short deadline, where the deadline is for what comes later in a test. The test's own deadline is the limit.
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
