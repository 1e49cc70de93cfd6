import { isDeepStrictEqual } from "node:util";
import { deflateSync } from "node:zlib";
import { type Conversation, generateConversation, growLive, type State, stateAfter } from "../conversation.ts";
import { bytes, figure } from "../print.ts";
import { BASE64, randomOf } from "../random.ts";
import type { Context, Failure, Goal, Outcome, Workload } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";
import { openWaymark } from "../systems/waymark.ts";
import { readTranscripts } from "../transcripts.ts";

/** Edits all over a state of some 300 kB, and recorded runs: their bytes, beside those of whole compressed snapshots. */
export const edits: Workload = {
  id: "D",
  title: "scattered edits",
  // What is stored is the same on every database.
  runsOn: (database) => database === "sqlite-full",
  run,
};

const TURNS = 100;
const QUICK_TURNS = 15;
const MESSAGES = 176; // of 1.7 kB: 300 kB
const MEMBERS = 600;

/** A run that yields the live state after each of its turns. */
interface Scenario {
  readonly title: string;
  states(turns: number): Generator<object>;
  /** Number of turns, if the scenario has its own. */
  readonly turns?: number;
}

interface EditFigures {
  readonly title: string;
  readonly turns: number;
  /** Of the last state, as text. */
  readonly stateBytes: number;
  /** All states, compressed one by one. */
  readonly whole1: number;
  readonly whole6: number;
  /** All states, as Waymark has stored them. */
  readonly stored: number;
  readonly onDisk: number;
  /** Of one store, in milliseconds. */
  readonly store: number;
  readonly longestChain: number | undefined;
}

const SCENARIOS: readonly Scenario[] = [
  {
    title: "a counter at the front",
    *states(turns) {
      const state = { counter: 0, ...long() };
      for (let turn = 1; turn <= turns; turn += 1) {
        state.counter = turn;
        yield state;
      }
    },
  },
  {
    title: "edited messages in the middle",
    *states(turns) {
      const random = randomOf(11);
      const state = long();
      for (let turn = 1; turn <= turns; turn += 1) {
        const index = random.below(state.messages.length);
        state.messages[index] = { ...state.messages[index], edited: random.text(60, BASE64) };
        yield state;
      }
    },
  },
  {
    title: "history summarised and shortened every 20 turns",
    *states(turns) {
      const random = randomOf(12);
      const state = long();
      const more = generateConversation(turns, 13).turns;
      for (let turn = 1; turn <= turns; turn += 1) {
        state.messages.push(...(more[turn - 1] ?? []));
        if (turn % 20 === 0) {
          const summary = { role: "system", content: random.text(2_000, `${BASE64}     `) };
          state.messages.splice(0, 100, summary);
        }
        yield state;
      }
    },
  },
  {
    title: "keys in another order each turn",
    *states(turns) {
      const random = randomOf(14);
      const members = Array.from({ length: MEMBERS }, (_, index) => {
        return [`file ${index}`, { path: random.text(40, BASE64), text: random.text(430, `${BASE64}     `) }] as const;
      });
      for (let turn = 1; turn <= turns; turn += 1) {
        for (let swaps = 0; swaps < 20; swaps += 1) {
          const [a, b] = [random.below(MEMBERS), random.below(MEMBERS)];
          [members[a], members[b]] = [members[b] as (typeof members)[0], members[a] as (typeof members)[0]];
        }
        yield { turn, files: Object.fromEntries(members) };
      }
    },
  },
  {
    title: "a growing transcript string",
    *states(turns) {
      const random = randomOf(15);
      const text = () => `\n[assistant] ${random.text(1_500, `${BASE64}         `)}`;
      const state = { turn: 0, transcript: Array.from({ length: MESSAGES }, text).join("") };
      for (let turn = 1; turn <= turns; turn += 1) {
        state.turn = turn;
        state.transcript += text();
        yield state;
      }
    },
  },
  {
    title: "a growing byte array",
    *states(turns) {
      const random = randomOf(16);
      const grown = Uint8Array.from({ length: 220_000 + turns * 1_500 }, () => random.below(256));
      for (let turn = 1; turn <= turns; turn += 1) yield { turn, recording: grown.slice(0, 220_000 + turn * 1_500) };
    },
  },
  {
    title: "a list shifted at its front, as a window moves",
    *states(turns) {
      const state = long();
      const more = generateConversation(turns, 17).turns;
      for (let turn = 1; turn <= turns; turn += 1) {
        state.messages.splice(0, 2);
        state.messages.push(...(more[turn - 1] ?? []));
        yield state;
      }
    },
  },
];

/** A state of 300 kB. */
function long(): State {
  return stateAfter(generateConversation(MESSAGES, 10), MESSAGES);
}

function replayOf(conversation: Conversation): Scenario {
  return {
    title: conversation.title,
    turns: conversation.turns.length,
    *states() {
      for (const { state } of growLive(conversation)) yield state;
    },
  };
}

