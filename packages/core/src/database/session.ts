import { setImmediate as turn } from "node:timers/promises";
import type { Attributes } from "@opentelemetry/api";
import type { Dialect, Fault, Opened } from "../checkpoints/dialect.ts";
import type { CircuitState, ProviderStatus } from "../contract/checkpoints.ts";
import { CheckpointError, type CheckpointErrorCode, property, withoutValues } from "../contract/errors.ts";
import { Circuit } from "./circuit.ts";
import { pause, withDeadline } from "./deadline.ts";
import type { Events } from "./events.ts";
import { Opening } from "./once.ts";
import type { ResolvedResilience } from "./options.ts";
import { type Retries, RetryPlan } from "./retry.ts";
import { Telemetry, within } from "./telemetry.ts";

/** A sign of life comes within this time, or not at all. */
const MAX_PING_MS = 5_000;

/** How much the newest call weighs in the mean latency. */
const LATENCY_WEIGHT = 0.2;

/**
 * One dialect in use: opens it once, gives each call a deadline, repeats what a repetition cures, leaves a database alone
 * that is out of reach, and turns every error into a `CheckpointError`.
 */
export class DialectSession {
  readonly #dialect: Dialect;
  readonly #timeoutMs: number;
  readonly #pingMs: number;
  readonly #retryPlan: RetryPlan;
  readonly #circuit: Circuit;
  readonly #events: Events;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Shared by all calls, so no caller's signal ends it. */
  readonly #opening: Opening<Opened>;
  #provider = "main";
  #telemetry: Telemetry;
  #wasOpen = false;
  #lastError: ProviderStatus["lastError"] = null;
  #latencyMs: number | null = null;
  #closing: Promise<void> | null = null;

