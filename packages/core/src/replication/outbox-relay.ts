import type { Lease, PendingHead, Row, RowWithBase } from "../checkpoints/dialect.ts";
import type { ReplicableEngine } from "../checkpoints/engine.ts";
import { CheckpointError, codeOf } from "../contract/errors.ts";
import type { Backlog, Source } from "../contract/status.ts";
import { onAbort, unref } from "../database/deadline.ts";
import { Emitter } from "../database/events.ts";
import {
  acknowledge,
  type DeliveredRow,
  type Delivery,
  deliverInParts,
  type OutgoingRow,
  readForDelivery,
} from "./delivery.ts";
import { settled } from "./wait.ts";

/**
 * Outbox relay: delivers the pending rows of one database to the other, one way (transactional outbox,
 * https://microservices.io/patterns/data/transactional-outbox.html).
 *
 * A row is pending from when it is stored until the other database has it. The process that stores it holds its lease for a
 * while, and delivers it from memory. A row whose lease has expired (its process died, the other database was down) is found
 * in the database by a sweep of whichever process comes first. So memory holds little, nothing is lost with it, and work
 * that is done twice after an expired lease does no harm.
 */

/** Lease of a row that was just stored, or is being delivered. */
const LEASE_MS = 10_000;
/** Lease of a row that the other database refuses: time until it is tried again. */
const REFUSED_LEASE_MS = 600_000;
/** Interval in which delivered rows are acknowledged while others are delivered: well before their lease expires. */
const ACKNOWLEDGE_EVERY_MS = 1_000;
/** Interval of the sweeps. */
const SWEEP_EVERY_MS = 10_000;

/** Limits of one delivery. */
const MAX_DELIVERY_ROWS = 128;
const MAX_DELIVERY_BYTES = 4_000_000;
/** Rows that are delivered without waiting for more. They and those that come meanwhile are not more than one delivery holds. */
const GATHERED_ROWS = MAX_DELIVERY_ROWS / 2;
/** Limits of the queue in memory, of rows that are in the database too. */
const MAX_QUEUED_BYTES = 16_000_000;
const MAX_QUEUED_ROWS = 2_048;

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;

export interface OutboxRelayOptions {
  readonly from: ReplicableEngine;
  readonly to: ReplicableEngine;
  readonly target: Source;
  /** Time for rows to gather before they are delivered together, in milliseconds. */
  readonly lingerMs: number;
}

/** Events of a relay. */
export interface RelayEvents {
  readonly delivered: { readonly rows: number; readonly bytes: number };
  /** `side`: the database that failed. */
  readonly failed: { readonly side: "from" | "to"; readonly code: string };
  readonly conflict: { readonly id: string };
  /** A sweep has found nothing that could be delivered now. */
  readonly swept: null;
}

interface QueuedRow {
  readonly queued: RowWithBase;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class OutboxRelay {
  readonly events = new Emitter<RelayEvents>();
  readonly #options: OutboxRelayOptions;
  readonly #stopping = new AbortController();
  #queue: QueuedRow[] = [];
  #queuedBytes = 0;
  /** Rows to which writes were appended, with our lease: they are read again when they are delivered. */
  readonly #appended = new Set<string>();
  /** Set while there may be pending rows that are not in memory. Some may have our own lease: dropped when the target was down. */
  #sweep = true;
  /** Resolvers of pending `drain()` calls. */
  #draining: ((drained: boolean) => void)[] = [];
  #pauseMs = 0;
  /** Code of the last failed attempt: an outage is reported once, not at each attempt. */
  #failing: string | null = null;
  #toAcknowledge: DeliveredRow[] = [];
  #acknowledging: Promise<void> | null = null;
  #loop: Promise<void> | null = null;
  #wakeUp: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: OutboxRelayOptions) {
    this.#options = options;
  }

  /** The end of a lease that begins now. */
  static leaseEnd(): number {
    return Date.now() + LEASE_MS;
  }

  /** Delivers a row that was just stored, with our lease. Resolves when the other database has it. */
  deliver(row: RowWithBase): Promise<void> {
    return new Promise((resolve, reject) => {
      const isQueued = this.#add({ queued: row, resolve, reject }, true);
      if (!isQueued) reject(unavailable("the other provider does not keep up"));
    });
  }

  /** Delivers a row that was just stored, in the background. If the queue is full, it is left to a sweep. */
  enqueue(row: RowWithBase): void {
    this.#add({ queued: row, resolve: () => {}, reject: () => {} }, false);
  }

