import { isDeepStrictEqual } from "node:util";
import { compare, comparison } from "../compare.ts";
import type { DatabaseName, Place } from "../databases.ts";
import { figure } from "../print.ts";
import { HEX, randomOf } from "../random.ts";
import type { Context, Failure, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, percentile, timed } from "../statistics.ts";
import { POOL_SIZE, type Step, type System } from "../systems/system.ts";
import { inTurns } from "./in-turns.ts";

/** Many agents with small states, one after another and many at once. */
export const smallStates: Workload = {
  id: "B",
  title: "many small states",
  runsOn: (database) => database !== "postgres-vector",
  run,
};

const AGENTS = 100;
const CONCURRENCIES = [1, POOL_SIZE];
const STORES = 3_200;
const QUICK_STORES = 320;
/** Variants of the other systems; A measures what they differ in. */
const SKIPPED = ["waymark-frozen", "raw-lz4", "raw-external", "langgraph-delta", "floor"];
const COMPARED = 50;

/** One run: all of it, and each of its stores in milliseconds. */
interface Measured {
  readonly seconds: number;
  readonly latencies: readonly number[];
}

interface SmallFigures {
  readonly id: string;
  readonly title: string;
  readonly concurrency: number;
  readonly storesPerSecond: number;
  /** Of one store, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

const COMPARED_FIGURES = {
  "median of a store, ms": ({ p50 }: RunFigures) => p50,
  "stores a second": ({ storesPerSecond }: RunFigures) => storesPerSecond,
};

type RunFigures = Omit<SmallFigures, "id" | "title" | "concurrency">;

async function run(context: Context): Promise<Outcome> {
  const { options, database } = context;
  const steps = generateSteps(options.quick ? QUICK_STORES : STORES);
  const failures: Failure[] = [];
  const systems = context.systems.filter(({ id, twinOf }) => !SKIPPED.includes(twinOf ?? id));
  const measured: Context = { ...context, systems };
  const warmUp = { ...measured, options: { ...options, repetitions: 1 } };
  await inTurns(warmUp, [], "warm-up", (system, place) => store(steps.slice(0, AGENTS), POOL_SIZE, system, place));

  const results: SmallFigures[] = [];
  const compared: string[][] = [];
  for (const concurrency of CONCURRENCIES) {
    const title = `${steps.length} states, ${concurrency} at a time`;
    const runs = await inTurns(measured, failures, title, (system, place) => store(steps, concurrency, system, place));
    const figuresOf = (all: readonly Measured[]): RunFigures => ({
      storesPerSecond: median(all.map(({ seconds }) => steps.length / seconds)),
      p50: median(all.map(({ latencies }) => median(latencies))),
      p99: median(all.map(({ latencies }) => percentile(latencies, 0.99))),
    });
    for (const { id, title: name } of systems) {
      const all = runs.get(id);
      if (all !== undefined) results.push({ id, title: name, concurrency, ...figuresOf(all) });
    }
    compared.push(...compare(`${concurrency} at a time`, systems, runs, figuresOf, COMPARED_FIGURES));
  }
  const all = [...tables(results), ...comparison(context.against, compared)];
  return { results, tables: all, goals: goals(results, database.name), charts: [], failures };
}

/** About 400 bytes of JSON each, all different. */
function generateSteps(count: number): Step[] {
  const random = randomOf(3);
  return Array.from({ length: count }, (_, index) => ({
    agentId: `agent-${index % AGENTS}`,
    turn: 1 + Math.floor(index / AGENTS),
    state: {
      status: random.pick(["thinking", "waiting", "running a tool"]),
      step: index,
      budget: { tokens: random.below(1e6), seconds: random.below(3_600) },
      lastTool: { id: `call_${random.text(24, HEX)}`, name: "search", ok: true },
      notes: [random.text(80, `${HEX} etaoin`), random.text(80, `${HEX} shrdlu`)],
      seen: Array.from({ length: 4 }, () => random.text(12, HEX)),
    },
  }));
}

async function store(steps: readonly Step[], concurrency: number, system: System, place: Place): Promise<Measured> {
  const session = await system.open(place, true);
  try {
    const latencies: number[] = [];
    const ids: string[] = [];
    let next = 0;
    const writer = async () => {
      for (let index = next++; index < steps.length; index = next++) {
        const [milliseconds, id] = await timed(() => session.store(steps[index] as Step));
        latencies.push(milliseconds);
        ids[index] = id;
      }
    };
    const [milliseconds] = await timed(() => Promise.all(Array.from({ length: concurrency }, writer)));
    const random = randomOf(9);
    for (let count = 0; count < COMPARED; count += 1) {
      const index = random.below(steps.length);
      const { agentId, state } = steps[index] as Step;
      if (!isDeepStrictEqual(await session.retrieve(agentId, ids[index] as string), state)) {
        throw new Error(`expected the state of store ${index} as it was stored, got another one`);
      }
    }
    return { seconds: milliseconds / 1_000, latencies };
  } finally {
    await session.close();
  }
}

function tables(results: readonly SmallFigures[]): Table[] {
  return CONCURRENCIES.map((concurrency) => {
    const rows = results.filter((row) => row.concurrency === concurrency);
    const raw = rows.find(({ id }) => id === "raw");
    return {
      title: `${concurrency} at a time (raw: each store a transaction of its own)`,
      head: ["system", "stores a second", "relative to raw", "median, ms", "p99, ms"],
      rows: rows.map(({ title, storesPerSecond, p50, p99 }) => [
        title,
        figure(storesPerSecond),
        raw ? figure(storesPerSecond / raw.storesPerSecond) : "–",
        figure(p50),
        figure(p99),
      ]),
    };
  });
}

function goals(results: readonly SmallFigures[], database: DatabaseName): Goal[] {
  return CONCURRENCIES.flatMap((concurrency): Goal[] => {
    const find = (id: string) => results.find((row) => row.id === id && row.concurrency === concurrency);
    const raw = find("raw");
    const ours = find("waymark");
    if (!raw || !ours) return [];
    if (database === "sqlite-normal" && concurrency === 1) {
      const microseconds = 1_000 * (ours.p50 - raw.p50);
      return [{ what: "microseconds above raw, 1 at a time", measured: microseconds, bound: "at most", goal: 40 }];
    }
    if (database === "sqlite-normal") return [];
    const many = database === "sqlite-full" ? 4 : 1.5;
    const what = `stores a second / raw, ${concurrency} at a time`;
    const measured = ours.storesPerSecond / raw.storesPerSecond;
    return [{ what, measured, bound: "at least", goal: concurrency === 1 ? 0.8 : many }];
  });
}
