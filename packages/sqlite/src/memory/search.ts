import { littleEndian, padded, type Read, shapeOf, type TableDefinition } from "@waymark/core/kit";
import {
  ITEMS,
  type ItemFilter,
  type NearestQuery,
  NearestSignatures,
  type ScoredNumber,
  SIGNATURES,
  TERMS,
  type TermCount,
  type TermQuery,
  VECTORS,
} from "@waymark/core/memory/kit";
import { type SQL, sql } from "drizzle-orm";
import type { AnySQLiteColumn } from "drizzle-orm/sqlite-core";
import { type Columns, type Compiled, conditionsOf, placeholder, type SQLiteRecords } from "../records/records.ts";

/** Signatures that are read at once where the database cannot compare them. */
const PAGE = 4_096;

/**
 * The largest cosine distance: of a vector whose length float32 cannot hold sqlite-vec computes none, and SQLite puts null before all
 * numbers.
 */
const FARTHEST = sql.raw("2");

interface SignaturePage {
  readonly count: number;
  readonly last: number;
  readonly numbers: string;
  readonly signatures: string;
}

/** Tells the event loop's other users that it is their turn. */
type Pause = () => Promise<void>;

/** Statements for what is searched: signatures, vectors and postings. */
export class MemorySearch {
  readonly #records: SQLiteRecords;
  readonly #hasVectorFunctions: boolean;

  /** `hasVectorFunctions`: sqlite-vec is loaded. */
  constructor(records: SQLiteRecords, hasVectorFunctions: boolean) {
    this.#records = records;
    this.#hasVectorFunctions = hasVectorFunctions;
  }

  async nearest(query: NearestQuery, pause: Pause): Promise<number[]> {
    return this.#hasVectorFunctions ? this.#nearestSignatures(query) : await this.#compareSignatures(query, pause);
  }