  /** `isAwaited`: the caller holds the row in memory anyway, and waits before it stores the next. */
  #add(entry: QueuedRow, isAwaited: boolean): boolean {
    const isFull = !isAwaited && (this.#queuedBytes > MAX_QUEUED_BYTES || this.#queue.length >= MAX_QUEUED_ROWS);
    if (this.#pauseMs > 0 || isFull || this.#stopping.signal.aborted) {
      this.#sweep = true; // it is in the database
      return false;
    }
    this.#queue.push(entry);
    this.#queuedBytes += entry.queued.row.state.byteLength;
    this.start();
    if (this.#isGathered()) this.#wakeUp?.();
    return true;
  }

  /** Delivers what was appended to a row, which has our lease since, in the background. */
  enqueueAppended(id: string): void {
    if (this.#pauseMs > 0 || this.#appended.size >= MAX_QUEUED_ROWS || this.#stopping.signal.aborted) {
      this.#sweep = true; // it is in the database
      return;
    }
    this.#appended.add(id);
    this.start();
  }

  /** Sweeps at once: rows are pending that are not in memory, or the other database may have recovered. */
  wake(): void {
    this.#sweep = true;
    this.#pauseMs = 0;
    this.#wakeUp?.();
    this.start();
  }

  /** Delivers all pending rows but those that were refused, also ones that another process has leased. `false`: it could not. */
  drain(signal?: AbortSignal): Promise<boolean> {
    if (this.#stopping.signal.aborted || signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (drained: boolean) => {
        stopListening();
        resolve(drained);
      };
      const stopListening = signal === undefined ? () => {} : onAbort(signal, () => settle(false));
      this.#draining.push(settle);
      this.wake();
    });
  }

  async backlog(signal?: AbortSignal): Promise<Backlog> {
    const { dialect, session } = this.#options.from;
    const { rows, storedBytes, oldest } = await session.run("count backlog", signal, (deadline) =>
      dialect.outbox.backlog(deadline),
    );
    // The end of a lease is in the future: of a row that was just stored, or that was refused and is tried again later.
    const now = Date.now();
    const leaseMs = oldest === null || oldest <= now ? 0 : oldest <= now + LEASE_MS ? LEASE_MS : REFUSED_LEASE_MS;
    return { rows, bytes: storedBytes, ageMs: oldest === null ? 0 : Math.max(0, now - oldest + leaseMs) };
  }

  /** Stops delivering. Pending rows stay pending. */
  async stop(): Promise<void> {
    this.#stopping.abort(unavailable("the storage was closed"));
    this.#wakeUp?.();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#loop;
    await this.#acknowledging;
    this.#dropQueue(unavailable("the storage was closed"));
  }

  /** Starts the loop, unless it is running. */
  start(): void {
    if (this.#loop !== null || this.#stopping.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#loop = this.#run().finally(() => {
      this.#loop = null;
      if (this.#stopping.signal.aborted) return;
      if (this.#queue.length > 0 || this.#appended.size > 0 || this.#draining.length > 0) this.start();
      else this.#sweepLater();
    });
  }

  #sweepLater(): void {
    const sweep = () => {
      this.#sweep = true;
      this.start();
    };
    this.#timer = unref(setTimeout(sweep, SWEEP_EVERY_MS));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const outcome = await this.#step();
        if (outcome === "idle") return;
        if (outcome === "more") continue;
        this.#pauseMs = 0;
        this.#failing = null;
      } catch (error) {
        this.#sweep = true;
        for (const settle of this.#draining.splice(0)) settle(false);
        const code = codeOf(error);
        if (!signal.aborted && this.#failing !== code) this.#reportFailure(error);
        this.#failing = code;
        this.#pauseMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2));
        this.#dropQueue(error);
        await this.#wait(this.#pauseMs);
      }
    }
  }

  /** Delivers some rows: from the queue, with appended writes, or found by a sweep, which may find `more`. */
  async #step(): Promise<"done" | "more" | "idle"> {
    const isDraining = this.#draining.length > 0;
    if (this.#queue.length > 0) {
      if (!isDraining && !this.#isGathered()) await this.#wait(this.#options.lingerMs);
      await this.#deliverQueue();
    } else if (this.#appended.size > 0) {
      if (!isDraining) await this.#wait(this.#options.lingerMs);
      await this.#deliverAppended();
    } else if (this.#sweep || isDraining) {
      await this.#acknowledging;
      if (await this.#deliverPending(isDraining)) return "more";
      this.#sweep = false;
      if (isDraining) for (const settle of this.#draining.splice(0)) settle(true);
      this.events.emit("swept", null);
    } else {
      return "idle";
    }
    return "done";
  }

  /** Returns whether so much is queued that waiting for more would only put it off. */
  #isGathered(): boolean {
    return this.#queue.length >= GATHERED_ROWS || this.#queuedBytes >= MAX_DELIVERY_BYTES;
  }

  /** Waits, or until there is a reason to go on. Does not keep the process alive. */
  async #wait(ms: number): Promise<void> {
    if (ms === 0 || this.#stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = unref(setTimeout(resolve, ms));
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakeUp = null;
  }

  async #deliverQueue(): Promise<void> {
    let bytes = 0;
    const count = this.#queue.findIndex(({ queued }, index) => {
      bytes += queued.row.state.byteLength;
      return index === MAX_DELIVERY_ROWS || (index > 0 && bytes > MAX_DELIVERY_BYTES);
    });
    const batch = this.#queue.splice(0, count === -1 ? this.#queue.length : count);
    this.#queuedBytes -= batch.reduce((sum, { queued }) => sum + queued.row.state.byteLength, 0);
    const delivered = new Set<string>();
    try {
      const refused = await this.#deliver(
        batch.map(({ queued }) => ({ ...queued, writes: [] })),
        (done) => this.#acknowledgeLater(done, delivered),
      );
      const refusals = new Map(refused.map(({ id, code }) => [id, code]));
      for (const { queued, resolve, reject } of batch) {
        const code = refusals.get(queued.row.id);
        if (code === undefined) resolve();
        else reject(new CheckpointError(code, `replicate: ${this.#options.target} refuses this checkpoint`));
      }
    } catch (error) {
      for (const { queued, resolve, reject } of batch) {
        if (delivered.has(queued.row.id)) resolve();
        else reject(error);
      }
      await this.#releaseRows(batch.map(({ queued }) => queued.row).filter(({ id }) => !delivered.has(id)));
      throw error;
    }
  }

  async #deliverAppended(): Promise<void> {
    const ids = [...this.#appended].slice(0, MAX_DELIVERY_ROWS);
    for (const id of ids) this.#appended.delete(id);
    const { rows } = await readForDelivery(this.#options.from, ids, this.#stopping.signal);
    const delivered = new Set<string>();
    try {
      await this.#deliver(rows, (done) => this.#acknowledgeLater(done, delivered));
    } catch (error) {
      await this.#releaseRows(rows.map(({ row }) => row).filter(({ id }) => !delivered.has(id)));
      throw error;
    }
  }

  /** Acknowledges rows beside the next delivery, and adds their ids to `delivered`. */
  async #acknowledgeLater(done: readonly DeliveredRow[], delivered: Set<string>): Promise<void> {
    for (const { id } of done) delivered.add(id);
    this.#acknowledgeSoon(done);
  }

  async #releaseRows(rows: readonly Pick<Row, "id" | "pending">[]): Promise<void> {
    await this.#release(rows.flatMap((row) => leaseOf(row, row.pending)));
  }

  /** Ends the leases of rows that could not be delivered, so that the next attempt need not wait until they expire. */
  async #release(leased: readonly Lease[]): Promise<void> {
    const { dialect, session } = this.#options.from;
    const pending = Date.now();
    const lease = leased.map((one) => ({ ...one, pending }));
    const signal = this.#stopping.signal;
    await session.run("release rows", signal, (deadline) => dialect.outbox.commit({ lease }, deadline)).catch(() => {});
  }

  /** Acknowledges rows beside the next delivery. If that fails, they stay pending and are delivered again, which does no harm. */
  #acknowledgeSoon(done: readonly DeliveredRow[]): void {
    this.#toAcknowledge.push(...done);
    this.#acknowledging ??= this.#acknowledgeAll().finally(() => {
      this.#acknowledging = null;
    });
  }

  #reportFailure(error: unknown): void {
    const side = this.#options.to.session.hasFailedWith(error) ? "to" : "from";
    this.events.emit("failed", { side, code: codeOf(error) });
  }

  async #acknowledgeAll(): Promise<void> {
    const { from } = this.#options;
    while (this.#toAcknowledge.length > 0) {
      try {
        await acknowledge(from, this.#toAcknowledge.splice(0, MAX_DELIVERY_ROWS), this.#stopping.signal);
      } catch (error) {
        this.#reportFailure(error);
      }
    }
  }

  /**
   * Delivers some of the pending rows. `false`: there is nothing that may be delivered now. `all`: also rows that another
   * process has leased; they are delivered without taking the lease. Two processes that took leases from each other would
   * never be done: each acknowledges the row with the lease that it had read.
   */
  async #deliverPending(all: boolean): Promise<boolean> {
    const { from, to } = this.#options;
    const { signal } = this.#stopping;
    const found = await from.session.run("look for pending rows", signal, (deadline) =>
      from.dialect.outbox.pending(all ? Number.MAX_SAFE_INTEGER : Date.now(), MAX_DELIVERY_ROWS, deadline),
    );
    // A drain does not wait for rows that were refused: their lease ends further ahead than any other.
    const heads = firstDelivery(found.filter(({ pending }) => pending <= Date.now() + REFUSED_LEASE_MS / 2));
    if (heads.length === 0) return false;
    await to.session.run("ping", signal, (deadline) => to.dialect.ping(deadline));
    const leasedUntil = OutboxRelay.leaseEnd();
    if (!all && !(await this.#lease(heads, leasedUntil))) return true; // another process was faster; the next rows may be free
    const held = heads.map(({ id, pending }) => ({ id, pending: all ? pending : leasedUntil }));
    const delivered: DeliveredRow[] = [];
    const acknowledged = new Set<string>();
    const acknowledgeDelivered = async () => {
      const rows = delivered.splice(0);
      await acknowledge(from, rows, signal);
      for (const { id } of rows) acknowledged.add(id);
    };
    let acknowledgedAt = Date.now();
    try {
      const ids = heads.map(({ id }) => id);
      const read = await readForDelivery(from, ids, signal);
      // In between too: rows that go one by one to a slow database take longer than a lease, and a failed call ends the batch.
      const refused = await this.#deliver(read.rows, async (rows) => {
        delivered.push(...rows);
        if (Date.now() - acknowledgedAt < ACKNOWLEDGE_EVERY_MS) return;
        await acknowledgeDelivered();
        acknowledgedAt = Date.now();
      });
      await acknowledgeDelivered();
      for (const code of new Set(read.damaged.map((one) => one.code)))
        this.events.emit("failed", { side: "from", code });
      const undeliverable = new Set([...refused, ...read.damaged].map(({ id }) => id));
      const putAside = held.filter(({ id }) => undeliverable.has(id));
      if (putAside.length > 0) await this.#lease(putAside, Date.now() + REFUSED_LEASE_MS);
      return true;
    } catch (error) {
      await settled(acknowledgeDelivered());
      const left = held.filter(({ id }) => !acknowledged.has(id));
      await this.#release(left.flatMap((one) => leaseOf(one, one.pending)));
      throw error;
    }
  }

  async #lease(heads: readonly Pick<PendingHead, "id" | "pending">[], until: number): Promise<boolean> {
    const { dialect, session } = this.#options.from;
    const lease = heads.map(({ id, pending }): Lease => ({ id, fromPending: pending, pending: until }));
    return await session.run("lease pending rows", this.#stopping.signal, (deadline) =>
      dialect.outbox.commit({ lease }, deadline),
    );
  }

  /**
   * Delivers rows, and emits the events of each part before `onDone` gets its rows: a row that is done is not delivered again,
   * whatever comes after it. Returns the rows that were refused.
   */
  async #deliver(
    rows: readonly OutgoingRow[],
    onDone: (rows: readonly DeliveredRow[]) => Promise<void>,
  ): Promise<Delivery["refused"]> {
    const { from, to } = this.#options;
    const sizes = new Map(rows.map(({ row }) => [row.id, row.state.byteLength]));
    const refused: Delivery["refused"][number][] = [];
    let [count, bytes] = [0, 0];
    try {
      for await (const part of deliverInParts(from, to, rows, this.#stopping.signal)) {
        for (const id of part.conflicts) this.events.emit("conflict", { id });
        for (const { code } of part.refused) this.events.emit("failed", { side: "to", code });
        refused.push(...part.refused);
        count += part.done.length;
        for (const { id } of part.done) bytes += sizes.get(id) ?? 0;
        await onDone(part.done);
      }
      return refused;
    } finally {
      if (count > 0) this.events.emit("delivered", { rows: count, bytes });
    }
  }

  #dropQueue(error: unknown): void {
    for (const { reject } of this.#queue.splice(0)) reject(error);
    this.#queuedBytes = 0;
    this.#appended.clear();
  }
}

/** Returns the first of these rows, as many as are delivered together. */
function firstDelivery(heads: readonly PendingHead[]): readonly PendingHead[] {
  let bytes = 0;
  const end = heads.findIndex(({ storedBytes }, index) => {
    bytes += storedBytes;
    return index > 0 && bytes > MAX_DELIVERY_BYTES;
  });
  return end === -1 ? heads : heads.slice(0, end);
}

function leaseOf({ id }: { readonly id: string }, pending: number | null): Lease[] {
  return pending === null ? [] : [{ id, fromPending: pending, pending }];
}

function unavailable(reason: string): CheckpointError {
  return new CheckpointError("UNAVAILABLE", `replicate: ${reason}`);
}
