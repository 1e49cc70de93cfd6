import { type Read, type Shape, shapeOf, type TableDefinition } from "@waymark/core/kit";
import {
  ITEMS,
  type NearestQuery,
  type RowFilter,
  type ScoredNumber,
  SIGNATURES,
  TERMS,
  type TermCount,
  type TermQuery,
  VECTORS,
} from "@waymark/core/memory/kit";
import { type SQL, sql } from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";
import type { ClientRunner } from "../client.ts";
import { arrayOf } from "../records/forms.ts";
import { type Compiled, conditionsOf, operandsOf, type PostgresRecords, placeholder } from "../records/records.ts";
import { distanceTo, indexedForm, type VectorExtension, vectorText } from "../records/vector-extension.ts";
import type { VectorIndexes } from "./vector-index.ts";

/** Rows that an index looks at for an answer: fewer find fewer of the nearest. pgvector takes at most 1,000. */
const [MIN_EXPLORED, MAX_EXPLORED] = [100, 1_000];
/**
 * An index is over the vectors of all spaces: of a space with a hundredth of them it reads a hundred entries for one. Each takes as long
 * as the comparison of so many signatures.
 */
const SIGNATURES_PER_ENTRY = 20;
/** Items that are few: their postings are looked up by their keys. As text of a statement, since it never changes. */
const FEW_ITEMS = sql.raw("500");
/** The most entries that an index is to read for an answer. By itself it ends after 20,000. */
const MAX_ENTRIES = 10_000;

/** Statements for what is searched: signatures, vectors and postings. */
export class SearchStatements {
  readonly #runner: ClientRunner;
  readonly #records: PostgresRecords;
  readonly #extension: VectorExtension | null;
  readonly #indexes: VectorIndexes;
  readonly #indexAbove: number;

  /** `indexAbove`: the size of a space above which an index of vectors is used, if there is one. */
  constructor(
    runner: ClientRunner,
    records: PostgresRecords,
    extension: VectorExtension | null,
    indexes: VectorIndexes,
    indexAbove: number,
  ) {
    this.#runner = runner;
    this.#records = records;
    this.#extension = extension;
    this.#indexes = indexes;
    this.#indexAbove = indexAbove;
  }

  async nearest(query: NearestQuery): Promise<number[]> {
    if (await this.#hasIndexFor(query)) {
      const numbers = await this.#nearestByIndex(query, this.#extension as VectorExtension);
      if (numbers.length === query.limit) return numbers; // else the index gave up before it had enough
    }
    return await this.#nearestSignatures(query);
  }

  /** Returns whether there is an index, and reading it takes less time than comparing all signatures. */
  async #hasIndexFor({ vector, size, limit }: NearestQuery): Promise<boolean> {
    if (this.#extension?.hasIterativeScan !== true || size <= this.#indexAbove) return false;
    const rows = await this.#indexes.countRows(this.#runner, vector.length);
    const entries = limit * Math.max(1, rows / size);
    return rows > 0 && entries <= MAX_ENTRIES && entries * SIGNATURES_PER_ENTRY <= size;
  }

