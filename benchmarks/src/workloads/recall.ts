import type { DatabaseName, Place } from "../databases.ts";
import { bytes, figure } from "../print.ts";
import { createCorpus, nearestOf, type Owner } from "../recall/corpus.ts";
import { recallSystemsOn } from "../recall/index.ts";
import type { MemoryItem, RecallSession, RecallSystem } from "../recall/system.ts";
import { recall as recallOf } from "../relevance/measures.ts";
import type { Context, Failure, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";

/** How fast memory is: one owner's items are added and searched, among those of others. */
export const recall: Workload = {
  id: "recall",
  title: "remembering and finding again",
  runsOn: (database) => database !== "sqlite-normal",
  run,
};

const SIZES = [1_000, 10_000];
const OTHERS = 100_000;
const QUICK = { sizes: [300], others: 600, samples: 6, batches: 2, singles: 5 };
const FULL = { samples: 60, batches: 10, singles: 60 };
const BATCH = 100;
/** Items of each of the other owners, of a batch of theirs, and how many of theirs differ: to make one takes as long as to add it. */
const ITEMS_OF_OTHERS = 1_000;
const BATCH_OF_OTHERS = 500;
const MADE_FOR_OTHERS = 4_000;
const LIMIT = 10;
/** A system that finds less than this is marked, and no goal. */
const LOWEST_RECALL = 0.99;
const GOAL_SIZE = 10_000;
/** A system that has loaded less than a quarter after this time is given up. */
const PATIENCE_SECONDS = 420;

const KINDS = ["vector", "text", "hybrid"] as const;
type Kind = (typeof KINDS)[number];

/** A system, filled, and what it was filled with. */
interface Filled {
  /** Tells the one without items of others from its twin. */
  readonly key: string;
  readonly system: RecallSystem;
  readonly others: number;
  readonly place: Place;
  readonly session: RecallSession;
  /** Ids of the owners' items, by the name of the owner, in their order. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
  items: number;
}

interface SearchFigures {
  readonly kind: Kind;
  readonly size: number;
  /** In milliseconds. `first`: of the first time that something is searched for, when pages may have to be read from disk. */
  readonly p50: number;
  readonly first: number;
}

interface RecallFigures {
  readonly id: string;
  readonly title: string;
  readonly others: number;
  readonly searches: readonly SearchFigures[];
  /** Share of the nearest that were found, by the size of the owner. */
  readonly recall: Readonly<Record<number, number>>;
  /** An item of a batch of 100, and one item in a commit of its own: medians, in milliseconds. */
  readonly inBatch: number;
  readonly single: number;
  readonly bytesPerItem: number;
}

interface Scale {
  readonly sizes: readonly number[];
  readonly others: number;
  readonly samples: number;
  readonly batches: number;
  readonly singles: number;
}

async function run(context: Context): Promise<Outcome> {
  const { options, database, progress } = context;
  const { quick } = options;
  const scale: Scale = {
    ...(quick ? QUICK : { ...FULL, sizes: SIZES, others: OTHERS }),
    ...(options.items !== undefined && { sizes: options.items }),
    ...(options.others !== undefined && { others: options.others }),
  };
  const failures: Failure[] = [];
  const all: Filled[] = [];
  try {
    for (const system of recallSystemsOn(database.name, options.systems)) {
      const others = Math.min(scale.others, system.othersAtMost ?? Number.POSITIVE_INFINITY);
      // Ours also without items of others: what they cost is their ratio.
      for (const count of system.isOurs === true ? [others, 0] : [others]) {
        await settled(context);
        const [milliseconds, filled] = await timed(() => fill(context, system, count, scale, failures));
        if (filled !== undefined) all.push(filled);
        progress(`${system.id} among ${count} items of others: loaded (${figure(milliseconds / 1_000)} s)`);
      }
    }
    await settled(context);
    const searched = await search(all, scale, failures, progress);
    const written = await write(all, scale, failures, progress);
    const results: RecallFigures[] = [];
    for (const filled of all.filter(({ system }) => failures.every((failure) => failure.system !== system.id))) {
      const { key, system, others, session, place } = filled;
      await session.close();
      results.push({
        ...{ id: system.id, title: system.title, others },
        ...(searched.get(key) as Pick<RecallFigures, "searches" | "recall">),
        ...(written.get(key) as Pick<RecallFigures, "inBatch" | "single">),
        bytesPerItem: (await place.bytesOnDisk()) / filled.items,
      });
    }
    return {
      results,
      absent: [],
      tables: tablesOf(results, scale),
      goals: quick ? [] : goalsOf(results, database.name),
      charts: [],
      failures,
    };
  } finally {
    for (const { session, place } of all) {
      await session.close().catch(() => {}); // closed already, or failed before
      await place.drop();
    }
  }
}

async function settled({ database }: Context): Promise<void> {
  await database.settle();
  globalThis.gc?.();
}

const ownerOf = (size: number): Owner => ({ name: `owner-of-${size}-items`, seed: size });

const corpus = createCorpus();

function itemsOf(owner: Owner, from: number, count: number): MemoryItem[] {
  return Array.from({ length: count }, (_, at) => corpus.item(owner, from + at));
}

/** Returns the next batch for other owners, after those that they have. */
function batchOfOthers(made: readonly MemoryItem[], loaded: number, others: number): MemoryItem[] {
  const owner = `other-${String(Math.floor(loaded / ITEMS_OF_OTHERS)).padStart(6, "0")}`;
  const count = Math.min(BATCH_OF_OTHERS, others - loaded);
  return Array.from({ length: count }, (_, at) => ({ ...(made[(loaded + at) % made.length] as MemoryItem), owner }));
}

/** Loads the owners' items in batches, with those of others between them, as they come in life. */
async function fill(
  { database }: Context,
  system: RecallSystem,
  others: number,
  { sizes }: Scale,
  failures: Failure[],
): Promise<Filled | undefined> {
  const place = await database.createPlace();
  let session: RecallSession | undefined;
  try {
    session = await system.open(place);
    const ids = new Map<string, string[]>(sizes.map((size) => [ownerOf(size).name, []]));
    const due = sizes.flatMap((size) =>
      Array.from({ length: Math.ceil(size / BATCH) }, (_, at) => ({ owner: ownerOf(size), from: at * BATCH, size })),
    );
    const made = itemsOf({ name: "others", seed: 1_000_000 }, 0, Math.min(others, MADE_FOR_OTHERS));
    const start = performance.now();
    let loaded = 0;
    let items = 0;
    for (const [at, { owner, from, size }] of due.entries()) {
      const batch = itemsOf(owner, from, Math.min(BATCH, size - from));
      ids.get(owner.name)?.push(...(await session.add(batch)));
      items += batch.length;
      for (const share = (others * (at + 1)) / due.length; loaded < share; ) {
        const batch = batchOfOthers(made, loaded, others);
        await session.add(batch);
        loaded += batch.length;
      }
      const seconds = (performance.now() - start) / 1_000;
      if (seconds > PATIENCE_SECONDS && at + 1 < due.length / 4) {
        throw new Error(`${items + loaded} items took ${figure(seconds)} s to load`);
      }
    }
    await session.prepare();
    return { key: `${system.id} ${others}`, system, others, place, session, ids, items: items + loaded };
  } catch (error) {
    failures.push({ system: system.id, reason: firstLine(error) });
    await session?.close().catch(() => {});
    await place.drop();
    return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

/** Runs `work` for all that have not failed, each time beginning with another one. */
async function inTurns(
  all: readonly Filled[],
  turn: number,
  failures: Failure[],
  work: (filled: Filled) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < all.length; at++) {
    const filled = all[(at + turn) % all.length] as Filled;
    if (failures.some(({ system }) => system === filled.system.id)) continue;
    try {
      await work(filled);
    } catch (error) {
      failures.push({ system: filled.system.id, reason: firstLine(error) });
    }
  }
}

/** Searches in turns. The right answer to a search by vector is that of comparing all of the owner's. */
async function search(
  all: readonly Filled[],
  { sizes, samples }: Scale,
  failures: Failure[],
  progress: (line: string) => void,
): Promise<Map<string, Pick<RecallFigures, "searches" | "recall">>> {
  const times = new Map<string, number[]>();
  const recalls = new Map<string, number[]>();
  const note = (into: Map<string, number[]>, key: string, value: number) =>
    void into.set(key, [...(into.get(key) ?? []), value]);
  for (const size of sizes) {
    const owner = ownerOf(size);
    const vectors = itemsOf(owner, 0, size).map(({ vector }) => Float32Array.from(vector));
    for (let sample = -Math.ceil(samples / 5); sample < samples; sample++) {
      const { text, vector } = corpus.query(sample);
      const nearest = new Set(nearestOf(vectors, vector, LIMIT));
      for (const kind of KINDS) {
        const searchIn = async ({ key, session, ids }: Filled, into: string) => {
          const find = {
            vector: () => session.byVector(owner.name, vector, LIMIT),
            text: session.byText && (() => session.byText?.(owner.name, text, LIMIT)),
            hybrid: session.byBoth && (() => session.byBoth?.(owner.name, text, vector, LIMIT)),
          }[kind];
          if (find === undefined) return;
          const [milliseconds, found = []] = await timed(find);
          const own = ids.get(owner.name) ?? [];
          const positions = found.map((id) => own.indexOf(id));
          if (positions.includes(-1)) throw new Error(`a search by ${kind} found an item of another owner`);
          if (sample < 0) return;
          note(times, `${key} ${kind} ${size} ${into}`, milliseconds);
          if (kind === "vector") note(recalls, `${key} ${size}`, recallOf(positions, nearest, LIMIT));
        };
        for (const into of ["first", "again"]) {
          await inTurns(all, sample + samples, failures, (filled) => searchIn(filled, into));
        }
      }
    }
    progress(`searched an owner of ${size} items ${samples} times`);
  }
  return new Map(
    all.map(({ key }) => {
      const searches = KINDS.flatMap((kind) =>
        sizes.flatMap((size): SearchFigures[] => {
          const [first, again] = ["first", "again"].map((into) => times.get(`${key} ${kind} ${size} ${into}`));
          if (first === undefined || again === undefined) return [];
          return [{ kind, size, p50: median(again), first: median(first) }];
        }),
      );
      const mean = (values: readonly number[]) => sum(values) / values.length;
      return [
        key,
        {
          searches,
          recall: Object.fromEntries(sizes.map((size) => [size, mean(recalls.get(`${key} ${size}`) ?? [])])),
        },
      ];
    }),
  );
}

/** Adds to the largest owner's items in turns: batches, and single items. Then the last one must be found. */
async function write(
  all: readonly Filled[],
  { sizes, batches, singles }: Scale,
  failures: Failure[],
  progress: (line: string) => void,
): Promise<Map<string, Pick<RecallFigures, "inBatch" | "single">>> {
  const owner = ownerOf(Math.max(...sizes));
  const inBatch = new Map<string, number[]>(all.map(({ key }) => [key, []]));
  const single = new Map<string, number[]>(all.map(({ key }) => [key, []]));
  let next = Math.max(...sizes);
  const addInTurns = async (rounds: number, count: number, times: Map<string, number[]>) => {
    for (let round = -1; round < rounds; round++) {
      const items = itemsOf(owner, next, count);
      next += count;
      await inTurns(all, round + 1, failures, async (filled) => {
        const [milliseconds, ids] = await timed(() => filled.session.add(items));
        filled.items += count;
        (filled.ids.get(owner.name) as string[]).push(...ids);
        if (round >= 0) times.get(filled.key)?.push(milliseconds / count);
      });
    }
  };
  await addInTurns(batches, BATCH, inBatch);
  await addInTurns(singles, 1, single);
  const last = corpus.item(owner, next - 1);
  await inTurns(all, 0, failures, async ({ system, session, ids }) => {
    if (system.isOurs !== true) return; // an index of others may miss it, which their recall says
    for (const found of [
      await session.byVector(owner.name, last.vector, 1),
      (await session.byText?.(owner.name, last.text, 1)) ?? [],
    ]) {
      if (found[0] !== ids.get(owner.name)?.at(-1)) throw new Error("the last item that was added is not found");
    }
  });
  progress(`added ${batches} batches and ${singles} single items`);
  return new Map(
    all.map(({ key }) => [key, { inBatch: median(inBatch.get(key) ?? []), single: median(single.get(key) ?? []) }]),
  );
}

function tablesOf(results: readonly RecallFigures[], { sizes, samples }: Scale): Table[] {
  const name = ({ title, others }: RecallFigures) => `${title} (${others.toLocaleString("en-US")} of others)`;
  const searches = sizes.map((size): Table => {
    const cell = (row: RecallFigures, kind: Kind) => {
      const found = row.searches.find((one) => one.kind === kind && one.size === size);
      return found === undefined ? "–" : `${figure(found.p50)} (${figure(found.first)})`;
    };
    return {
      title: `Searches of an owner of ${size.toLocaleString("en-US")} items for ${LIMIT}: p50 of ${samples}, each the second time (the first time), ms. "!": finds too little`,
      head: ["system", "by vector", "recall@10", "by text", "hybrid"],
      rows: results.map((row) => [
        name(row),
        cell(row, "vector"),
        `${row.recall[size]?.toFixed(3)}${(row.recall[size] ?? 0) < LOWEST_RECALL ? " !" : ""}`,
        cell(row, "text"),
        cell(row, "hybrid"),
      ]),
    };
  });
  const writes: Table = {
    title: `Adding to an owner of ${Math.max(...sizes).toLocaleString("en-US")} items`,
    head: ["system", `an item of a batch of ${BATCH}, µs`, "one item in its own commit, ms", "bytes an item"],
    rows: results.map((row) => [name(row), figure(row.inBatch * 1_000), figure(row.single), bytes(row.bytesPerItem)]),
  };
  return [...searches, writes];
}

function goalsOf(results: readonly RecallFigures[], database: DatabaseName): Goal[] {
  const [ours, alone] = results.filter(({ id }) => id === "waymark");
  const p50 = (row: RecallFigures | undefined, kind: Kind, size: number) =>
    row?.searches.find((one) => one.kind === kind && one.size === size)?.p50 ?? Number.NaN;
  if (ours === undefined || ours.recall[GOAL_SIZE] === undefined) return [];
  const recalls = results.filter(({ id }) => id.startsWith("waymark")).flatMap((row) => Object.values(row.recall));
  const goals: Goal[] = [
    { what: "least recall@10 of ours", measured: Math.min(...recalls), bound: "at least", goal: LOWEST_RECALL },
  ];
  for (const other of results.filter(({ id }) => !id.startsWith("waymark"))) {
    if ((other.recall[GOAL_SIZE] ?? 0) < LOWEST_RECALL) continue;
    for (const kind of KINDS) {
      const theirs = p50(other, kind, GOAL_SIZE);
      if (Number.isNaN(theirs)) continue;
      const what = `${kind} at 10,000, relative to ${other.title}`;
      goals.push({ what, measured: p50(ours, kind, GOAL_SIZE) / theirs, bound: "at most", goal: 1 });
    }
  }
  if (alone === undefined) return goals;
  for (const kind of KINDS) {
    const what = `${kind} at 10,000, among ${ours.others.toLocaleString("en-US")} items of others / none, ${database}`;
    const measured = p50(ours, kind, GOAL_SIZE) / p50(alone, kind, GOAL_SIZE);
    goals.push({ what, measured, bound: "at most", goal: 1.3 });
  }
  return goals;
}
