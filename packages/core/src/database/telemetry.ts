import {
  type Attributes,
  type BatchObservableResult,
  type Counter,
  context,
  type Gauge,
  type Histogram,
  INVALID_SPAN_CONTEXT,
  INVALID_TRACEID,
  type Meter,
  type MeterProvider,
  metrics,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { type CheckpointError, type CheckpointErrorCode, property } from "../contract/errors.ts";
import type { Backlog, CircuitState, PruneResult, Source, StorageStatus } from "../contract/status.ts";

/**
 * Spans and metrics, by OpenTelemetry's semantic conventions for database clients; `docs/observability.md` lists them.
 * Without an SDK all of it does nothing. Attributes are codes, numbers and names of ours: no state, no id, no user's name.
 */

/** Attributes of all spans and metrics of one session. */
export interface TelemetryNames {
  /** `db.system.name`, from the list of the conventions. */
  readonly system: string;
  /** `db.collection.name`: the table. */
  readonly collection: string | undefined;
  /** `waymark.provider`. */
  readonly provider: string;
}

/** Outcome of one call. */
export interface CallOutcome {
  readonly seconds: number;
  readonly retries: number;
  /** `null`: it succeeded. */
  readonly error: CheckpointError | null;
}

interface OperationTelemetry {
  readonly spanName: string;
  readonly spanOptions: SpanOptions;
  readonly attributes: Attributes;
}

/** Spans and metrics of one session. */
export class Telemetry {
  readonly #common: Attributes;
  readonly #collection: string | undefined;
  /** Made once for each operation: there are few, and calls are many. */
  readonly #operations = new Map<string, OperationTelemetry>();
  /** Instruments that have the current state of the circuit. */
  #circuitReportedTo: Instruments | null = null;

  constructor({ system, collection, provider }: TelemetryNames) {
    this.#common = { "db.system.name": system, "waymark.provider": provider };
    this.#collection = collection;
  }

  start(operation: string, attributes: Attributes | undefined): Span {
    const { spanName, spanOptions } = this.#operation(operation);
    try {
      const span = tracer().startSpan(spanName, spanOptions);
      if (attributes !== undefined && span.isRecording()) span.setAttributes(attributes);
      return span;
    } catch {
      return NO_SPAN;
    }
  }

  finish(operation: string, span: Span, { seconds, retries, error }: CallOutcome, circuit: CircuitState): void {
    guarded(() => {
      const all = instruments();
      if (this.#circuitReportedTo !== all) this.#recordCircuit(all, circuit);
      const { attributes } = this.#operation(operation);
      const wrong = error === null ? null : failureAttributes(error);
      all.duration.record(seconds, wrong === null ? attributes : { ...attributes, ...wrong });
      if (span.isRecording()) {
        if (retries > 0) span.setAttribute("waymark.retries", retries);
        if (wrong !== null) span.setAttributes(wrong).setStatus({ code: SpanStatusCode.ERROR });
        if (circuit !== "closed") span.setAttribute("waymark.circuit.state", circuit);
      }
      span.end();
    });
  }

  retried(operation: string, code: string): void {
    guarded(() => instruments().retries.add(1, { ...this.#operation(operation).attributes, "error.type": code }));
  }

  circuitChanged(state: CircuitState): void {
    guarded(() => {
      const all = instruments();
      all.transitions.add(1, { ...this.#common, "waymark.circuit.state": state });
      this.#recordCircuit(all, state);
    });
  }

  #recordCircuit(all: Instruments, state: CircuitState): void {
    this.#circuitReportedTo = all;
    all.circuit.record(CIRCUIT_NUMBER[state], this.#common);
  }

  #operation(operation: string): OperationTelemetry {
    let telemetry = this.#operations.get(operation);
    if (telemetry === undefined) {
      const collection = this.#collection;
      const attributes: Attributes = { ...this.#common, "db.operation.name": operation };
      if (collection !== undefined) attributes["db.collection.name"] = collection;
      telemetry = {
        spanName: collection === undefined ? operation : `${operation} ${collection}`,
        spanOptions: { kind: SpanKind.CLIENT, attributes },
        attributes,
      };
      this.#operations.set(operation, telemetry);
    }
    return telemetry;
  }
}

/** Runs `work` with the span as the active one: spans started in it (a driver's, for example) become its children. */
export function runInSpan<Result>(span: Span, work: () => Result): Result {
  if (span.spanContext().traceId === INVALID_TRACEID) return work();
  return context.with(trace.setSpan(context.active(), span), work);
}

/** Records rows that were delivered from one provider to the other. */
export function recordReplicated(from: Source, to: Source, rows: number, bytes: number): void {
  guarded(() => {
    const all = instruments();
    const attributes = { "waymark.replication.from": from, "waymark.replication.to": to };
    all.replicatedRows.add(rows, attributes);
    all.replicatedBytes.add(bytes, attributes);
  });
}

/** A storage with a backup, as metrics see it whenever they are collected. */
export interface ObservedPair {
  mode(): StorageStatus["mode"];
  /** Reads the backlogs; `null`: the provider does not answer. Does not reject. */
  backlogs(): Promise<Readonly<Record<Source, Backlog | null>>>;
}

const observedPairs = new Set<ObservedPair>();

/** Reports the mode and the backlogs of a storage from now on. Returns a function that ends it. */
export function observePair(pair: ObservedPair): () => void {
  observedPairs.add(pair);
  guarded(instruments); // of an SDK that was there before
  return () => void observedPairs.delete(pair);
}

/** Records a prune that ran by itself, or its error. */
export function recordPruned(result: PruneResult | null, code: CheckpointErrorCode | null): void {
  guarded(() => {
    const all = instruments();
    all.prunes.add(1, code === null ? {} : { "error.type": code });
    if (result === null) return;
    all.pruned.add(result.removedBy.idleAgent, { "waymark.retention.reason": "idle_agent" });
    all.pruned.add(result.removedBy.noRule, { "waymark.retention.reason": "no_rule" });
  });
}

const SCOPE = "@waymark/core";
const NO_SPAN = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
const CIRCUIT_NUMBER: Readonly<Record<CircuitState, number>> = { closed: 0, "half-open": 1, open: 2 };

const MODE_NUMBER: Readonly<Record<StorageStatus["mode"], number>> = { main: 0, draining: 1, failover: 2 };

/** Histogram boundaries in seconds, as the conventions define them. */
const DURATION_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

interface Instruments {
  readonly duration: Histogram;
  readonly retries: Counter;
  readonly transitions: Counter;
  readonly circuit: Gauge;
  readonly replicatedRows: Counter;
  readonly replicatedBytes: Counter;
  readonly prunes: Counter;
  readonly pruned: Counter;
}

let current: { readonly provider: MeterProvider; readonly instruments: Instruments } | null = null;
let traced: { readonly provider: TracerProvider; readonly tracer: Tracer } | null = null;

/** Returns the instruments of the current SDK: it may be registered after this module was loaded. */
function instruments(): Instruments {
  const provider = metrics.getMeterProvider();
  if (current?.provider !== provider) current = { provider, instruments: createInstruments(provider) };
  return current.instruments;
}

/** Returns the tracer of the current SDK. The API's own proxy does not help if the SDK came with another copy of the API. */
function tracer(): Tracer {
  const provider = trace.getTracerProvider();
  if (traced?.provider !== provider) traced = { provider, tracer: provider.getTracer(SCOPE) };
  return traced.tracer;
}

function createInstruments(provider: MeterProvider): Instruments {
  const meter = provider.getMeter(SCOPE);
  observePairs(meter);
  return {
    duration: meter.createHistogram("db.client.operation.duration", {
      description: "Duration of database client operations.",
      unit: "s",
      advice: { explicitBucketBoundaries: DURATION_BUCKETS },
    }),
    retries: meter.createCounter("waymark.retries", {
      description: "Calls that were retried.",
      unit: "{retry}",
    }),
    transitions: meter.createCounter("waymark.circuit.transitions", {
      description: "State changes of a circuit breaker.",
      unit: "{transition}",
    }),
    circuit: meter.createGauge("waymark.circuit.state", {
      description: "0: closed, 1: half-open, 2: open.",
      unit: "1",
    }),
    replicatedRows: meter.createCounter("waymark.replication.rows", {
      description: "Rows (checkpoints and deletions) that the other provider has acknowledged.",
      unit: "{row}",
    }),
    replicatedBytes: meter.createCounter("waymark.replication.bytes", {
      description: "Bytes of their states as stored.",
      unit: "By",
    }),
    prunes: meter.createCounter("waymark.retention.runs", {
      description: "Prunes that ran by themselves.",
      unit: "{run}",
    }),
    pruned: meter.createCounter("waymark.retention.removed", {
      description: "Checkpoints that they removed.",
      unit: "{checkpoint}",
    }),
  };
}

/** Observes the storages with a backup at each collection: nobody has to call `status()`. */
function observePairs(meter: Meter): void {
  const mode = meter.createObservableGauge("waymark.mode", {
    description: "0: main, 1: draining, 2: failover.",
    unit: "1",
  });
  const rows = meter.createObservableGauge("waymark.replication.backlog.rows", {
    description: "Rows that the other provider lacks.",
    unit: "{row}",
  });
  const bytes = meter.createObservableGauge("waymark.replication.backlog.bytes", {
    description: "Bytes of their states as stored.",
    unit: "By",
  });
  const age = meter.createObservableGauge("waymark.replication.backlog.age", {
    description: "Age of the oldest of them.",
    unit: "s",
  });
  const observe = async (pair: ObservedPair, result: BatchObservableResult) => {
    const backlogs = await pair.backlogs();
    result.observe(mode, MODE_NUMBER[pair.mode()]);
    for (const [provider, backlog] of Object.entries(backlogs)) {
      if (backlog === null) continue;
      const attributes = { "waymark.provider": provider };
      result.observe(rows, backlog.rows, attributes);
      result.observe(bytes, backlog.bytes, attributes);
      result.observe(age, backlog.ageMs / 1_000, attributes);
    }
  };
  meter.addBatchObservableCallback(
    async (result) => void (await Promise.all([...observedPairs].map((pair) => observe(pair, result)))),
    [mode, rows, bytes, age],
  );
}

function failureAttributes(error: CheckpointError): Attributes {
  const status = statusCode(error);
  return { "error.type": error.code, ...(status === undefined ? {} : { "db.response.status_code": status }) };
}

/** Returns the database's own code (an SQLSTATE, `ER_LOCK_DEADLOCK`, `SQLITE_FULL`); none for a code of Node's. */
function statusCode({ cause }: CheckpointError): string | undefined {
  const code = property(cause, "code");
  const isNodes = property(cause, "syscall") !== undefined;
  return typeof code === "string" && !isNodes && !/^E[A-Z]+$/.test(code) ? code : undefined;
}

/** Runs code of the SDK, whose errors must not fail a call. */
function guarded(record: () => void): void {
  try {
    record();
  } catch {
    // the SDK's own affair
  }
}
