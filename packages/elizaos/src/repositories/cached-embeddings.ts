import { setImmediate as turn } from "node:timers/promises";
import { integer, invalidArgument } from "@waymark/core/records";
import { checkObject, checkString } from "../checks.ts";
import type { CachedEmbedding, CachedEmbeddingQuery } from "../contract.ts";
import type { Database } from "../database.ts";
import { fromJson } from "../json.ts";
import { distanceWithin } from "../levenshtein.ts";
import { NEWEST_FIRST } from "../orders.ts";
import { MEMORIES, type MemoryRow } from "../tables.ts";
import { numbersOf } from "../vectors.ts";
import { checkTable } from "./memory-rows.ts";
import { idsWithVector, vectorsOf } from "./memory-vectors.ts";

/** Vectors of memories whose text is like another: a text that was embedded before need not be again. */

const OPERATION = "get cached embeddings";

/** Memories whose texts are read at once. */
const ROWS_AT_ONCE = 500;

/** Longest work without a turn of the event loop, in milliseconds. */
const MAX_BUSY_MS = 4;

const COLUMNS = ["id", "createdAt", "content", "dimensions"] as const;

type TextRow = Pick<MemoryRow, (typeof COLUMNS)[number]>;

interface Candidate {
  readonly id: string;
  readonly distance: number;
}

interface CheckedQuery {
  readonly table: string;
  readonly member: string;
  /** Code points of the text. */
  readonly text: readonly string[];
  readonly threshold: number;
  readonly count: number;
}

/**
 * Returns vectors of this agent's memories by the distance of a member of their content to a text; of equal ones the newest first.
 *
 * @param dimension length of the vectors; `null`: any. Those that cannot be searched for are left out
 */
export async function getCachedEmbeddings(
  database: Database,
  query: CachedEmbeddingQuery,
  dimension: number | null,
): Promise<CachedEmbedding[]> {
  const checked = checkQuery(query);
  if (checked.count === 0 || checked.threshold < 0) return [];
  const best = new Best(checked.count, checked.threshold);
  const where = { agent: database.agentId, type: checked.table };
  const find = { where, columns: COLUMNS, order: NEWEST_FIRST, limit: ROWS_AT_ONCE };
  for (let after: readonly unknown[] = []; best.threshold >= 0; ) {
    const place = after.length === 0 ? {} : { after };
    const rows = await database.run(OPERATION, (records, signal) =>
      records.find(MEMORIES, { ...find, ...place }, signal),
    );
    const near = await nearTexts(rows, checked, best.threshold);
    if (near.length > 0) {
      const ids = await database.run(OPERATION, (records, signal) => idsWithVector(records, near, dimension, signal));
      for (const candidate of near) if (ids.has(candidate.id)) best.add(candidate);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_AT_ONCE) break;
    after = [last.createdAt, last.id];
  }
  return await embeddingsOf(database, best.all(), dimension);
}

function checkQuery(query: CachedEmbeddingQuery): CheckedQuery {
  const threshold: unknown = checkObject("params", query).query_threshold;
  if (typeof threshold !== "number" || Number.isNaN(threshold)) {
    throw invalidArgument("query_threshold", "a number", threshold);
  }
  return {
    table: checkTable(query.query_table_name),
    member: checkString("query_field_sub_name", query.query_field_sub_name),
    text: [...checkString("query_input", query.query_input)],
    threshold: Math.floor(threshold),
    count: integer("query_match_count", query.query_match_count, 0, Number.MAX_SAFE_INTEGER, "embeddings"),
  };
}

interface NearText extends Candidate {
  readonly dimensions: number | null;
}

/** Returns the rows whose text is within a distance. The event loop turns meanwhile. */
async function nearTexts(
  rows: readonly TextRow[],
  { member, text }: CheckedQuery,
  threshold: number,
): Promise<NearText[]> {
  const near: NearText[] = [];
  let since = performance.now();
  for (const { id, content, dimensions } of rows) {
    if (performance.now() - since > MAX_BUSY_MS) {
      await turn();
      since = performance.now();
    }
    const other = memberText(content, member);
    const distance = other === null ? null : await distanceWithin(text, [...other], threshold);
    if (distance !== null) near.push({ id, distance, dimensions });
  }
  return near;
}

/** Returns a member of an object in JSON as text, what is no text as JSON; `null`: it has none. */
function memberText(json: string | null, member: string): string | null {
  const object = json === null ? null : fromJson<Readonly<Record<string, unknown>> | null>(json);
  if (typeof object !== "object" || object === null || !Object.hasOwn(object, member)) return null;
  const value = object[member];
  if (value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

async function embeddingsOf(
  database: Database,
  candidates: readonly Candidate[],
  dimension: number | null,
): Promise<CachedEmbedding[]> {
  const embeddings: CachedEmbedding[] = [];
  for (let at = 0; at < candidates.length; at += ROWS_AT_ONCE) {
    const some = candidates.slice(at, at + ROWS_AT_ONCE);
    const vectors = await database.run(OPERATION, async (records, signal) => {
      const where = { id: { in: some.map(({ id }) => id) }, part: 0 };
      const rows = await records.find(MEMORIES, { where, columns: ["id", "vector"], limit: some.length }, signal);
      return await vectorsOf(records, rows, dimension, signal);
    });
    for (const { id, distance } of some) {
      const vector = vectors.get(id);
      if (vector !== undefined) embeddings.push({ embedding: numbersOf(vector), levenshtein_score: distance });
    }
  }
  return embeddings;
}

/** The candidates with the least distances, of equal ones those that were added first. */
class Best {
  readonly #count: number;
  readonly #candidates: Candidate[] = [];
  #threshold: number;

  constructor(count: number, threshold: number) {
    this.#count = count;
    this.#threshold = threshold;
  }

  /** The largest distance of a candidate that would still be taken; negative: none would. */
  get threshold(): number {
    return this.#threshold;
  }

  add(candidate: Candidate): void {
    const { distance } = candidate;
    if (distance > this.#threshold) return;
    const at = this.#candidates.findLastIndex((one) => one.distance <= distance) + 1;
    this.#candidates.splice(at, 0, candidate);
    if (this.#candidates.length > this.#count) this.#candidates.pop();
    if (this.#candidates.length === this.#count) this.#threshold = (this.#candidates.at(-1)?.distance ?? 0) - 1;
  }

  all(): readonly Candidate[] {
    return this.#candidates;
  }
}