  async #nearestByIndex(query: NearestQuery, extension: VectorExtension): Promise<number[]> {
    const { space, generation, vector, filter, limit } = query;
    const dimensions = vector.length;
    const statement = this.#statement(`nearest ${dimensions} by index`, VECTORS, filter, ({ inOrder, column }) => {
      const { expression } = indexedForm(extension, dimensions);
      // The dimensions are part of the text: as a parameter they would not prove that the index has all the rows.
      return {
        text: sql`select ${column("number")} from ${inOrder()}
          where ${column("dimensions")} = ${sql.raw(String(dimensions))}
          order by ${expression(column("vector"))} operator(${sql.raw(extension.schema)}.<=>)
            ${expression(sql`${placeholder("set", "vector")}::${sql.raw(extension.schema)}.vector`)}
          limit ${placeholder("set", "limit")}`,
        results: { number: Number },
      };
    });
    const explored = Math.min(Math.max(MIN_EXPLORED, limit), MAX_EXPLORED);
    return await this.#runner.begin(async (transaction) => {
      // Without sorts only the index can give the order: the planner does not know what it costs to read and cast a vector. A plan that
      // has to sort all the same is very dear then, and would be compiled.
      await transaction.run(
        `select set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', $1, true),
          set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`,
        [String(explored)],
      );
      const set = { space, generation, vector: vectorText(vector), limit };
      return numbersOf(await statement.all({ ...valuesOf(filter), set }, transaction));
    });
  }

  async #nearestSignatures({ space, generation, signature, filter, limit }: NearestQuery): Promise<number[]> {
    const statement = this.#statement("nearest", SIGNATURES, filter, ({ columns, candidates, column }) => {
      const wanted = sql.param(placeholder("set", "signature"), columns["signature"] as AnyPgColumn);
      return {
        text: sql`select ${column("number")} from ${candidates()}
          order by bit_count(${column("signature")} # ${wanted}::bit varying), ${column("number")} desc
          limit ${placeholder("set", "limit")}`,
        results: { number: Number },
      };
    });
    return numbersOf(await statement.all({ ...valuesOf(filter), set: { space, generation, signature, limit } }));
  }

  async nearestExactly({ space, generation, vector, filter, limit }: NearestQuery): Promise<number[] | null> {
    const extension = this.#extension;
    if (extension === null) return null;
    const statement = this.#statement("nearest exactly", VECTORS, filter, ({ candidates, column }) => ({
      // A vector of other dimensions would be an error.
      text: sql`select ${column("number")} from ${candidates()}
        where ${column("dimensions")} = ${placeholder("set", "dimensions")}
        order by ${distanceTo(extension, column("vector"), placeholder("set", "vector"))}, ${column("number")} desc
        limit ${placeholder("set", "limit")}`,
      results: { number: Number },
    }));
    const set = { space, generation, dimensions: vector.length, vector: vectorText(vector), limit };
    return numbersOf(await statement.all({ ...valuesOf(filter), set }));
  }

  async countTerms(space: number, terms: readonly string[]): Promise<TermCount[]> {
    const { columns, table } = this.#records.table(TERMS);
    const statement = this.#records.statement("count terms", () =>
      this.#records.compile(
        sql`select ${columns["term"]}, count(*) from ${table}
          where ${columns["space"]} = ${placeholder("set", "space")}
            and ${columns["term"]} = any(${placeholder("set", "terms")}::text[])
          group by ${columns["term"]}`,
        [
          ["term", String],
          ["count", Number],
        ],
      ),
    );
    const set = { space, terms: arrayOf(columns["term"] as AnyPgColumn, terms) };
    return (await statement.all({ set })) as unknown as TermCount[];
  }

  /**
   * The contributions as `ranking.ts` has them, in float8 and in the same order: whole numbers, so that their sum is the same
   * everywhere. Each term's postings are read by themselves (`offset 0`), by their key: of few items those of these alone. The best come
   * first, and of each the item is looked up until there are enough that the filter selects.
   */
  async scoreTerms({ space, terms, base, perToken, filter, limit }: TermQuery): Promise<ScoredNumber[]> {
    if (terms.length === 0) return [];
    const statement = this.#statement("score terms", TERMS, filter, ({ few, ofTerm, isSelected, column }) => {
      const posting = sql`select ${column("number")}, ${column("frequency")}::float8 as frequency, ${column("length")}::float8 as length`;
      const term = sql`wanted.term`;
      const postings =
        few === null
          ? sql`${posting} from ${ofTerm(term)}`
          : sql`${posting} from ${ofTerm(term, "few")} where (select count(*) from few) <= ${FEW_ITEMS}
              union all ${posting} from ${ofTerm(term)} where (select count(*) from few) > ${FEW_ITEMS}`;
      const fewItems = few === null ? sql`` : sql`, few as materialized (${few} limit ${FEW_ITEMS} + 1)`;
      return {
        text: sql`with wanted as (
            select * from unnest(${placeholder("set", "terms")}::text[], ${placeholder("set", "weights")}::float8[])
              as wanted (term, weight)
          )${fewItems}
          select number, score from (
            select posting.number, sum(floor(wanted.weight * posting.frequency / (posting.frequency
              + ${placeholder("set", "base")}::float8 + ${placeholder("set", "perToken")}::float8 * posting.length))::bigint) as score
            from wanted cross join lateral (${postings} offset 0) as posting
            group by posting.number order by score desc, posting.number desc offset 0
          ) as scored
          where ${isSelected(sql`scored.number`)}
          order by score desc, number desc limit ${placeholder("set", "limit")}`,
        results: { number: Number, score: Number },
      };
    });
    const words = arrayOf(
      this.#records.table(TERMS).columns["term"] as AnyPgColumn,
      terms.map(({ term }) => term),
    );
    const weights = `{${terms.map(({ weight }) => weight).join()}}`;
    const set = { space, terms: words, weights, base, perToken, limit };
    return (await statement.all({ ...valuesOf(filter), set })) as unknown as ScoredNumber[];
  }

  /** Returns the statement of this name for a filter of this shape, or builds it. */
  #statement(
    name: string,
    definition: TableDefinition,
    filter: RowFilter | null,
    build: (parts: Candidates) => { text: SQL; results: Readonly<Record<string, Read>> },
  ): Compiled {
    const shape = shapeOf(filter ?? {});
    return this.#records.statement(`${name} ${shape.key}`, () => {
      const { text, results } = build(candidatesOf(this.#records.table(definition), this.#records.table(ITEMS), shape));
      return this.#records.compile(text, Object.entries(results));
    });
  }
}

