import {
  assignmentsOf,
  behindCursor,
  bindingOf,
  type ColumnKind,
  type Condition,
  type CursorTerm,
  type ExpectStep,
  guarded,
  type InsertStep,
  LruCache,
  modification,
  type Read,
  type RecordQuery,
  type RemoveKeysStep,
  type RemoveStep,
  refusal,
  rowReader,
  type Shape,
  type Step,
  shapeOf,
  slicesOfBytes,
  type TableDefinition,
  type UpdateStep,
  type Values,
  type Where,
} from "@waymark/core/kit";
import { and, asc, desc, getTableColumns, is, or, type Placeholder, type Query, SQL, sql } from "drizzle-orm";
import { type AnyPgColumn, PgDialect, type PgTable } from "drizzle-orm/pg-core";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { ClientRunner, Runner } from "../client.ts";
import { arrayOf, readerOf, selectionOf, typeOf } from "./forms.ts";
import { type Place, tableOf } from "./tables.ts";

/** The most bytes of a statement's arrays, if they have several rows. */
const SLICE_BYTES = 1_024 * 1_024;

/** Bytes of a float as text, about. */
const FLOAT_BYTES = 20;

type Row = Record<string, unknown>;
type Columns = Readonly<Record<string, AnyPgColumn>>;

interface Table {
  readonly table: PgTable;
  readonly columns: Columns;
}

/** The verbs over tables that are data (see `Records` in core), on one client. */
export class PostgresRecords {
  readonly #runner: ClientRunner;
  /** Builds the text of statements, and runs none. */
  readonly #db: PostgresJsDatabase;
  readonly #place: Place;
  readonly #tables = new LruCache<TableDefinition, Table>();
  /** Statements by their shape: building their text takes longer than running them. */
  readonly #statements = new LruCache<string, Compiled>();
  readonly #vectorSchema: string | null;

  /** `vectorSchema`: that of pgvector, if it is there. */
  constructor(runner: ClientRunner, db: PostgresJsDatabase, place: Place, vectorSchema: string | null) {
    this.#runner = runner;
    this.#db = db;
    this.#place = place;
    this.#vectorSchema = vectorSchema;
  }

  async find(definition: TableDefinition, query: RecordQuery<TableDefinition, string>): Promise<Row[]> {
    return await this.#find(this.#runner, definition, query);
  }

