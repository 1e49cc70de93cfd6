import { isDeepStrictEqual } from "node:util";
import { drawChart } from "../chart.ts";
import { compare, comparison } from "../compare.ts";
import {
  CHANGING,
  type Conversation,
  generateConversation,
  growFrozen,
  growLive,
  stateAfter,
} from "../conversation.ts";
import type { DatabaseName, Place } from "../databases.ts";
import { bytes, figure } from "../print.ts";
import { randomOf } from "../random.ts";
import type { Chart, Context, Failure, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";
import type { Session, System } from "../systems/system.ts";
import { readTranscripts } from "../transcripts.ts";
import { inTurns } from "./in-turns.ts";

/** A growing conversation: a turn adds 1.7 kB to a state that repeats all turns before. */
export const conversation: Workload = {
  id: "A",
  title: "the growing conversation",
  runsOn: (database) => database !== "postgres-vector",
  run,
};

const AGENT = "researcher";
const LENGTHS = [100, 300, 1_000];
const QUICK_LENGTHS = [30];
const WARM_UP_TURNS = 20;
const OLD_ONES = 20;
const COLD_LATEST_READS = 5;
/** More, since one may take less than the clock and the machine vary. */
const CACHED_LATEST_READS = 50;
const LISTED = 20;
const LISTS = 20;
const BUCKETS = 50;

/** The measurements of one run of one system; times in milliseconds. */
interface Measured {
  readonly stores: number[];
  readonly bytes: number;
  readonly cold: { readonly latest: number[]; readonly old: number[] };
  readonly cached: { readonly latest: number[]; readonly old: number[] };
  readonly list: number[];
}

/** Medians over the repetitions. Times in milliseconds. */
export interface SystemFigures {
  readonly id: string;
  readonly title: string;
  /** Of all stores together, and what each repetition took. */
  readonly total: number;
  readonly totals: readonly number[];
  /** Of one store; unlike the total it does not grow when the disk is busy for a moment. */
  readonly median: number;
  readonly firstTenth: number;
  readonly lastTenth: number;
  /** Medians along the way: [turn, milliseconds]. */
  readonly byTurn: readonly (readonly [number, number])[];
  readonly bytes: number;
  readonly coldLatest: number;
  readonly coldOld: number;
  readonly cachedLatest: number;
  readonly cachedOld: number;
  readonly list: number;
  /** Number of the states that were read back and compared with what was stored; all were equal. */
  readonly compared: number;
}

export interface ConversationFigures {
  readonly title: string;
  readonly turns: number;
  readonly stateBytes: number;
  readonly systems: readonly SystemFigures[];
}

async function run(context: Context): Promise<Outcome> {
  const { options, database } = context;
  const lengths = options.turns ?? (options.quick ? QUICK_LENGTHS : LENGTHS);
  const conversations = [
    ...lengths.map((turns) => generateConversation(turns)),
    ...(options.transcripts === undefined ? [] : readTranscripts(options.transcripts)),
  ];
  const failures: Failure[] = [];
  const results: ConversationFigures[] = [];
  const compared: string[][] = [];
  // The engine has compiled no code yet, and the first system would pay for what all share.
  const warmUp = { ...context, options: { ...options, repetitions: 1 } };
  await measure(generateConversation(WARM_UP_TURNS, 2), warmUp, [], []);
  for (const one of conversations) results.push(await measure(one, context, failures, compared));
  return {
    results,
    failures,
    tables: [...results.flatMap((one) => tables(one)), ...comparison(context.against, compared)],
    goals: results.filter(({ turns }) => turns >= 1_000).flatMap((figures) => goals(figures, database.name)),
    charts: results.filter((_, index) => index < lengths.length).map((figures) => chart(figures, context)),
  };
}

async function measure(
  one: Conversation,
  context: Context,
  failures: Failure[],
  compared: string[][],
): Promise<ConversationFigures> {
  const runs = await inTurns(context, failures, one.title, (system, place) => replay(one, system, place));
  const last = stateAfter(one, one.turns.length);
  compared.push(...compare(one.title, context.systems, runs, figures, COMPARED_FIGURES));
  const systems = context.systems.flatMap(({ id, title }) => {
    const measured = runs.get(id);
    return measured === undefined ? [] : [{ id, title, ...figures(measured) }];
  });
  return { title: one.title, turns: one.turns.length, stateBytes: JSON.stringify(last).length, systems };
}

/** Stores every turn, then reads back; each on an empty database of its own. */
async function replay(one: Conversation, system: System, place: Place): Promise<Measured> {
  const stores: number[] = [];
  const ids: string[] = [];
  const session = await system.open(place, true);
  try {
    for (const { state, added } of (system.states === "frozen" ? growFrozen : growLive)(one)) {
      const step = { agentId: AGENT, turn: ids.length + 1, state, change: { members: CHANGING, added } };
      const [milliseconds, id] = await timed(() => session.store(step));
      stores.push(milliseconds);
      ids.push(id);
    }
  } finally {
    await session.close();
  }
  const size = await place.bytesOnDisk();
  const nothing = { latest: [], old: [] };
  if (system.isFloor) return { stores, bytes: size, cold: nothing, cached: nothing, list: [] };
  return { stores, bytes: size, ...(await readBack(one, system, place, ids)) };
}

async function readBack(one: Conversation, system: System, place: Place, ids: readonly string[]) {
  const random = randomOf(7);
  const turns = Array.from({ length: OLD_ONES }, () => 1 + random.below(ids.length));
  const cold = { latest: [] as number[], old: [] as number[] };
  const last = stateAfter(one, ids.length);
  const expectEqual = (state: unknown, turn: number) => {
    if (!isDeepStrictEqual(state, turn === ids.length ? last : stateAfter(one, turn))) {
      throw new Error(`expected the state after turn ${turn} as it was stored, got another one`);
    }
  };
  const idOf = (turn: number) => ids[turn - 1] as string;

  // Cold: each in a storage that was opened for it; the file or the server's pages are in memory, for everybody.
  for (let read = 0; read < COLD_LATEST_READS; read += 1) {
    const session = await system.open(place, false);
    const [milliseconds, state] = await timed(() => session.retrieveLatest(AGENT));
    await session.close();
    cold.latest.push(milliseconds);
    expectEqual(state, ids.length);
  }
  for (const turn of turns) {
    const session = await system.open(place, false);
    const [milliseconds, state] = await timed(() => session.retrieve(AGENT, idOf(turn)));
    await session.close();
    cold.old.push(milliseconds);
    expectEqual(state, turn);
  }

  const session = await system.open(place, false);
  try {
    await readAgain(session); // not timed: statements are prepared, and code is compiled, by what each system happens to call
    return { cold, ...(await readAgain(session)) };
  } finally {
    await session.close();
  }

  /** Reads with a warm cache: each state is read once before it is timed. */
  async function readAgain(warm: Session) {
    const cached = { latest: [] as number[], old: [] as number[] };
    const list: number[] = [];
    await warm.retrieveLatest(AGENT);
    for (let read = 0; read < CACHED_LATEST_READS; read += 1) {
      const [milliseconds, state] = await timed(() => warm.retrieveLatest(AGENT));
      cached.latest.push(milliseconds);
      expectEqual(state, ids.length);
    }
    for (const turn of turns) {
      await warm.retrieve(AGENT, idOf(turn));
      const [milliseconds, state] = await timed(() => warm.retrieve(AGENT, idOf(turn)));
      cached.old.push(milliseconds);
      expectEqual(state, turn);
    }
    for (let read = 0; read < LISTS; read += 1) {
      const [milliseconds, count] = await timed(() => warm.list(AGENT, LISTED));
      list.push(milliseconds);
      // LangGraph's delta channel has one more than there are turns: that of its input.
      if (count > LISTED || count < Math.min(LISTED, ids.length)) {
        throw new Error(`expected ${LISTED} of ${ids.length} checkpoints, listed ${count}`);
      }
    }
    return { cached, list };
  }
}

const COMPARED_FIGURES = {
  "all stores, ms": ({ total }: RunFigures) => total,
  "a store, median, ms": (figures: RunFigures) => figures.median,
  "first tenth, ms each": ({ firstTenth }: RunFigures) => firstTenth,
  "last tenth, ms each": ({ lastTenth }: RunFigures) => lastTenth,
  "latest, cold, ms": ({ coldLatest }: RunFigures) => coldLatest,
  "an old one, cold, ms": ({ coldOld }: RunFigures) => coldOld,
  "latest, again, ms": ({ cachedLatest }: RunFigures) => cachedLatest,
  "an old one, again, ms": ({ cachedOld }: RunFigures) => cachedOld,
  "list 20, ms": ({ list }: RunFigures) => list,
  "on disk, kB": ({ bytes: size }: RunFigures) => size / 1_000,
};

type RunFigures = Omit<SystemFigures, "id" | "title">;

function figures(runs: readonly Measured[]): RunFigures {
  const turns = runs[0]?.stores.length ?? 0;
  const tenth = Math.max(1, Math.floor(turns / 10));
  const totals = runs.map(({ stores }) => sum(stores));
  const pooled = (pick: (run: Measured) => readonly number[]) => median(runs.flatMap((run) => [...pick(run)]));
  const width = Math.max(1, Math.ceil(turns / BUCKETS));
  return {
    total: median(totals),
    totals,
    median: pooled(({ stores }) => stores),
    firstTenth: pooled(({ stores }) => stores.slice(0, tenth)),
    lastTenth: pooled(({ stores }) => stores.slice(-tenth)),
    byTurn: Array.from({ length: Math.ceil(turns / width) }, (_, bucket) => [
      Math.min(turns, (bucket + 1) * width),
      pooled(({ stores }) => stores.slice(bucket * width, (bucket + 1) * width)),
    ]),
    bytes: median(runs.map((run) => run.bytes)),
    coldLatest: pooled(({ cold }) => cold.latest),
    coldOld: pooled(({ cold }) => cold.old),
    cachedLatest: pooled(({ cached }) => cached.latest),
    cachedOld: pooled(({ cached }) => cached.old),
    list: pooled(({ list }) => list),
    compared: sum(
      runs.map(({ cold, cached }) => sum([cold, cached].map(({ latest, old }) => latest.length + old.length))),
    ),
  };
}

/** The best figure of the raw driver, of all its ways to store a column; the others are compared with it. */
function bestOfRaw(systems: readonly SystemFigures[], pick: (system: SystemFigures) => number): number {
  return Math.min(...systems.filter(({ id }) => id === "raw" || id.startsWith("raw-")).map(pick));
}

function tables({ title, turns, stateBytes, systems }: ConversationFigures): Table[] {
  const floor = systems.find(({ id }) => id === "floor");
  const measured = systems.filter(({ id }) => id !== "floor");
  const relative = (system: SystemFigures, pick: (system: SystemFigures) => number) => {
    const best = bestOfRaw(systems, pick);
    return Number.isFinite(best) ? figure(pick(system) / best) : "–";
  };
  const ms = (system: SystemFigures, pick: (system: SystemFigures) => number) =>
    `${figure(pick(system))} (${relative(system, pick)})`;
  return [
    {
      title: `Storing: ${title}, ${bytes(stateBytes)} in the end. In brackets: relative to the raw driver at its fastest`,
      head: [
        "system",
        "all stores, ms",
        "first tenth, ms each",
        "last tenth, ms each",
        "last / floor",
        "on disk",
        "a turn",
      ],
      rows: systems.map((system) => [
        system.title,
        ms(system, ({ total }) => total),
        figure(system.firstTenth),
        figure(system.lastTenth),
        floor ? figure(system.lastTenth / floor.lastTenth) : "–",
        system === floor ? "–" : bytes(system.bytes),
        system === floor ? "–" : bytes(system.bytes / turns),
      ]),
    },
    {
      title: `Reading: ${title}; ms (relative to the raw driver at its fastest)`,
      head: ["system", "latest, cold", "an old one, cold", "latest, again", "an old one, again", "list 20", "compared"],
      rows: measured.map((system) => [
        system.title,
        ms(system, ({ coldLatest }) => coldLatest),
        ms(system, ({ coldOld }) => coldOld),
        ms(system, ({ cachedLatest }) => cachedLatest),
        ms(system, ({ cachedOld }) => cachedOld),
        figure(system.list),
        `${system.compared} equal`,
      ]),
    },
  ];
}

/** Total store time relative to the raw driver's, from the issue. */
const TIME_GOALS: Readonly<Partial<Record<DatabaseName, { readonly live: number; readonly frozen: number }>>> = {
  "sqlite-full": { live: 0.4, frozen: 0.12 },
  "sqlite-normal": { live: 0.35, frozen: 0.07 },
  postgres: { live: 0.3, frozen: 0.12 },
  mysql: { live: 0.35, frozen: 0.16 },
  mariadb: { live: 0.35, frozen: 0.16 },
};

function goals({ turns, systems }: ConversationFigures, database: DatabaseName): Goal[] {
  const find = (id: string) => systems.find((system) => system.id === id);
  const live = find("waymark");
  const frozen = find("waymark-frozen");
  const floor = find("floor");
  const delta = find("langgraph-delta");
  const langgraph = find("langgraph");
  const raw = find("raw");
  const peers = systems.filter(({ id }) => !/^(raw|waymark|floor)/.test(id));
  const whole = peers.filter(({ id }) => id !== "langgraph-delta");
  const all: Goal[] = [];
  const atMost = (what: string, goal: number | undefined, measured: number | undefined) => {
    if (goal !== undefined && measured !== undefined && Number.isFinite(measured))
      all.push({ what, measured, bound: "at most", goal });
  };
  const atLeast = (what: string, goal: number, measured: number | undefined) => {
    if (measured !== undefined && Number.isFinite(measured)) all.push({ what, measured, bound: "at least", goal });
  };
  const best = (pick: (system: SystemFigures) => number) => bestOfRaw(systems, pick);
  const { live: liveGoal, frozen: frozenGoal } = TIME_GOALS[database] ?? {};

  atLeast("whole snapshots' bytes on disk / ours", 200, live && raw && raw.bytes / live.bytes);
  atMost("kB a turn on disk", 4, live && live.bytes / turns / 1_000);
  atMost("all stores / raw", liveGoal, live && live.total / best(({ total }) => total));
  atMost("all stores / raw, frozen", frozenGoal, frozen && frozen.total / best(({ total }) => total));
  atMost("last tenth / (one stringify + one 2 kB insert)", 1.5, live && floor && live.lastTenth / floor.lastTenth);
  atMost("last tenth / first tenth, frozen", 1.5, frozen && frozen.lastTenth / frozen.firstTenth);
  for (const peer of peers) atMost(`bytes on disk / ${peer.title}'s`, 1, live && live.bytes / peer.bytes);
  for (const peer of whole) atMost(`all stores / ${peer.title}'s`, 1, live && live.total / peer.total);
  atMost("all stores / LangGraph's delta channel's, frozen", 1.2, frozen && delta && frozen.total / delta.total);
  atMost("retrieving the latest, cold / raw", 3, live && live.coldLatest / best(({ coldLatest }) => coldLatest));
  atMost("retrieving an old one, cold / raw", 3, live && live.coldOld / best(({ coldOld }) => coldOld));
  atMost(
    "retrieving the latest, cached / raw",
    1.2,
    live && live.cachedLatest / best(({ cachedLatest }) => cachedLatest),
  );
  atMost("retrieving an old one, cached / raw", 1.2, live && live.cachedOld / best(({ cachedOld }) => cachedOld));
  if (database === "postgres") {
    atLeast("LangGraph's retrieving / ours", 5, live && langgraph && langgraph.coldOld / live.coldOld);
  }
  atLeast("LangGraph's list of 20 / ours", 100, live && langgraph && langgraph.list / live.list);
  return all;
}

function chart({ title, turns, systems }: ConversationFigures, { database }: Context): Chart {
  const series = systems.map((system) => ({
    title: system.title
      .replace(/ \(beta; .*$/, " (beta)")
      .replace(/ \(Immer\)$/, "")
      .replace("raw driver, column ", "raw, ")
      .replace(/^one JSON.stringify.*$/, "floor"),
    emphasis: /^waymark(-frozen)?$/.test(system.id),
    points: system.byTurn,
    bar: system.id === "floor" ? 0 : system.bytes,
  }));
  return {
    name: `A-${database.name}-${turns}`,
    svg: drawChart(series, {
      title: `An agent's ${title} of 1.7 kB, stored after each`,
      subtitle: `${database.title}; both scales are logarithmic`,
      xLabel: "turn",
      yLabel: "milliseconds for one store",
      barLabel: "bytes on disk",
      formatBar: bytes,
    }),
  };
}