  /** `check`: what has to be right of a database before anybody uses it, beside its schema. */
  constructor(
    dialect: Dialect,
    { operationTimeoutMs: timeoutMs, retry, circuit }: ResolvedResilience,
    events: Events,
    check: (signal: AbortSignal) => Promise<void> = async () => {},
  ) {
    this.#dialect = dialect;
    this.#timeoutMs = timeoutMs;
    this.#pingMs = Math.min(timeoutMs, MAX_PING_MS);
    this.#events = events;
    this.#retryPlan = new RetryPlan(retry);
    this.#telemetry = this.#newTelemetry();
    this.#opening = new Opening(async () => {
      const opened = await withDeadline("open database", { timeoutMs }, async (limit) => {
        const result = await dialect.open(limit);
        await check(limit);
        return result;
      });
      this.#wasOpen = true;
      return opened;
    });
    this.#circuit = new Circuit(circuit, {
      name: dialect.name,
      probe: (signal) => this.#probe(signal),
      changed: (state) => {
        this.#telemetry.circuitChanged(state);
        events.emit("circuit", { provider: this.#provider, state });
      },
    });
  }

  /** What the provider is called, in events and measurements. */
  get provider(): string {
    return this.#provider;
  }

  set provider(name: string) {
    this.#provider = name;
    this.#telemetry = this.#newTelemetry();
  }

  /** The deadline of a call, in milliseconds. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  get circuit(): CircuitState {
    return this.#circuit.state;
  }

  /** Whether the database has ever been opened: its address, user and password were right then. */
  get wasOpen(): boolean {
    return this.#wasOpen;
  }

  /** What is known of the database; `backlog` is not our affair. */
  status(): Omit<ProviderStatus, "backlog"> {
    return { circuit: this.circuit, lastError: this.#lastError, latencyMs: this.#latencyMs };
  }

  /**
   * Runs `work` on the opened dialect. `operation` says in messages what was being done: "store checkpoint". `attributes`
   * are for its span: numbers and words of ours, nothing of a user's.
   */
  run<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal, opened: Opened) => Promise<Result>,
    attributes?: Attributes,
  ): Promise<Result> {
    return this.runUnopened(operation, signal, (limit) => this.#whenOpen(limit, work), attributes);
  }

  /** Runs `work`, which opens what it needs itself. */
  runUnopened<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
    attributes?: Attributes,
  ): Promise<Result> {
    const call: Call = { operation, timeoutMs: this.#timeoutMs, signal, attributes, retries: 0 };
    return this.#call(call, (limit) => this.#attempts(call, limit, work));
  }

  /**
   * Asks for a sign of life, once, and not for long; also a database that is left alone, which one that is had brings back.
   */
  async ping(signal: AbortSignal | undefined): Promise<void> {
    const call: Call = {
      operation: "check health",
      timeoutMs: this.#pingMs,
      signal,
      attributes: undefined,
      retries: 0,
    };
    const work = async (limit: AbortSignal) => {
      await this.#dialect.ping(limit);
      this.#circuit.close();
    };
    await this.#call(call, (limit) => this.#whenOpen(limit, work));
  }

  /**
   * Probes a database that is left alone now, for whoever has reason to believe that it is back. Whether calls go through
   * then.
   */
  probe(): Promise<boolean> {
    return this.#circuit.probe();
  }

  /** Whether a commit failed because a row with this id, or after the same row, is there. */
  isDuplicate(error: unknown): boolean {
    return this.#fault(error) === "duplicate";
  }

  /** Whether a commit failed so that nobody knows whether it took place. */
  isUnknown(error: unknown): boolean {
    const fault = this.#fault(error);
    return fault === "connection" || fault === "timeout";
  }

  /** Whether a commit failed because a row's base is gone, or a row to remove is another one's base. */
  isForeignKey(error: unknown): boolean {
    return this.#fault(error) === "foreign-key";
  }

  /** Whether a commit of several rows may have failed because of one of them. */
  mayBeOneRows(error: unknown): boolean {
    const fault = this.#fault(error);
    return fault === undefined ? property(error, "code") === "STATE_TOO_LARGE" : ROW_FAULTS.has(fault);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#circuit.end();
    await Promise.allSettled(this.#underWay);
    await this.#opening.current(); // nobody waits for one under way any more, but it may hold a connection
    try {
      await withDeadline("close storage", { timeoutMs: this.#timeoutMs }, () => this.#dialect.close());
    } catch (error) {
      throw this.#translate("close storage", error);
    }
  }

  async #whenOpen<Result>(
    limit: AbortSignal,
    work: (signal: AbortSignal, opened: Opened) => Promise<Result>,
  ): Promise<Result> {
    const opened = await this.#opening.get(limit);
    limit.throwIfAborted();
    return await work(limit, opened);
  }

  /** One call with its deadline, and with all that is kept of how it went. */
  async #call<Result>(call: Call, work: (limit: AbortSignal) => Promise<Result>): Promise<Result> {
    const { operation } = call;
    if (this.#closing !== null) throw new CheckpointError("CLOSED", `${operation}: the storage was closed`);
    const span = this.#telemetry.start(operation, call.attributes);
    const start = performance.now();
    const running = within(span, () => withDeadline(operation, call, work));
    this.#underWay.add(running);
    let failure: CheckpointError | null = null;
    try {
      const result = await running;
      const elapsedMs = performance.now() - start;
      this.#latencyMs = this.#latencyMs === null ? elapsedMs : mean(this.#latencyMs, elapsedMs);
      this.#circuit.succeeded();
      return result;
    } catch (error) {
      failure = this.#translate(operation, error);
      this.#note(error, failure);
      throw failure;
    } finally {
      this.#underWay.delete(running);
      const seconds = (performance.now() - start) / 1_000;
      this.#telemetry.finish(operation, span, { seconds, retries: call.retries, error: failure }, this.circuit);
    }
  }

  /** Tries until it succeeds, or until no further try would help in time. */
  async #attempts<Result>(
    call: Call,
    limit: AbortSignal,
    work: (limit: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const until = performance.now() + call.timeoutMs;
    let retries: Retries | null = null;
    let reopened = false;
    for (;;) {
      if (this.circuit !== "closed") {
        // In a turn of its own: a caller who tries again at once would otherwise let nothing else have one, nor us probe.
        await turn();
        throw this.#circuit.refusal(call.operation);
      }
      limit.throwIfAborted();
      try {
        return await work(limit);
      } catch (error) {
        if (limit.aborted || this.circuit !== "closed") throw error;
        if (this.#fault(error) === "schema" && this.#wasOpen && !reopened) {
          // It was there: the database is another one now, an empty one in place of one that burned down for example.
          reopened = true;
          this.#opening.forget();
          continue;
        }
        retries ??= this.#retryPlan.begin();
        const delayMs = retries.delayAfter(this.#fault(error));
        if (delayMs === null || performance.now() + delayMs >= until) throw error;
        call.retries += 1;
        this.#tellRetry(call, this.#translate(call.operation, error).code, delayMs);
        await pause(delayMs, limit);
      }
    }
  }

  #tellRetry({ operation, retries: attempt }: Call, code: CheckpointErrorCode, delayMs: number): void {
    this.#telemetry.retried(operation, code);
    this.#events.emit("retry", { provider: this.#provider, operation, code, attempt, delayMs });
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const limits = { timeoutMs: this.#pingMs, signal, holdsProcess: false };
    try {
      await withDeadline("probe database", limits, (limit) => this.#whenOpen(limit, () => this.#dialect.ping(limit)));
    } catch (error) {
      const failure = this.#translate("probe database", error);
      if (this.#isOutOfReach(error)) this.#note(error, failure);
      // Whatever else is wrong with it, it answers: calls may go through, and tell.
      else if (failure.code !== "ABORTED") return;
      throw failure;
    }
  }

  /** What a call that failed tells of the database. */
  #note(error: unknown, failure: CheckpointError): void {
    if (this.#circuit.hasRefused(error)) return;
    if (OF_THE_DATABASE.has(failure.code)) this.#lastError = { code: failure.code, at: Date.now() };
    if (this.#isOutOfReach(error)) this.#circuit.failed(failure);
  }

  #isOutOfReach(error: unknown): boolean {
    if (error instanceof CheckpointError) return error.code === "TIMEOUT" || error.code === "UNAVAILABLE";
    const fault = this.#dialect.classify(error);
    // A password that was right once is wrong for the time that a server needs to come up, or to be another one.
    return fault === "connection" || fault === "overload" || (fault === "access" && this.#wasOpen);
  }

  #fault(error: unknown): Fault | undefined {
    return error instanceof CheckpointError ? undefined : this.#dialect.classify(error);
  }

  #translate(operation: string, error: unknown): CheckpointError {
    if (error instanceof CheckpointError) return error;
    const [code, words] = MEANING[this.#dialect.classify(error)];
    const cause = withoutValues(error);
    const driver = cause.code === undefined ? "" : ` (${cause.code})`;
    return new CheckpointError(code, `${operation}: ${this.#dialect.name}: ${words}${driver}`, { cause });
  }

  #newTelemetry(): Telemetry {
    const { name, system = name, collection } = this.#dialect;
    return new Telemetry({ system, collection, provider: this.#provider });
  }
}

interface Call {
  readonly operation: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly attributes: Attributes | undefined;
  retries: number;
}

function mean(before: number, newest: number): number {
  return before + (newest - before) * LATENCY_WEIGHT;
}

const ROW_FAULTS: ReadonlySet<Fault> = new Set(["duplicate", "foreign-key", "too-large", "other"]);

/** Failures that say something of the database, not of what was asked. */
const OF_THE_DATABASE: ReadonlySet<CheckpointErrorCode> = new Set([
  "UNAVAILABLE",
  "TIMEOUT",
  "CONTENTION",
  "READ_ONLY",
  "STORAGE_FULL",
  "ACCESS_DENIED",
  "SCHEMA_OUTDATED",
  "SCHEMA_TOO_NEW",
  "SCHEMA_MISMATCH",
  "DATABASE_ERROR",
]);

const MEANING: Readonly<Record<Fault, readonly [CheckpointErrorCode, string]>> = {
  duplicate: ["CONFLICT", "there is another row with this key"],
  "foreign-key": ["CONTENTION", "rows that build on each other were changed by another client"],
  serialization: ["CONTENTION", "rolled back in favour of other clients, again and again"],
  busy: ["CONTENTION", "a lock was not had in time"],
  connection: ["UNAVAILABLE", "no connection, or it was lost"],
  overload: ["UNAVAILABLE", "the server takes no more connections"],
  access: ["ACCESS_DENIED", "no such database or file, or no right to it, or a wrong user or password"],
  "read-only": ["READ_ONLY", "the database takes no writes now"],
  full: ["STORAGE_FULL", "no space left"],
  "too-large": ["STATE_TOO_LARGE", "the server took it for too large"],
  schema: [
    "SCHEMA_OUTDATED",
    'a table or column is missing: open with migrate "auto", or run what storage.migrate("sql") says',
  ],
  timeout: ["TIMEOUT", "the server ended the statement for taking too long"],
  other: ["DATABASE_ERROR", "the database refused"],
};
