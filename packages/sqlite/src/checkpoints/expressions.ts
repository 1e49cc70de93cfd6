import { type IdRange, NIL_ID, NO_AGENT, type RowQuery } from "@waymark/core/kit";
import { and, gt, lt, ne, type Placeholder, type SQL, sql } from "drizzle-orm";
import type { AnySQLiteColumn } from "drizzle-orm/sqlite-core";
import type { CheckpointsTable } from "./schema.ts";

/** SQL expressions that several statements share. */

/** A query's members, or the placeholders of a prepared statement. */
export type QueryTerms = { readonly [Name in Exclude<keyof RowQuery, "limit" | "labels">]?: string | Placeholder } & {
  readonly labels?: readonly string[];
  readonly limit: number | Placeholder;
};

/** Placeholders for all columns, by their names. */
export function placeholders(columns: object): Record<string, Placeholder> {
  return Object.fromEntries(Object.keys(columns).map((name) => [name, sql.placeholder(name)]));
}

export function equals(column: AnySQLiteColumn, value: string | Placeholder): SQL {
  return sql`${column} = ${sql.param(value, column)}`;
}

/** An id above all others: of UUID version 15, which does not exist. */
const LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/** Both ends always: a text for each kind of range would be a statement each. */
export function inRange(id: AnySQLiteColumn, { since = NIL_ID, before = LAST_ID }: IdRange): SQL | undefined {
  return and(gt(id, since), lt(id, before));
}

/** Not as a range of agents (`>`): SQLite would walk the index of agents, and sort. */
export function isNoTombstone(checkpoints: CheckpointsTable): SQL {
  return ne(checkpoints.agentId, NO_AGENT);
}

/** The stored size of a state. SQLite knows it by the row's header, without reading the state. */
export function storedBytesOf(checkpoints: CheckpointsTable): SQL<number> {
  return sql`length(${checkpoints.state})`.mapWith(Number);
}
