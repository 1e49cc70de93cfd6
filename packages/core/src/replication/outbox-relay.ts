import type { Lease, PendingHead } from "../checkpoints/dialect.ts";
import type { QueuedRow } from "../checkpoints/group-commit.ts";
import type { DialectStorage } from "../checkpoints/storage.ts";
import type { Backlog, Source } from "../contract/checkpoints.ts";
import { CheckpointError, codeOf } from "../contract/errors.ts";
import { listen } from "../database/deadline.ts";
import { acknowledge, type Delivered, type Done, deliver, readForDelivery, type Sent } from "./delivery.ts";

/**
 * Brings what is pending in one database to another, one way.
 *
 * A row is pending from when it is stored until the other database has it. Whoever stores one has the lease of it for a
 * while and hands it over from memory; what nobody has handed over by then (a process died, or the other database was
 * away) is looked for in the database, by whichever process comes first. So memory holds little, and nothing is lost
 * with it; and work that is done twice, after a lease that ran out, does no harm.
 */

/** For how long a row is left to the process that stored it, or that has begun to send it. */
const LEASE_MS = 10_000;
/** And one that cannot be sent for its own sake, before it is tried again. */
const REFUSED_LEASE_MS = 600_000;
/** How often a process looks for what others have left behind. */
const SWEEP_EVERY_MS = 10_000;

/** What is taken at once. */
const MAX_ROWS = 128;
const MAX_BYTES = 4_000_000;
/** What is held in memory, of rows that are in the database too. */
const MAX_FRESH_BYTES = 16_000_000;
const MAX_FRESH_ROWS = 2_048;

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;

export interface ReplicatorOptions {
  readonly from: DialectStorage;
  readonly to: DialectStorage;
  readonly target: Source;
  /** How long rows gather before they go together, in milliseconds. */
  readonly lingerMs: number;
  /** Told when nothing was found that could be sent now. */
  onSwept?(): void;
  onDelivered?(rows: number, bytes: number): void;
  onFailed?(code: string): void;
  onConflict?(id: string): void;
}

