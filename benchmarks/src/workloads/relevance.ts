import { isDeepStrictEqual } from "node:util";
import { cosine } from "@waymark/core/memory/kit";
import type { Place } from "../databases.ts";
import { type JudgedQuery, readCranfield } from "../relevance/cranfield.ts";
import { readEmbeddings } from "../relevance/embeddings.ts";
import { openEngine } from "../relevance/engines.ts";
import { openInMemory } from "../relevance/in-memory.ts";
import { latentSemantics } from "../relevance/latent-semantics.ts";
import { ndcg, recall } from "../relevance/measures.ts";
import type { Query, SearchedItem, Searcher } from "../relevance/searcher.ts";
import { openStorage } from "../relevance/storage.ts";
import type { Context, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";

/**
 * How well memory finds: by words, by vectors, by both. Measured in the process, without a database, and on the database, which has to find
 * the same. The figures are the same on every machine, but for the times.
 */
export const relevance: Workload = {
  id: "relevance",
  title: "what a search in memory finds",
  runsOn: (database) => database !== "sqlite-normal",
  run,
};

const LIMIT = 10;
const EVEN = { text: 0.5, vector: 0.5 };
const LSA_DIMENSIONS = 256;
const LANGUAGES = ["none", "en"] as const;

export interface RelevanceFigures {
  readonly search: string;
  readonly ndcg: number;
  readonly recall: number;
  /** Median of a search, in milliseconds: in the process, and on the database. */
  readonly milliseconds: number;
  readonly onDatabase: number | null;
  /** Queries to which the database gave other hits, or in another order, than the search in the process. */
  readonly differing: number | null;
}

export interface SignatureFigures {
  readonly compared: number;
  readonly recall: number;
  /** On the database, which chooses how many vectors are compared. */
  readonly onDatabase: number | null;
}

async function run(context: Context): Promise<Outcome> {
  const { options, progress, database } = context;
  const signatures = await signatureRecall(context);
  const cranfield = options.cranfield === undefined ? undefined : await cranfieldRelevance(context, options.cranfield);
  if (cranfield === undefined) progress("! Cranfield is left out: --cranfield names no folder");
  return {
    results: { signatures, cranfield },
    absent: [],
    tables: [
      signatureTable(signatures, database.title),
      ...(cranfield === undefined ? [] : [cranfieldTable(cranfield, database.title)]),
    ],
    goals: [...signatureGoals(signatures), ...(cranfield === undefined ? [] : cranfieldGoals(cranfield))],
    charts: [],
    failures: [],
  };
}

/** Opens a searcher on an empty database. */
async function withSearcher<Result>(
  { database }: Context,
  open: (place: Place) => Searcher | Promise<Searcher>,
  work: (searcher: Searcher) => Promise<Result>,
): Promise<Result> {
  const place = await database.createPlace();
  try {
    const searcher = await open(place);
    try {
      return await work(searcher);
    } finally {
      await searcher.close();
    }
  } finally {
    await place.drop();
  }
}

/** Each eighth of the real vectors is a query, the others are searched. The right answer is that of comparing all. */
async function signatureRecall(context: Context): Promise<SignatureFigures[]> {
  const all = readEmbeddings();
  const queries = all.filter((_, at) => at % 8 === 0);
  const items = all.filter((_, at) => at % 8 !== 0).map((vector): SearchedItem => ({ text: "", vector }));
  const nearest = queries.map((vector) => {
    const cosines = items.map((item) => cosine(vector, item.vector));
    const order = [...items.keys()].sort((a, b) => (cosines[b] as number) - (cosines[a] as number));
    return new Set(order.slice(0, LIMIT));
  });
  const recallOf = async (searcher: Searcher, compared: number | null) => {
    const recalls: number[] = [];
    for (const [at, vector] of queries.entries()) {
      const found = await searcher.search({ text: null, vector, fusion: EVEN, limit: LIMIT, compared });
      recalls.push(recall(found, nearest[at] as Set<number>, LIMIT));
    }
    return mean(recalls);
  };
  const inMemory = openInMemory("none", 384);
  await inMemory.add(items);
  const onDatabase = await withSearcher(
    context,
    (place) => openStorage(place, "none"),
    async (searcher) => {
      await searcher.add(items);
      return await recallOf(searcher, null);
    },
  );
  const figures: SignatureFigures[] = [];
  for (const compared of [50, 100, 200]) {
    figures.push({
      compared,
      recall: await recallOf(inMemory, compared),
      onDatabase: compared === 200 ? onDatabase : null,
    });
  }
  return figures;
}

async function cranfieldRelevance(context: Context, folder: string): Promise<RelevanceFigures[]> {
  const { texts, queries } = readCranfield(folder);
  const embed = latentSemantics(texts, LSA_DIMENSIONS);
  const items = texts.map((text): SearchedItem => ({ text, vector: embed(text) }));
  const figures: RelevanceFigures[] = [];
  for (const language of LANGUAGES) {
    const inMemory = openInMemory(language, LSA_DIMENSIONS);
    await inMemory.add(items);
    await withSearcher(
      context,
      (place) => openStorage(place, language),
      async (storage) => {
        await storage.add(items);
        const measured = async (search: string, queryOf: (text: string) => Partial<Query>) => {
          const expected = await evaluate(inMemory, queries, queryOf);
          const stored = await evaluate(storage, queries, queryOf);
          const differing = stored.found.filter((one, at) => !isDeepStrictEqual(one, expected.found[at])).length;
          const { ndcg, recall } = stored;
          const times = { milliseconds: expected.milliseconds, onDatabase: stored.milliseconds };
          figures.push({ search, ndcg, recall, ...times, differing });
        };
        await measured(`words, "${language}"`, (text) => ({ text }));
        if (language === "none") return;
        await measured("vector", (text) => ({ vector: embed(text) }));
        await measured("vector, all compared", (text) => ({ vector: embed(text), compared: texts.length }));
        await measured("hybrid", (text) => ({ text, vector: embed(text) }));
        await measured("hybrid, 0.3 words, 0.7 vector", (text) => ({
          ...{ text, vector: embed(text) },
          fusion: { text: 0.3, vector: 0.7 },
        }));
        await measured("hybrid, reciprocal ranks", (text) => ({ text, vector: embed(text), fusion: "rrf" }));
      },
    );
  }
  await withSearcher(context, openEngine, async (engine) => {
    await engine.add(items);
    const { ndcg, recall, milliseconds } = await evaluate(engine, queries, (text) => ({ text }));
    const search = `words, by ${engine.title}`;
    figures.push({ search, ndcg, recall, milliseconds: Number.NaN, onDatabase: milliseconds, differing: null });
  });
  return figures;
}

async function evaluate(
  searcher: Searcher,
  queries: readonly JudgedQuery[],
  queryOf: (text: string) => Partial<Query>,
): Promise<Pick<RelevanceFigures, "ndcg" | "recall" | "milliseconds"> & { readonly found: readonly number[][] }> {
  const all: number[][] = [];
  const gains: number[] = [];
  const recalls: number[] = [];
  const times: number[] = [];
  for (const { text, relevant } of queries) {
    const query = { text: null, vector: null, fusion: EVEN, limit: LIMIT, compared: null, ...queryOf(text) };
    const [milliseconds, found] = await timed(() => searcher.search(query));
    gains.push(ndcg(found, relevant, LIMIT));
    recalls.push(recall(found, relevant, LIMIT));
    times.push(milliseconds);
    all.push(found);
  }
  return { ndcg: mean(gains), recall: mean(recalls), milliseconds: median(times), found: all };
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function signatureTable(figures: readonly SignatureFigures[], database: string): Table {
  return {
    title: `Real vectors (all-MiniLM-L6-v2, 384 dimensions): the nearest ${LIMIT} among those whose signatures are near`,
    head: ["vectors compared", "recall@10, in the process", `on ${database}`],
    rows: figures.map(({ compared, recall, onDatabase }) => [
      String(compared),
      recall.toFixed(3),
      onDatabase?.toFixed(3) ?? "–",
    ]),
  };
}

function cranfieldTable(figures: readonly RelevanceFigures[], database: string): Table {
  return {
    title: "Cranfield: 1,400 abstracts, 225 questions; vectors by latent semantic analysis, in place of a model's",
    head: ["search by", "nDCG@10", "recall@10", `ms, ${database}`, "ms, in the process", "other hits there"],
    rows: figures.map(({ search, ndcg, recall, milliseconds, onDatabase, differing }) => [
      search,
      ndcg.toFixed(4),
      recall.toFixed(4),
      onDatabase?.toFixed(2) ?? "–",
      Number.isNaN(milliseconds) ? "–" : milliseconds.toFixed(2),
      differing === null ? "–" : String(differing),
    ]),
  };
}

function signatureGoals(figures: readonly SignatureFigures[]): Goal[] {
  const measured = figures.find(({ compared }) => compared === 200)?.onDatabase ?? 0;
  return [{ what: "recall@10 of 200 signatures, real vectors", measured, bound: "at least", goal: 0.99 }];
}

function cranfieldGoals(figures: readonly RelevanceFigures[]): Goal[] {
  const of = (search: string) => figures.find((figure) => figure.search === search)?.ndcg ?? 0;
  const better = Math.max(of('words, "en"'), of("vector"));
  return [
    { what: "nDCG@10 by words, English", measured: of('words, "en"'), bound: "at least", goal: 0.38 },
    {
      what: "queries whose hits differ from those in the process",
      measured: sum(figures.map(({ differing }) => differing ?? 0)),
      bound: "at most",
      goal: 0,
    },
    {
      what: "nDCG@10 by words, relative to the database's own search",
      measured: of('words, "en"') / (figures.at(-1)?.ndcg ?? Number.NaN),
      bound: "at least",
      goal: 1,
    },
    {
      what: "nDCG@10 of hybrid search, relative to its better side",
      measured: of("hybrid") / better,
      bound: "at least",
      goal: 0.97,
    },
    {
      what: "nDCG@10 by signatures, relative to all vectors compared",
      measured: of("vector") / of("vector, all compared"),
      bound: "at least",
      goal: 0.99,
    },
  ];
}
