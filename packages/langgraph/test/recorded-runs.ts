import { inspect } from "node:util";
import { BaseMessage } from "@langchain/core/messages";
import type { RunnableConfig } from "@langchain/core/runnables";
import { BaseCheckpointSaver, Command, Send } from "@langchain/langgraph";
import type { CheckpointPendingWrite, CheckpointTuple } from "@langchain/langgraph-checkpoint";
import fc from "fast-check";
import {
  build,
  type Graph,
  type GraphPlan,
  graphPlans,
  hasInnerGraphs,
  type Input,
  inputOf,
  inputs,
  nodeNames,
  type Values,
} from "./generated-graphs.ts";

const STREAM_MODES = ["values", "updates", "tasks", "debug", "checkpoints"] as const;

interface RunOptions {
  readonly streamMode: readonly (typeof STREAM_MODES)[number][];
  readonly durability: "sync" | "async" | "exit";
  readonly subgraphs: boolean;
  readonly interruptBefore: readonly number[];
}

interface Look {
  readonly limit: number | undefined;
  /** Position of a checkpoint in the history. */
  readonly before: number | undefined;
  readonly filter: Values | undefined;
}

/** An operation on a thread. `at`: position of a checkpoint in its history, from the newest, 0; null: the thread itself. */
type Action = { readonly thread: number /** by a saver without memory */; readonly elsewhere: boolean } & (
  | { readonly kind: "invoke"; readonly at: number | null; readonly input: Input | null; readonly options: RunOptions }
  | { readonly kind: "resume"; readonly at: number | null; readonly each: boolean; readonly options: RunOptions }
  | { readonly kind: "command"; readonly update: Input; readonly goto: number; readonly options: RunOptions }
  | { readonly kind: "update"; readonly at: number | null; readonly values: Input; readonly asNode: number | null }
  | { readonly kind: "copy"; readonly at: number }
  | ({ readonly kind: "look" } & Look)
  | { readonly kind: "delete" }
);

export interface Case {
  readonly graph: GraphPlan;
  readonly actions: readonly Action[];
}

const options = fc.record<RunOptions>({
  streamMode: fc.subarray([...STREAM_MODES], { minLength: 1 }),
  durability: fc.constantFrom("sync", "async", "exit"),
  subgraphs: fc.boolean(),
  interruptBefore: fc.oneof(
    { weight: 4, arbitrary: fc.constant<number[]>([]) },
    { weight: 1, arbitrary: fc.subarray([0, 1, 2]) },
  ),
});
const at = fc.nat({ max: 9 });
const common = {
  thread: fc.oneof({ weight: 7, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
  elsewhere: fc.boolean(),
};
const look = {
  limit: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
  before: fc.option(at, { nil: undefined }),
  filter: fc.option(
    fc.record(
      { source: fc.constantFrom("input", "loop", "update", "fork"), step: fc.integer({ min: -1, max: 4 }) },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  ),
};
const here = fc.constant(null);
const invoke = fc.record({ kind: fc.constant("invoke" as const), ...common, at: here, input: inputs, options });
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("resume" as const), ...common, at: here, each: fc.boolean(), options }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("invoke" as const), ...common, at: here, input: here, options }),
  },
  { weight: 2, arbitrary: invoke },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("look" as const), ...common, ...look }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("invoke" as const), ...common, at, input: fc.option(inputs), options }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("resume" as const), ...common, at, each: fc.boolean(), options }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("command" as const),
      ...common,
      update: inputs,
      goto: fc.nat({ max: 4 }),
      options,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("update" as const),
      ...common,
      at: fc.option(at),
      values: inputs,
      asNode: fc.option(fc.nat({ max: 4 })),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("copy" as const), ...common, at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), ...common }) },
);

export const cases: fc.Arbitrary<Case> = fc.record({
  graph: graphPlans,
  actions: fc
    .tuple(invoke, fc.array(action, { minLength: 1, maxLength: 7 }))
    .map(([first, others]) => [first, ...others]),
});

