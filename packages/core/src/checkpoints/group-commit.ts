import type { Row, RowVersion, RowWithBase } from "./dialect.ts";

/** Larger rows are committed alone: they gain nothing from a group, and would delay it. */
const ALONE_FROM_BYTES = 256 * 1_024;
/** Rows of one commit. */
const MAX_BATCH_ROWS = 128;
/** A commit that takes longer no longer delays the next ones, of which so many may be under way then. */
const SLOW_AFTER_MS = 100;
const MAX_RUNNING = 8;
/** Promise steps between the end of a commit and the next store of a caller that waited for it, and some more. */
const MICROTASKS = 24;

/** Commits rows, all or none, see `Dialect.commit`. */
type Commit = (rows: readonly Row[], bases: readonly RowVersion[], signal: AbortSignal) => Promise<boolean>;

interface Waiting extends RowWithBase {
  readonly bytes: number;
  readonly signal: AbortSignal;
  readonly resolve: (stored: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: stores that arrive while a commit is under way share the next one. A row that is alone waits for nothing.
 */
export class GroupCommit {
  readonly #commit: Commit;
  readonly #mayBeOneRow: (error: unknown) => boolean;
  readonly #waiting: Waiting[] = [];
  /** Number of commits under way. */
  #running = 0;

  /**
   * `mayBeOneRow`: whether a commit may have failed because of one of its rows. Each is then committed by itself, so that
   * only that one fails.
   */
  constructor(commit: Commit, mayBeOneRow: (error: unknown) => boolean) {
    this.#commit = commit;
    this.#mayBeOneRow = mayBeOneRow;
  }

  /**
   * Inserts a row. Resolves and rejects as a commit of this row alone does. `bytes`: the row's, as `rowBytes` counts them;
   * `maxBytes`: the most of one commit.
   */
  async insert({ row, base }: RowWithBase, bytes: number, maxBytes: number, signal: AbortSignal): Promise<boolean> {
    if (bytes >= ALONE_FROM_BYTES) return await this.#commit([row], base === null ? [] : [base], signal);
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ row, base, bytes, signal, resolve, reject });
      if (this.#running === 0) this.#commitBatches(maxBytes);
    });
  }

  async #commitBatches(maxBytes: number): Promise<void> {
    this.#running += 1;
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch(maxBytes);
      // A commit that waits for a lock, or for a connection that was lost, delays only its own rows.
      const slow = setTimeout(() => {
        if (this.#waiting.length > 0 && this.#running < MAX_RUNNING) this.#commitBatches(maxBytes);
      }, SLOW_AFTER_MS);
      await this.#commitBatch(batch);
      clearTimeout(slow);
      // Callers whose store just resolved often store again immediately. Yield a few microtasks so that those stores join the
      // next batch, even with a synchronous driver.
      if (batch.length > 1 || this.#waiting.length > 0) for (let step = 0; step < MICROTASKS; step++) await null;
    }
    this.#running -= 1;
  }

  #nextBatch(maxBytes: number): Waiting[] {
    const bases = new Map<string, Uint8Array>();
    let bytes = 0;
    let count = 0;
    for (const { bytes: more, base } of this.#waiting) {
      if (count > 0 && (count === MAX_BATCH_ROWS || bytes + more > maxBytes)) break;
      if (base !== null) {
        const digest = bases.get(base.id) ?? base.digest;
        if (Buffer.compare(digest, base.digest) !== 0) break; // the id was used again: both cannot be right
        bases.set(base.id, digest);
      }
      bytes += more;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #commitBatch(batch: readonly Waiting[]): Promise<void> {
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
      if (!stored && wanted.length > 1) await Promise.all(wanted.map((one) => this.#commitBatch([one])));
      else for (const { resolve } of wanted) resolve(stored);
    } catch (error) {
      if (wanted.length > 1 && this.#mayBeOneRow(error)) {
        await Promise.all(wanted.map((one) => this.#commitBatch([one])));
      } else {
        for (const { reject } of wanted) reject(error);
      }
    } finally {
      release();
    }
  }
}

/** Rejects when the signal aborts: some drivers never settle a call that they gave up, and the group would wait for ever. */
function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

function alone({ signal }: Waiting): { signal: AbortSignal; release: () => void } {
  return { signal, release: () => {} };
}

/** Makes a signal that aborts when all callers of a batch have stopped waiting. */
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
