/**
 * Tables as data: a domain describes its tables once, and each dialect makes its own of them, with the types that its database
 * has. The verbs over them are in `records.ts`.
 */

/**
 * Kinds of columns, and what their values are in a row:
 *
 * - `text`: a well-formed string without NUL; it compares and orders byte for byte. With `maxBytes` it may be part of a key.
 * - `uuid`: a UUID in lower case, which orders as its text does.
 * - `integer`: a whole number, exact from -(2^53 - 1) to 2^53 - 1.
 * - `number`: a finite float64. Zero may lose its sign.
 * - `bytes`: bytes. With `maxBytes` they may be part of a key.
 * - `bits`: bytes that the database can count the bits of: an even number of them, from 2 to 512.
 * - `vector`: a Float32Array of finite numbers, at least one. Zeros may lose their signs.
 */
export type ColumnKind = "text" | "uuid" | "integer" | "number" | "bytes" | "bits" | "vector";

export interface ColumnDefinition {
  /** Its name in the database. */
  readonly name: string;
  readonly kind: ColumnKind;
  /** Set where a row may have `null`. */
  readonly nullable?: true;
  /** The most bytes of a value, at most 1,024. Absent: any number, and the column is in no key. */
  readonly maxBytes?: number;
}

/** A table, by its primary key, with the columns that name one of its rows. */
export interface Parent {
  readonly columns: readonly string[];
  readonly table: TableDefinition;
}

export interface TableDefinition {
  /** Its name in the database, before the prefix. */
  readonly name: string;
  /** Columns by their names in rows, in the order of the table. Large ones last. */
  readonly columns: Readonly<Record<string, ColumnDefinition>>;
  /** Columns of the primary key, by their names in rows. */
  readonly key: readonly string[];
  /** Unique keys, by the end of their names. Rows with a `null` in one of its columns are not compared. */
  readonly unique?: Readonly<Record<string, readonly string[]>>;
  readonly indexes?: Readonly<Record<string, readonly string[]>>;
  /**
   * Columns that name a row of another table, which takes its rows here with it when it is removed. Of several: each with a column of its
   * own. A row with `null` there is part of none.
   */
  readonly partOf?: Parent | readonly Parent[];
  /**
   * Set where rows are small and read in the order of the key: a database that can then keeps them in the key's own tree.
   */
  readonly isClustered?: true;
}

/** The type of a column's values, `null` aside. */
export type ValueOf<Column extends ColumnDefinition> = Column["kind"] extends "text" | "uuid"
  ? string
  : Column["kind"] extends "integer" | "number"
    ? number
    : Column["kind"] extends "vector"
      ? Float32Array
      : Uint8Array;

/** A row of a table: a value for every column. */
export type RecordOf<Table extends TableDefinition> = {
  readonly [Name in keyof Table["columns"]]:
    | ValueOf<Table["columns"][Name]>
    | (Table["columns"][Name] extends { readonly nullable: true } ? null : never);
};

/** Names of a table's columns, as rows have them. */
export type ColumnOf<Table extends TableDefinition> = keyof Table["columns"] & string;
