import type { ColumnOf, RecordOf, TableDefinition } from "./tables.ts";

/**
 * The few verbs over tables that are data (see `tables.ts`). Each dialect implements them once; domains say what they do in
 * these words, and write no SQL. Methods reject with the driver's own errors. A call whose signal has aborted before it is
 * rejected, and changes nothing.
 *
 * A transaction never takes a callback of the domain's: better-sqlite3's are synchronous, the others' are not. So a change is a
 * list of steps, with guards.
 */
export interface Records {
  /** Reads rows. */
  find<const Table extends TableDefinition, Name extends ColumnOf<Table> = ColumnOf<Table>>(
    table: Table,
    query: RecordQuery<Table, Name>,
    signal: AbortSignal,
  ): Promise<Pick<RecordOf<Table>, Name>[]>;
  /**
   * Reads rows whose vectors are near to one, in any order: of those that a filter selects the `candidates` with the most similar
   * signatures, and of these at least the `limit` nearest by their cosine. Where there are no more than `candidates`, that is exact.
   */
  nearest<const Table extends TableDefinition, Name extends ColumnOf<Table> = ColumnOf<Table>>(
    table: Table,
    query: NearestRecords<Table, Name>,
    signal: AbortSignal,
  ): Promise<Pick<RecordOf<Table>, Name>[]>;
  /** Counts rows. */
  count<const Table extends TableDefinition>(table: Table, where: Where<Table>, signal: AbortSignal): Promise<number>;
  /**
   * Applies steps in their order, all or nothing, and returns for each the number of rows that it inserted, changed or removed
   * (of an insert that does not fail on conflicts: any number). `null`: the guard of a step was not met, and nothing has changed.
   */
  change(steps: readonly Step[], signal: AbortSignal): Promise<number[] | null>;
  /**
   * Reads one row, locks it, and sets what `decide` makes of it, in one transaction. `decide` is synchronous; `null`, or no column:
   * nothing is to be set. If it throws, nothing changes, and the call is rejected with what it threw. Returns the row as it is then;
   * `null`: there is none.
   */
  modify<const Table extends TableDefinition>(
    table: Table,
    where: Where<Table>,
    decide: (row: RecordOf<Table>) => Partial<RecordOf<Table>> | null,
    signal: AbortSignal,
  ): Promise<RecordOf<Table> | null>;
}

/** Comparisons with one column, all of which hold. They hold for no row that has `null` there. */
export interface Comparison<Value> {
  /** At most 10,000 values. */
  readonly in?: readonly Value[];
  readonly not?: Value;
  readonly above?: Value;
  readonly from?: Value;
  readonly below?: Value;
  readonly to?: Value;
  /** Texts, each of which is a part of the column's text, byte for byte. */
  readonly contains?: readonly string[];
}

/** A filter, all of whose members narrow. A value is compared for equality, and `null` with `null`. */
export type Where<Table extends TableDefinition> = {
  readonly [Name in ColumnOf<Table>]?: RecordOf<Table>[Name] | Comparison<NonNullable<RecordOf<Table>[Name]>>;
};

export interface RecordQuery<Table extends TableDefinition, Name extends ColumnOf<Table>> {
  readonly where: Where<Table>;
  /** Columns to read. Default: all of them. */
  readonly columns?: readonly Name[];
  /** Order of the rows, by columns that are not `null` in any of them: databases differ in where they put that. Default: none. */
  readonly order?: readonly (readonly [column: ColumnOf<Table>, direction: "asc" | "desc"])[];
  /** Only rows behind the one with these values in the columns of `order`. It need not exist. */
  readonly after?: readonly unknown[];
  readonly limit: number;
  /** Rows to skip. Default 0. */
  readonly offset?: number;
}

