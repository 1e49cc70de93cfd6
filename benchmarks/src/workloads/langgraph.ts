import { isDeepStrictEqual } from "node:util";
import { AIMessage, type BaseMessage, HumanMessage } from "@langchain/core/messages";
import { MessagesAnnotation, StateGraph } from "@langchain/langgraph";
import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import type { CheckpointStorage } from "@waymark/core";
import { WaymarkSaver } from "@waymark/langgraph";
import { namesOfTwin } from "../against.ts";
import { compare, comparison } from "../compare.ts";
import { generateConversation } from "../conversation.ts";
import type { Place } from "../databases.ts";
import { bytes, figure } from "../print.ts";
import type { Context, Failure, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";
import { openSaver } from "../systems/langgraph.ts";
import type { System } from "../systems/system.ts";
import { openWaymark } from "../systems/waymark.ts";
import { inTurns } from "./in-turns.ts";

/**
 * The growing conversation as a LangGraph graph has it: each turn is an `invoke`, which brings a question and stores three
 * checkpoints and two tasks' writes; the graph is LangGraph's own, and only its checkpointer differs.
 */
export const langgraphGraphs: Workload = {
  id: "langgraph",
  title: "the growing conversation through a LangGraph graph",
  runsOn: (database) => database !== "postgres-vector",
  run,
};

const TURNS = 300;
const QUICK_TURNS = 20;
const WARM_UP_TURNS = 10;
const READS = 7;
const LISTED = 20;
const LISTS = 3;
const THREAD = { configurable: { thread_id: "researcher" } };

/** A checkpointer that is under way on a place. */
interface Opened {
  readonly saver: BaseCheckpointSaver;
  close(): Promise<void>;
}

/** A checkpointer that a graph is measured with. */
export interface Way extends Pick<System, "id" | "title" | "twinOf"> {
  open(place: Place, fresh: boolean): Promise<Opened>;
}

export const OWN: Way = { id: "langgraph", title: "LangGraph's saver", open: openSaver };
export const OURS: Way = {
  id: "waymark",
  title: "WaymarkSaver",
  open: (place) => openOurs(openWaymark(place), WaymarkSaver),
};

async function openOurs(storage: CheckpointStorage, Saver: typeof WaymarkSaver): Promise<Opened> {
  await storage.listCheckpoints({ limit: 1 });
  return { saver: new Saver(storage), close: async () => void (await storage.close()) };
}

/** The checkpointers that were chosen, as far as they run on this database. */
export function waysOf({ database, options, against }: Context): Way[] {
  const hasOwn = database.name !== "mysql" && database.name !== "mariadb";
  const chosen = [...(hasOwn ? [OWN] : []), OURS].filter(({ id }) => options.systems.includes(id));
  if (against === undefined || !chosen.includes(OURS)) return chosen;
  const open = (place: Place) => openOurs(openWaymark(place, against), against.WaymarkSaver);
  return [...chosen, { ...namesOfTwin(OURS, against), open }];
}

/** The measurements of one run; times in milliseconds. */
interface Measured {
  readonly turns: readonly number[];
  readonly bytes: number;
  readonly getState: readonly number[];
  readonly list: readonly number[];
}

/** Medians over the repetitions. */
export interface GraphFigures {
  readonly id: string;
  readonly title: string;
  readonly total: number;
  readonly totals: readonly number[];
  readonly firstTenth: number;
  readonly lastTenth: number;
  readonly bytes: number;
  readonly getState: number;
  readonly list: number;
}

async function run(context: Context): Promise<Outcome> {
  const { options } = context;
  const ways = waysOf(context);
  const lengths = options.turns ?? [options.quick ? QUICK_TURNS : TURNS];
  const failures: Failure[] = [];
  const results: { turns: number; systems: GraphFigures[] }[] = [];
  const compared: string[][] = [];
  await measure(WARM_UP_TURNS, ways, { ...context, options: { ...options, repetitions: 1 } }, [], []);
  for (const turns of lengths)
    results.push({ turns, systems: await measure(turns, ways, context, failures, compared) });
  return {
    results,
    failures,
    tables: [...results.map(({ turns, systems }) => table(turns, systems)), ...comparison(context.against, compared)],
    goals: options.quick ? [] : results.flatMap(({ turns, systems }) => goals(turns, systems)),
    charts: [],
  };
}

async function measure(
  turns: number,
  ways: readonly Way[],
  context: Context,
  failures: Failure[],
  compared: string[][],
): Promise<GraphFigures[]> {
  const title = `${turns} turns`;
  const runs = await inTurns({ ...context, systems: ways }, failures, title, (way, place) => replay(turns, way, place));
  compared.push(...compare(title, ways, runs, figures, COMPARED_FIGURES));
  return ways.flatMap(({ id, title: name }) => {
    const measured = runs.get(id);
    return measured === undefined ? [] : [{ id, title: name, ...figures(measured) }];
  });
}

/** Runs the graph turn by turn, then reads back as a new process would. */
async function replay(turns: number, way: Way, place: Place): Promise<Measured> {
  const conversation = generateConversation(turns).turns.map((turn, index) => ({
    question: `Question ${index}: what comes next?`,
    answer: JSON.stringify(turn),
  }));
  const milliseconds: number[] = [];
  let last: BaseMessage[] = [];
  const first = await way.open(place, true);
  try {
    const graph = graphOn(first.saver, (messages) => conversation[(messages.length - 1) / 2]?.answer ?? "");
    for (const [index, { question }] of conversation.entries()) {
      const input = { messages: [new HumanMessage({ id: `question ${index}`, content: question })] };
      const [took, state] = await timed(() => graph.invoke(input, THREAD));
      milliseconds.push(took);
      last = state.messages;
    }
  } finally {
    await first.close();
  }
  const size = await place.bytesOnDisk();
  const getState: number[] = [];
  for (let read = 0; read < READS; read++) {
    const cold = await way.open(place, false);
    try {
      const [took, state] = await timed(() => graphOn(cold.saver, () => "").getState(THREAD));
      getState.push(took);
      const { messages } = state.values as { messages: BaseMessage[] };
      if (!isDeepStrictEqual(messages.map(plain), last.map(plain))) throw new Error("it gave back another state");
    } finally {
      await cold.close();
    }
  }
  const list: number[] = [];
  for (let read = 0; read < LISTS; read++) {
    const cold = await way.open(place, false);
    try {
      const [took, lengths] = await timed(() => lengthsOf(cold.saver));
      list.push(took);
      if (lengths.length !== Math.min(LISTED, 3 * turns)) throw new Error(`it listed ${lengths.length} checkpoints`);
      if (lengths[0] !== last.length) throw new Error("it listed other states");
    } finally {
      await cold.close();
    }
  }
  return { turns: milliseconds, bytes: size, getState, list };
}

/** One node that answers, as a model would, at once. */
function graphOn(checkpointer: BaseCheckpointSaver, answer: (messages: readonly BaseMessage[]) => string) {
  return new StateGraph(MessagesAnnotation)
    .addNode("model", ({ messages }) => ({
      messages: [new AIMessage({ id: `answer ${messages.length}`, content: answer(messages) })],
    }))
    .addEdge("__start__", "model")
    .addEdge("model", "__end__")
    .compile({ checkpointer });
}

function plain(message: BaseMessage): unknown {
  return [message.getType(), message.id, message.content];
}

/** The number of messages in each of the newest checkpoints, which shows that their states were read too. */
async function lengthsOf(saver: BaseCheckpointSaver): Promise<number[]> {
  const lengths: number[] = [];
  for await (const { checkpoint } of saver.list(THREAD, { limit: LISTED })) {
    lengths.push((checkpoint.channel_values["messages"] as unknown[]).length);
  }
  return lengths;
}

const COMPARED_FIGURES = {
  "all turns, ms": ({ total }: RunFigures) => total,
  "on disk, kB": ({ bytes: size }: RunFigures) => size / 1_000,
  "getState, cold, ms": ({ getState }: RunFigures) => getState,
  [`list of ${LISTED}, cold, ms`]: ({ list }: RunFigures) => list,
};

type RunFigures = Omit<GraphFigures, "id" | "title">;

function figures(runs: readonly Measured[]): RunFigures {
  const totals = runs.map(({ turns }) => sum(turns));
  const tenth = Math.max(1, Math.floor((runs[0]?.turns.length ?? 0) / 10));
  return {
    total: median(totals),
    totals,
    firstTenth: median(runs.map(({ turns }) => median(turns.slice(0, tenth)))),
    lastTenth: median(runs.map(({ turns }) => median(turns.slice(-tenth)))),
    bytes: median(runs.map((one) => one.bytes)),
    getState: median(runs.map((one) => median(one.getState))),
    list: median(runs.map((one) => median(one.list))),
  };
}

function table(turns: number, systems: readonly GraphFigures[]): Table {
  return {
    title: `${turns} turns, ${3 * turns} checkpoints; milliseconds`,
    head: [
      "checkpointer",
      "all turns",
      "a turn, first tenth",
      "last tenth",
      "on disk",
      "getState, cold",
      `list of ${LISTED}, cold`,
    ],
    rows: systems.map((one) => [
      one.title,
      figure(one.total),
      figure(one.firstTenth),
      figure(one.lastTenth),
      bytes(one.bytes),
      figure(one.getState),
      figure(one.list),
    ]),
  };
}

function goals(turns: number, systems: readonly GraphFigures[]): Goal[] {
  const own = systems.find(({ id }) => id === OWN.id);
  const ours = systems.find(({ id }) => id === OURS.id);
  if (own === undefined || ours === undefined) return [];
  const against = (what: string, measured: number, goal: number): Goal => {
    return { what: `${turns} turns: ${what}, relative to LangGraph's saver`, measured, bound: "at most", goal };
  };
  return [
    against("bytes on disk", ours.bytes / own.bytes, 1 / 50),
    against("all turns", ours.total / own.total, 0.7),
    against("getState of the latest", ours.getState / own.getState, 1),
    against(`list of ${LISTED}`, ours.list / own.list, 1 / 20),
  ];
}
