import type { ColumnKind, Read } from "@waymark/core/kit";
import { type SQL, sql } from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";

/** The forms in which statements take values, and return them. */

/** Types by the kinds of columns, without their collations and lengths. */
const TYPES: Readonly<Record<ColumnKind, string>> = {
  text: "text",
  uuid: "uuid",
  integer: "bigint",
  number: "float8",
  bytes: "bytea",
  bits: "bit varying",
  vector: "real[]",
};

export function typeOf(kind: ColumnKind): string {
  return TYPES[kind];
}

/**
 * Returns PostgreSQL's text of an array of a column's values. Not an array of the driver's: it knows no types of arrays, unless it asks
 * for them when a connection starts.
 */
export function arrayOf(column: AnyPgColumn, values: readonly unknown[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : elementOf(column.mapToDriverValue(value)))).join()}}`;
}

/** The text of an element. A text in quotes is never a NULL. */
function elementOf(value: unknown): string {
  if (value instanceof Uint8Array) {
    return `"\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}"`;
  }
  if (typeof value !== "string") return String(value);
  return /["\\]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : `"${value}"`;
}

/**
 * Functions that return PostgreSQL's own bytes of a value, by kind. Numbers as text are rounded if the server's settings say so; and of
 * vectors text takes three times as long to read, of bits it has a digit for each.
 */
const BINARY: Partial<Record<ColumnKind, string>> = { number: "float8send", bits: "varbit_send", vector: "array_send" };

/**
 * Returns the expression to select for a column. `vectorSchema`: where pgvector's type is, in quotes if it needs them; its function of
 * bytes takes a third of the time of that of arrays, which calls another one for each element. `null`: it is not there.
 */
export function selectionOf(kind: ColumnKind, column: AnyPgColumn, vectorSchema: string | null): SQL | AnyPgColumn {
  if (kind === "vector" && vectorSchema !== null) {
    const schema = sql.raw(vectorSchema);
    return sql`${schema}.vector_send(${column}::${schema}.vector)`;
  }
  const send = BINARY[kind];
  return send === undefined ? column : sql`${sql.raw(`pg_catalog.${send}`)}(${column})`;
}

const READERS: Readonly<Record<ColumnKind, (value: never) => unknown>> = {
  text: (value) => value,
  uuid: (value) => value,
  integer: (value: unknown) => Number(value),
  number: (bytes: Uint8Array) => viewOf(bytes).getFloat64(0),
  bytes: (value) => value,
  bits: (bytes: Uint8Array) => bytes.subarray(4), // behind the number of bits
  vector: readVector,
};

/** Returns the function that reads what {@link selectionOf} selects. */
export function readerOf(kind: ColumnKind, vectorSchema: string | null): Read {
  const read = (kind === "vector" && vectorSchema !== null ? readPgvector : READERS[kind]) as Read;
  return (value) => (value === null ? null : read(value));
}

/** Bytes of an array before its elements, if it has any. Each element is 4 bytes, behind 4 that say so. */
const ARRAY_HEADER = 20;

function readVector(bytes: Uint8Array): Float32Array {
  const view = viewOf(bytes);
  const floats = new Float32Array(Math.max(0, view.byteLength - ARRAY_HEADER) / 8);
  for (let at = 0; at < floats.length; at++) floats[at] = view.getFloat32(ARRAY_HEADER + 4 + at * 8);
  return floats;
}

/** Bytes of a vector of pgvector's before its elements: their number, and two that are unused. */
const VECTOR_HEADER = 4;

function readPgvector(bytes: Uint8Array): Float32Array {
  const view = viewOf(bytes);
  const floats = new Float32Array((view.byteLength - VECTOR_HEADER) / 4);
  for (let at = 0; at < floats.length; at++) floats[at] = view.getFloat32(VECTOR_HEADER + at * 4);
  return floats;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