/** Which rows are near, and what is read of them. */
export interface NearestRecords<Table extends TableDefinition, Name extends ColumnOf<Table>> {
  /** Has to select rows alone that have a signature as long as the one that is given, and a vector. */
  readonly where: Where<Table>;
  /** Columns to read. */
  readonly columns: readonly Name[];
  /** The columns with the signature (`bits`) and the vector, and the values that are searched for. */
  readonly signature: readonly [column: ColumnOf<Table>, value: Uint8Array];
  readonly vector: readonly [column: ColumnOf<Table>, value: Float32Array];
  /**
   * End of the name of the index to find candidates by: one of the table's `indexes`, with all columns of `where`, `key` and the signature. Some
   * databases refuse the name of one that is not there.
   */
  readonly index: string;
  /**
   * Columns by which candidates are gone through, a part of the index behind those that `where` compares for equality. They tell the rows
   * apart, and none is `null` in any of them.
   */
  readonly walk: readonly ColumnOf<Table>[];
  /** The most rows whose vectors are compared: at least `limit`. 200 find nearly all of the 10 nearest among 100,000. */
  readonly candidates: number;
  /** The rows that are wanted, at least 1. More may be returned, up to `candidates`. */
  readonly limit: number;
}

/** One step of a change. `expect`: a guard, the number of rows that it concerns. Made by {@link insertRecords},
 * {@link updateRecords}, {@link removeRecords}, {@link removeKeys}, {@link expectRecords}. */
export type Step = InsertStep | UpdateStep | RemoveStep | RemoveKeysStep | ExpectStep;

export interface InsertStep {
  readonly verb: "insert";
  readonly table: TableDefinition;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly onConflict: OnConflict;
}

/**
 * For a row whose primary key, or another unique one, is taken: fail with the driver's error; ignore the row; or update the columns
 * outside of the primary key (for tables without another unique key).
 */
export type OnConflict = "fail" | "ignore" | "update";

export interface UpdateStep {
  readonly verb: "update";
  readonly table: TableDefinition;
  readonly where: Readonly<Record<string, unknown>>;
  /** Values by column, or {@link Addition}s; at least one. Rows that have these values already count too. */
  readonly set: Readonly<Record<string, unknown>>;
  readonly expect: number | null;
}

export interface RemoveStep {
  readonly verb: "remove";
  readonly table: TableDefinition;
  readonly where: Readonly<Record<string, unknown>>;
  readonly expect: number | null;
}

/** Removes the rows with these primary keys; those that are not there are skipped. */
export interface RemoveKeysStep {
  readonly verb: "remove keys";
  readonly table: TableDefinition;
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/** A guard alone: a filter selects this many rows, which stay as they are until the change has taken place. */
export interface ExpectStep {
  readonly verb: "expect";
  readonly table: TableDefinition;
  readonly where: Readonly<Record<string, unknown>>;
  readonly expect: number;
}

/** A number that an update adds to a column. */
export class Addition {
  readonly by: number;

  constructor(by: number) {
    this.by = by;
  }
}

/** Inserts rows, in as many statements as that takes. */
export function insertRecords<const Table extends TableDefinition>(
  table: Table,
  rows: readonly RecordOf<Table>[],
  onConflict: OnConflict = "fail",
): InsertStep {
  return { verb: "insert", table, rows, onConflict };
}

/** Updates the rows that a filter selects. */
export function updateRecords<const Table extends TableDefinition>(
  table: Table,
  where: Where<Table>,
  set: { readonly [Name in ColumnOf<Table>]?: RecordOf<Table>[Name] | Addition },
  expect: number | null = null,
): UpdateStep {
  return { verb: "update", table, where, set, expect };
}

/** Removes the rows that a filter selects. */
export function removeRecords<const Table extends TableDefinition>(
  table: Table,
  where: Where<Table>,
  expect: number | null = null,
): RemoveStep {
  return { verb: "remove", table, where, expect };
}

/** Removes rows by their primary keys, in as few statements as that takes. */
export function removeKeys<const Table extends TableDefinition>(
  table: Table,
  keys: readonly Pick<RecordOf<Table>, Table["key"][number] & ColumnOf<Table>>[],
): RemoveKeysStep {
  return { verb: "remove keys", table, keys };
}

/** Expects a filter to select this many rows, and locks them. */
export function expectRecords<const Table extends TableDefinition>(
  table: Table,
  where: Where<Table>,
  expect: number,
): ExpectStep {
  return { verb: "expect", table, where, expect };
}

/** Methods of records, for those that forward them. */
export const RECORDS = ["find", "nearest", "count", "change", "modify"] as const satisfies readonly (keyof Records)[];