async function run(context: Context): Promise<Outcome> {
  const { options, progress } = context;
  if (!options.systems.includes("waymark")) return { results: [], tables: [], goals: [], charts: [], failures: [] };
  const recorded = options.transcripts === undefined ? [] : readTranscripts(options.transcripts).map(replayOf);
  const results: EditFigures[] = [];
  const failures: Failure[] = [];
  for (const scenario of [...SCENARIOS, ...recorded]) {
    try {
      const figures = await measure(scenario, context);
      progress(`${scenario.title}: ${figure(figures.stored / figures.whole6)}`);
      results.push(figures);
    } catch (error) {
      failures.push({
        system: "waymark",
        reason: `${scenario.title}: ${error instanceof Error ? error.message : error}`,
      });
    }
  }
  const isRecorded = ({ title }: EditFigures) => recorded.some((run) => run.title === title);
  const edited = results.filter((one) => !isRecorded(one));
  const recordedInAll = inAll(results.filter(isRecorded));
  return {
    results,
    failures,
    charts: [],
    goals: [...edited, recordedInAll].filter((one) => one !== undefined).map(goalOf),
    tables: [
      {
        title: "Bytes of all states: as Waymark has stored them, and whole, deflated one by one at level 6 and 1",
        head: [
          "run",
          "turns",
          "last state",
          "stored",
          "whole, 6",
          "stored / whole",
          "whole, 1",
          "on disk",
          "ms a store",
          "chain",
        ],
        rows: [...results, recordedInAll]
          .filter((one) => one !== undefined)
          .map((row) => [
            row.title,
            String(row.turns),
            bytes(row.stateBytes),
            bytes(row.stored),
            bytes(row.whole6),
            figure(row.stored / row.whole6),
            bytes(row.whole1),
            bytes(row.onDisk),
            figure(row.store),
            row.longestChain === undefined ? "–" : String(row.longestChain),
          ]),
      },
    ],
  };
}

function goalOf({ title, stored, whole6 }: EditFigures): Goal {
  return { what: `stored / whole: ${title}`, measured: stored / whole6, bound: "at most", goal: 0.2 };
}

/** Adds up the recorded runs, which have one goal: in a short run, the last state alone may be more than a fifth of all bytes. */
function inAll(runs: readonly EditFigures[]): EditFigures | undefined {
  if (runs.length === 0) return undefined;
  const total = (pick: (run: EditFigures) => number) => sum(runs.map(pick));
  return {
    title: "all recorded runs",
    turns: total(({ turns }) => turns),
    stateBytes: total(({ stateBytes }) => stateBytes),
    whole1: total(({ whole1 }) => whole1),
    whole6: total(({ whole6 }) => whole6),
    stored: total(({ stored }) => stored),
    onDisk: total(({ onDisk }) => onDisk),
    store: median(runs.map(({ store }) => store)),
    longestChain: undefined,
  };
}

async function measure(scenario: Scenario, { database, options }: Context): Promise<EditFigures> {
  const turns = scenario.turns ?? (options.quick ? QUICK_TURNS : TURNS);
  const place = await database.createPlace();
  try {
    const storage = openWaymark(place);
    const times: number[] = [];
    const ids: string[] = [];
    const copies: object[] = [];
    let [stateBytes, whole1, whole6] = [0, 0, 0];
    for (const state of scenario.states(turns)) {
      const name = `turn ${ids.length + 1}`;
      const createdAt = Date.now();
      const [milliseconds, id] = await timed(() =>
        storage.storeCheckpoint({ agentId: "editor", name, state, createdAt }),
      );
      times.push(milliseconds);
      ids.push(id);
      copies.push(structuredClone(state));
      const text = textOf(state);
      stateBytes = Buffer.byteLength(text);
      whole1 += deflateSync(text, { level: 1 }).length;
      whole6 += deflateSync(text, { level: 6 }).length;
    }
    const { storedBytes, longestChain } = (await storage.stats()) as { storedBytes: number; longestChain?: number };
    await storage.close();

    const fresh = openWaymark(place);
    for (const [index, id] of ids.entries()) {
      if (!isDeepStrictEqual((await fresh.retrieveCheckpoint(id))?.state, copies[index])) {
        throw new Error(`expected the state after turn ${index + 1} as it was stored, got another one`);
      }
    }
    await fresh.close();
    return {
      title: scenario.title,
      turns: ids.length,
      stateBytes,
      whole1,
      whole6,
      stored: storedBytes,
      onDisk: await place.bytesOnDisk(),
      store: median(times),
      longestChain,
    };
  } finally {
    await place.drop();
  }
}

/** Writes a state as a whole snapshot would be stored: JSON, and bytes as base64. */
function textOf(state: object): string {
  return JSON.stringify(state, (_, value) =>
    value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value,
  );
}
