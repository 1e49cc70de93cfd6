import {
  type NearestRecords,
  NearestSignatures,
  type Read,
  readerOf,
  type Shape,
  shapeOf,
  type TableDefinition,
  type Where,
} from "@waymark/core/kit";
import { getTableName, type SQL, sql } from "drizzle-orm";
import type { AnySQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";
import { Best } from "./best.ts";
import { type Columns, type Compiled, conditionsOf, placeholder, type SQLiteRecords } from "./records.ts";

/** Rows that one statement looks at, so that none holds the event loop for more than a few milliseconds. */
const ROWS_AT_ONCE = 4_096;
/** Candidates that are read before the event loop turns. */
const READ_AT_ONCE = 256;

type Row = Record<string, unknown>;
type Query = NearestRecords<TableDefinition, string>;
/** Lets the event loop turn, if that is due. Rejects if the deadline has passed. */
export type Pause = () => Promise<void>;

interface Candidate {
  readonly key: readonly unknown[];
  readonly distance: number;
}

/** The verb `nearest` (see `Records` in core). Rows are looked at in ranges of `walk`: the driver is synchronous. */
export class NearestRows {
  readonly #records: SQLiteRecords;
  readonly #hasVectorFunctions: boolean;

  /** `hasVectorFunctions`: sqlite-vec is loaded. */
  constructor(records: SQLiteRecords, hasVectorFunctions: boolean) {
    this.#records = records;
    this.#hasVectorFunctions = hasVectorFunctions;
  }

  async nearest(definition: TableDefinition, query: Query, pause: Pause): Promise<Row[]> {
    const keys = this.#hasVectorFunctions
      ? await this.#nearestKeys(definition, query, pause)
      : await this.#compareSignatures(definition, query, pause);
    const rows: Row[] = [];
    for (const [at, key] of keys.entries()) {
      if (at % READ_AT_ONCE === 0) await pause();
      // With the filter: a row may be another one since it was found.
      const own = Object.fromEntries(definition.key.map((name, part) => [name, key[part]]));
      const where = { ...query.where, ...own } as Where<TableDefinition>;
      rows.push(...this.#records.find(definition, { where, columns: query.columns, limit: 1 }));
    }
    return rows;
  }

  async #nearestKeys(definition: TableDefinition, query: Query, pause: Pause): Promise<(readonly unknown[])[]> {
    const [column, signature] = query.signature;
    const nearest = new Best<Candidate>((one, other) => one.distance - other.distance, query.candidates);
    await this.#inRanges(definition, query, pause, (range) => {
      const statement = this.#statement("nearest", definition, query, range, ({ table, columns, key, isWanted }) => ({
        text: sql`select ${sql.join(key, sql`, `)},
            vec_distance_hamming(vec_bit(${columns[column]}), vec_bit(${placeholder("set", "signature")})) as distance
          from ${table} where ${isWanted} order by distance limit ${placeholder("set", "candidates")}`,
        results: [["distance", Number]],
      }));
      const found = statement.all({ ...range.values, set: { signature, candidates: query.candidates } });
      nearest.add(
        found.map((row) => ({ key: definition.key.map((name) => row[name]), distance: row["distance"] as number })),
      );
    });
    return nearest.all().map(({ key }) => key);
  }

  async #compareSignatures(definition: TableDefinition, query: Query, pause: Pause): Promise<(readonly unknown[])[]> {
    const [column, signature] = query.signature;
    const nearest = new NearestSignatures(signature, query.candidates);
    const keys: unknown[][] = [];
    await this.#inRanges(definition, query, pause, (range) => {
      const statement = this.#statement(
        "signatures",
        definition,
        query,
        range,
        ({ table, columns, key, isWanted }) => ({
          text: sql`select ${sql.join([...key, columns[column] as AnySQLiteColumn], sql`, `)} from ${table} where ${isWanted}`,
          results: [["signature", (bytes) => bytes]],
        }),
      );
      const found = statement.all({ ...range.values, set: {} });
      nearest.add(
        found.map((_, at) => keys.length + at),
        Buffer.concat(found.map((row) => row["signature"] as Uint8Array)),
      );
      for (const row of found) keys.push(definition.key.map((name) => row[name]));
    });
    return nearest.numbers().map((at) => keys[at] as unknown[]);
  }

  /** Looks at the rows that a filter selects, so many at once. */
  async #inRanges(
    definition: TableDefinition,
    query: Query,
    pause: Pause,
    look: (range: Range) => void,
  ): Promise<void> {
    const shape = shapeOf(query.where);
    for (let after: readonly unknown[] | null = null; ; await pause()) {
      const last = this.#endOfRange(definition, query, shape, after);
      look({
        bounds: `${after === null ? "" : "after"} ${last === null ? "" : "to"}`,
        values: { value: shape.values, after: after ?? [], to: last ?? [] },
        shape,
      });
      if (last === null) return;
      after = last;
    }
  }

  /** Returns the values of `walk` in the last row of a range; `null`: so many rows are not left. */
  #endOfRange(
    definition: TableDefinition,
    query: Query,
    shape: Shape,
    after: readonly unknown[] | null,
  ): readonly unknown[] | null {
    const { index, walk } = query;
    const key = `end of range ${definition.name} ${index} ${walk.join()} ${shape.key} ${after !== null}`;
    const statement = this.#records.statement(key, () => {
      const { table, columns } = this.#records.table(definition);
      const walked = walk.map((name) => columns[name] as AnySQLiteColumn);
      const wanted = [conditionsOf(columns, shape) ?? sql`true`];
      if (after !== null) wanted.push(isBeyond(columns, walk, ">", "after"));
      return this.#records.compile(
        sql`select ${sql.join(walked, sql`, `)} from ${indexed(table, index)} where ${sql.join(wanted, sql` and `)}
          order by ${sql.join(walked, sql`, `)} limit 1 offset ${sql.raw(String(ROWS_AT_ONCE - 1))}`,
        walk.map((name) => [name, readerOf(columns[name] as AnySQLiteColumn)]),
      );
    });
    const [last] = statement.all({ value: shape.values, after: after ?? [] });
    return last === undefined ? null : walk.map((name) => last[name]);
  }

  #statement(
    what: string,
    definition: TableDefinition,
    { index, walk, signature: [column] }: Query,
    { bounds, shape }: Range,
    build: (parts: { table: SQL; columns: Columns; key: AnySQLiteColumn[]; isWanted: SQL }) => {
      text: SQL;
      results: readonly (readonly [string, Read])[];
    },
  ): Compiled {
    const name = `${what} ${definition.name} ${column} ${index} ${walk.join()} ${shape.key} ${bounds}`;
    return this.#records.statement(name, () => {
      const { table, columns } = this.#records.table(definition);
      const wanted = [conditionsOf(columns, shape) ?? sql`true`];
      if (bounds.includes("after")) wanted.push(isBeyond(columns, walk, ">", "after"));
      if (bounds.includes("to")) wanted.push(isBeyond(columns, walk, "<=", "to"));
      const key = definition.key.map((name) => columns[name] as AnySQLiteColumn);
      const { text, results } = build({
        table: indexed(table, index),
        columns,
        key,
        isWanted: sql.join(wanted, sql` and `),
      });
      const read = definition.key.map((name, at) => [name, readerOf(key[at] as AnySQLiteColumn)] as const);
      return this.#records.compile(text, [...read, ...results]);
    });
  }
}

/** Rows that one statement looks at: behind some values of `walk`, up to others. */
interface Range {
  readonly bounds: string;
  readonly values: {
    readonly value: readonly unknown[];
    readonly after: readonly unknown[];
    readonly to: readonly unknown[];
  };
  readonly shape: Shape;
}

/** Compares the columns of `walk` with bound values, as one row. */
function isBeyond(columns: Columns, walk: readonly string[], operator: ">" | "<=", group: "after" | "to"): SQL {
  const walked = walk.map((name) => columns[name] as AnySQLiteColumn);
  const bound = walked.map((column, at) => sql.param(placeholder(group, at), column));
  return sql`(${sql.join(walked, sql`, `)}) ${sql.raw(operator)} (${sql.join(bound, sql`, `)})`;
}

/** SQLite has no statistics of a table that was never analyzed, and may choose an index without the signature. */
function indexed(table: SQLiteTable, index: string): SQL {
  return sql`${table} indexed by ${sql.identifier(`${getTableName(table)}_${index}`)}`;
}
