import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, type ContextManager, context, metrics, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { recordReplicated } from "../../src/database/telemetry.ts";
import { createReplicatedStorage } from "../../src/replication/storage.ts";
import { failing, never, type Script, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import { checkpoint } from "../scripted-storage.ts";

let spans: InMemorySpanExporter;
let numbers: InMemoryMetricExporter;
let meters: MeterProvider;
let tracers: BasicTracerProvider;

/** Makes a context manager that keeps the current span as an SDK for Node does. */
function contextManager(): ContextManager {
  const current = new AsyncLocalStorage<Context>();
  const manager: ContextManager = {
    active: () => current.getStore() ?? ROOT_CONTEXT,
    with: (active, work, self, ...given) => current.run(active, () => work.apply(self as never, given)),
    bind: (_active, target) => target,
    enable: () => manager,
    disable: () => manager,
  };
  return manager;
}

function register(): void {
  spans = new InMemorySpanExporter();
  numbers = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
  meters = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: numbers, exportIntervalMillis: 3_600_000 })],
  });
  trace.setGlobalTracerProvider(tracers);
  metrics.setGlobalMeterProvider(meters);
  context.setGlobalContextManager(contextManager());
}

beforeEach(register);
afterEach(async () => {
  await Promise.all([tracers.shutdown(), meters.shutdown()]);
  for (const api of [trace, metrics, context]) api.disable();
});

function open(script: Script = {}, options: Parameters<typeof resolveStorageOptions>[0] = {}) {
  const dialect = scriptedDialect({ system: "other_sql", collection: "agent_checkpoints", ...script });
  const retry = { maxRetries: 1, baseDelayMs: 1, jitterMaxMs: 0 };
  return createStorage(dialect, resolveStorageOptions({ retry, ...options }));
}

const COMMON = { "db.system.name": "other_sql", "waymark.provider": "main" };
const STORE = { ...COMMON, "db.operation.name": "store checkpoint", "db.collection.name": "agent_checkpoints" };

async function exported(): Promise<Map<string, MetricData>> {
  await meters.forceFlush();
  const all = numbers.getMetrics().at(-1)?.scopeMetrics ?? [];
  return new Map(all.flatMap(({ metrics }) => metrics).map((metric) => [metric.descriptor.name, metric]));
}

const points = (metric: MetricData | undefined) =>
  metric?.dataPoints.map(({ attributes, value }) => ({ attributes, value })) ?? [];

const last = (): ReadableSpan => spans.getFinishedSpans().at(-1) as ReadableSpan;

describe("a span", () => {
  test("has the operation, the database and the size of the state", async () => {
    await using storage = open();
    await storage.storeCheckpoint(checkpoint());
    expect(last()).toMatchObject({
      name: "store checkpoint agent_checkpoints",
      kind: 2, // client
      status: { code: 0 },
      attributes: { ...STORE, "waymark.state.bytes": 7 },
    });
  });

  test("has the codes of a failure", async () => {
    const error = Object.assign(new ScriptedError("full"), { code: "53100" });
    await using storage = open({ commit: () => Promise.reject(error) });
    await expect(storage.storeCheckpoint(checkpoint())).rejects.toThrow();
    expect(last().attributes).toMatchObject({ "error.type": "STORAGE_FULL", "db.response.status_code": "53100" });
    expect(last()).toMatchObject({ status: { code: 2 }, events: [] });
  });

  test.each([{ code: "ECONNREFUSED" }, { code: "EHOSTUNREACH", syscall: "connect" }])(
    "does not report a code of Node as one of the database: %j",
    async (members) => {
      const error = Object.assign(new ScriptedError("other"), members);
      await using storage = open({ list: () => Promise.reject(error) });
      await expect(storage.listCheckpoints()).rejects.toThrow();
      expect(Object.keys(last().attributes)).not.toContain("db.response.status_code");
    },
  );

  test("has the number of retries", async () => {
    await using storage = open({ list: failing(1, "connection", async () => []) });
    await storage.listCheckpoints();
    expect(last()).toMatchObject({ status: { code: 0 }, attributes: { "waymark.retries": 1 } });
  });

  test("is the parent of the driver's spans, and the child of the caller's", async () => {
    const tracer = trace.getTracer("test");
    await using storage = open({
      list: async () => {
        tracer.startSpan("driver").end();
        return [];
      },
    });
    await storage.health(); // opened
    spans.reset();
    await tracer.startActiveSpan("caller", async (span) => {
      await storage.listCheckpoints();
      span.end();
    });
    const [driver, ours, caller] = spans.getFinishedSpans();
    expect([driver?.name, ours?.name, caller?.name]).toEqual([
      "driver",
      "list checkpoints agent_checkpoints",
      "caller",
    ]);
    expect(driver?.parentSpanContext?.spanId).toBe(ours?.spanContext().spanId);
    expect(ours?.parentSpanContext?.spanId).toBe(caller?.spanContext().spanId);
  });

  test("has the dialect's name as system by default, and no table", async () => {
    await using storage = createStorage(scriptedDialect());
    await storage.stats();
    expect(last()).toMatchObject({ name: "count checkpoints", attributes: { "db.system.name": "scripted" } });
  });
});

