import type { IdRange, RowQuery } from "@waymark/core/kit";
import { getTableName, gt, lt, type Placeholder, type SQL, sql } from "drizzle-orm";
import type { AnyMySqlColumn } from "drizzle-orm/mysql-core";
import type { MySql2Database } from "drizzle-orm/mysql2";
import type { CheckpointsTable } from "./schema.ts";

/** SQL expressions that several statements share. */

/** From 1,000 values on MariaDB makes a table of them, and reads all of ours to join it. */
export const MAX_VALUES = 999;

/** The lock of rows that are only looked at, as both servers write it. */
export const IN_SHARE_MODE = sql`lock in share mode`;
export const FOR_UPDATE = sql`for update`;

/** Runs statements: the pool, or a transaction on one of its connections. */
export type Runner = Pick<MySql2Database, "select" | "insert" | "update" | "delete" | "execute">;

/** A query's members, or the placeholders of a prepared statement. */
export type QueryTerms = { readonly [Name in Exclude<keyof RowQuery, "limit" | "labels">]?: string | Placeholder } & {
  readonly labels?: readonly string[];
  readonly limit: number | Placeholder;
};

/** Names of the indexes, for statements that name the one to use. */
export function indexesOf(checkpoints: CheckpointsTable) {
  const table = getTableName(checkpoints);
  return {
    primary: "PRIMARY", // both servers call it that
    byAgent: `${table}_by_agent`,
    byNamespace: `${table}_by_namespace`,
    byBase: `${table}_base`,
    byPending: `${table}_pending`,
  };
}

export function equals(column: AnyMySqlColumn, value: string | Placeholder): SQL {
  return sql`${column} = ${sql.param(value, column)}`;
}

export function inRange(id: AnyMySqlColumn, { since, before }: IdRange): SQL[] {
  const range: SQL[] = [];
  if (since !== undefined) range.push(gt(id, since));
  if (before !== undefined) range.push(lt(id, before));
  return range;
}

/** The column's name alone, without its table. */
export function nameOf({ name }: AnyMySqlColumn): SQL {
  return sql`${sql.identifier(name)}`;
}

/** The stored size of a state. */
export function storedBytesOf(checkpoints: CheckpointsTable): SQL<number> {
  return sql`length(${checkpoints.state})`.mapWith(Number);
}

/** A row's values as the driver takes them. mysql2 writes a list as a tuple, and a list of lists as tuples. */
export function tupleOf(columns: Record<string, AnyMySqlColumn>, row: object): unknown[] {
  return Object.entries(columns).map(([name, column]) => {
    const value: unknown = row[name as keyof typeof row];
    return value === null ? null : column.mapToDriverValue(value);
  });
}

/** Ids and digests as the driver takes them. The ids alone too: by them, and not by the pairs, the servers find the rows. */
export function pairsOf(
  { id, digest }: CheckpointsTable,
  rows: readonly { readonly id: string; readonly digest: Uint8Array }[],
): { ids: unknown[]; pairs: unknown[][] } {
  const ids = rows.map((row) => id.mapToDriverValue(row.id));
  return { ids, pairs: rows.map((row, at) => [ids[at], digest.mapToDriverValue(row.digest)]) };
}