/** Rows of a table, of the space and, if it has one, of the generation that are bound: what to select from, and their columns. */
interface Candidates {
  /** The table's own columns, whose types parameters have. */
  readonly columns: Columns;
  /** A column of the candidates. */
  readonly column: (name: string) => SQL;
  /** Those whose items the filter selects. */
  readonly candidates: () => SQL;
  /** The same; an index of the table can give their order. */
  readonly inOrder: () => SQL;
  /** The numbers of the items, if the filter may select few by an index. */
  readonly few: SQL | null;
  /** Those of a term, whatever the filter; or of the items of `few`, which is the name of that selection. */
  readonly ofTerm: (term: SQL, few?: "few") => SQL;
  /** Whether the filter selects the item with this number. */
  readonly isSelected: (number: SQL) => SQL;
}

type Columns = Readonly<Record<string, AnyPgColumn>>;

/**
 * Where the planner's own order of reading would need statistics, which a new table and PGlite do not have, it is fixed, by `offset 0` and
 * by subqueries that give one value. By itself it would read all items of a thread for each of the rows.
 */
function candidatesOf(
  { table, columns }: { table: unknown; columns: Columns },
  items: { table: unknown; columns: Columns },
  shape: Shape,
): Candidates {
  const { space, generation, number } = columns;
  const all = sql.join(Object.values(columns), sql`, `);
  const own = [sql`${space} = ${placeholder("set", "space")}`];
  if (generation !== undefined) own.push(sql`${generation} = ${placeholder("set", "generation")}`);
  const rows = (...more: readonly SQL[]) =>
    sql`select ${all} from ${table} where ${sql.join([...own, ...more], sql` and `)}`;
  const ofFilter = sql`${items.columns["space"]} = ${placeholder("set", "space")}
    and ${conditionsOf(ITEMS, items.columns, shape)}`;
  const withNumber = (wanted: unknown) =>
    sql`from ${items.table} where ${ofFilter} and ${items.columns["number"]} = ${wanted}`;
  const hasFilter = shape.conditions.length > 0;
  const has = (name: string, wanted: string) =>
    shape.conditions.some(({ column, operator }) => column === name && operator === wanted);
  const isOfThread = has("thread", "=");
  const numbers = sql`select ${items.columns["number"]} as number from ${items.table} where ${ofFilter}`;
  const ofEach = (some: SQL, ...more: readonly SQL[]) =>
    sql`${some} as chosen cross join lateral (${rows(...more, sql`${number} = chosen.number`)} offset 0) as candidate`;
  const isSelected = (wanted: unknown) => (hasFilter ? sql`(select true ${withNumber(wanted)} limit 1)` : sql`true`);
  return {
    columns,
    column: (name) => sql`candidate.${sql.identifier((columns[name] as AnyPgColumn).name)}`,
    candidates() {
      if (!hasFilter) return sql`(${rows()}) as candidate`;
      if (!isOfThread) return sql`(${rows(sql`exists (select 1 ${withNumber(number)})`)}) as candidate`;
      return ofEach(sql`(${numbers} offset 0)`);
    },
    inOrder: () => sql`(${rows(isSelected(number))}) as candidate`,
    few: isOfThread || has("number", "in") ? numbers : null,
    ofTerm(term, few) {
      const isOfTerm = sql`${columns["term"]} = ${term}`;
      return few === undefined ? sql`(${rows(isOfTerm)}) as candidate` : ofEach(sql`few`, isOfTerm);
    },
    isSelected,
  };
}

function valuesOf(filter: RowFilter | null): { value: readonly unknown[] } {
  return { value: operandsOf(shapeOf(filter ?? {})) };
}

function numbersOf(rows: readonly Record<string, unknown>[]): number[] {
  return rows.map(({ number }) => number as number);
}
