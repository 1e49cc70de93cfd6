import { createHash } from "node:crypto";
import { AIMessage, type BaseMessage, HumanMessage, RemoveMessage } from "@langchain/core/messages";
import {
  Annotation,
  type BaseCheckpointSaver,
  Command,
  DeltaChannel,
  END,
  interrupt,
  type MessagesAnnotation,
  messagesStateReducer,
  Send,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { EphemeralValue } from "@langchain/langgraph/channels";
import fc from "fast-check";

/** Channels that a node may write. The values depend on those that it has read. */
const CHANNELS = ["topic", "log", "sum", "messages", "forgotten", "rich", "brief", "items"] as const;
type Channel = (typeof CHANNELS)[number];

export interface NodePlan {
  readonly writes: readonly Channel[];
  /** Number of questions that it asks, one after the other. */
  readonly questions: number;
  /** Number of its runs that throw before one succeeds. */
  readonly failures: number;
  /** Turns of the event loop that it takes: they decide in which order concurrent nodes end. */
  readonly turns: number;
  /** The way to the nodes of the next layer. */
  readonly next: "edges" | "condition" | "command" | "sends";
  /** If not empty, the node is a graph of these nodes, one after the other. */
  readonly inner: readonly NodePlan[];
  /** `keeping`: the inner graph keeps its state between runs. `commanding`: its last node commands the outer graph. */
  readonly innerKind: "plain" | "keeping" | "commanding";
}

/** Nodes in layers: those of a layer run concurrently, and lead to the next layer. */
export interface GraphPlan {
  readonly layers: readonly (readonly NodePlan[])[];
  /** A layer waits for all nodes of the layer before, where there are plain edges. */
  readonly joined: boolean;
  /** Number of times that the last layer goes back to the first. */
  readonly rounds: number;
  /** `items` is a delta channel; otherwise nothing is written to it. */
  readonly delta: boolean;
  readonly interruptBefore: readonly number[];
  readonly interruptAfter: readonly number[];
}

const plainNode = fc.record<NodePlan>({
  writes: fc.oneof(
    { weight: 4, arbitrary: fc.subarray(CHANNELS.filter((channel) => channel !== "topic")) },
    { weight: 1, arbitrary: fc.subarray([...CHANNELS]) },
  ),
  questions: fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 2 }) },
  ),
  failures: fc.oneof(
    { weight: 8, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 2 }) },
  ),
  turns: fc.integer({ min: 0, max: 2 }),
  next: fc.constantFrom("edges", "edges", "condition", "command", "sends"),
  inner: fc.constant([]),
  innerKind: fc.constant("plain"),
});

const node = fc.oneof(
  { weight: 6, arbitrary: plainNode },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        plainNode,
        fc.array(plainNode, { minLength: 1, maxLength: 2 }),
        fc.constantFrom("plain", "keeping", "commanding"),
      )
      .map(([outer, inner, innerKind]): NodePlan => ({ ...outer, inner, innerKind })),
  },
);

const nodeNumbers = fc.oneof(
  { weight: 3, arbitrary: fc.constant<number[]>([]) },
  { weight: 1, arbitrary: fc.subarray([0, 1, 2, 3]) },
);

export const graphPlans: fc.Arbitrary<GraphPlan> = fc.record({
  layers: fc
    .array(fc.array(node, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 })
    .filter((layers) => layers.flat().length <= 5),
  joined: fc.boolean(),
  rounds: fc.integer({ min: 0, max: 2 }),
  delta: fc.boolean(),
  interruptBefore: nodeNumbers,
  interruptAfter: nodeNumbers,
});

/** The methods of a graph that the generated tests call, for any type of state. */
export type Graph = Pick<
  ReturnType<StateGraph<typeof MessagesAnnotation>["compile"]>,
  "stream" | "getState" | "getStateHistory" | "updateState"
>;

export type Values = Readonly<Record<string, unknown>>;

/** A `StateGraph` whose nodes the compiler does not know. */
interface Builder {
  addNode(name: string, action: unknown, options: { ends: string[] }): unknown;
  addEdge(from: string | string[], to: string): unknown;
  addConditionalEdges(from: string, route: (state: Values) => unknown, ends: string[]): unknown;
  compile(options: {
    checkpointer?: BaseCheckpointSaver | boolean;
    interruptBefore?: string[];
    interruptAfter?: string[];
  }): Graph;
}

