import type { ReplicableEngine } from "../checkpoints/engine.ts";
import { markReplicated } from "../checkpoints/replicated.ts";
import { CheckpointError } from "../contract/errors.ts";
import type { ReconcileResult, StorageEvents, StorageStatus } from "../contract/status.ts";
import { unref } from "../database/deadline.ts";
import type { Emitter } from "../database/events.ts";
import { emitCreated } from "../database/session.ts";
import type { ResolvedReplicationOptions } from "./options.ts";
import type { OutboxRelay } from "./outbox-relay.ts";
import { type Reconciliation, reconcile, reconcileByCounts, removeOldTombstones } from "./reconcile.ts";
import { resultWithin, settled, settlesBefore } from "./wait.ts";

const COMPARE_EVERY_MS = 3_600_000;
/** Time until the next comparison after one that failed; also the least time between two after lost connections. */
const COMPARE_AGAIN_MS = 10_000;
/** Longest wait of a call for the first comparison, and so for a backup that was never reached. */
const FIRST_COMPARISON_MS = 1_000;
/** Longest wait of a call for a look at the backup. */
const PEEK_MS = 250;
/** Time that main counts as verified: it takes longer to put another database in its place. */
const VERIFIED_FOR_MS = 500;

export interface FailoverStateOptions {
  readonly main: ReplicableEngine;
  readonly backup: ReplicableEngine;
  readonly toMain: OutboxRelay;
  readonly toBackup: OutboxRelay;
  readonly replication: ResolvedReplicationOptions;
  readonly events: Emitter<StorageEvents>;
}

/** Events of a database that are those of the pair too. */
const PASSED_ON = ["labelsIndexed", "labelIndexingFailed", "pruned", "pruneFailed"] as const;

/**
 * Failover state: whether the backup is ahead (has checkpoints that main lacks), whether main is reachable, and whether it
 * still is the same database. Other processes store in the backup, operators replace main, and neither says so: both
 * databases are asked again and again, not only remembered.
 */
export class FailoverState {
  readonly #options: FailoverStateOptions;
  readonly #stopping = new AbortController();
  /** `true`: the backup has checkpoints that main lacks. `null`: unknown. */
  #backupAhead: boolean | null = null;
  /** Number of times that the backup took what main could not: a look that began before the last one is outdated. */
  #taken = 0;
  /**
   * Set once main and backup have been compared since one of them was unreachable. With `reconcile: false`, once that would
   * have been due: then only pending rows show whether the backup is ahead.
   */
  #isCompared = false;
  #comparedAt = 0;
  #reconciling: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #firstComparison: Promise<unknown> | null = null;
  #peekAgainAt = 0;
  /** A checkpoint that main is known to have had, most often the last one. */
  #witness: string | null = null;
  #verifiedAt = 0;
  #verifying: Promise<boolean> | null = null;
  /** Set while main does not answer: by the last call to it. */
  #mainUnreachable = false;
  #mode: StorageStatus["mode"] = "main";
  /** Calls that the backup took in place of main since the mode was `main`. */
  #callsToBackup = 0;

  constructor(options: FailoverStateOptions) {
    this.#options = options;
    const { main, backup, toMain } = options;
    for (const engine of [main, backup]) this.#follow(engine);
    toMain.events.on("delivered", () => this.markMainReachable());
    toMain.events.on("swept", () => this.checkBackup());
  }

