import { littleEndian, NearestSignatures, padded, type Read, shapeOf, type TableDefinition } from "@waymark/core/kit";
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
import type { AnySQLiteColumn } from "drizzle-orm/sqlite-core";
import { Best } from "../records/best.ts";
import type { Pause } from "../records/nearest.ts";
import { type Columns, type Compiled, conditionsOf, placeholder, type SQLiteRecords } from "../records/records.ts";

/** Rows that one statement looks at, so that none holds the event loop for more than a few milliseconds. */
const [SIGNATURES_AT_ONCE, VECTORS_AT_ONCE, POSTINGS_AT_ONCE] = [4_096, 1_024, 8_192];

/**
 * The largest cosine distance: of a vector whose length float32 cannot hold sqlite-vec computes none, and SQLite puts null before all
 * numbers.
 */
const FARTHEST = sql.raw("2");

/** Numbers of items from behind one up to another one. */
interface Range {
  readonly after: number;
  readonly to: number;
}

interface Distance {
  readonly number: number;
  readonly distance: number;
}

interface SignaturePage {
  readonly numbers: string | null;
  readonly signatures: string | null;
}

/**
 * Statements for what is searched: signatures, vectors and postings. The driver is synchronous, so the items of a space are looked at in
 * ranges, with turns of the event loop between them. An item has one number for ever: it is in one range, however much changes meanwhile.
 */
export class SearchStatements {
  readonly #records: SQLiteRecords;
  readonly #hasVectorFunctions: boolean;

  /** `hasVectorFunctions`: sqlite-vec is loaded. */
  constructor(records: SQLiteRecords, hasVectorFunctions: boolean) {
    this.#records = records;
    this.#hasVectorFunctions = hasVectorFunctions;
  }