/** Names of the nodes, in the order of the plan. */
export function nodeNames({ layers }: GraphPlan): string[] {
  return layers.flatMap((nodes, layer) => nodes.map((_, place) => nameOf(layer, place)));
}

/** Returns `true` if inner graphs save checkpoints beside other nodes: their duration would decide which node ends first. */
export function hasInnerGraphs({ layers }: GraphPlan): boolean {
  return layers.flat().some(({ inner }) => inner.length > 0);
}

const nameOf = (layer: number, place: number) => `${"abc"[layer]}${place}`;

/** Builds a graph. `runs`: number of runs of each node, which a rebuilt graph continues to count. */
export function build(plan: GraphPlan, checkpointer: BaseCheckpointSaver, runs: Map<string, number>): Graph {
  const builder = newBuilder(plan);
  const names = nodeNames(plan);
  for (const [layer, nodes] of plan.layers.entries()) {
    const nextLayer = plan.layers[layer + 1]?.map((_, place) => nameOf(layer + 1, place));
    const ends = nextLayer ?? [END];
    for (const [place, nodePlan] of nodes.entries()) {
      const name = nameOf(layer, place);
      const isCommanding = nextLayer !== undefined && nodePlan.next === "command" && nodePlan.inner.length === 0;
      const action =
        nodePlan.inner.length > 0
          ? innerGraph(plan, nodePlan, name, ends, runs)
          : nodeAction(plan, nodePlan, name, runs, (update, state) =>
              isCommanding ? new Command({ update, goto: targets("sends", ends, name, state) }) : update,
            );
      builder.addNode(name, action, { ends });
      if (layer === 0) builder.addEdge(START, name);
      if (nextLayer === undefined) {
        const first = plan.layers[0]?.map((_, place) => nameOf(0, place)) ?? [];
        const goesBack = ({ sum }: Values) => Number(sum ?? 0) % (plan.rounds + 1) > 0;
        builder.addConditionalEdges(name, (state) => (goesBack(state) ? first : END), [...first, END]);
      } else if (nodePlan.next === "condition" || nodePlan.next === "sends") {
        const { next } = nodePlan;
        builder.addConditionalEdges(name, (state) => targets(next, ends, name, state), ends);
      } else if (!isCommanding && !plan.joined) {
        for (const end of ends) builder.addEdge(name, end);
      }
    }
  }
  for (const [layer, nodes] of plan.layers.entries()) {
    const nextLayer = plan.layers[layer + 1]?.map((_, place) => nameOf(layer + 1, place));
    const joining = nodes.flatMap(({ next }, place) => (next === "edges" ? [nameOf(layer, place)] : []));
    if (plan.joined && nextLayer !== undefined && joining.length > 0) {
      for (const end of nextLayer) builder.addEdge(joining, end);
    }
  }
  const numbered = (numbers: readonly number[]) => numbers.flatMap((number) => names[number] ?? []);
  return builder.compile({
    checkpointer,
    interruptBefore: numbered(plan.interruptBefore),
    interruptAfter: numbered(plan.interruptAfter),
  });
}

/** An inner graph returns its input too, so an appended list would double with each of its runs. */
const newest = (entries: string[]) => entries.slice(-12);

function newBuilder({ delta }: GraphPlan): Builder {
  const State = Annotation.Root({
    messages: Annotation<BaseMessage[]>({
      // If two nodes delete the same message, LangGraph refuses the second deletion.
      reducer: (messages, updates) => {
        const isLate = (update: BaseMessage) =>
          update instanceof RemoveMessage && !messages.some(({ id }) => id === update.id);
        return messagesStateReducer(
          messages,
          updates.filter((update) => !isLate(update)),
        );
      },
      default: () => [],
    }),
    topic: Annotation<string>(),
    log: Annotation<string[]>({ reducer: (a, b) => newest(a.concat(b)), default: () => [] }),
    sum: Annotation<number>({ reducer: (a, b) => a + b, default: () => 0 }),
    rich: Annotation<unknown>({ reducer: (_, last) => last, default: () => null }),
    brief: () => new EphemeralValue<string>(false),
    ...(delta
      ? { items: () => new DeltaChannel<string[], string[]>((items, writes) => newest(items.concat(...writes))) }
      : undefined),
  });
  return new StateGraph(State) as unknown as Builder;
}

