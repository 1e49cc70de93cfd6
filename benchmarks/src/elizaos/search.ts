import postgres from "postgres";
import { figure } from "../print.ts";
import { nearestOf } from "../recall/corpus.ts";
import { recall as recallOf } from "../relevance/measures.ts";
import type { Context, Failure, Goal, Table } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";
import { MODEL_DIMENSIONS } from "./agent.ts";
import { AGENT, AT_ONCE, createMemories, idOf, memoryOf, queryOf, settleIn, TABLE } from "./ground.ts";
import { firstLine, inTurn, settled } from "./in-turn.ts";
import type { Adapter, ElizaSystem, Home } from "./system.ts";

/** `searchMemories` of one agent with many memories in several rooms, and `createMemory` on the way there. */

const ROOMS = 10;
/** Memories that are made at once: to make one takes as long as to store it. */
const CHUNK = 1_000;
/** Memories that are stored with a call for each. Beyond, to store 100,000 in this way would take hours. */
const CALLED = 10_000;
const BULK = 250;
const LIMIT = 10;
const SAMPLES = 40;
/** Of more than `CALLED` memories. */
const FEWER_SAMPLES = 15;
/** A system that finds less is marked, and no goal. */
const LOWEST_RECALL = 0.99;

const SCOPES = ["agent", "room"] as const;
type Scope = (typeof SCOPES)[number];

export interface ScopeFigures {
  /** Milliseconds; `first`: the first time that a vector is searched for. Medians. */
  readonly again: number;
  readonly first: number;
  /** Share of the nearest that were found. */
  readonly recall: number;
}

export interface SearchFigures {
  readonly id: string;
  readonly title: string;
  readonly size: number;
  readonly samples: number;
  readonly scopes: Readonly<Record<Scope, ScopeFigures>>;
  /** Time of all calls over their number, several at once; milliseconds. The median of thousands, of the first 10,000 memories. */
  readonly create: number;
}

/** A system with its memories. */
interface Filled extends Pick<ElizaSystem, "id"> {
  readonly system: ElizaSystem;
  readonly home: Home;
  readonly adapter: Adapter;
  /** Milliseconds a memory, of each chunk that was stored call by call. */
  readonly creating: number[];
}

export async function measureSearches(
  context: Context,
  systems: readonly ElizaSystem[],
  sizes: readonly number[],
  failures: Failure[],
  samplesAtMost = SAMPLES,
): Promise<SearchFigures[]> {
  const all: Filled[] = [];
  const vectors: Float32Array[] = [];
  const figures: SearchFigures[] = [];
  try {
    for (const system of systems) {
      const filled = await open(context, system, failures);
      if (filled !== undefined) all.push(filled);
    }
    for (const size of [...sizes].sort((one, other) => one - other)) {
      const samples = Math.min(size > CALLED ? FEWER_SAMPLES : SAMPLES, samplesAtMost);
      await fill(all, vectors, size, failures, context.progress);
      await inTurn(all, 0, failures, analyze);
      await settled(context);
      figures.push(...(await search(all, vectors, samples, failures)));
      context.progress(`searched ${size} memories ${samples} times`);
    }
    return figures.filter(({ id }) => failures.every(({ system }) => system !== id));
  } finally {
    for (const { adapter, home } of all) {
      await adapter.close().catch(() => {}); // it has failed
      await home.drop();
    }
  }
}

async function open({ database }: Context, system: ElizaSystem, failures: Failure[]): Promise<Filled | undefined> {
  const home = await system.createHome(database);
  try {
    const adapter = await system.product.open(home.target, AGENT);
    const now = Date.now();
    await adapter.createAgent({ id: AGENT, name: "Ada", bio: "Remembers.", createdAt: now, updatedAt: now });
    await settleIn(adapter, ROOMS);
    return { id: system.id, system, home, adapter, creating: [] };
  } catch (error) {
    failures.push({ system: system.id, reason: firstLine(error) });
    await home.drop();
    return undefined;
  }
}

/** Stores memories in all systems, thousand by thousand in turns, until there are as many; adds their vectors. */
async function fill(
  all: readonly Filled[],
  vectors: Float32Array[],
  size: number,
  failures: Failure[],
  progress: (line: string) => void,
): Promise<void> {
  while (vectors.length < size) {
    const from = vectors.length;
    const count = Math.min(CHUNK, size - from);
    const memories = Array.from({ length: count }, (_, at) => memoryOf(from + at, (from + at) % ROOMS));
    vectors.push(...memories.map(({ embedding }) => Float32Array.from(embedding)));
    await inTurn(all, from / CHUNK, failures, async ({ system: { product }, adapter, creating }) => {
      if (from < CALLED) {
        const [milliseconds] = await timed(() => createMemories(adapter, memories));
        creating.push(milliseconds / count);
        return;
      }
      for (let at = 0; at < count; at += BULK) await product.addMany(adapter, memories.slice(at, at + BULK), TABLE);
    });
    if (vectors.length % (10 * CHUNK) === 0) progress(`${vectors.length} memories are stored`);
  }
}

/** Gives the planner its statistics, as a server does sooner or later. */
async function analyze({ system: { engine, product }, adapter, home }: Filled): Promise<void> {
  if (engine === "PGlite") await product.analyze(adapter);
  if (engine !== "PostgreSQL") return;
  const sql = postgres(home.target.url ?? "", { max: 1, onnotice: () => {} });
  await sql`vacuum analyze`;
  await sql.end();
}