  /** Passes on the events of a database, and follows its outages. */
  #follow(engine: ReplicableEngine): void {
    const { main, events } = this.#options;
    for (const name of PASSED_ON) engine.events.on(name, (event) => events.emit(name, event as never));
    engine.events.on("retry", (event) => {
      events.emit("retry", event);
      if (engine === main && event.code === "UNAVAILABLE") this.#onMainConnectionLost();
    });
    engine.events.on("created", (event) => emitCreated(events, event));
    engine.events.on("circuit", (event) => {
      events.emit("circuit", event);
      if (event.state === "closed") {
        if (engine === main) this.#mainUnreachable = false;
        this.#onRecovered();
      }
      this.#updateMode();
    });
  }

  get mode(): StorageStatus["mode"] {
    return this.#mode;
  }

  /** `true`: the backup has checkpoints that main lacks. */
  get isBackupAhead(): boolean {
    return this.#backupAhead === true;
  }

  /** `true`: the backup is ahead, or may be. A backup that never answered is not asked: waiting for it would be useless. */
  get mayBackupBeAhead(): boolean {
    return this.#backupAhead ?? this.isBackupReachable;
  }

  get isBackupReachable(): boolean {
    const { session } = this.#options.backup;
    return session.circuit === "closed" && session.wasOpened;
  }

  /** Starts the first comparison, which starts the relays, at the first call: a process that only stores has rows to deliver. */
  start(): void {
    this.#firstComparison ??= resultWithin(this.reconcileNow(), FIRST_COMPARISON_MS);
  }

  /**
   * Finds out whether the backup is ahead, before main is asked a question whose answer may grow. Rows that come to main in
   * between are seen there.
   */
  async refresh(): Promise<void> {
    if (this.#backupAhead === null) await this.#firstComparison;
    else await this.#peek();
  }

  /** Looks, at most for a moment, whether another process, which could not reach main, has stored something in the backup. */
  async #peek(): Promise<void> {
    if (this.#backupAhead !== false || !this.isBackupReachable || Date.now() < this.#peekAgainAt) return;
    const { dialect, session } = this.#options.backup;
    const { signal } = this.#stopping;
    const pending = session.run("look for pending rows", signal, (deadline) =>
      dialect.outbox.pending(Number.MAX_SAFE_INTEGER, 1, deadline),
    );
    const found = await resultWithin(settled(pending), PEEK_MS);
    if (found === null || !found.ok) {
      this.#peekAgainAt = Date.now() + COMPARE_AGAIN_MS; // a slow backup must not delay main's answers
    } else if (found.value.length > 0) {
      this.#setBackupAhead(true);
      this.#options.toMain.wake();
    }
  }

  /** Records that main has a checkpoint. After a while without an answer of main's, the last such record is verified first. */
  recordMainHas(id: string): void {
    this.markMainReachable();
    if (this.#witness !== null && Date.now() - this.#verifiedAt >= VERIFIED_FOR_MS) {
      this.#verifying ??= this.verifyMain().finally(() => {
        this.#verifying = null;
      });
      return;
    }
    this.#witness = id;
    this.#verifiedAt = Date.now();
  }

  /** Records that main answers. If it did not before, it may be another database now. */
  markMainReachable(): void {
    if (!this.#mainUnreachable) return;
    this.#mainUnreachable = false;
    this.#onRecovered();
    this.#updateMode();
  }

  /** Records that a call goes to the backup because main is unreachable. */
  markMainUnreachable(): void {
    this.#mainUnreachable = true;
    this.#updateMode();
  }

  /** Records that a call went to the backup in place of main. An outage is reported once, not at each call. */
  recordFailover(operation: string, code: string): void {
    this.#callsToBackup += 1;
    if (this.#callsToBackup === 1) this.#options.events.emit("failover", { phase: "begin", operation, code });
    if (this.#mode === "main") this.#endFailover(); // main has it already
  }

  #endFailover(): void {
    const calls = this.#callsToBackup;
    if (calls === 0) return;
    this.#callsToBackup = 0;
    this.#options.events.emit("failover", { phase: "end", calls });
  }

  /** Records that the backup is about to take what main could not take, or has taken it. */
  markBackupAhead(): void {
    this.#taken += 1;
    this.#setBackupAhead(true);
  }

  /**
   * Verifies that main still has what it had. If not, it is another database: a new one, one restored from a dump, a standby
   * without the last commits.
   */
  async verifyMain(): Promise<boolean> {
    const id = this.#witness;
    if (id === null || Date.now() - this.#verifiedAt < VERIFIED_FOR_MS) return true;
    const { dialect, session } = this.#options.main;
    const { signal } = this.#stopping;
    const found = await settled(
      session.run("verify main", signal, (deadline) => dialect.list({ id, limit: 1 }, deadline)),
    );
    if (!found.ok) return true; // the call itself will fail too
    if (found.value.length > 0) {
      this.#verifiedAt = Date.now();
      return true;
    }
    this.#witness = null;
    this.#setBackupAhead(true);
    this.#onRecovered();
    return false;
  }

  /**
   * Waits until main has all that the backup is known to have, for a decision that main makes alone. A backup that does not
   * answer is not waited for. @throws CheckpointError `UNAVAILABLE`
   */
  async catchUp(operation: string, signal: AbortSignal): Promise<void> {
    await this.refresh();
    await this.verifyMain();
    if (this.#backupAhead === false) return;
    if (!this.#isCompared && this.isBackupReachable) await settlesBefore(signal, this.reconcileNow(), 0);
    if (this.#backupAhead === true && (await this.#options.toMain.drain(signal))) await this.checkBackup();
    if (this.#backupAhead !== true) return;
    const message = `${operation}: the backup has checkpoints that main lacks: try again when main has them`;
    throw new CheckpointError("UNAVAILABLE", message);
  }

  /** Reconciles everything. */
  async reconcile(options: Pick<Reconciliation, "signal" | "onProgress">): Promise<ReconcileResult> {
    const { toBackup, toMain, events } = this.#options;
    await this.#markBoth(options.signal);
    const result = await reconcile({ ...this.#sides(), thorough: true, ...options });
    // Rows that both have now may still be pending.
    await Promise.all([toBackup.drain(options.signal), toMain.drain(options.signal)]);
    events.emit("reconciled", result);
    return result;
  }

  /**
   * Compares main and backup by counts, copies what one lacks, then starts the relays. Concurrent calls share one run. Until it
   * is done, reads ask both.
   */
  async reconcileNow(): Promise<void> {
    this.#reconciling ??= this.#reconcileAndCheck().finally(() => {
      this.#reconciling = null;
      this.#updateMode();
    });
    await this.#reconciling;
  }

  async #reconcileAndCheck(): Promise<void> {
    if (await this.#reconcileByCounts()) {
      this.#isCompared = true;
      this.#mainUnreachable = false;
      await this.checkBackup();
      void this.#removeOldTombstones();
    }
    this.#options.toBackup.start();
    this.#options.toMain.start();
  }

  async #reconcileByCounts(): Promise<boolean> {
    const { replication, events } = this.#options;
    const { signal } = this.#stopping;
    let delayMs = COMPARE_EVERY_MS;
    this.#comparedAt = Date.now();
    try {
      await this.#markBoth(signal);
      if (replication.reconcile) {
        const result = await reconcileByCounts({ ...this.#sides(), signal });
        const { compared: _, ...repaired } = result;
        if (Object.values(repaired).some((count) => count > 0)) events.emit("reconciled", result);
      }
      return true;
    } catch {
      delayMs = COMPARE_AGAIN_MS; // one is unreachable
      return false;
    } finally {
      this.#compareAfter(delayMs);
    }
  }

  /** Marks both databases as replicated, also one that was replaced by another since. */
  async #markBoth(signal: AbortSignal | undefined): Promise<void> {
    for (const engine of [this.#options.main, this.#options.backup]) {
      engine.isReplicated = null;
      await markReplicated(engine, signal);
    }
  }

  async #removeOldTombstones(): Promise<void> {
    const { main, backup, replication } = this.#options;
    const olderThan = Date.now() - replication.tombstoneRetentionMs;
    for (const engine of [main, backup]) {
      await settled(removeOldTombstones(engine, olderThan, this.#stopping.signal));
    }
  }

  #compareAfter(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    this.#timer = unref(setTimeout(() => void this.reconcileNow(), delayMs));
  }

  #sides() {
    const { main, backup, events } = this.#options;
    return {
      main,
      backup,
      onConflict: (id: string) => events.emit("conflict", { id }),
      onMainLacks: () => this.#setBackupAhead(true),
    };
  }

  /** Asks the backup whether rows are pending there. */
  async checkBackup(): Promise<void> {
    const taken = this.#taken;
    const found = await settled(this.#options.toMain.backlog(this.#stopping.signal));
    if (!found.ok || taken !== this.#taken) return;
    if (found.value.rows > 0) this.#setBackupAhead(true);
    else this.#setBackupAhead(this.#isCompared ? false : null);
  }

  /** Compares again after a provider has recovered: it may have been replaced meanwhile. */
  #onRecovered(): void {
    if (this.#stopping.signal.aborted) return;
    this.#isCompared = false;
    if (this.#backupAhead === false) this.#setBackupAhead(null);
    this.#firstComparison = resultWithin(this.reconcileNow(), FIRST_COMPARISON_MS);
    this.#options.toBackup.wake();
    this.#options.toMain.wake();
  }

  #onMainConnectionLost(): void {
    this.#verifiedAt = 0;
    const sinceMs = Date.now() - this.#comparedAt;
    if (sinceMs > COMPARE_AGAIN_MS) this.#onRecovered();
    else this.#compareAfter(COMPARE_AGAIN_MS - sinceMs);
  }

  #setBackupAhead(value: boolean | null): void {
    this.#backupAhead = value;
    this.#updateMode();
  }

  #updateMode(): void {
    const isDown = this.#mainUnreachable || this.#options.main.session.circuit !== "closed";
    // Until a comparison ends, it may find something else that main lacks, or once more what main has received since.
    const isComparing = this.#mode === "draining" && this.#backupAhead === null && this.#reconciling !== null;
    const mode = isDown ? "failover" : this.#backupAhead === true || isComparing ? "draining" : "main";
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#options.events.emit("mode", { mode });
    if (mode === "main") this.#endFailover();
  }

  /** Stops comparing. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#reconciling;
  }
}
