import { Annotation, Send, StateGraph } from "@langchain/langgraph";
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import { compare, comparison } from "../compare.ts";
import type { Place } from "../databases.ts";
import { figure } from "../print.ts";
import type { Context, Failure, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, timed } from "../statistics.ts";
import { inTurns } from "./in-turns.ts";
import { OURS, OWN, type Way, waysOf } from "./langgraph.ts";

/** A step of many tasks: a graph sends thousands, and the checkpointer gets the writes of each as it ends. */
export const sends: Workload = {
  id: "sends",
  title: "one step of many Sends",
  runsOn: (database) => database !== "postgres-vector",
  run,
};

const SENDS = [500, 2_000];
const QUICK_SENDS = [50];
const WARM_UP_SENDS = 50;
const THREAD = { configurable: { thread_id: "researcher" } };

interface SendsFigures {
  readonly id: string;
  readonly title: string;
  readonly sends: number;
  /** Of one `invoke`, in milliseconds: the median, and each. */
  readonly total: number;
  readonly totals: readonly number[];
}

async function run(context: Context): Promise<Outcome> {
  const { options } = context;
  const ways = waysOf(context);
  const failures: Failure[] = [];
  const compared: string[][] = [];
  const results: SendsFigures[] = [];
  await measure(WARM_UP_SENDS, ways, { ...context, options: { ...options, repetitions: 1 } }, [], []);
  for (const count of options.quick ? QUICK_SENDS : SENDS) {
    results.push(...(await measure(count, ways, context, failures, compared)));
  }
  return {
    results,
    failures,
    tables: [table(results), ...comparison(context.against, compared)],
    goals: options.quick ? [] : goals(results),
    charts: [],
  };
}

async function measure(
  count: number,
  ways: readonly Way[],
  context: Context,
  failures: Failure[],
  compared: string[][],
): Promise<SendsFigures[]> {
  const title = `${count} Sends`;
  const runs = await inTurns({ ...context, systems: ways }, failures, title, (way, place) => invoke(count, way, place));
  const total = (totals: readonly number[]) => ({ total: median(totals), totals });
  compared.push(...compare(title, ways, runs, total, { "all, ms": (one: ReturnType<typeof total>) => one.total }));
  return ways.flatMap(({ id, title: name }) => {
    const totals = runs.get(id);
    return totals === undefined ? [] : [{ id, title: name, sends: count, ...total(totals) }];
  });
}

/** Runs the graph once, and returns how long it took. */
async function invoke(count: number, way: Way, place: Place): Promise<number> {
  const { saver, close } = await way.open(place, true);
  try {
    const [took, { results }] = await timed(() => graphOn(saver, count).invoke({}, THREAD));
    if (results.length !== count) throw new Error(`it kept ${results.length} results`);
    return took;
  } finally {
    await close();
  }
}

function graphOn(checkpointer: BaseCheckpointSaver, count: number) {
  const State = Annotation.Root({
    results: Annotation<number[]>({ reducer: (before, more) => before.concat(more), default: () => [] }),
  });
  return new StateGraph(State)
    .addNode("plan", () => ({}))
    .addNode("work", ({ results }: { results: number[] }) => ({ results }))
    .addEdge("__start__", "plan")
    .addConditionalEdges("plan", () => Array.from({ length: count }, (_, at) => new Send("work", { results: [at] })), [
      "work",
    ])
    .compile({ checkpointer });
}

function table(results: readonly SendsFigures[]): Table {
  return {
    title: "one invoke; milliseconds",
    head: ["checkpointer", "Sends", "all", "for each"],
    rows: results.map(({ title, sends: count, total }) => [title, `${count}`, figure(total), figure(total / count)]),
  };
}

function goals(results: readonly SendsFigures[]): Goal[] {
  const most = Math.max(...SENDS);
  const totalOf = (wanted: string) => results.find(({ id, sends: count }) => id === wanted && count === most)?.total;
  const [own, ours] = [totalOf(OWN.id), totalOf(OURS.id)];
  if (own === undefined || ours === undefined) return [];
  const what = `${most} Sends: all, relative to LangGraph's saver`;
  return [{ what, measured: ours / own, bound: "at most", goal: 1 }];
}
