import type { IdRange, Row, RowQuery, TaskWriteRow } from "@waymark/core/kit";
import { gt, lt, type Placeholder, type SQL, sql } from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { CheckpointsTable } from "./schema.ts";

/** SQL expressions that several statements share. */

/** Runs statements: the pool, or a transaction on one of its connections. */
export type Runner = Pick<PostgresJsDatabase, "select" | "insert" | "update" | "delete" | "execute">;

/** A query's members, or the placeholders of a prepared statement. */
export type QueryTerms = { readonly [Name in Exclude<keyof RowQuery, "limit" | "labels">]?: string | Placeholder } & {
  readonly labels?: readonly string[];
  readonly limit: number | Placeholder;
};

/** Placeholders for all columns, by their names. */
export function placeholders(columns: object): Record<string, Placeholder> {
  return Object.fromEntries(Object.keys(columns).map((name) => [name, sql.placeholder(name)]));
}

/** Takes the ids as one parameter: a text for each number of ids would be a prepared statement each. */
export function isOneOf(
  column: AnyPgColumn,
  ids: readonly string[] | Placeholder,
  type: "uuid" | "text" = "uuid",
): SQL {
  return sql`${column} = any(${Array.isArray(ids) ? uuidArray(ids) : ids}::${sql.raw(type)}[])`;
}

/** PostgreSQL's text of an array of ids. */
export function uuidArray(ids: readonly string[]): string {
  return `{${ids.join(",")}}`;
}

/** PostgreSQL's text of an array of texts. */
export function textArray(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`;
}

export function inRange(id: AnyPgColumn, { since, before }: IdRange): SQL[] {
  const range: SQL[] = [];
  if (since !== undefined) range.push(gt(id, since));
  if (before !== undefined) range.push(lt(id, before));
  return range;
}

/** The column's name alone, without its table. */
export function nameOf({ name }: AnyPgColumn): SQL {
  return sql`${sql.identifier(name)}`;
}

/** The stored size of a state. PostgreSQL knows it without reading a large state. */
export function storedBytesOf(checkpoints: CheckpointsTable): SQL<number> {
  return sql`length(${checkpoints.state})`.mapWith(Number);
}

/** The text that PostgreSQL reads bytes from. */
export function hex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes).toString("hex")}`;
}

/**
 * Selects rows from two parameters, so that the text is the same for any number of rows: their states end to end, since large
 * ones would take long as JSON, and the JSON of all else, with the place of each state. `state` is the last column.
 */
export function selectFromJson(
  { state: _, ...columns }: Record<string, AnyPgColumn>,
  rows: Placeholder | string = sql.placeholder("rows"),
  states: Placeholder | Uint8Array = sql.placeholder("states"),
): SQL {
  const names = Object.keys(columns).map((name) => sql.identifier(name));
  const types = Object.entries(columns).map(
    ([name, column]) => sql`${sql.identifier(name)} ${sql.raw(column.getSQLType())}`,
  );
  // As text first: the driver would write a parameter of type json as JSON itself.
  return sql`select ${sql.join(names, sql`, `)}, substring(${states}::bytea from start for length)
    from json_to_recordset(${rows}::text::json) as row (${sql.join(types, sql`, `)}, start int, length int)`;
}

/** Encodes rows as the two parameters of {@link selectFromJson}. */
export function jsonParameters(rows: readonly (Row | TaskWriteRow)[]): { rows: string; states: Uint8Array } {
  const states = Buffer.concat(rows.map(({ state }) => state));
  let start = 1;
  const heads = rows.map(({ state, digest, ...head }) => {
    const place = { start, length: state.byteLength };
    start += state.byteLength;
    return { ...head, digest: hex(digest), ...place };
  });
  return { rows: JSON.stringify(heads), states };
}