interface Fresh {
  readonly queued: QueuedRow;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #stopping = new AbortController();
  #fresh: Fresh[] = [];
  #freshBytes = 0;
  /** Rows to which something was appended, with our lease: they are read again when they are sent. */
  readonly #appended = new Set<string>();
  /** Whether there may be pending rows that are not in memory. */
  #sweep = true;
  /** Some of them have our own lease: dropped from memory, when the other database was away. */
  #draining: ((drained: boolean) => void)[] = [];
  #pauseMs = 0;
  /** What the last attempt failed with: an outage is told once, not at each attempt. */
  #failing: string | null = null;
  #acknowledged: Done[] = [];
  #acknowledging: Promise<void> | null = null;
  #loop: Promise<void> | null = null;
  #wake: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
  }

  /** When a row that is stored now may be sent by somebody else. */
  static lease(): number {
    return Date.now() + LEASE_MS;
  }

  /** A row that was just stored, with our lease. Resolves when the other database has it. */
  offer(queued: QueuedRow): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#takes({ queued, resolve, reject }, true)) reject(unavailable("the other provider does not keep up"));
    });
  }

  /** The same, where nobody waits for it: no promise, and no error for each row that is left in the database. */
  hand(queued: QueuedRow): void {
    this.#takes({ queued, resolve: () => {}, reject: () => {} }, false);
  }

  /** `awaited`: whoever waits for it holds it in memory anyway, and holds itself back. */
  #takes(fresh: Fresh, awaited: boolean): boolean {
    const full = !awaited && (this.#freshBytes > MAX_FRESH_BYTES || this.#fresh.length >= MAX_FRESH_ROWS);
    if (this.#pauseMs > 0 || full || this.#stopping.signal.aborted) {
      this.#sweep = true; // it is in the database, and is found there
      return false;
    }
    this.#fresh.push(fresh);
    this.#freshBytes += fresh.queued.row.state.byteLength;
    this.start();
    return true;
  }

  /** Something was appended to a row, which has our lease since. */
  handAppended(id: string): void {
    if (this.#pauseMs > 0 || this.#appended.size >= MAX_FRESH_ROWS || this.#stopping.signal.aborted) {
      this.#sweep = true; // it is in the database, and is found there
      return;
    }
    this.#appended.add(id);
    this.start();
  }

  /** Something is pending that is not in memory, or the other database may be back. */
  nudge(): void {
    this.#sweep = true;
    this.#pauseMs = 0;
    this.#wake?.();
    this.start();
  }

  /** Sends all that is pending, also what others have the lease of. `false`: it could not. */
  drain(signal?: AbortSignal): Promise<boolean> {
    if (this.#stopping.signal.aborted || signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (drained: boolean) => {
        stopListening();
        resolve(drained);
      };
      const stopListening = signal === undefined ? () => {} : listen(signal, () => settle(false));
      this.#draining.push(settle);
      this.nudge();
    });
  }

  async backlog(signal?: AbortSignal): Promise<Backlog> {
    const { from } = this.#options;
    const { rows, storedBytes, oldest } = await from.session.run("count backlog", signal, (limit) =>
      from.dialect.backlog(limit),
    );
    // A lease is in the future: one of a row that was just stored, or that was refused and is tried again later.
    const now = Date.now();
    const leaseMs = oldest === null || oldest <= now ? 0 : oldest <= now + LEASE_MS ? LEASE_MS : REFUSED_LEASE_MS;
    return { rows, bytes: storedBytes, ageMs: oldest === null ? 0 : Math.max(0, now - oldest + leaseMs) };
  }

  /** Sends nothing more. What is pending stays so. */
  async stop(): Promise<void> {
    this.#stopping.abort(unavailable("the storage was closed"));
    this.#wake?.();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#loop;
    await this.#acknowledging;
    this.#dropFresh(unavailable("the storage was closed"));
  }

  /** Begins, if there is anything to do. */
  start(): void {
    if (this.#loop !== null || this.#stopping.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#loop = this.#run().finally(() => {
      this.#loop = null;
      if (this.#stopping.signal.aborted) return;
      if (this.#fresh.length > 0 || this.#appended.size > 0 || this.#draining.length > 0) this.start();
      else this.#lookLater();
    });
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => {
      this.#sweep = true;
      this.start();
    }, SWEEP_EVERY_MS);
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const draining = this.#draining.length > 0;
      try {
        if (this.#fresh.length > 0) {
          if (!draining) await this.#wait(this.#options.lingerMs);
          await this.#sendFresh();
        } else if (this.#appended.size > 0) {
          if (!draining) await this.#wait(this.#options.lingerMs);
          await this.#sendAppended();
        } else if (this.#sweep || draining) {
          await this.#acknowledging;
          const found = await this.#sendPending(draining);
          if (found) continue;
          this.#sweep = false;
          if (draining) for (const settle of this.#draining.splice(0)) settle(true);
          this.#options.onSwept?.();
        } else {
          return;
        }
        this.#pauseMs = 0;
        this.#failing = null;
      } catch (error) {
        this.#sweep = true;
        for (const settle of this.#draining.splice(0)) settle(false);
        if (!signal.aborted && this.#failing !== codeOf(error)) this.#options.onFailed?.(codeOf(error));
        this.#failing = codeOf(error);
        this.#pauseMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2));
        this.#dropFresh(error);
        await this.#wait(this.#pauseMs);
      }
    }
  }

  /** So long, or until there is a reason to go on. Holds up no process's end. */
  async #wait(ms: number): Promise<void> {
    if (ms === 0 || this.#stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  async #sendFresh(): Promise<void> {
    let bytes = 0;
    const count = this.#fresh.findIndex(({ queued }, index) => {
      bytes += queued.row.state.byteLength;
      return index === MAX_ROWS || (index > 0 && bytes > MAX_BYTES);
    });
    const batch = this.#fresh.splice(0, count === -1 ? this.#fresh.length : count);
    this.#freshBytes -= batch.reduce((sum, { queued }) => sum + queued.row.state.byteLength, 0);
    try {
      const { done, refused } = await this.#deliver(batch.map(({ queued }) => ({ ...queued, writes: [] })));
      const refusals = new Map(refused.map(({ id, code }) => [id, code]));
      for (const { queued, resolve, reject } of batch) {
        const code = refusals.get(queued.row.id);
        if (code === undefined) resolve();
        else reject(new CheckpointError(code, `replicate: ${this.#options.target} does not take this checkpoint`));
      }
      this.#acknowledgeSoon(done);
    } catch (error) {
      for (const { reject } of batch) reject(error);
      await this.#release(batch.flatMap(({ queued: { row } }) => leaseOf(row, row.pending)));
      throw error;
    }
  }

  async #sendAppended(): Promise<void> {
    const ids = [...this.#appended].slice(0, MAX_ROWS);
    for (const id of ids) this.#appended.delete(id);
    const { rows } = await readForDelivery(this.#options.from, ids, this.#stopping.signal);
    try {
      this.#acknowledgeSoon((await this.#deliver(rows)).done);
    } catch (error) {
      await this.#release(rows.flatMap(({ row }) => leaseOf(row, row.pending)));
      throw error;
    }
  }

  /** Gives back what could not be sent, so that the next attempt need not wait until our lease runs out. */
  async #release(leased: readonly Lease[]): Promise<void> {
    const { from } = this.#options;
    const pending = Date.now();
    const lease = leased.map((one) => ({ ...one, pending }));
    const signal = this.#stopping.signal;
    await from.session.run("release rows", signal, (limit) => from.dialect.commit({ lease }, limit)).catch(() => {});
  }

  /** Beside what is sent next. If it fails, they are pending for longer, and are sent again, which does no harm. */
  #acknowledgeSoon(done: readonly Done[]): void {
    this.#acknowledged.push(...done);
    this.#acknowledging ??= this.#acknowledgeAll().finally(() => {
      this.#acknowledging = null;
    });
  }

  async #acknowledgeAll(): Promise<void> {
    const { from } = this.#options;
    while (this.#acknowledged.length > 0) {
      try {
        await acknowledge(from, this.#acknowledged.splice(0, MAX_ROWS), this.#stopping.signal);
      } catch (error) {
        this.#options.onFailed?.(codeOf(error));
      }
    }
  }

  /**
   * `false`: there is nothing that may be sent now. `all`: also what others have the lease of, who keep it. Two who took it from
   * each other would never be done: what one acknowledges is what it read, with the lease that it had then.
   */
  async #sendPending(all: boolean): Promise<boolean> {
    const { from, to } = this.#options;
    const { signal } = this.#stopping;
    const found = await from.session.run("look for pending rows", signal, (limit) =>
      from.dialect.pending(all ? Number.MAX_SAFE_INTEGER : Date.now(), MAX_ROWS, limit),
    );
    // What was refused for its own sake is not what a drain waits for.
    const heads = within(found.filter(({ pending }) => pending <= Date.now() + REFUSED_LEASE_MS / 2));
    if (heads.length === 0) return false;
    await to.session.run("look whether it answers", signal, (limit) => to.dialect.ping(limit));
    const leasedUntil = Replicator.lease();
    if (!all && !(await this.#lease(heads, leasedUntil))) return true; // somebody else was faster; the next ones may be free
    const held = heads.map(({ id, pending }) => ({ id, pending: all ? pending : leasedUntil }));
    try {
      const read = await readForDelivery(
        from,
        heads.map(({ id }) => id),
        signal,
      );
      const { done, refused } = await this.#deliver(read.rows);
      await acknowledge(from, done, signal);
      for (const code of new Set(read.damaged.map((one) => one.code))) this.#options.onFailed?.(code);
      const never = new Set([...refused, ...read.damaged].map(({ id }) => id));
      const refusedOnes = held.filter(({ id }) => never.has(id));
      if (refusedOnes.length > 0) await this.#lease(refusedOnes, Date.now() + REFUSED_LEASE_MS);
      return true;
    } catch (error) {
      await this.#release(held.flatMap((one) => leaseOf(one, one.pending)));
      throw error;
    }
  }

  async #lease(heads: readonly Pick<PendingHead, "id" | "pending">[], until: number): Promise<boolean> {
    const { from } = this.#options;
    const lease = heads.map(({ id, pending }): Lease => ({ id, fromPending: pending, pending: until }));
    return await from.session.run("lease pending rows", this.#stopping.signal, (limit) =>
      from.dialect.commit({ lease }, limit),
    );
  }

  async #deliver(rows: readonly Sent[]): Promise<Delivered> {
    if (rows.length === 0) return { done: [], refused: [], conflicts: [] };
    const { from, to, onDelivered, onConflict, onFailed } = this.#options;
    const delivered = await deliver(from, to, rows, this.#stopping.signal);
    const done = new Set(delivered.done.map(({ id }) => id));
    const bytes = rows.reduce((sum, { row }) => sum + (done.has(row.id) ? row.state.byteLength : 0), 0);
    if (done.size > 0) onDelivered?.(done.size, bytes);
    for (const id of delivered.conflicts) onConflict?.(id);
    for (const { code } of delivered.refused) onFailed?.(code);
    return delivered;
  }

  #dropFresh(error: unknown): void {
    for (const { reject } of this.#fresh.splice(0)) reject(error);
    this.#freshBytes = 0;
    this.#appended.clear();
  }
}

/** As many of the first ones as are sent together. */
function within(heads: readonly PendingHead[]): readonly PendingHead[] {
  let bytes = 0;
  const end = heads.findIndex(({ storedBytes }, index) => {
    bytes += storedBytes;
    return index > 0 && bytes > MAX_BYTES;
  });
  return end === -1 ? heads : heads.slice(0, end);
}

function leaseOf({ id }: { readonly id: string }, pending: number | null): Lease[] {
  return pending === null ? [] : [{ id, fromPending: pending, pending }];
}

function unavailable(why: string): CheckpointError {
  return new CheckpointError("UNAVAILABLE", `replicate: ${why}`);
}
