import type { DialectStorage } from "../checkpoints/storage.ts";
import type { ReconcileResult, StorageStatus } from "../contract/checkpoints.ts";
import { CheckpointError } from "../contract/errors.ts";
import type { Events } from "../database/events.ts";
import type { ReplicationPolicy } from "./options.ts";
import type { Replicator } from "./outbox-relay.ts";
import { type Reconciliation, reconcile, reconcileByCounts, removeOldTombstones } from "./reconcile.ts";
import { settled, soon, within } from "./wait.ts";

const COMPARE_EVERY_MS = 3_600_000;
/** After a comparison that failed; and at least so long after one, if a connection was lost. */
const COMPARE_AGAIN_MS = 10_000;
/** How long a call waits for a backup that was never reached. */
const FIRST_LOOK_MS = 1_000;
/** And for one that was reached before. */
const PEEK_MS = 250;
/** How long main counts as the one that it was: it takes longer to put another in its place. */
const VERIFIED_FOR_MS = 500;

export interface StandingOptions {
  readonly main: DialectStorage;
  readonly backup: DialectStorage;
  readonly toMain: Replicator;
  readonly toBackup: Replicator;
  readonly policy: ReplicationPolicy;
  readonly events: Events;
}

/**
 * What is known of main and backup: whether the backup has what main lacks, and whether main is still the database that it
 * was. Other processes change the one, operators the other, without a word: so both are asked, not only remembered.
 */
export class Standing {
  readonly #options: StandingOptions;
  readonly #stopping = new AbortController();
  /** Whether the backup has what main lacks. `null`: it is not known. */
  #ahead: boolean | null = null;
  /** How often it took what main could not: a look that began before the last one says nothing. */
  #taken = 0;
  /** Whether main and backup were compared since one of them was away. */
  #compared = false;
  #comparedAt = 0;
  #comparing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #firstLook: Promise<unknown> | null = null;
  #peekAgainAt = 0;
  /** A checkpoint that main is known to have had, the last one most often. */
  #known: string | null = null;
  #verifiedAt = 0;
  #verifying: Promise<boolean> | null = null;
  /** Whether main did not answer the last call. */
  #away = false;
  #mode: StorageStatus["mode"] = "main";

  constructor(options: StandingOptions) {
    this.#options = options;
    const { main, backup, events } = options;
    for (const storage of [main, backup]) {
      storage.events.on("retry", (event) => {
        events.emit("retry", event);
        if (storage === main && event.code === "UNAVAILABLE") this.#mainWasLost();
      });
      storage.events.on("circuit", (event) => {
        events.emit("circuit", event);
        if (event.state === "closed") {
          if (storage === main) this.#away = false;
          this.isBack();
        }
        this.#tellMode();
      });
    }
  }

  get mode(): StorageStatus["mode"] {
    return this.#mode;
  }

  /** Whether the backup is known to have what main lacks. */
  get isAhead(): boolean {
    return this.#ahead === true;
  }

  /** Not known, it is asked too, if it ever answered: who waits for one that is down waits for nothing. */
  get mayBeAhead(): boolean {
    return this.#ahead ?? this.backupAnswers;
  }

  get backupAnswers(): boolean {
    const { session } = this.#options.backup;
    return session.circuit === "closed" && session.wasOpen;
  }

  /** Begins to compare, at the first call: a process that only stores has rows to bring and to fetch all the same. */
  begin(): void {
    this.#firstLook ??= soon(this.compare(), FIRST_LOOK_MS);
  }