/** Chooses the next nodes by the state. */
function targets(kind: "condition" | "sends", ends: readonly string[], name: string, state: Values): (string | Send)[] {
  const sum = Number(state["sum"] ?? 0);
  const some = ends.filter((_, place) => (sum + place) % 2 === 0);
  if (kind === "condition") return some.length > 0 ? some : ends.slice(0, 1);
  return [...some, ...ends].slice(0, 3).map((end, place) => {
    return place === 1 ? end : new Send(end, { item: `${name} ${place}`, log: [], sum });
  });
}

function innerGraph(
  plan: GraphPlan,
  { inner, innerKind }: NodePlan,
  outerName: string,
  ends: readonly string[],
  runs: Map<string, number>,
): Graph {
  const builder = newBuilder(plan);
  let before: string = START;
  for (const [place, nodePlan] of inner.entries()) {
    const name = `${outerName}inner${place}`;
    const isLast = place === inner.length - 1;
    const action = nodeAction(plan, nodePlan, name, runs, (update) =>
      isLast && innerKind === "commanding" ? new Command({ graph: Command.PARENT, update, goto: [...ends] }) : update,
    );
    builder.addNode(name, action, { ends: [] });
    builder.addEdge(before, name);
    before = name;
  }
  builder.addEdge(before, END);
  return builder.compile(innerKind === "keeping" ? { checkpointer: true } : {});
}

function nodeAction(
  { delta }: GraphPlan,
  { writes, questions, failures, turns }: NodePlan,
  name: string,
  runs: Map<string, number>,
  result: (update: Values, state: Values) => unknown,
) {
  return async (state: Values) => {
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const answers: unknown[] = [];
    for (let question = 1; question <= questions; question += 1) {
      answers.push(interrupt({ question: `${name} asks ${question}`, item: state["item"] }));
    }
    const run = (runs.get(name) ?? 0) + 1;
    runs.set(name, run);
    if (run <= failures) throw new Error(`${name} is out of order`);
    const channels = writes.filter((channel) => channel !== "items" || delta);
    return result(valuesFor(channels, name, state, answers), state);
  };
}

/** Values for these channels, derived from the state. */
function valuesFor(channels: readonly Channel[], author: string, state: Values, answers: unknown): Values {
  const messages = (state["messages"] ?? []) as { id?: string; content: unknown }[];
  const log = (state["log"] ?? []) as string[];
  // A digest, so that values stay short and depend on everything that was read.
  const { topic, sum, brief, item } = state;
  const contents = messages.map(({ content }) => content); // without the ids, some of which are random
  const read = JSON.stringify([topic, log, contents, sum, brief, item, answers]);
  const seen = `${author} ${createHash("sha256").update(read).digest("hex").slice(0, 8)}`;
  const of: Record<Channel, () => Values> = {
    topic: () => ({ topic: seen }),
    // Every third is long enough to be stored in chunks.
    log: () => ({ log: [log.length % 3 === 2 ? `${seen} `.repeat(500) : seen] }),
    sum: () => ({ sum: 1 }),
    messages: () => ({ messages: [new AIMessage({ id: `${author} ${messages.length}`, content: seen })] }),
    forgotten: () => {
      const id = messages.find((message) => message.id !== undefined)?.id;
      return { messages: id === undefined ? [new HumanMessage(seen)] : [new RemoveMessage({ id })] };
    },
    rich: () => ({
      rich: {
        map: new Map<unknown, unknown>([["seen", { seen }]]),
        set: new Set([1, seen]),
        bytes: new Uint8Array([1, 2, log.length]),
        nothing: undefined,
        "": [null, -0, 1e21, "\u0000 \ud83d\ude00 \u{1f600}é", { $: ["map", []], lc: 2 }],
        before: state["rich"] === null || state["rich"] === undefined ? 0 : 1,
      },
    }),
    brief: () => ({ brief: seen }),
    items: () => ({ items: [seen] }),
  };
  const parts = channels.map((channel) => of[channel]());
  return Object.assign({}, ...parts) as Values;
}

/** Input of a caller. */
export interface Input {
  readonly topic: "cats" | "dogs";
  readonly channels: readonly Channel[];
}

export const inputs: fc.Arbitrary<Input> = fc.record({
  topic: fc.constantFrom("cats", "dogs"),
  channels: fc.subarray<Channel>(["log", "sum", "messages", "rich"]),
});

export function inputOf({ topic, channels }: Input): Values {
  return { topic, ...valuesFor(channels, "caller", { topic }, []) };
}