/** Searches in turns, each vector twice. The right answer is that of comparing all vectors. */
async function search(
  all: readonly Filled[],
  vectors: readonly Float32Array[],
  samples: number,
  failures: Failure[],
): Promise<SearchFigures[]> {
  const numbers = new Map(vectors.map((_, number) => [idOf("memory", number) as string, number]));
  const noted = new Map<string, number[]>();
  const note = (key: string, value: number) => void noted.set(key, [...(noted.get(key) ?? []), value]);
  for (let sample = -Math.ceil(samples / 5); sample < samples; sample++) {
    const embedding = queryOf(sample);
    for (const scope of SCOPES) {
      const room = (sample + samples) % ROOMS;
      const isThere = (number: number) => scope === "agent" || number % ROOMS === room;
      const nearest = nearestAmong(vectors, isThere, embedding);
      const query = {
        tableName: TABLE,
        embedding,
        count: LIMIT,
        ...(scope === "room" && { roomId: idOf("room", room) }),
      };
      for (const time of ["first", "again"]) {
        await inTurn(all, sample + samples, failures, async ({ id, adapter }) => {
          const [milliseconds, found] = await timed(() => adapter.searchMemories(query));
          const positions = found.map((memory) => numbers.get(memory.id as string) ?? -1);
          if (!positions.every((number) => number !== -1 && isThere(number))) {
            throw new Error(`searchMemories found a memory that is not of the ${scope}`);
          }
          if (sample < 0) return;
          note(`${id} ${scope} ${time}`, milliseconds);
          note(`${id} ${scope} recall`, recallOf(positions, nearest, LIMIT));
        });
      }
    }
  }
  const mean = (values: readonly number[]) => sum(values) / values.length;
  return all.map(({ id, system: { title }, creating }) => {
    const of = (scope: Scope): ScopeFigures => ({
      again: median(noted.get(`${id} ${scope} again`) ?? []),
      first: median(noted.get(`${id} ${scope} first`) ?? []),
      recall: mean(noted.get(`${id} ${scope} recall`) ?? []),
    });
    const scopes = { agent: of("agent"), room: of("room") };
    return { id, title, size: vectors.length, samples, scopes, create: median(creating) };
  });
}

function nearestAmong(
  vectors: readonly Float32Array[],
  isThere: (number: number) => boolean,
  wanted: readonly number[],
): ReadonlySet<number> {
  const numbers = [...vectors.keys()].filter(isThere);
  const own = numbers.map((number) => vectors[number] as Float32Array);
  return new Set(nearestOf(own, wanted, LIMIT).map((at) => numbers[at] as number));
}

export function tablesOfSearches(figures: readonly SearchFigures[], systems: readonly ElizaSystem[]): Table[] {
  const sizes = [...new Set(figures.map(({ size }) => size))];
  return sizes.map((size): Table => {
    const rows = figures.filter((one) => one.size === size);
    const cells = (one: SearchFigures, scope: Scope) => {
      const { again, first, recall } = one.scopes[scope];
      const ratio = again / (peerOf(one, rows, systems)?.scopes[scope].again ?? Number.NaN);
      return [
        ...[`${figure(again)} (${figure(first)})`, figure(ratio)],
        `${recall.toFixed(3)}${recall < LOWEST_RECALL ? " !" : ""}`,
      ];
    };
    const relative = `relative to plugin-sql's`;
    return {
      title:
        `searchMemories for ${LIMIT} among ${size.toLocaleString("en-US")} memories of ${MODEL_DIMENSIONS} dimensions in ${ROOMS} rooms: ` +
        `p50 of ${rows[0]?.samples}, each the second time (the first time), ms. "!": finds too little. ` +
        `createMemory with \`unique\` given: ${AT_ONCE} at once, the time of all over their number` +
        (size > CALLED ? `, for the first ${CALLED.toLocaleString("en-US")}; all others were stored in bulk` : ""),
      head: [
        ...["system", "all rooms", relative, "recall@10", "one room", relative, "recall@10"],
        ...["createMemory, ms", relative],
      ],
      rows: rows.map((one) => [
        ...[one.title, ...cells(one, "agent"), ...cells(one, "room"), figure(one.create)],
        figure(one.create / (peerOf(one, rows, systems)?.create ?? Number.NaN)),
      ]),
    };
  });
}

function peerOf(
  { id }: SearchFigures,
  rows: readonly SearchFigures[],
  systems: readonly ElizaSystem[],
): SearchFigures | undefined {
  const peer = systems.find((system) => system.id === id)?.peer;
  return rows.find((row) => row.id === peer);
}

export function goalsOfSearches(figures: readonly SearchFigures[], systems: readonly ElizaSystem[]): Goal[] {
  const ours = figures.filter(({ id }) => systems.find((system) => system.id === id)?.product.name === "waymark");
  if (ours.length === 0) return [];
  const least = Math.min(...ours.flatMap(({ scopes }) => SCOPES.map((scope) => scopes[scope].recall)));
  const ahead = ours.flatMap((one) => {
    const rows = figures.filter(({ size }) => size === one.size);
    const peer = peerOf(one, rows, systems);
    if (peer === undefined) return [];
    return SCOPES.map((scope): Goal => {
      const where = scope === "agent" ? "all rooms" : "one room";
      const what = `${one.title}: search of ${where}, ${one.size.toLocaleString("en-US")} memories, relative to ${peer.title}`;
      return { what, measured: one.scopes[scope].again / peer.scopes[scope].again, bound: "at most", goal: 1 };
    });
  });
  return [{ what: "least recall@10 of ours", measured: least, bound: "at least", goal: LOWEST_RECALL }, ...ahead];
}