  async #find(
    runner: Runner,
    definition: TableDefinition,
    query: RecordQuery<TableDefinition, string>,
    lock: "" | "for update" = "",
  ): Promise<Row[]> {
    const { where, columns: names, order = [], after = [], limit, offset = 0 } = query;
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const terms = `${names?.join() ?? "*"} ${shape.key} ${order.join()} ${after.length} ${offset > 0}`;
    const statement = this.statement(`find ${definition.name} ${terms} ${lock}`, () => {
      const filter = and(
        conditionsOf(definition, columns, shape),
        after.length === 0 ? undefined : isBehind(columns, order),
      );
      const read = (names ?? Object.keys(columns)).map((name) => this.selection(definition, name));
      const selecting = this.#db
        .select(Object.fromEntries(read.map(([name, selection]) => [name, selection])))
        .from(table)
        .where(filter)
        .orderBy(...order.map(([name, direction]) => (direction === "asc" ? asc : desc)(columns[name] as AnyPgColumn)))
        .limit(sql.placeholder("limit"))
        .$dynamic();
      // With one that is 0 PostgreSQL would plan the statement each time, also where it is prepared.
      if (offset > 0) selecting.offset(sql.placeholder("offset"));
      return this.compile(
        lock === "" ? selecting : selecting.for("update"),
        read.map(([name, , reader]) => [name, reader]),
      );
    });
    return await statement.all({ value: operandsOf(shape), after, limit, offset }, runner);
  }

  async count(definition: TableDefinition, where: Where<TableDefinition>): Promise<number> {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const statement = this.statement(`count ${definition.name} ${shape.key}`, () =>
      this.compile(
        this.#db
          .select({ count: sql`count(*)` })
          .from(table)
          .where(conditionsOf(definition, columns, shape)),
        [["count", Number]],
      ),
    );
    const [row] = await statement.all({ value: operandsOf(shape) });
    return row?.["count"] as number;
  }

  async change(steps: readonly Step[]): Promise<number[] | null> {
    const [only] = steps;
    if (only === undefined) return [];
    try {
      if (steps.length === 1 && isOneStatement(only) && isAllOrNothing(only))
        return [await this.#apply(this.#runner, only)];
      return await this.#runner.begin(async (transaction) => {
        // All are sent at once, and done in their order: an answer from the server to each takes longer than most of them.
        const applied: Promise<number>[] = [];
        for (const step of steps) {
          // Of several statements: sent only if all guards before it are met, and the next one comes behind the last of them.
          if (!isOneStatement(step)) await allOf(applied);
          applied.push(this.#apply(transaction, step));
          if (!isOneStatement(step)) await allOf(applied);
        }
        return await allOf(applied);
      });
    } catch (error) {
      return refusal(error);
    }
  }

  async modify(
    definition: TableDefinition,
    where: Where<TableDefinition>,
    decide: (row: never) => Row | null,
  ): Promise<Row | null> {
    return await this.#runner.begin(async (transaction) => {
      const [row] = await this.#find(transaction, definition, { where, limit: 1 }, "for update");
      if (row === undefined) return null;
      const { modified, step } = modification(definition, row, decide);
      if (step !== null) await this.#update(transaction, step);
      return modified;
    });
  }

  async #apply(runner: Runner, step: Step): Promise<number> {
    if (step.verb === "insert") return await this.#insert(runner, step);
    if (step.verb === "remove keys") return await this.#removeKeys(runner, step);
    if (step.verb === "update") return guarded(step, await this.#update(runner, step));
    if (step.verb === "remove") return guarded(step, await this.#remove(runner, step));
    return guarded(step, await this.#lock(runner, step));
  }

  async #insert(runner: Runner, { table: definition, rows, onConflict }: InsertStep): Promise<number> {
    if (rows.length === 0) return 0;
    const { table, columns } = this.table(definition);
    const names = Object.keys(columns);
    const statement = this.statement(`insert ${definition.name} ${onConflict}`, () => {
      const selected = names.map(
        (name) => sql`given.${nameOf(columns, name)}::${sql.raw(typeOf(kindOf(definition, name)))}`,
      );
      const insert = this.#db
        .insert(table)
        .select(sql`select ${sql.join(selected, sql`, `)} from ${givenRows(definition, columns, names)}`);
      if (onConflict === "fail") return this.compile(insert);
      if (onConflict === "ignore") return this.compile(insert.onConflictDoNothing());
      const others = names.filter((name) => !definition.key.includes(name));
      return this.compile(
        insert.onConflictDoUpdate({
          target: definition.key.map((name) => columns[name] as AnyPgColumn),
          set: Object.fromEntries(others.map((name) => [name, sql`excluded.${nameOf(columns, name)}`])),
        }),
      );
    });
    const inserted = onConflict === "update" ? lastOfEach(definition.key, rows) : rows;
    let count = 0;
    for (const some of slicesOf(inserted)) {
      count += await statement.run({ set: arraysOf(columns, names, some) }, runner);
    }
    return count;
  }

  async #update(runner: Runner, { table: definition, where, set }: UpdateStep): Promise<number> {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const assignments = assignmentsOf(set);
    const statement = this.statement(`update ${definition.name} ${assignments.key} ${shape.key}`, () =>
      this.compile(
        this.#db
          .update(table)
          .set(
            Object.fromEntries(
              assignments.columns.map(({ column: name, isAdded }) => {
                const column = columns[name] as AnyPgColumn;
                const bound = sql.param(placeholder("set", name), column);
                return [name, isAdded ? sql`${column} + ${bound}` : sql`${bound}`];
              }),
            ),
          )
          .where(conditionsOf(definition, columns, shape)),
      ),
    );
    return await statement.run({ set: assignments.values, value: operandsOf(shape) }, runner);
  }

  async #remove(runner: Runner, { table: definition, where }: RemoveStep): Promise<number> {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const statement = this.statement(`remove ${definition.name} ${shape.key}`, () =>
      this.compile(this.#db.delete(table).where(conditionsOf(definition, columns, shape))),
    );
    return await statement.run({ value: operandsOf(shape) }, runner);
  }

  async #removeKeys(runner: Runner, { table: definition, keys }: RemoveKeysStep): Promise<number> {
    if (keys.length === 0) return 0;
    const { table, columns } = this.table(definition);
    const names = definition.key;
    const statement = this.statement(`remove keys ${definition.name}`, () => {
      const isGiven = names.map((name) => sql`${columns[name]} = given.${nameOf(columns, name)}`);
      return this.compile(
        sql`delete from ${table} using ${givenRows(definition, columns, names)} where ${sql.join(isGiven, sql` and `)}`,
      );
    });
    return await statement.run({ set: arraysOf(columns, names, keys) }, runner);
  }

  /** Counts rows, and locks them until the transaction ends. */
  async #lock(runner: Runner, { table: definition, where }: ExpectStep): Promise<number> {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const statement = this.statement(`lock ${definition.name} ${shape.key}`, () => {
      const locked = this.#db.select({ one: sql`1` }).from(table);
      return this.compile(locked.where(conditionsOf(definition, columns, shape)).for("update"));
    });
    return (await statement.all({ value: operandsOf(shape) }, runner)).length;
  }

  /** Returns what a statement selects for a column, and the function that reads it. */
  selection(definition: TableDefinition, name: string): readonly [name: string, SQL | AnyPgColumn, Read] {
    const kind = kindOf(definition, name);
    const column = this.table(definition).columns[name] as AnyPgColumn;
    return [name, selectionOf(kind, column, this.#vectorSchema), readerOf(kind, this.#vectorSchema)];
  }

  /** Returns Drizzle's table of a definition, for statements beside the verbs. */
  table(definition: TableDefinition): Table {
    return this.#tables.get(definition, () => {
      const table = tableOf(definition, this.#place) as unknown as PgTable;
      return { table, columns: getTableColumns(table) as Columns };
    });
  }

  /**
   * Compiles a query of Drizzle's into a statement that binds and reads by itself. `results`: the names of the results, with the
   * functions that read them.
   */
  compile(query: SQL | { toSQL(): Query }, results: readonly (readonly [string, Read])[] = []): Compiled {
    const { sql: text, params } = is(query, SQL) ? new PgDialect().sqlToQuery(query) : query.toSQL();
    const [bind, read] = [bindingOf(params), rowReader(results)];
    const send = (values: Values, runner: Runner = this.#runner) => runner.run(text, bind(values));
    return {
      all: async (values, runner) => (await send(values, runner)).map(read),
      run: async (values, runner) => (await send(values, runner)).count,
    };
  }

  /** Returns the statement of this key, or builds it. */
  statement(key: string, build: () => Compiled): Compiled {
    return this.#statements.get(key, build);
  }
}

/** A statement whose text was built once. Default of `runner`: the client. */
export interface Compiled {
  all(values: Values, runner?: Runner): Promise<Row[]>;
  run(values: Values, runner?: Runner): Promise<number>;
}

/** Waits for all. The first that failed decides: those behind it fail because of it, or were done for nothing, and are rolled back. */
async function allOf(applied: readonly Promise<number>[]): Promise<number[]> {
  await Promise.allSettled(applied);
  return await Promise.all(applied);
}

function isOneStatement(step: Step): boolean {
  return step.verb !== "insert" || slicesOf(step.rows).length <= 1;
}

/** Rows in as many lists as there are statements for them. */
function slicesOf(rows: readonly Readonly<Row>[]): Readonly<Row>[][] {
  return slicesOfBytes(rows, rowBytes, SLICE_BYTES);
}

/** Bytes of a row in the text of an array, about. */
function rowBytes(row: Readonly<Row>): number {
  return Object.values(row).reduce((sum: number, value) => sum + bytesOf(value), 0);
}

function bytesOf(value: unknown): number {
  if (typeof value === "string") return value.length + 4;
  if (value instanceof Float32Array) return value.length * FLOAT_BYTES;
  return value instanceof Uint8Array ? 2 * value.byteLength + 8 : 16;
}

/**
 * Returns whether the statement of a step is all or nothing by itself: it saves two round trips. A guard that finds too many rows has to
 * take the change back, so it may concern one row, by its key.
 */
function isAllOrNothing(step: Step): boolean {
  if (step.verb === "insert" || step.verb === "remove keys" || step.verb === "expect") return true;
  if (step.expect === null) return true;
  const equal = shapeOf(step.where).conditions.filter(({ operator }) => operator === "=");
  return step.expect === 1 && step.table.key.every((name) => equal.some(({ column }) => column === name));
}

/** The last row of each key: one statement cannot update a row twice. */
function lastOfEach(key: readonly string[], rows: readonly Readonly<Row>[]): readonly Readonly<Row>[] {
  if (rows.length === 1) return rows;
  const byKey = new Map(rows.map((row) => [JSON.stringify(key.map((name) => row[name])), row]));
  return [...byKey.values()];
}

/** A placeholder for one value of a group. */
export function placeholder(group: keyof Values, name: string | number): Placeholder {
  return sql.placeholder(`${group}.${name}`);
}

/** Rows that are given as one array for each of these columns, so that the text is the same for any number of rows. */
function givenRows(definition: TableDefinition, columns: Columns, names: readonly string[]): SQL {
  const arrays = names.map((name) => sql`${placeholder("set", name)}::${sql.raw(elementTypeOf(definition, name))}[]`);
  const given = names.map((name) => nameOf(columns, name));
  return sql`unnest(${sql.join(arrays, sql`, `)}) as given (${sql.join(given, sql`, `)})`;
}

/** Returns the values for the placeholders of {@link givenRows}. */
function arraysOf(columns: Columns, names: readonly string[], rows: readonly Readonly<Row>[]): Row {
  const values = (name: string) => rows.map((row) => row[name]);
  return Object.fromEntries(names.map((name) => [name, arrayOf(columns[name] as AnyPgColumn, values(name))]));
}

/** The name of a column, without its table. */
function nameOf(columns: Columns, name: string): SQL {
  return sql`${sql.identifier((columns[name] as AnyPgColumn).name)}`;
}

function kindOf({ columns }: TableDefinition, name: string): ColumnKind {
  return columns[name]?.kind as ColumnKind;
}

/** Type of the elements that a column's values are sent as. An array of arrays would have to be even. */
function elementTypeOf(definition: TableDefinition, name: string): string {
  const kind = kindOf(definition, name);
  return kind === "vector" ? "text" : typeOf(kind);
}

/** A filter as SQL, with a placeholder for the value, or the list of values, of each condition that has one. */
export function conditionsOf(definition: TableDefinition, columns: Columns, { conditions }: Shape): SQL | undefined {
  let at = 0;
  return and(
    ...conditions.map(({ column: name, operator }: Condition) => {
      const column = columns[name] as AnyPgColumn;
      if (operator === "is null") return sql`${column} is null`;
      const operand = placeholder("value", at++);
      if (operator === "in") {
        const list = sql.param<unknown, string>(operand, {
          mapToDriverValue: (values) => arrayOf(column, values as readonly unknown[]),
        });
        return sql`${column} = any(${list}::${sql.raw(typeOf(kindOf(definition, name)))}[])`;
      }
      const value = sql.param(operand, column);
      if (operator === "contains") return sql`strpos(${column}, ${value}) > 0`;
      return sql`${column} ${sql.raw(operator)} ${value}`;
    }),
  );
}

/** Returns the values for the placeholders of {@link conditionsOf}. */
export function operandsOf({ conditions, values }: Shape): unknown[] {
  let at = 0;
  return conditions
    .filter(({ operator }) => operator !== "is null")
    .map(({ operator, count }) => {
      const from = at;
      at += count;
      return operator === "in" ? values.slice(from, at) : values[from];
    });
}

/** Rows behind the one with the bound values, in this order. */
function isBehind(columns: Columns, order: Parameters<typeof behindCursor>[0]): SQL | undefined {
  const { bound, alternatives } = behindCursor(order);
  const compare = ({ column: name, operator, at }: CursorTerm) => {
    const column = columns[name] as AnyPgColumn;
    return sql`${column} ${sql.raw(operator)} ${sql.param(placeholder("after", at), column)}`;
  };
  return and(compare(bound), or(...alternatives.map((terms) => and(...terms.map(compare)))));
}
