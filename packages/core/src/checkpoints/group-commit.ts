import { type Base, type Row, rowBytes } from "./dialect.ts";

/** Larger rows gain nothing from company, and would hold it up. */
const ALONE_FROM_BYTES = 256 * 1_024;
const MAX_ROWS = 128;
/** A commit under way for longer does not hold up the others any more; so many may be under way then. */
const SLOW_AFTER_MS = 100;
const MAX_RUNNING = 8;

/** A row, and what it is a difference to. */
export interface QueuedRow {
  readonly row: Row;
  readonly base: Base | null;
}

/** Commits rows all or none, see `Dialect.commit`. */
type Commit = (rows: readonly Row[], bases: readonly Base[], signal: AbortSignal) => Promise<boolean>;

interface Waiting extends QueuedRow {
  readonly bytes: number;
  readonly signal: AbortSignal;
  readonly resolve: (stored: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Puts the rows of stores that come at once into one commit: while one is under way the next ones gather. A row that is
 * alone waits for nothing.
 */
export class StoreQueue {
  readonly #commit: Commit;
  readonly #mayBeOneRowsFault: (error: unknown) => boolean;
  readonly #waiting: Waiting[] = [];
  /** How many commits are under way. */
  #running = 0;

  /**
   * `mayBeOneRowsFault`: whether a commit may have failed because of one of its rows. Each is then sent by itself, so that
   * only that one fails.
   */
  constructor(commit: Commit, mayBeOneRowsFault: (error: unknown) => boolean) {
    this.#commit = commit;
    this.#mayBeOneRowsFault = mayBeOneRowsFault;
  }

  /** `maxBytes`: what the rows of one commit may have together. Resolves and rejects as a commit of the row alone does. */
  async insert({ row, base }: QueuedRow, maxBytes: number, signal: AbortSignal): Promise<boolean> {
    const bytes = rowBytes(row);
    if (bytes >= ALONE_FROM_BYTES) return await this.#commit([row], base === null ? [] : [base], signal);
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ row, base, bytes, signal, resolve, reject });
      if (this.#running === 0) this.#run(maxBytes);
    });
  }

  async #run(maxBytes: number): Promise<void> {
    this.#running += 1;
    while (this.#waiting.length > 0) {
      const batch = this.#take(maxBytes);
      // A commit that waits for a lock, or for a connection that was lost, holds up its own rows only.
      const slow = setTimeout(() => {
        if (this.#waiting.length > 0 && this.#running < MAX_RUNNING) this.#run(maxBytes);
      }, SLOW_AFTER_MS);
      await this.#send(batch);
      clearTimeout(slow);
      // Who was told just now may store the next one at once. They come together, also where a commit ends before anything
      // else has its turn, if they are waited for until they have come.
      if (batch.length > 1 || this.#waiting.length > 0) for (let turn = 0; turn < TURNS; turn++) await null;
    }
    this.#running -= 1;
  }

  #take(maxBytes: number): Waiting[] {
    const bases = new Map<string, Uint8Array>();
    let bytes = 0;
    let count = 0;
    for (const { bytes: more, base } of this.#waiting) {
      if (count > 0 && (count === MAX_ROWS || bytes + more > maxBytes)) break;
      if (base !== null) {
        const digest = bases.get(base.id) ?? base.digest;
        if (Buffer.compare(digest, base.digest) !== 0) break; // its id was used again: both cannot be right
        bases.set(base.id, digest);
      }
      bytes += more;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    const wanted = batch.filter(({ signal, reject }) => {
      if (signal.aborted) reject(signal.reason);
      return !signal.aborted;
    });
    const [first] = wanted;
    if (first === undefined) return;
    const { signal, release } = wanted.length === 1 ? alone(first) : together(wanted);
    try {
      const bases = new Map(wanted.flatMap(({ base }) => (base === null ? [] : [[base.id, base]])));
      const rows = wanted.map(({ row }) => row);
      const stored = await orAborted(this.#commit(rows, [...bases.values()], signal), signal);
      if (!stored && wanted.length > 1) await Promise.all(wanted.map((one) => this.#send([one])));
      else for (const { resolve } of wanted) resolve(stored);
    } catch (error) {
      if (wanted.length > 1 && this.#mayBeOneRowsFault(error)) {
        await Promise.all(wanted.map((one) => this.#send([one])));
      } else {
        for (const { reject } of wanted) reject(error);
      }
    } finally {
      release();
    }
  }
}

/** Some drivers never settle what they gave up: the queue would wait for it for ever. */
function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

/** How many steps of promises lie between a commit's end and the next store of whoever waited for it, and some more. */
const TURNS = 24;

function alone({ signal }: Waiting): { signal: AbortSignal; release: () => void } {
  return { signal, release: () => {} };
}

/** A signal that aborts when nobody waits any more. */
function together(batch: readonly Waiting[]): { signal: AbortSignal; release: () => void } {
  const all = new AbortController();
  let left = batch.length;
  const leave = ({ target }: Event) => {
    left -= 1;
    if (left === 0) all.abort((target as AbortSignal).reason);
  };
  for (const { signal } of batch) signal.addEventListener("abort", leave, { once: true });
  return {
    signal: all.signal,
    release: () => {
      for (const { signal } of batch) signal.removeEventListener("abort", leave);
    },
  };
}
