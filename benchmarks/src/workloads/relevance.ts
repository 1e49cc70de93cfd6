import { cosine } from "@waymark/core/memory/kit";
import { type JudgedQuery, readCranfield } from "../relevance/cranfield.ts";
import { readEmbeddings } from "../relevance/embeddings.ts";
import { openInMemory } from "../relevance/in-memory.ts";
import { latentSemantics } from "../relevance/latent-semantics.ts";
import { ndcg, recall } from "../relevance/measures.ts";
import type { Query, SearchedItem, Searcher } from "../relevance/searcher.ts";
import type { Context, Goal, Outcome, Table, Workload } from "../report.ts";
import { median, sum, timed } from "../statistics.ts";

/** How well memory finds: by words, by vectors, by both. Its figures are the same on every machine, but for the times. */
export const relevance: Workload = {
  id: "relevance",
  title: "what a search in memory finds",
  runsOn: (database) => database === "sqlite-full",
  run,
};

const LIMIT = 10;
const EVEN = { text: 0.5, vector: 0.5 };
const LSA_DIMENSIONS = 256;

export interface RelevanceFigures {
  readonly search: string;
  readonly ndcg: number;
  readonly recall: number;
  /** Median of a search, in milliseconds. */
  readonly milliseconds: number;
}

export interface SignatureFigures {
  readonly compared: number;
  readonly recall: number;
}

async function run({ options, progress }: Context): Promise<Outcome> {
  const signatures = await signatureRecall();
  const cranfield = options.cranfield === undefined ? undefined : await cranfieldRelevance(options.cranfield);
  if (cranfield === undefined) progress("! Cranfield is left out: --cranfield names no folder");
  return {
    results: { signatures, cranfield },
    tables: [signatureTable(signatures), ...(cranfield === undefined ? [] : [cranfieldTable(cranfield)])],
    goals: [...signatureGoals(signatures), ...(cranfield === undefined ? [] : cranfieldGoals(cranfield))],
    charts: [],
    failures: [],
  };
}

/** Each eighth of the real vectors is a query, the others are searched. The right answer is that of comparing all. */
async function signatureRecall(): Promise<SignatureFigures[]> {
  const all = readEmbeddings();
  const queries = all.filter((_, at) => at % 8 === 0);
  const items = all.filter((_, at) => at % 8 !== 0).map((vector): SearchedItem => ({ text: "", vector }));
  const searcher = openInMemory("none", 384);
  await searcher.add(items);
  const figures: SignatureFigures[] = [];
  for (const compared of [50, 100, 200]) {
    const recalls: number[] = [];
    for (const vector of queries) {
      const nearest = [...items.keys()].sort((a, b) => similarity(items, vector, b) - similarity(items, vector, a));
      const found = await searcher.search({ text: null, vector, fusion: EVEN, limit: LIMIT, compared });
      recalls.push(recall(found, new Set(nearest.slice(0, LIMIT)), LIMIT));
    }
    figures.push({ compared, recall: mean(recalls) });
  }
  return figures;
}

function similarity(items: readonly SearchedItem[], vector: Float32Array, item: number): number {
  return cosine(vector, (items[item] as SearchedItem).vector);
}

async function cranfieldRelevance(folder: string): Promise<RelevanceFigures[]> {
  const { texts, queries } = readCranfield(folder);
  const embed = latentSemantics(texts, LSA_DIMENSIONS);
  const items = texts.map((text): SearchedItem => ({ text, vector: embed(text) }));
  const figures: RelevanceFigures[] = [];
  for (const language of ["none", "en"] as const) {
    const searcher = openInMemory(language, LSA_DIMENSIONS);
    await searcher.add(items);
    const measured = async (search: string, queryOf: (text: string) => Partial<Query>) =>
      figures.push({ search, ...(await evaluate(searcher, queries, queryOf)) });
    await measured(`words, "${language}"`, (text) => ({ text }));
    if (language === "none") continue;
    await measured("vector", (text) => ({ vector: embed(text) }));
    await measured("vector, all compared", (text) => ({ vector: embed(text), compared: texts.length }));
    await measured("hybrid", (text) => ({ text, vector: embed(text) }));
    await measured("hybrid, 0.3 words, 0.7 vector", (text) => ({
      ...{ text, vector: embed(text) },
      fusion: { text: 0.3, vector: 0.7 },
    }));
    await measured("hybrid, reciprocal ranks", (text) => ({ text, vector: embed(text), fusion: "rrf" }));
  }
  return figures;
}

async function evaluate(
  searcher: Searcher,
  queries: readonly JudgedQuery[],
  queryOf: (text: string) => Partial<Query>,
): Promise<Omit<RelevanceFigures, "search">> {
  const gains: number[] = [];
  const recalls: number[] = [];
  const times: number[] = [];
  for (const { text, relevant } of queries) {
    const query = { text: null, vector: null, fusion: EVEN, limit: LIMIT, compared: null, ...queryOf(text) };
    const [milliseconds, found] = await timed(() => searcher.search(query));
    gains.push(ndcg(found, relevant, LIMIT));
    recalls.push(recall(found, relevant, LIMIT));
    times.push(milliseconds);
  }
  return { ndcg: mean(gains), recall: mean(recalls), milliseconds: median(times) };
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function signatureTable(figures: readonly SignatureFigures[]): Table {
  return {
    title: `Real vectors (all-MiniLM-L6-v2, 384 dimensions): the nearest ${LIMIT} among those whose signatures are near`,
    head: ["vectors compared", "recall@10"],
    rows: figures.map(({ compared, recall }) => [String(compared), recall.toFixed(3)]),
  };
}

function cranfieldTable(figures: readonly RelevanceFigures[]): Table {
  return {
    title: "Cranfield: 1,400 abstracts, 225 questions; vectors by latent semantic analysis, in place of a model's",
    head: ["search by", "nDCG@10", "recall@10", "ms"],
    rows: figures.map(({ search, ndcg, recall, milliseconds }) => [
      search,
      ndcg.toFixed(3),
      recall.toFixed(3),
      milliseconds.toFixed(2),
    ]),
  };
}

function signatureGoals(figures: readonly SignatureFigures[]): Goal[] {
  const measured = figures.find(({ compared }) => compared === 200)?.recall ?? 0;
  return [{ what: "recall@10 of 200 signatures, real vectors", measured, bound: "at least", goal: 0.99 }];
}

function cranfieldGoals(figures: readonly RelevanceFigures[]): Goal[] {
  const of = (search: string) => figures.find((figure) => figure.search === search)?.ndcg ?? 0;
  const better = Math.max(of('words, "en"'), of("vector"));
  return [
    { what: "nDCG@10 by words, English", measured: of('words, "en"'), bound: "at least", goal: 0.38 },
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
