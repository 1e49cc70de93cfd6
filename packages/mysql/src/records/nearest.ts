import {
  type NearestRecords,
  NearestSignatures,
  padded,
  type Read,
  readerOf,
  type Shape,
  shapeOf,
  type TableDefinition,
} from "@waymark/core/kit";
import { and, asc, or, type SQL, sql } from "drizzle-orm";
import type { AnyMySqlColumn } from "drizzle-orm/mysql-core";
import type { PoolConnection } from "../connection.ts";
import {
  type Compiled,
  conditionsOf,
  forceIndex,
  isBehind,
  list,
  placeholder,
  type RecordStatements,
} from "./records.ts";
import type { VectorFunctions } from "./vector-functions.ts";

/** Signatures that are read at once where the database cannot compare them. */
const PAGE = 4_096;
/** Rows that are read with their vectors at once: where a filter selects no more, that is one statement. */
const FEW = 64;
/** Rows that one statement reads by their keys. */
const KEYS = 256;
/**
 * Candidates that MariaDB finds by itself, in one statement: so few are asked for where a filter selects few rows. Its `bit_count` takes
 * numbers, so a signature is compared in pieces, which takes 12 µs a row: several times as long as to read it.
 */
const FEW_CANDIDATES = 16;
/** Bytes of a piece: a number that is exact in JavaScript too. */
const PIECE = 6;

type Row = Record<string, unknown>;
type Query = NearestRecords<TableDefinition, string>;

/** The verb `nearest` (see `Records` in core), on one connection. */
export class NearestRows {
  readonly #connection: PoolConnection;
  readonly #statements: RecordStatements;
  readonly #functions: VectorFunctions;

  constructor(connection: PoolConnection, statements: RecordStatements, functions: VectorFunctions) {
    this.#connection = connection;
    this.#statements = statements;
    this.#functions = functions;
  }

  async nearest(definition: TableDefinition, query: Query): Promise<Row[]> {
    return this.#functions.countsBits || query.candidates <= FEW_CANDIDATES
      ? await this.#inDatabase(definition, query)
      : await this.#compareSignatures(definition, query);
  }