  #nearestSignatures({ space, generation, signature, filter, limit }: NearestQuery): number[] {
    const statement = this.#statement("nearest", SIGNATURES, filter, ({ table, columns, isWanted }) => ({
      text: sql`select ${columns["number"]} from ${table} where ${isWanted}
        order by vec_distance_hamming(vec_bit(${columns["signature"]}), vec_bit(${placeholder("set", "signature")})),
          ${columns["number"]} desc
        limit ${placeholder("set", "limit")}`,
      results: { number: Number },
    }));
    return numbersOf(statement.all({ ...valuesOf(filter), set: { space, generation, signature, limit } }));
  }

  /** Reads all signatures, many in one row: SQLite takes longer to hand over rows than we take to compare them. */
  async #compareSignatures(
    { space, generation, signature, filter, limit }: NearestQuery,
    pause: Pause,
  ): Promise<number[]> {
    const statement = this.#statement("signatures", SIGNATURES, filter, ({ table, columns, isWanted }) => ({
      text: sql`select count(*), max(number), group_concat(number), group_concat(hex(signature), '') from (
        select ${columns["number"]} as number, ${columns["signature"]} as signature from ${table}
        where ${isWanted} and ${columns["number"]} > ${placeholder("set", "after")}
        order by ${columns["number"]} limit ${PAGE})`,
      results: { count: Number, last: Number, numbers: String, signatures: String },
    }));
    const nearest = new NearestSignatures(signature, limit);
    for (let after = -1, isLast = false; !isLast; ) {
      const [page] = statement.all({ ...valuesOf(filter), set: { space, generation, after } });
      const { count, last, numbers, signatures } = page as unknown as SignaturePage;
      isLast = count < PAGE;
      if (count === 0) break;
      nearest.add(numbers.split(",").map(Number), Buffer.from(signatures, "hex"));
      after = last;
      if (!isLast) await pause();
    }
    return nearest.numbers();
  }

  nearestExactly({ space, generation, vector, filter, limit }: NearestQuery): number[] | null {
    if (!this.#hasVectorFunctions) return null;
    const statement = this.#statement("nearest exactly", VECTORS, filter, ({ table, columns, isWanted }) => ({
      text: sql`select ${columns["number"]} from ${table} where ${isWanted}
        order by coalesce(vec_distance_cosine(${columns["vector"]}, ${placeholder("set", "vector")}), ${FARTHEST}), ${columns["number"]} desc
        limit ${placeholder("set", "limit")}`,
      results: { number: Number },
    }));
    const set = { space, generation, vector: littleEndian(vector), limit };
    return numbersOf(statement.all({ ...valuesOf(filter), set }));
  }

  countTerms(space: number, terms: readonly string[]): TermCount[] {
    const { key, conditions, values } = shapeOf({ term: { in: terms } });
    const { table, columns } = this.#records.table(TERMS);
    const statement = this.#records.statement(`count terms ${key}`, () =>
      this.#records.compile(
        sql`select ${columns["term"]}, count(*) from ${table}
          where ${columns["space"]} = ${placeholder("set", "space")} and ${conditionsOf(columns, { key, conditions, values })}
          group by ${columns["term"]}`,
        [
          ["term", String],
          ["count", Number],
        ],
      ),
    );
    return statement.all({ value: values, set: { space } }) as unknown as TermCount[];
  }

  /** The contributions as `ranking.ts` has them, in the same order: whole numbers, so that their sum is the same everywhere. */
  scoreTerms({ space, terms, base, perToken, filter, limit }: TermQuery): ScoredNumber[] {
    if (terms.length === 0) return [];
    const all = padded<{ term: string | null; weight: number }>(terms, { term: null, weight: 0 });
    const statement = this.#statement(`score ${all.length} terms`, TERMS, filter, ({ table, columns, isWanted }) => {
      const wanted = all.map((_, at) => sql`(${placeholder("term", at)}, ${placeholder("weight", at)})`);
      const { number, term, frequency, length } = columns;
      // CROSS JOIN keeps SQLite to this order: a range of postings for each term.
      return {
        text: sql`with wanted (term, weight) as (values ${sql.join(wanted, sql`, `)})
          select ${number}, sum(cast(wanted.weight * ${frequency}
            / (${frequency} + ${placeholder("set", "base")} + ${placeholder("set", "perToken")} * ${length}) as integer)) as score
          from wanted cross join ${table} on ${term} = wanted.term
          where ${isWanted} group by ${number} order by score desc, ${number} desc limit ${placeholder("set", "limit")}`,
        results: { number: Number, score: Number },
      };
    });
    return statement.all({
      ...valuesOf(filter),
      set: { space, base, perToken, limit },
      term: all.map(({ term }) => term),
      weight: all.map(({ weight }) => weight),
    }) as unknown as ScoredNumber[];
  }

  /**
   * Returns the statement of this name for a filter of this shape, or builds it. `isWanted`: of the space and, if the table has one,
   * the generation that are bound, and of an item that the filter selects.
   */
  #statement(
    name: string,
    definition: TableDefinition,
    filter: ItemFilter | null,
    build: (parts: { table: unknown; columns: Record<string, AnySQLiteColumn>; isWanted: SQL }) => {
      text: SQL;
      results: Readonly<Record<string, Read>>;
    },
  ): Compiled {
    const shape = shapeOf(filter ?? {});
    return this.#records.statement(`${name} ${shape.key}`, () => {
      const { table, columns } = this.#records.table(definition);
      const items = this.#records.table(ITEMS);
      const { space, generation, number } = columns;
      const wanted = [sql`${space} = ${placeholder("set", "space")}`];
      if (generation !== undefined) wanted.push(sql`${generation} = ${placeholder("set", "generation")}`);
      if (shape.conditions.length > 0) {
        // Number and space are those of this table, so that they bound what is read of it. The plus keeps SQLite from looking for items
        // by that bound: it prefers a range of numbers to one number, and would read all of them for each row.
        const conditions = conditionsOf({ ...items.columns, space, number } as Columns, shape);
        wanted.push(sql`exists (select 1 from ${items.table} where ${items.columns["space"]} = ${space}
          and ${items.columns["number"]} = +${number} and ${conditions})`);
      }
      const { text, results } = build({ table, columns, isWanted: sql.join(wanted, sql` and `) });
      return this.#records.compile(text, Object.entries(results));
    });
  }
}

function valuesOf(filter: ItemFilter | null): { value?: readonly unknown[] } {
  return filter === null ? {} : { value: shapeOf(filter).values };
}

function numbersOf(rows: readonly Record<string, unknown>[]): number[] {
  return rows.map(({ number }) => number as number);
}
