import { randomUUID } from "node:crypto";
import type { Settings } from "../checkpoints/dialect.ts";
import type { Session } from "../database/session.ts";

/** The right to prune a database: a setting of it, which one process at a time holds, for a limited time. */

const NAME = "retention";

/** Time after which the lease of a process that has ended is free again. */
export const LEASE_MS = 60_000;

/** The setting. Times are those of the processes' clocks. */
interface Holding {
  /** The process that prunes; `null`: none does. */
  readonly holder: string | null;
  readonly until: number;
  /** Start of the last prune that was done. */
  readonly doneAt: number;
}

const NOBODY: Holding = { holder: null, until: 0, doneAt: 0 };

export class RetentionLease {
  readonly #session: Session;
  readonly #settings: Settings;
  readonly #everyMs: number;
  readonly #holder = randomUUID();
  /** The setting's text while this process holds the lease. */
  #held: string | null = null;
  #doneAt = 0;

  constructor(session: Session, settings: Settings, everyMs: number) {
    this.#session = session;
    this.#settings = settings;
    this.#everyMs = everyMs;
  }

  /** Takes the lease if a prune is due and no process holds it. Returns the time to wait otherwise, in milliseconds; 0: taken. */
  async take(signal: AbortSignal): Promise<number> {
    return await this.#run(signal, async (deadline) => {
      const text = await this.#settings.read(NAME, deadline);
      const { until, doneAt } = text === null ? NOBODY : (JSON.parse(text) as Holding);
      const now = Date.now();
      // A time in the future is that of a clock that was wrong.
      const sinceDone = now - doneAt;
      if (sinceDone >= 0 && sinceDone < this.#everyMs) return this.#everyMs - sinceDone;
      if (until > now && until <= now + LEASE_MS) return until - now;
      this.#doneAt = doneAt;
      return (await this.#replace(text, { holder: this.#holder, until: now + LEASE_MS, doneAt }, deadline))
        ? 0
        : LEASE_MS;
    });
  }

  /** Holds the lease for longer. `false`: another process has taken it. */
  async renew(signal: AbortSignal): Promise<boolean> {
    return await this.#run(signal, (deadline) => {
      const held = { holder: this.#holder, until: Date.now() + LEASE_MS, doneAt: this.#doneAt };
      return this.#replace(this.#held, held, deadline);
    });
  }

  /** Frees the lease. `doneAt`: start of the prune that was done; `null`: it was not. */
  async free(doneAt: number | null, signal: AbortSignal): Promise<void> {
    const { holder, until } = NOBODY;
    await this.#run(signal, (deadline) =>
      this.#replace(this.#held, { holder, until, doneAt: doneAt ?? this.#doneAt }, deadline),
    );
    this.#held = null;
  }

  async #replace(from: string | null, to: Holding, signal: AbortSignal): Promise<boolean> {
    const text = JSON.stringify(to);
    const isReplaced = await this.#settings.replace(NAME, from, text, signal);
    if (isReplaced) this.#held = text;
    return isReplaced;
  }

  #run<Result>(signal: AbortSignal, work: (deadline: AbortSignal) => Promise<Result>): Promise<Result> {
    return this.#session.run("take turns to prune", signal, work);
  }
}