describe("a metric", () => {
  test("counts the durations of calls, in the buckets of the conventions", async () => {
    await using storage = open();
    await storage.storeCheckpoint(checkpoint());
    await storage.storeCheckpoint(checkpoint());
    const duration = (await exported()).get("db.client.operation.duration");
    expect(duration?.descriptor.unit).toBe("s");
    expect(points(duration)).toMatchObject([
      {
        attributes: STORE,
        value: { count: 2, buckets: { boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] } },
      },
    ]);
  });

  test("counts a failure that a retry has cured", async () => {
    await using storage = open({ list: failing(1, "serialization", async () => []) });
    await storage.listCheckpoints();
    const all = await exported();
    expect(points(all.get("waymark.retries"))).toMatchObject([
      { attributes: { "db.operation.name": "list checkpoints", "error.type": "CONTENTION" }, value: 1 },
    ]);
    expect(points(all.get("db.client.operation.duration"))[0]?.attributes).not.toHaveProperty("error.type");
  });

  test("has the state of the circuit, even before it has changed", async () => {
    let reachable = false;
    await using storage = open(
      {
        ping: async () => {
          if (!reachable) throw new ScriptedError("connection");
        },
      },
      { retry: { maxRetries: 0 }, circuit: { failureThreshold: 2 } },
    );
    await storage.health();
    expect(points((await exported()).get("waymark.circuit.state"))).toEqual([{ attributes: COMMON, value: 0 }]);
    await storage.health();
    expect(points((await exported()).get("waymark.circuit.state"))).toEqual([{ attributes: COMMON, value: 2 }]);
    reachable = true;
    await storage.health();
    const all = await exported();
    expect(points(all.get("waymark.circuit.state"))).toEqual([{ attributes: COMMON, value: 0 }]);
    expect(points(all.get("waymark.circuit.transitions"))).toEqual([
      { attributes: { ...COMMON, "waymark.circuit.state": "open" }, value: 1 },
      { attributes: { ...COMMON, "waymark.circuit.state": "closed" }, value: 1 },
    ]);
  });

  test("has the replicated rows", async () => {
    recordReplicated("main", "backup", 3, 100);
    recordReplicated("main", "backup", 2, 50);
    const all = await exported();
    const attributes = { "waymark.replication.from": "main", "waymark.replication.to": "backup" };
    expect(points(all.get("waymark.replication.rows"))).toEqual([{ attributes, value: 5 }]);
    expect(points(all.get("waymark.replication.bytes"))).toEqual([{ attributes, value: 150 }]);
  });

  test("has the mode and the backlogs of a storage with a backup, though nobody asks for its status", async () => {
    const [main, backup] = [scriptedDialect(), scriptedDialect()];
    const storage = createReplicatedStorage({ main: createStorage(main), backup: createStorage(backup) });
    const gauges = async () => {
      const all = await exported();
      const values = (name: string) =>
        (points(all.get(`waymark.${name}`)) as { value: number }[]).map(({ value }) => value);
      return [values("mode"), values("replication.backlog.rows")];
    };
    await storage.storeCheckpoint(checkpoint());
    while (JSON.stringify(await gauges()) !== "[[0],[0,0]]");
    backup.commit = never;
    await storage.storeCheckpoint(checkpoint());
    await storage.storeCheckpoint(checkpoint());
    expect(await gauges()).toEqual([[0], [2, 0]]);
    await storage.close({ timeoutMs: 0 });
    const asked = vi.spyOn(main.outbox, "backlog");
    await gauges();
    expect(asked).not.toHaveBeenCalled();
  });
});