/** Returns `true` if an action continues from a checkpoint that is not the newest, or edits one: the thread gets branches. */
export function hasBranches({ actions }: Case): boolean {
  return actions.some((action) => action.kind === "copy" || ("at" in action && action.at !== null));
}

let threads = 0;

/** Returns `true` if a state depends on the order of a step's writes: delta channels are rebuilt from their writes. */
export function needsOrderOfWrites({ graph }: Case): boolean {
  return graph.delta;
}

/** Returns `true` if a task can be answered more than once at one checkpoint. */
export function hasRepeatedAnswers(plan: Case): boolean {
  const questions = plan.graph.layers.flat().flatMap((node) => [node, ...node.inner].map((asking) => asking.questions));
  return questions.some((count) => count > 1) || (hasBranches(plan) && questions.some((count) => count > 0));
}

/** A tuple in a record. */
interface RecordedTuple {
  readonly checkpoint: Pick<CheckpointTuple["checkpoint"], "channel_values" | "channel_versions">;
  readonly pendingWrites: readonly unknown[];
}

/** Removes the order in which writes are listed. */
export function withoutOrderOfWrites<Tuple extends RecordedTuple>(tuple: Tuple): Tuple {
  const texts = tuple.pendingWrites.map((write) => inspect(write, { depth: null }));
  return { ...tuple, pendingWrites: texts.sort() };
}

/** Removes the values of channels that were never written: they are the channels' defaults. */
export function withoutDefaults<Tuple extends RecordedTuple>(tuple: Tuple): Tuple {
  const { channel_values, channel_versions } = tuple.checkpoint;
  const written = Object.entries(channel_values).filter(([name]) => name in channel_versions);
  return { ...tuple, checkpoint: { ...tuple.checkpoint, channel_values: Object.fromEntries(written) } };
}

/** Replaces the tuples of a record. */
export function mapTuples(recorded: unknown, change: (tuple: RecordedTuple) => RecordedTuple): unknown {
  if (typeof recorded !== "object" || recorded === null) return recorded;
  if (Array.isArray(recorded)) return recorded.map((member) => mapTuples(member, change));
  if ("checkpoint" in recorded && "pendingWrites" in recorded) return change(recorded as unknown as RecordedTuple);
  if (recorded instanceof Map || recorded instanceof Set || recorded instanceof Uint8Array) return recorded;
  return Object.fromEntries(Object.entries(recorded).map(([key, member]) => [key, mapTuples(member, change)]));
}

/**
 * Records everything observable of a case: streams, errors, states, histories and tuples. Ids and times are replaced by their
 * order of appearance, so that two savers with the same behaviour have the same record.
 *
 * @param open opens a saver on the same database, without the memory of another one
 */
export async function record({ graph: plan, actions }: Case, open: () => BaseCheckpointSaver): Promise<unknown> {
  threads += 1;
  const prefix = `thread ${threads}.`;
  const runs = new Map<string, number>();
  const names = nodeNames(plan);
  const configOf = (thread: number): RunnableConfig => ({ configurable: { thread_id: `${prefix}${thread}` } });
  let saver = open();
  const records: unknown[] = [];
  for (const action of actions) {
    if (action.elsewhere) saver = open();
    const config = configOf(action.thread);
    const graph = build(plan, saver, runs);
    const events: unknown[] = [];
    const end = await outcome(() => perform(plan, names, saver, graph, config, action, events));
    const state = await outcome(() => graph.getState(config, { subgraphs: true }));
    records.push({ action: action.kind, events, end, state });
  }
  saver = open();
  const graph = build(plan, saver, runs);
  for (const thread of new Set(actions.map((action) => action.thread))) {
    records.push(await everythingOf(saver, graph, configOf(thread)));
  }
  return withoutIds(records, prefix);
}

