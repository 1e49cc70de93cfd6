import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The files of https://github.com/akhileshravikumar/cranfield-trec-dataset: 1,400 abstracts on aerodynamics, 225 questions. */
const FILES = { texts: "cran.all.1400.xml", queries: "cran.qry.xml", judgments: "cranqrel.trec.txt" };

export interface TestCollection {
  /** Title and abstract. Two are empty: 471 and 995 have no text in the collection. */
  readonly texts: readonly string[];
  readonly queries: readonly JudgedQuery[];
}

export interface JudgedQuery {
  readonly text: string;
  /** Positions of the texts that are relevant. */
  readonly relevant: ReadonlySet<number>;
}

/** Names a file that a folder lacks, for an error. */
export function missingIn(folder: string): string | undefined {
  return Object.values(FILES).find((file) => !existsSync(join(folder, file)));
}

/**
 * Reads the Cranfield collection.
 *
 * Relevance is yes or no, as in most published figures: Cleverdon's grades 1 to 4 (a complete answer to of minimum interest) are relevant, and
 * the -1 of 225 judgments, which no readme explains, is not. These files have 1 and 0 already, but for one grade of 3 that was left as it
 * was. Their judgments count the queries from 1 to 225 in the order of the file; the numbers of the queries in it (1, 2, 4, 8, …, 365) are
 * others, and are not used.
 */
export function readCranfield(folder: string): TestCollection {
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  const numbers = new Map<number, number>(); // the position of each document by its number
  const texts = [...read(FILES.texts).matchAll(/<doc>(.*?)<\/doc>/gs)].map(([document], position) => {
    numbers.set(Number(element(document, "docno")), position);
    return `${element(document, "title")}\n${element(document, "text")}`;
  });
  const queries = [...read(FILES.queries).matchAll(/<top>(.*?)<\/top>/gs)].map(([query]) => ({
    text: element(query, "title"),
    relevant: new Set<number>(),
  }));
  for (const line of read(FILES.judgments).trim().split("\n")) {
    const [query, , document, grade] = line.trim().split(/\s+/).map(Number);
    const position = numbers.get(document ?? 0);
    if (position !== undefined && (grade ?? 0) >= 1) queries[(query ?? 0) - 1]?.relevant.add(position);
  }
  return { texts, queries };
}

function element(xml: string, name: string): string {
  const [, text = ""] = new RegExp(`<${name}>(.*?)</${name}>`, "s").exec(xml) ?? [];
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&").trim();
}
