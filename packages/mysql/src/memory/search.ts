import { NearestSignatures, padded, type Read, readerOf, shapeOf, type TableDefinition } from "@waymark/core/kit";
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
import type { AnyMySqlColumn } from "drizzle-orm/mysql-core";
import type { PoolConnection } from "../connection.ts";
import { type Compiled, conditionsOf, forceIndex, placeholder, type RecordStatements } from "../records/records.ts";
import { doubleLiteral } from "../records/tables.ts";
import type { VectorFunctions } from "../records/vector-functions.ts";

/** Signatures that are read at once where the database cannot compare them. */
const PAGE = 4_096;

/** Statements for what is searched: signatures, vectors and postings. */
export class SearchStatements {
  readonly #connection: PoolConnection;
  readonly #statements: RecordStatements;
  readonly #functions: VectorFunctions;

  constructor(connection: PoolConnection, statements: RecordStatements, functions: VectorFunctions) {
    this.#connection = connection;
    this.#statements = statements;
    this.#functions = functions;
  }

  async nearest(query: NearestQuery): Promise<number[]> {
    return this.#functions.countsBits ? await this.#nearestSignatures(query) : await this.#compareSignatures(query);
  }

  async #nearestSignatures({ space, generation, signature, filter, limit }: NearestQuery): Promise<number[]> {
    const statement = this.#statement("nearest", SIGNATURES, filter, ({ from, columns, isWanted }) => ({
      text: sql`select ${columns["number"]} from ${from} where ${isWanted}
        order by bit_count(${columns["signature"]} ^ ${bound("signature", columns["signature"])}), ${columns["number"]} desc
        limit ${placeholder("set", "limit")}`,
      results: { number: Number },
    }));
    const set = { space, generation, signature, limit };
    return numbersOf(await statement.all(this.#connection, { ...valuesOf(filter), set }));
  }

  /** Reads all signatures. As rows: MariaDB takes twice as long to put them into one text (`group_concat`). */
  async #compareSignatures({ space, generation, signature, filter, limit }: NearestQuery): Promise<number[]> {
    const statement = this.#statement("signatures", SIGNATURES, filter, ({ from, columns, isWanted }) => ({
      text: sql`select ${columns["number"]}, ${columns["signature"]} from ${from}
        where ${isWanted} and ${columns["number"]} > ${placeholder("set", "after")}
        order by ${columns["number"]} limit ${PAGE}`,
      results: { number: Number, signature: (bytes) => bytes },
    }));
    const nearest = new NearestSignatures(signature, limit);
    for (let after = -1, isLast = false; !isLast; ) {
      const page = await statement.all(this.#connection, { ...valuesOf(filter), set: { space, generation, after } });
      isLast = page.length < PAGE;
      if (page.length === 0) break;
      const numbers = numbersOf(page);
      nearest.add(numbers, Buffer.concat(page.map((row) => row["signature"] as Buffer)));
      after = numbers.at(-1) as number;
    }
    return nearest.numbers();
  }

  async nearestExactly({ space, generation, vector, filter, limit }: NearestQuery): Promise<number[] | null> {
    if (!this.#functions.hasDistance) return null;
    const statement = this.#statement("nearest exactly", VECTORS, filter, ({ from, columns, isWanted }) => {
      const distance = sql`vec_distance_cosine(${columns["vector"]}, ${bound("vector", columns["vector"])})`;
      // Of a vector whose length float32 cannot hold it is NaN, which sorts as 0 does and compares as larger: then the largest distance.
      return {
        text: sql`select ${columns["number"]} from ${from} where ${isWanted}
          order by if(${distance} <= 3, ${distance}, 2), ${columns["number"]} desc
          limit ${placeholder("set", "limit")}`,
        results: { number: Number },
      };
    });
    const set = { space, generation, vector, limit };
    return numbersOf(await statement.all(this.#connection, { ...valuesOf(filter), set }));
  }

  async countTerms(space: number, terms: readonly string[]): Promise<TermCount[]> {
    const shape = shapeOf({ space, term: { in: terms } });
    const statement = this.#statements.statement(`count terms ${shape.key}`, () => {
      const { table, columns } = this.#statements.table(TERMS);
      const { term } = columns as { term: AnyMySqlColumn };
      return this.#statements.compile(
        sql`select ${term}, count(*) from ${table}${forceIndex(table, "")} where ${conditionsOf(columns, shape)}
          group by ${term}`,
        [
          ["term", readerOf(term)],
          ["count", Number],
        ],
      );
    });
    return (await statement.all(this.#connection, { value: shape.values })) as unknown as TermCount[];
  }

  /** The contributions as `ranking.ts` has them, in the same order: whole numbers, so that their sum is the same everywhere. */
  async scoreTerms({ space, terms, base, perToken, filter, limit }: TermQuery): Promise<ScoredNumber[]> {
    if (terms.length === 0) return [];
    const all = padded<{ term: string | null; weight: number }>(terms, { term: null, weight: 0 });
    const statement = this.#statement(`score ${all.length} terms`, TERMS, filter, ({ from, columns, isWanted }) => {
      const { number, term, frequency, length } = columns as Record<string, AnyMySqlColumn>;
      const wanted = all.map(
        (_, at) =>
          sql`select ${sql.param(placeholder("term", at), term)} as term, ${placeholder("weight", at)} as weight`,
      );
      return {
        text: sql`select ${number}, cast(sum(floor(wanted.weight * ${frequency}
            / (${frequency} + ${placeholder("set", "base")} + ${placeholder("set", "perToken")} * ${length}))) as signed) as score
          from (${sql.join(wanted, sql` union all `)}) as wanted straight_join ${from} on ${term} = wanted.term
          where ${isWanted} group by ${number} order by score desc, ${number} desc limit ${placeholder("set", "limit")}`,
        results: { number: Number, score: Number },
      };
    });
    return (await statement.all(this.#connection, {
      ...valuesOf(filter),
      set: { space, base: doubleLiteral(base), perToken: doubleLiteral(perToken), limit },
      term: all.map(({ term }) => term),
      weight: all.map(({ weight }) => doubleLiteral(weight)),
    })) as unknown as ScoredNumber[];
  }

  /**
   * Returns the statement of this name for a filter of this shape, or builds it. `isWanted`: of the space and, if the table has one,
   * the generation that are bound, and of an item that the filter selects.
   */
  #statement(
    name: string,
    definition: TableDefinition,
    filter: RowFilter | null,
    build: (parts: { from: SQL; columns: Readonly<Record<string, AnyMySqlColumn>>; isWanted: SQL }) => {
      text: SQL;
      results: Readonly<Record<string, Read>>;
    },
  ): Compiled {
    const shape = shapeOf(filter ?? {});
    return this.#statements.statement(`${name} ${shape.key}`, () => {
      const { table, columns } = this.#statements.table(definition);
      const items = this.#statements.table(ITEMS);
      const { space, generation, number } = columns;
      const wanted = [sql`${space} = ${placeholder("set", "space")}`];
      if (generation !== undefined) wanted.push(sql`${generation} = ${placeholder("set", "generation")}`);
      if (shape.conditions.length > 0) {
        wanted.push(sql`exists (select 1 from ${items.table} where ${items.columns["space"]} = ${space}
          and ${items.columns["number"]} = ${number} and ${conditionsOf(items.columns, shape)})`);
      }
      const from = sql`${table}${forceIndex(table, "")}`;
      const { text, results } = build({ from, columns, isWanted: sql.join(wanted, sql` and `) });
      return this.#statements.compile(text, Object.entries(results));
    });
  }
}

/** A placeholder for a value of this column. */
function bound(name: string, column: AnyMySqlColumn | undefined): SQL {
  return sql`${sql.param(placeholder("set", name), column)}`;
}

function valuesOf(filter: RowFilter | null): { value?: readonly unknown[] } {
  return filter === null ? {} : { value: shapeOf(filter).values };
}

function numbersOf(rows: readonly Record<string, unknown>[]): number[] {
  return rows.map(({ number }) => number as number);
}
