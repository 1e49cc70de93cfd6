import { unref } from "@waymark/core/kit";

/** Sweeps at intervals. It keeps no process alive. */
export class Sweeper {
  readonly #sweep: () => Promise<unknown>;
  readonly #everyMs: number | null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #sweeping: Promise<unknown> = Promise.resolve();

  /** `everyMs`: `null`: never. */
  constructor(everyMs: number | null, sweep: () => Promise<unknown>) {
    this.#everyMs = everyMs;
    this.#sweep = sweep;
  }

  /** Starts the intervals, unless they run. */
  start(): void {
    if (this.#everyMs === null || this.#timer !== null) return;
    this.#timer = setInterval(() => {
      // What a sweep cannot delete now, the next one does; the memory's `status()` has the error.
      this.#sweeping = this.#sweep().catch(() => {});
    }, this.#everyMs);
    unref(this.#timer);
  }

  /** Stops, and waits for a sweep that is under way. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#sweeping;
  }
}