  /** Before main is asked what may have grown: what comes to main in between is seen there. */
  async look(): Promise<void> {
    if (this.#ahead === null) await this.#firstLook;
    else await this.#peek();
  }

  /** Whether the backup has taken something since, from another process that could not reach main. */
  async #peek(): Promise<void> {
    if (this.#ahead !== false || !this.backupAnswers || Date.now() < this.#peekAgainAt) return;
    const { dialect, session } = this.#options.backup;
    const { signal } = this.#stopping;
    const pending = session.run("look for pending rows", signal, (limit) =>
      dialect.pending(Number.MAX_SAFE_INTEGER, 1, limit),
    );
    const found = await soon(settled(pending), PEEK_MS);
    if (found === null || !found.ok) {
      this.#peekAgainAt = Date.now() + COMPARE_AGAIN_MS; // it must not hold up main's answers
    } else if (found.value.length > 0) {
      this.#become(true);
      this.#options.toMain.nudge();
    }
  }

  /** Main has this checkpoint. What it had before, after a while without a word from it, is asked for first. */
  has(id: string): void {
    this.answered();
    if (this.#known !== null && Date.now() - this.#verifiedAt >= VERIFIED_FOR_MS) {
      this.#verifying ??= this.isSameMain().finally(() => {
        this.#verifying = null;
      });
      return;
    }
    this.#known = id;
    this.#verifiedAt = Date.now();
  }

  /** Main answers. If it did not before, it may be another one. */
  answered(): void {
    if (!this.#away) return;
    this.#away = false;
    this.isBack();
    this.#tellMode();
  }

  /** The backup answers in place of main. */
  isOutOfReach(): void {
    this.#away = true;
    this.#tellMode();
  }

  /** The backup is about to take what main could not, or has. */
  took(): void {
    this.#taken += 1;
    this.#become(true);
  }

  /**
   * Whether main has what it had. If not, it is another database: a new one, one from a dump, a standby without the last
   * commits.
   */
  async isSameMain(): Promise<boolean> {
    const id = this.#known;
    if (id === null || Date.now() - this.#verifiedAt < VERIFIED_FOR_MS) return true;
    const { dialect, session } = this.#options.main;
    const { signal } = this.#stopping;
    const found = await settled(session.run("look at main", signal, (limit) => dialect.list({ id, limit: 1 }, limit)));
    if (!found.ok) return true; // the call itself tells
    if (found.value.length > 0) {
      this.#verifiedAt = Date.now();
      return true;
    }
    this.#known = null;
    this.#become(true);
    this.isBack();
    return false;
  }

  /** What only main may decide waits until main has all. @throws CheckpointError `UNAVAILABLE` */
  async settle(operation: string, signal: AbortSignal): Promise<void> {
    await this.look();
    await this.isSameMain();
    if (this.#ahead === false) return;
    if (!this.#compared && this.backupAnswers) await within(this.compare(), signal, 0);
    if (this.#ahead === true && (await this.#options.toMain.drain(signal))) await this.lookAtBackup();
    if (this.#ahead !== true) return;
    const message = `${operation}: the backup has checkpoints that main lacks, and main decides this: try again when main has them`;
    throw new CheckpointError("UNAVAILABLE", message);
  }

  /** Compares all. */
  async reconcile(how: Pick<Reconciliation, "signal" | "onProgress">): Promise<ReconcileResult> {
    const { toBackup, toMain, events } = this.#options;
    const result = await reconcile({ ...this.#sides(), thorough: true, ...how });
    // What both have now may still be pending in one of them.
    await Promise.all([toBackup.drain(how.signal), toMain.drain(how.signal)]);
    events.emit("reconciled", result);
    return result;
  }

  /** Compares how many checkpoints there are, once at a time. Until it is done, reads look into both. */
  async compare(): Promise<void> {
    this.#comparing ??= this.#compareAndLook().finally(() => {
      this.#comparing = null;
    });
    await this.#comparing;
  }

  async #compareAndLook(): Promise<void> {
    if (await this.#compareNow()) {
      this.#compared = true;
      this.#away = false;
      await this.lookAtBackup();
      void this.#removeOldTombstones();
    }
    this.#options.toBackup.start();
    this.#options.toMain.start();
  }

  async #compareNow(): Promise<boolean> {
    const { policy, events } = this.#options;
    const { signal } = this.#stopping;
    let delayMs = COMPARE_EVERY_MS;
    this.#comparedAt = Date.now();
    try {
      if (policy.reconcile) {
        const result = await reconcileByCounts({ ...this.#sides(), signal });
        const { compared: _, ...done } = result;
        if (Object.values(done).some((count) => count > 0)) events.emit("reconciled", result);
      }
      return true;
    } catch {
      delayMs = COMPARE_AGAIN_MS; // one is out of reach
      return false;
    } finally {
      this.#compareAfter(delayMs);
    }
  }

  async #removeOldTombstones(): Promise<void> {
    const { main, backup, policy } = this.#options;
    const olderThan = Date.now() - policy.tombstoneRetentionMs;
    for (const storage of [main, backup]) {
      await settled(removeOldTombstones(storage, olderThan, this.#stopping.signal));
    }
  }

  #compareAfter(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(() => void this.compare(), delayMs);
    this.#timer.unref();
  }

  #sides() {
    const { main, backup, events } = this.#options;
    return {
      main,
      backup,
      onConflict: (id: string) => events.emit("conflict", { id }),
      onMainLacks: () => this.#become(true),
    };
  }

  /** Asks the backup whether anything is pending there. */
  async lookAtBackup(): Promise<void> {
    const taken = this.#taken;
    const found = await settled(this.#options.toMain.backlog(this.#stopping.signal));
    if (!found.ok || taken !== this.#taken) return;
    if (found.value.rows > 0) this.#become(true);
    else this.#become(this.#compared ? false : null);
  }

  /** A provider answers again. Meanwhile it may have been replaced by another one. */
  isBack(): void {
    if (this.#stopping.signal.aborted) return;
    this.#compared = false;
    if (this.#ahead === false) this.#become(null);
    this.#firstLook = soon(this.compare(), FIRST_LOOK_MS);
    this.#options.toBackup.nudge();
    this.#options.toMain.nudge();
  }

  #mainWasLost(): void {
    this.#verifiedAt = 0;
    const sinceMs = Date.now() - this.#comparedAt;
    if (sinceMs > COMPARE_AGAIN_MS) this.isBack();
    else this.#compareAfter(COMPARE_AGAIN_MS - sinceMs);
  }

  #become(ahead: boolean | null): void {
    this.#ahead = ahead;
    this.#tellMode();
  }

  #tellMode(): void {
    const isAway = this.#away || this.#options.main.session.circuit !== "closed";
    const mode = isAway ? "failover" : this.#ahead === true ? "draining" : "main";
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#options.events.emit("mode", { mode });
  }

  /** Compares nothing more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#comparing;
  }
}
