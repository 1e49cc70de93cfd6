import { isAbsolute, relative } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import type { Attributes } from "@opentelemetry/api";
import { CheckpointError, type CheckpointErrorCode, factsOf, property, withoutValues } from "../contract/errors.ts";
import type { CircuitState, ProviderStatus, StorageEvents } from "../contract/status.ts";
import { Circuit } from "./circuit.ts";
import type { Database, Opened } from "./database.ts";
import { pause, withDeadline } from "./deadline.ts";
import { giveTurn } from "./event-loop.ts";
import type { Emitter } from "./events.ts";
import { type Fault, faultFacts } from "./faults.ts";
import { Once } from "./once.ts";
import type { ResolvedDatabaseOptions } from "./options.ts";
import { type Retries, RetryPlan } from "./retry.ts";
import { runInSpan, Telemetry } from "./telemetry.ts";

/** The longest deadline of a ping. */
const MAX_PING_MS = 5_000;

/** Weight of the newest call in the moving average of the latency. */
const LATENCY_WEIGHT = 0.2;

/** Work on an open database. `signal` aborts at the call's deadline. */
export type Work<Result> = (signal: AbortSignal, opened: Opened) => Promise<Result>;

/**
 * One database in use: opens it once, gives each call a deadline, retries, and turns every error into a `CheckpointError`.
 * A circuit breaker rejects calls at once while the database is unreachable.
 */
export class Session {
  readonly #database: Database;
  readonly #timeoutMs: number;
  readonly #pingMs: number;
  readonly #retryPlan: RetryPlan;
  readonly #circuit: Circuit;
  readonly #events: Emitter<StorageEvents>;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Shared by all calls, so no caller's signal ends it. */
  readonly #opening: Once<Opened>;
  #provider = "main";
  #telemetry: Telemetry;
  #wasOpened = false;
  #driver: string | null = null;
  #lastError: ProviderStatus["lastError"] = null;
  /** Errors that calls of this session have thrown. */
  readonly #failures = new WeakSet<object>();
  #latencyMs: number | null = null;
  #closing: Promise<void> | null = null;

  /** `check`: a check of the database, run when it is opened; its error fails the opening. */
  constructor(
    database: Database,
    {
      operationTimeoutMs: timeoutMs,
      retry,
      circuit,
    }: Pick<ResolvedDatabaseOptions, "operationTimeoutMs" | "retry" | "circuit">,
    events: Emitter<StorageEvents>,
    check: (signal: AbortSignal) => Promise<void> = async () => {},
  ) {
    this.#database = database;
    this.#timeoutMs = timeoutMs;
    this.#pingMs = Math.min(timeoutMs, MAX_PING_MS);
    this.#events = events;
    this.#retryPlan = new RetryPlan(retry);
    this.#telemetry = this.#newTelemetry();
    this.#opening = new Once(async () => {
      const opened = await withDeadline("open database", { timeoutMs }, async (signal) => {
        const result = await database.open(signal);
        await check(signal);
        return result;
      });
      this.#driver = opened.driver ?? null;
      if (opened.created && !this.#wasOpened) {
        emitCreated(events, { provider: this.#provider, location: database.location ?? database.name });
      }
      this.#wasOpened = true;
      return opened;
    });
    this.#circuit = new Circuit(circuit, {
      name: database.name,
      probe: (signal) => this.#probe(signal),
      onChange: (state) => {
        this.#telemetry.circuitChanged(state);
        events.emit("circuit", { provider: this.#provider, state });
      },
    });
  }

  /** Name of the provider, in events and telemetry. */
  get provider(): string {
    return this.#provider;
  }

  set provider(name: string) {
    this.#provider = name;
    this.#telemetry = this.#newTelemetry();
  }

  /** Deadline of a call, in milliseconds. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  get circuit(): CircuitState {
    return this.#circuit.state;
  }

  /** `true` once the database has been opened: its address, user and password were right then. */
  get wasOpened(): boolean {
    return this.#wasOpened;
  }

  /** Status of the database, without what only the layers above know. */
  status(): Omit<ProviderStatus, "backlog" | "replicated"> {
    return {
      circuit: this.circuit,
      lastError: this.#lastError,
      latencyMs: this.#latencyMs,
      location: this.#database.location ?? null,
      driver: this.#driver,
    };
  }