async function perform(
  plan: GraphPlan,
  names: readonly string[],
  saver: BaseCheckpointSaver,
  graph: Graph,
  config: RunnableConfig,
  action: Action,
  events: unknown[],
): Promise<void> {
  const history = await all(saver.list({ configurable: { ...config.configurable, checkpoint_ns: "" } }));
  const place = (at: number | null) =>
    at === null ? config : (history[at % Math.max(history.length, 1)]?.config ?? config);
  const name = (number: number) => names[number % names.length] as string;
  const run = async (from: RunnableConfig, input: unknown, options: RunOptions) => {
    const { streamMode, durability, subgraphs, interruptBefore } = options;
    const stream = await graph.stream(input as null, {
      ...from,
      streamMode: [...streamMode],
      durability,
      subgraphs,
      recursionLimit: 12,
      ...(interruptBefore.length > 0 ? { interruptBefore: interruptBefore.map(name) as never } : {}),
      // Sequential. Otherwise the time that the saver takes for an inner graph would decide the order of the stream.
      ...(hasInnerGraphs(plan) ? { maxConcurrency: 1 } : {}),
    });
    const chunks: unknown[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    // Not if it throws: an error overtakes chunks that were not taken yet, so their number depends on timing.
    events.push(...chunks);
  };
  switch (action.kind) {
    case "invoke":
      return await run(place(action.at), action.input && inputOf(action.input), action.options);
    case "resume": {
      const asked = (await graph.getState(place(action.at))).tasks.flatMap(({ interrupts }) => interrupts);
      const answers = asked.map(({ id, value }, number) => [
        id as string,
        `answer ${number} to ${JSON.stringify(value)}`,
      ]);
      const resume = action.each && asked.length > 0 ? Object.fromEntries(answers) : "an answer";
      return await run(place(action.at), new Command({ resume }), action.options);
    }
    case "command":
      return await run(
        config,
        new Command({ update: inputOf(action.update), goto: name(action.goto) }),
        action.options,
      );
    case "update": {
      const asNode = action.asNode === null ? undefined : name(action.asNode);
      events.push(await graph.updateState(place(action.at), inputOf(action.values), asNode as never));
      return;
    }
    case "copy":
      events.push(await graph.updateState(place(action.at), null as never, "__copy__" as never));
      return;
    case "look": {
      const { limit, filter } = action;
      const before = action.before === undefined || history.length === 0 ? undefined : place(action.before);
      const options = {
        ...(limit === undefined ? {} : { limit }),
        ...(before === undefined ? {} : { before }),
        ...(filter === undefined ? {} : { filter }),
      };
      events.push(await all(graph.getStateHistory(config, options)));
      const root = { configurable: { ...config.configurable, checkpoint_ns: "" } };
      events.push(await all(saver.list(root, options)));
      return;
    }
    case "delete":
      return await saver.deleteThread(config.configurable?.["thread_id"] as string);
  }
}

/** Everything that a thread has, read by the graph and by the saver. */
async function everythingOf(saver: BaseCheckpointSaver, graph: Graph, config: RunnableConfig): Promise<unknown> {
  const tuples = await all(saver.list({ configurable: { ...config.configurable, checkpoint_ns: "" } }));
  const snapshots: unknown[] = [];
  for (const { config: at } of tuples) {
    snapshots.push(await outcome(() => graph.getState(at, { subgraphs: true })));
  }
  const history = await outcome(() => all(graph.getStateHistory(config)));
  // In the order in which they began, which is the same for every saver: their first checkpoint ids.
  const began = new Map<string, string>();
  for await (const { config: at, checkpoint } of saver.list(config)) {
    const namespace = at.configurable?.["checkpoint_ns"] as string;
    const first = began.get(namespace);
    if (first === undefined || checkpoint.id < first) began.set(namespace, checkpoint.id);
  }
  const inOrder = [...began].sort(([, a], [, b]) => (a < b ? -1 : 1)).map(([namespace]) => namespace);
  const namespaces: unknown[] = [];
  for (const checkpoint_ns of inOrder) {
    const listed = await all(saver.list({ configurable: { ...config.configurable, checkpoint_ns } }));
    const tuples = [];
    for (const { config: at } of listed) tuples.push(await saver.getTuple(at));
    namespaces.push({ checkpoint_ns, listed, tuples });
  }
  return { history, snapshots, namespaces };
}

/** Returns the result, or the error. */
async function outcome<Result>(act: () => Promise<Result>): Promise<Result | { readonly thrown: string }> {
  try {
    return await act();
  } catch (error) {
    const { name, message } = error as Error;
    return { thrown: `${name}: ${message}` };
  }
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** UUIDs, and interrupts' ids. */
const IDS = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b/g;
const NO_TASK = "00000000-0000-0000-0000-000000000000";
const TIMES = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

function withoutIds(records: unknown, prefix: string): unknown {
  const numbers = new Map<string, number>([[NO_TASK, 0]]);
  const ofText = (text: string) =>
    text
      .replaceAll(prefix, "thread ")
      .replace(TIMES, "a time")
      .replace(IDS, (id) => {
        if (!numbers.has(id)) numbers.set(id, numbers.size);
        return `#${numbers.get(id)}`;
      });
  const visit = (value: unknown): unknown => {
    if (typeof value === "string") return ofText(value);
    if (typeof value === "function") return "a function";
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
    if (Array.isArray(value)) return value.map(visit);
    if (value instanceof Map) return new Map([...value].map(([key, member]) => [visit(key), visit(member)]));
    if (value instanceof Set) return new Set([...value].map(visit));
    const type = value instanceof BaseMessage ? value.getType() : (value.constructor?.name ?? "Object");
    const isData = type === "Object" || value instanceof BaseMessage || value instanceof Send;
    // LangGraph passes these to inner graphs in their config: the saver, signals, streams.
    if (!isData) return value instanceof BaseCheckpointSaver ? "the saver" : `a ${type}`;
    // Sorted keys: PostgreSQL's `jsonb` does not keep their order, and ids are numbered in order of appearance.
    const entries = Object.entries(isTuple(value) ? comparable(value) : value).sort(([a], [b]) =>
      a.replace(IDS, "") < b.replace(IDS, "") ? -1 : 1,
    );
    const members = Object.fromEntries(entries.map(([key, member]) => [ofText(key), visit(member)]));
    if (isTuple(value)) members["pendingWrites"] = withTwinsInOrder(members["pendingWrites"] as unknown[][]);
    return type === "Object" ? members : { [`a ${type}`]: members };
  };
  return visit(records);
}

/** Sorts equal writes: two tasks of one node have the same path, so random ids order them. */
function withTwinsInOrder(writes: readonly unknown[][]): unknown[][] {
  const text = ([, ...written]: unknown[]) => inspect(written, { depth: null });
  const ordered: unknown[][] = [];
  for (let at = 0; at < writes.length; ) {
    const end = writes.findIndex((write, index) => index > at && text(write) !== text(writes[at] as unknown[]));
    const twins = writes.slice(at, end === -1 ? writes.length : end);
    ordered.push(...twins.sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)));
    at += twins.length;
  }
  return ordered;
}

function isTuple(value: object): value is CheckpointTuple {
  return "checkpoint" in value && "pendingWrites" in value;
}

/** Removes two differences that savers are free to have, or that LangGraph leaves to chance. */
function comparable({ checkpoint, pendingWrites = [], ...tuple }: CheckpointTuple): CheckpointTuple {
  // LangGraph's validation suite requires that a root keeps only written channels. A MemorySaver keeps the other channels' defaults
  // too, and so does its copy of a root.
  const isRoot = tuple.parentConfig === undefined;
  const kept = Object.entries(checkpoint.channel_values).filter(
    ([name]) => !isRoot || name in checkpoint.channel_versions,
  );
  // Answers to several tasks are stored without a path, so the tasks' random ids order them.
  const isAnswer = ([, channel]: CheckpointPendingWrite) => channel === "__resume__";
  const answers = pendingWrites.filter(isAnswer).map((write) => [JSON.stringify(write[2]), write] as const);
  answers.sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...tuple,
    checkpoint: { ...checkpoint, channel_values: Object.fromEntries(kept) },
    pendingWrites: [...answers.map(([, write]) => write), ...pendingWrites.filter((write) => !isAnswer(write))],
  };
}
