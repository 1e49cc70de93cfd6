import { CheckpointError } from "../contract/errors.ts";
import { onAbort, withDeadline } from "../database/deadline.ts";

/** Reason with which calls are ended. */
const CLOSING = Symbol("closing");

/**
 * Calls that may take longer than one of the database: they embed texts, make an index, or delete in several commits. A storage that is closed waits for them, for a
 * while, and then ends them.
 */
export class LongCalls {
  readonly #underWay = new Map<Promise<unknown>, AbortController>();

  /** Runs a call, which begins at once. `work` gets a signal that aborts with the caller's, and when it is ended. */
  async run<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const ending = new AbortController();
    const stopListening = signal === undefined ? () => {} : onAbort(signal, () => ending.abort());
    if (signal?.aborted) ending.abort();
    const running = work(ending.signal);
    this.#underWay.set(running, ending);
    try {
      return await running;
    } catch (error) {
      if (ending.signal.reason !== CLOSING) throw error;
      throw new CheckpointError("CLOSED", `${operation}: the storage was closed before it was done`);
    } finally {
      this.#underWay.delete(running);
      stopListening();
    }
  }

  /** Waits for the calls under way, at most this long; then ends those that are left. */
  async end(timeoutMs: number): Promise<void> {
    const settled = () => Promise.allSettled(this.#underWay.keys());
    await withDeadline("close storage", { timeoutMs }, settled).catch(() => {});
    for (const ending of this.#underWay.values()) ending.abort(CLOSING);
    await settled();
  }
}