describe("an SDK", () => {
  test("may be registered after the storage was made, and replaced later", async () => {
    for (const api of [trace, metrics]) api.disable();
    await using storage = open();
    await storage.storeCheckpoint(checkpoint());
    for (let round = 0; round < 2; round++) {
      for (const api of [trace, metrics, context]) api.disable();
      register();
      await storage.storeCheckpoint(checkpoint());
      expect(spans.getFinishedSpans()).toHaveLength(1);
      const all = await exported();
      expect(points(all.get("db.client.operation.duration"))).toMatchObject([{ value: { count: 1 } }]);
      expect(points(all.get("waymark.circuit.state"))).toMatchObject([{ value: 0 }]);
    }
  });

  test("does not make calls fail if it fails itself", async () => {
    const broken = vi.fn(() => {
      throw new TypeError("broken exporter");
    });
    for (const api of [trace, metrics]) api.disable();
    trace.setGlobalTracerProvider({ getTracer: broken });
    metrics.setGlobalMeterProvider({ getMeter: broken });
    await using storage = open();
    expect(await storage.retrieveCheckpoint(await storage.storeCheckpoint(checkpoint()))).not.toBeNull();
    expect(broken).toHaveBeenCalled();
  });
});

test("no span and no metric shows a state, an id, a name, a label or a password", async () => {
  const CANARY = "hunter2-canary";
  const ids: string[] = [];
  const quoting = (fault: ConstructorParameters<typeof ScriptedError>[0]) =>
    Object.assign(new ScriptedError(fault, `Duplicate entry '${CANARY}'`), {
      sql: CANARY,
      parameters: [CANARY],
      code: `${CANARY}://user:${CANARY}@host`,
    });
  let broken = false;
  const dialect = scriptedDialect();
  const breakable = scriptedDialect(
    {
      commit: (change, signal) => (broken ? Promise.reject(quoting("connection")) : dialect.commit(change, signal)),
      list: (query, signal) => (broken ? Promise.reject(quoting("other")) : dialect.list(query, signal)),
    },
    dialect,
  );
  await using storage = createStorage(
    breakable,
    resolveStorageOptions({ retry: { maxRetries: 0 }, circuit: { failureThreshold: 1 } }),
  );
  const canary = checkpoint({
    agentId: CANARY,
    namespace: CANARY,
    name: CANARY,
    metadata: { [CANARY]: CANARY },
    state: { [CANARY]: CANARY },
  });
  ids.push(await storage.storeCheckpoint(canary));
  await storage.storeCheckpoint({ ...canary, id: ids[0] as string, state: 1 }).catch(() => {}); // a conflict, whose message has the id
  await storage.retrieveLatestCheckpoint(CANARY, { namespace: CANARY });
  await storage.listCheckpoints({ agentId: CANARY, name: CANARY, metadata: { [CANARY]: CANARY } });
  await storage.retrieveCheckpoint(ids[0] as string);
  await storage.deleteAgent(CANARY);
  broken = true;
  await storage.listCheckpoints({ agentId: CANARY }).catch(() => {});
  await storage.storeCheckpoint(canary).catch(() => {});
  await storage.storeCheckpoint(canary).catch(() => {});
  const finished = spans.getFinishedSpans().map(({ name, attributes, events, status, links }) => ({
    name,
    attributes,
    events,
    status,
    links,
  }));
  const all = JSON.stringify([finished, [...(await exported()).values()]]);
  expect(all).toContain("UNAVAILABLE");
  expect(all).not.toContain(CANARY);
  for (const id of ids) expect(all).not.toContain(id);
});