  /**
   * Runs `work` on the open database. `operation` says in messages what was being done: "store checkpoint". `attributes` go
   * to the span: numbers and words of ours, nothing of a user's. `timeoutMs`: the deadline of work that takes longer than a call.
   */
  run<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: Work<Result>,
    attributes?: Attributes,
    timeoutMs?: number,
  ): Promise<Result> {
    return this.runUnopened(operation, signal, (deadline) => this.#whenOpen(deadline, work), attributes, timeoutMs);
  }

  /** Runs `work`, which opens what it needs itself. */
  runUnopened<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
    attributes?: Attributes,
    timeoutMs = this.#timeoutMs,
  ): Promise<Result> {
    const call: Call = { operation, timeoutMs, signal, attributes, retries: 0 };
    return this.#call(call, (deadline) => this.#attempts(call, deadline, work));
  }

  /** Pings once, with a short deadline, even when the circuit is open. A successful ping closes the circuit. */
  async ping(signal: AbortSignal | undefined): Promise<void> {
    const call: Call = {
      operation: "check health",
      timeoutMs: this.#pingMs,
      signal,
      attributes: undefined,
      retries: 0,
    };
    const work = async (deadline: AbortSignal) => {
      await this.#database.ping(deadline);
      this.#circuit.close();
    };
    await this.#call(call, (deadline) => this.#whenOpen(deadline, work));
  }

  /** Probes the database now if the circuit is open. Returns whether the circuit is closed then. */
  probe(): Promise<boolean> {
    return this.#circuit.probe();
  }

  /** Returns whether a call of this session threw this error: of two databases in one piece of work, this one failed. */
  hasFailedWith(error: unknown): boolean {
    return typeof error === "object" && error !== null && this.#failures.has(error);
  }

  /** Returns whether a commit failed because a row with this id, or after the same row, is there. */
  isDuplicate(error: unknown): boolean {
    return this.#faultOf(error) === "duplicate";
  }

  /** Returns whether a commit failed so that nobody knows whether it took place. */
  isOutcomeUnknown(error: unknown): boolean {
    const fault = this.#faultOf(error);
    return fault === "connection" || fault === "outage" || fault === "timeout";
  }

  /** Returns whether a commit failed because a row's base is gone, or a removed row is still a base. */
  isForeignKey(error: unknown): boolean {
    return this.#faultOf(error) === "foreign-key";
  }

  /** Returns whether a commit of several rows may have failed because of one of them. */
  mayBeOneRow(error: unknown): boolean {
    const fault = this.#faultOf(error);
    return fault === undefined ? property(error, "code") === "STATE_TOO_LARGE" : faultFacts(fault).mayBeOneRow;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#circuit.stop();
    await Promise.allSettled(this.#underWay);
    await this.#opening.current(); // no caller waits for an opening under way any more, but it may hold a connection
    try {
      await withDeadline("close storage", { timeoutMs: this.#timeoutMs }, () => this.#database.close());
    } catch (error) {
      throw this.#translate("close storage", error);
    }
  }

  async #whenOpen<Result>(deadline: AbortSignal, work: Work<Result>): Promise<Result> {
    if (this.#database.isSynchronous) await giveTurn();
    const opened = await this.#opening.get(deadline);
    deadline.throwIfAborted();
    return await work(deadline, opened);
  }

  /** Runs one call within its deadline, and records its outcome. */
  async #call<Result>(call: Call, work: (deadline: AbortSignal) => Promise<Result>): Promise<Result> {
    const { operation } = call;
    if (this.#closing !== null) await refuseClosed(operation);
    const span = this.#telemetry.start(operation, call.attributes);
    const start = performance.now();
    const running = runInSpan(span, () => withDeadline(operation, call, work));
    this.#underWay.add(running);
    let failure: CheckpointError | null = null;
    try {
      const result = await running;
      const elapsedMs = performance.now() - start;
      this.#latencyMs = this.#latencyMs === null ? elapsedMs : movingAverage(this.#latencyMs, elapsedMs);
      this.#circuit.recordSuccess();
      return result;
    } catch (error) {
      failure = this.#translate(operation, error);
      this.#failures.add(failure);
      this.#recordFailure(error, failure);
      throw failure;
    } finally {
      this.#underWay.delete(running);
      const seconds = (performance.now() - start) / 1_000;
      this.#telemetry.finish(operation, span, { seconds, retries: call.retries, error: failure }, this.circuit);
    }
  }

  /** Tries until it succeeds, or until no further attempt would help in time. */
  async #attempts<Result>(
    call: Call,
    deadline: AbortSignal,
    work: (deadline: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const until = performance.now() + call.timeoutMs;
    let retries: Retries | null = null;
    let reopened = false;
    for (;;) {
      if (this.circuit !== "closed") {
        // In a later turn of the event loop: a caller that repeats at once would otherwise starve everything, probes too.
        await turn();
        throw this.#circuit.rejection(call.operation);
      }
      deadline.throwIfAborted();
      try {
        return await work(deadline);
      } catch (error) {
        if (deadline.aborted || this.circuit !== "closed") throw error;
        if (this.#faultOf(error) === "schema" && this.#wasOpened && !reopened) {
          // The tables were there: this is another database now, for example an empty one in place of one that was lost.
          reopened = true;
          this.#opening.forget();
          continue;
        }
        retries ??= this.#retryPlan.begin();
        const delayMs = retries.delayAfter(this.#faultOf(error));
        if (delayMs === null || performance.now() + delayMs >= until) throw error;
        call.retries += 1;
        this.#reportRetry(call, this.#translate(call.operation, error).code, delayMs);
        await pause(delayMs, deadline);
      }
    }
  }

  #reportRetry({ operation, retries: attempt }: Call, code: CheckpointErrorCode, delayMs: number): void {
    this.#telemetry.retried(operation, code);
    this.#events.emit("retry", { provider: this.#provider, operation, code, attempt, delayMs });
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const options = { timeoutMs: this.#pingMs, signal, keepsAlive: false };
    try {
      await withDeadline("probe database", options, (deadline) =>
        this.#whenOpen(deadline, () => this.#database.ping(deadline)),
      );
    } catch (error) {
      const failure = this.#translate("probe database", error);
      if (this.#isUnreachable(error)) this.#recordFailure(error, failure);
      // Whatever else is wrong with it, it answers: let calls through, which report what it is.
      else if (failure.code !== "ABORTED") return;
      throw failure;
    }
  }

  /** Records what a failed call says about the database. */
  #recordFailure(error: unknown, failure: CheckpointError): void {
    if (this.#circuit.hasRejected(error)) return;
    if (factsOf(failure)?.blame === "database") this.#lastError = { code: failure.code, at: Date.now() };
    if (this.#isUnreachable(error)) this.#circuit.recordFailure(failure);
  }

  #isUnreachable(error: unknown): boolean {
    if (error instanceof CheckpointError) return factsOf(error)?.failover === "unreachable";
    const { code } = faultFacts(this.#database.classify(error));
    // A password that was right once is wrong while a server comes up, or is replaced by another.
    return code === "UNAVAILABLE" || (code === "ACCESS_DENIED" && this.#wasOpened);
  }

  #faultOf(error: unknown): Fault | undefined {
    return error instanceof CheckpointError ? undefined : this.#database.classify(error);
  }

  #translate(operation: string, error: unknown): CheckpointError {
    if (error instanceof CheckpointError) return error;
    const { code, message } = faultFacts(this.#database.classify(error));
    const cause = withoutValues(error);
    const number = cause.errno === undefined ? "" : ` (${cause.errno})`;
    const driver = cause.code === undefined ? number : ` (${cause.code})`;
    const words = cause.words === undefined ? "" : `: ${cause.words}`;
    return new CheckpointError(code, `${operation}: ${this.#database.name}: ${message}${driver}${words}`, { cause });
  }

  #newTelemetry(): Telemetry {
    const { name, system = name, collection } = this.#database;
    return new Telemetry({ system, collection, provider: this.#provider });
  }
}

/** Emits `created`, or the process's warning. */
export function emitCreated(events: Emitter<StorageEvents>, event: StorageEvents["created"]): void {
  const { location } = event;
  const isBelow = isAbsolute(location) && !/^\.\.|^[A-Za-z]:/.test(relative(process.cwd(), location));
  if (isBelow && !events.hasListener("created")) {
    process.emitWarning(`Waymark has created the empty database ${location}`, { code: "WAYMARK_CREATED" });
  }
  events.emit("created", event);
}

/** In a later turn of the event loop: a caller that repeats could otherwise not be ended by the signal that closed the storage. */
export async function refuseClosed(operation: string): Promise<never> {
  await turn();
  throw new CheckpointError("CLOSED", `${operation}: the storage was closed`);
}

interface Call {
  readonly operation: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly attributes: Attributes | undefined;
  retries: number;
}

function movingAverage(before: number, newest: number): number {
  return before + (newest - before) * LATENCY_WEIGHT;
}