  async nearest(query: NearestQuery, pause: Pause): Promise<number[]> {
    return await (this.#hasVectorFunctions
      ? this.#nearestSignatures(query, pause)
      : this.#compareSignatures(query, pause));
  }

  async #nearestSignatures(query: NearestQuery, pause: Pause): Promise<number[]> {
    const { space, generation, signature, filter, limit } = query;
    const statement = this.#statement("nearest", SIGNATURES, filter, ({ table, columns, isWanted }) => ({
      text: sql`select ${columns["number"]},
          vec_distance_hamming(vec_bit(${columns["signature"]}), vec_bit(${placeholder("set", "signature")})) as distance
        from ${table} where ${isWanted} order by distance, ${columns["number"]} desc limit ${placeholder("set", "limit")}`,
      results: { number: Number, distance: Number },
    }));
    const nearest = new Best(nearer, limit);
    await this.#inRanges(space, SIGNATURES_AT_ONCE, pause, (range) => {
      const set = { space, generation, signature, limit, ...range };
      nearest.add(statement.all({ ...valuesOf(filter), set }) as unknown as Distance[]);
    });
    return nearest.all().map(({ number }) => number);
  }

  /** Reads all signatures, many in one row: SQLite takes longer to hand over rows than we take to compare them. */
  async #compareSignatures(query: NearestQuery, pause: Pause): Promise<number[]> {
    const { space, generation, signature, filter, limit } = query;
    const statement = this.#statement("signatures", SIGNATURES, filter, ({ table, columns, isWanted }) => ({
      text: sql`select group_concat(number), group_concat(hex(signature), '') from (
        select ${columns["number"]} as number, ${columns["signature"]} as signature from ${table} where ${isWanted}
        order by ${columns["number"]})`,
      results: { numbers: (text) => text, signatures: (text) => text },
    }));
    const nearest = new NearestSignatures(signature, limit);
    await this.#inRanges(space, SIGNATURES_AT_ONCE, pause, (range) => {
      const [page] = statement.all({ ...valuesOf(filter), set: { space, generation, ...range } });
      const { numbers, signatures } = page as unknown as SignaturePage;
      if (numbers === null || signatures === null) return; // there are none
      nearest.add(numbers.split(",").map(Number), Buffer.from(signatures, "hex"));
    });
    return nearest.numbers();
  }

  async nearestExactly(query: NearestQuery, pause: Pause): Promise<number[] | null> {
    if (!this.#hasVectorFunctions) return null;
    const { space, generation, vector, filter, limit } = query;
    const statement = this.#statement("nearest exactly", VECTORS, filter, ({ table, columns, isWanted }) => ({
      text: sql`select ${columns["number"]},
          coalesce(vec_distance_cosine(${columns["vector"]}, ${placeholder("set", "vector")}), ${FARTHEST}) as distance
        from ${table} where ${isWanted} order by distance, ${columns["number"]} desc limit ${placeholder("set", "limit")}`,
      results: { number: Number, distance: Number },
    }));
    const nearest = new Best(nearer, limit);
    const bytes = littleEndian(vector);
    await this.#inRanges(space, VECTORS_AT_ONCE, pause, (range) => {
      const set = { space, generation, vector: bytes, limit, ...range };
      nearest.add(statement.all({ ...valuesOf(filter), set }) as unknown as Distance[]);
    });
    return nearest.all().map(({ number }) => number);
  }

  async countTerms(space: number, terms: readonly string[], pause: Pause): Promise<TermCount[]> {
    const { table, columns } = this.#records.table(TERMS);
    const statement = this.#records.statement("count term", () =>
      this.#records.compile(
        sql`select count(*), max(number) from (select ${columns["number"]} as number from ${table}
          where ${columns["space"]} = ${placeholder("set", "space")} and ${columns["term"]} = ${placeholder("set", "term")}
          and ${columns["number"]} > ${placeholder("set", "after")}
          order by ${columns["number"]} limit ${placeholder("set", "limit")})`,
        [
          ["count", Number],
          ["last", Number],
        ],
      ),
    );
    const counts: TermCount[] = [];
    for (const term of terms) {
      let count = 0;
      for (let [after, limit, isLast] = [-1, POSTINGS_AT_ONCE, false]; !isLast; await pause()) {
        const [page] = statement.all({ set: { space, term, after, limit } }) as unknown as [
          { count: number; last: number },
        ];
        count += page.count;
        after = page.last;
        isLast = page.count < limit;
      }
      if (count > 0) counts.push({ term, count });
    }
    return counts;
  }

  /** The contributions as `ranking.ts` has them, in the same order: whole numbers, so that their sum is the same everywhere. */
  async scoreTerms({ space, terms, base, perToken, filter, limit }: TermQuery, pause: Pause): Promise<ScoredNumber[]> {
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
    const best = new Best<ScoredNumber>((one, other) => other.score - one.score || other.number - one.number, limit);
    const values = {
      ...valuesOf(filter),
      term: all.map(({ term }) => term),
      weight: all.map(({ weight }) => weight),
    };
    const names = terms.map(({ term }) => term);
    for (const range of this.#rangesOfTerms(space, names)) {
      const set = { space, base, perToken, limit, ...range };
      best.add(statement.all({ ...values, set }) as unknown as ScoredNumber[]);
      await pause();
    }
    return best.all();
  }

  /** Iterates over ranges in which the terms have so many postings together as one statement looks at. */
  *#rangesOfTerms(space: number, terms: readonly string[]): Generator<Range> {
    const { table, columns } = this.#records.table(TERMS);
    const statement = this.#records.statement("last of range of term", () =>
      this.#records.compile(
        sql`select ${columns["number"]} from ${table} where ${columns["space"]} = ${placeholder("set", "space")}
          and ${columns["term"]} = ${placeholder("set", "term")} and ${columns["number"]} > ${placeholder("set", "after")}
          order by ${columns["number"]} limit 1 offset ${placeholder("set", "before")}`,
        [["number", Number]],
      ),
    );
    const before = Math.ceil(POSTINGS_AT_ONCE / terms.length) - 1;
    /** For each term the number up to which it has not too many postings. */
    const ends = terms.map(() => -1);
    for (let after = -1; after < Number.MAX_SAFE_INTEGER; ) {
      for (const [at, term] of terms.entries()) {
        if ((ends[at] as number) > after) continue;
        const [last] = statement.all({ set: { space, term, after, before } });
        ends[at] = last === undefined ? Number.MAX_SAFE_INTEGER : (last["number"] as number);
      }
      const to = Math.min(...ends);
      yield { after, to };
      after = to;
    }
  }

  /** Looks at the items of a space, so many at once. The last range has no end: the newest items have the highest numbers. */
  async #inRanges(space: number, size: number, pause: Pause, look: (range: Range) => void): Promise<void> {
    const { table, columns } = this.#records.table(ITEMS);
    const lastOfRange = this.#records.statement("last of range", () =>
      this.#records.compile(
        sql`select ${columns["number"]} from ${table} where ${columns["space"]} = ${placeholder("set", "space")}
          and ${columns["number"]} > ${placeholder("set", "after")}
          order by ${columns["number"]} limit 1 offset ${placeholder("set", "before")}`,
        [["number", Number]],
      ),
    );
    for (let after = -1; ; await pause()) {
      const [last] = lastOfRange.all({ set: { space, after, before: size - 1 } });
      const to = last === undefined ? Number.MAX_SAFE_INTEGER : (last["number"] as number);
      look({ after, to });
      if (last === undefined) return;
      after = to;
    }
  }

  /**
   * Returns the statement of this name for a filter of this shape, or builds it. `isWanted`: of the space and, if the table has one,
   * the generation that are bound, in the range that is bound, and of an item that the filter selects.
   */
  #statement(
    name: string,
    definition: TableDefinition,
    filter: RowFilter | null,
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
      const wanted = [
        sql`${space} = ${placeholder("set", "space")}`,
        sql`${number} > ${placeholder("set", "after")} and ${number} <= ${placeholder("set", "to")}`,
      ];
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

function valuesOf(filter: RowFilter | null): { value?: readonly unknown[] } {
  return filter === null ? {} : { value: shapeOf(filter).values };
}

function nearer(one: Distance, other: Distance): number {
  return one.distance - other.distance || other.number - one.number;
}