  async #inDatabase(definition: TableDefinition, query: Query): Promise<Row[]> {
    const [column, signature] = query.signature;
    const shape = shapeOf(query.where);
    const what = `nearest ${signature.byteLength}`;
    const statement = this.#statement(what, definition, query, query.columns, shape, ({ columns, from, isWanted }) => {
      const near = sql.identifier("near");
      const key = definition.key.map((name) => columns[name] as AnyMySqlColumn);
      const isNear = key.map((one) => sql`${one} = ${near}.${sql.identifier(one.name)}`);
      const distance = this.#distance(columns[column] as AnyMySqlColumn, signature.byteLength);
      // The derived table first: by its own choice a server may read all rows, and look each up in it.
      return sql`from (select ${list(key)} from ${from} where ${isWanted}
          order by ${distance} limit ${placeholder("set", "candidates")}) as ${near}
        straight_join ${this.#statements.table(definition).table} on ${sql.join(isNear, sql` and `)}`;
    });
    const { candidates } = query;
    return await statement.all(this.#connection, {
      value: shape.values,
      set: { signature, candidates },
      piece: piecesOf(signature),
    });
  }

  /** The number of bits in which the signature of a row differs from the one that is bound. */
  #distance(column: AnyMySqlColumn, bytes: number): SQL {
    if (this.#functions.countsBits)
      return sql`bit_count(${column} ^ ${sql.param(placeholder("set", "signature"), column)})`;
    const pieces = Array.from({ length: Math.ceil(bytes / PIECE) }, (_, at) => {
      const piece = sql`substr(${column}, ${sql.raw(String(at * PIECE + 1))}, ${sql.raw(String(PIECE))})`;
      return sql`bit_count(conv(hex(${piece}), 16, 10) ^ ${placeholder("piece", at)})`;
    });
    return sql.join(pieces, sql` + `);
  }

  /** Reads all signatures; of the first rows what is asked for too. */
  async #compareSignatures(definition: TableDefinition, query: Query): Promise<Row[]> {
    const [column, signature] = query.signature;
    const first = await this.#page(definition, query, [...new Set([...query.columns, ...query.walk, column])], [], FEW);
    const only = (row: Row): Row => Object.fromEntries(query.columns.map((name) => [name, row[name]]));
    if (first.length < FEW) return first.map(only);
    const nearest = new NearestSignatures(signature, query.candidates);
    const rows: Row[] = [];
    for (let page = first, size = FEW; page.length > 0; ) {
      nearest.add(
        page.map((_, at) => rows.length + at),
        Buffer.concat(page.map((row) => row[column] as Buffer)),
      );
      for (const row of page) rows.push(row);
      if (page.length < size) break;
      const last = page.at(-1) as Row;
      const after = query.walk.map((name) => last[name]);
      const names = [...new Set([...definition.key, ...query.walk, column])];
      size = PAGE;
      page = await this.#page(definition, query, names, after, PAGE);
    }
    const chosen = nearest.numbers().map((at) => rows[at] as Row);
    const isWhole = (row: Row) => query.columns.every((name) => name in row);
    return [
      ...chosen.filter(isWhole).map(only),
      ...(await this.#byKeys(
        definition,
        query,
        chosen.filter((row) => !isWhole(row)),
      )),
    ];
  }

  async #page(
    definition: TableDefinition,
    query: Query,
    names: readonly string[],
    after: readonly unknown[],
    limit: number,
  ): Promise<Row[]> {
    const shape = shapeOf(query.where);
    const what = `signatures ${after.length}`;
    const statement = this.#statement(what, definition, query, names, shape, ({ columns, from, isWanted }) => {
      const order = query.walk.map((name) => [name, "asc"] as const);
      const wanted = after.length === 0 ? isWanted : and(isWanted, isBehind(columns, order));
      const walked = query.walk.map((name) => asc(columns[name] as AnyMySqlColumn));
      return sql`from ${from} where ${wanted} order by ${list(walked)} limit ${placeholder("set", "limit")}`;
    });
    return await statement.all(this.#connection, { value: shape.values, after, set: { limit } });
  }

  async #byKeys(definition: TableDefinition, query: Query, keys: readonly Row[]): Promise<Row[]> {
    const found: Row[] = [];
    const shape = shapeOf(query.where); // a row may be another one since it was found
    for (let from = 0; from < keys.length; from += KEYS) {
      const some = padded(keys.slice(from, from + KEYS));
      const what = `near by ${some.length} keys`;
      const statement = this.#statement(
        what,
        definition,
        query,
        query.columns,
        shape,
        ({ table, columns, isWanted }) => {
          const isRow = (_: unknown, at: number) =>
            and(
              ...definition.key.map((name) => {
                const column = columns[name] as AnyMySqlColumn;
                return sql`${column} = ${sql.param(placeholder(`key${at}`, name), column)}`;
              }),
            );
          return sql`from ${table}${forceIndex(table, "")} where ${and(isWanted, or(...some.map(isRow)))}`;
        },
      );
      const values = Object.fromEntries(some.map((key, at) => [`key${at}`, key]));
      found.push(...(await statement.all(this.#connection, { ...values, value: shape.values })));
    }
    return found;
  }

  #statement(
    what: string,
    definition: TableDefinition,
    { index, walk, signature: [column] }: Query,
    names: readonly string[],
    shape: Shape,
    build: (
      parts: ReturnType<RecordStatements["table"]> & { readonly from: SQL; readonly isWanted: SQL | undefined },
    ) => SQL,
  ): Compiled {
    const key = `${what} ${definition.name} ${column} ${index} ${walk.join()} ${names.join()} ${shape.key}`;
    return this.#statements.statement(key, () => {
      const table = this.#statements.table(definition);
      const selected = names.map((name) => [name, table.columns[name] as AnyMySqlColumn] as const);
      const isWanted = conditionsOf(table.columns, shape);
      const from = sql`${table.table}${forceIndex(table.table, index)}`;
      const results = selected.map(([name, one]): readonly [string, Read] => [name, readerOf(one)]);
      return this.#statements.compile(
        sql`select ${list(selected.map(([, one]) => one))} ${build({ ...table, from, isWanted })}`,
        results,
      );
    });
  }
}

/** Cuts a signature into numbers. */
function piecesOf(signature: Uint8Array): number[] {
  const bytes = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength);
  const pieces: number[] = [];
  for (let at = 0; at < bytes.length; at += PIECE)
    pieces.push(bytes.readUIntBE(at, Math.min(PIECE, bytes.length - at)));
  return pieces;
}
