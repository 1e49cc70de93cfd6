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
      const { holder, until, doneAt } = parse(text);
      const now = Date.now();
      // A time in the future is that of a clock that was wrong.
      const sinceDone = now - doneAt;
      if (sinceDone >= 0 && sinceDone < this.#everyMs) return this.#everyMs - sinceDone;
      // Its own: the answer to an earlier attempt was lost.
      if (holder !== this.#holder && until > now && until <= now + LEASE_MS) return until - now;
      this.#doneAt = doneAt;
      const taken = JSON.stringify(this.#holding(now));
      return (await this.#settings.replace(NAME, text, taken, deadline)) ? 0 : LEASE_MS;
    });
  }

  /** Holds the lease for longer. `false`: another process has taken it, or it was freed. */
  async renew(signal: AbortSignal): Promise<boolean> {
    return await this.#run(signal, (deadline) => this.#replaceOwn(this.#holding(Date.now()), deadline));
  }

  /** Frees the lease. `doneAt`: start of the prune that was done; `null`: it was not. */
  async free(doneAt: number | null, signal: AbortSignal): Promise<void> {
    const free = { ...NOBODY, doneAt: doneAt ?? this.#doneAt };
    await this.#run(signal, (deadline) => this.#replaceOwn(free, deadline));
  }

  #holding(now: number): Holding {
    return { holder: this.#holder, until: now + LEASE_MS, doneAt: this.#doneAt };
  }

  /** Replaces the setting while this process holds the lease. `false`: it does not. */
  async #replaceOwn(to: Holding, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      const text = await this.#settings.read(NAME, signal);
      if (parse(text).holder !== this.#holder) return false;
      if (await this.#settings.replace(NAME, text, JSON.stringify(to), signal)) return true;
      // A renewal of its own came in between: one that was under way, or whose answer was lost.
    }
  }

  #run<Result>(signal: AbortSignal, work: (deadline: AbortSignal) => Promise<Result>): Promise<Result> {
    return this.#session.run("take turns to prune", signal, work);
  }
}

function parse(text: string | null): Holding {
  return text === null ? NOBODY : (JSON.parse(text) as Holding);
}
