import { CheckpointError } from "@waymark/core";
import {
  Addition,
  type Condition,
  type InsertStep,
  type RecordQuery,
  type RemoveKeysStep,
  type RemoveStep,
  type Shape,
  type Step,
  shapeOf,
  type TableDefinition,
  type UpdateStep,
  type Where,
} from "@waymark/core/kit";
import {
  and,
  asc,
  desc,
  eq,
  getTableColumns,
  gt,
  gte,
  is,
  lt,
  lte,
  or,
  Param,
  Placeholder,
  type Query,
  SQL,
  sql,
} from "drizzle-orm";
import {
  type AnySQLiteColumn,
  type SQLiteInsertValue,
  SQLiteSyncDialect,
  type SQLiteTable,
} from "drizzle-orm/sqlite-core";
import type { DrizzleDatabase, Handle } from "../handle.ts";
import { tableOf } from "./tables.ts";

/** Ends a transaction whose guard was not met. */
class GuardMissed extends Error {}

type Row = Record<string, unknown>;
/** Drizzle's columns, by their names in rows. */
export type Columns = Readonly<Record<string, AnySQLiteColumn>>;

interface Table {
  readonly definition: TableDefinition;
  readonly table: SQLiteTable;
  readonly columns: Columns;
}

/** The verbs over tables that are data (see `Records` in core). Synchronous, as the driver is. */
export class SQLiteRecords {
  readonly #handle: Handle;
  readonly #db: DrizzleDatabase;
  readonly #tablePrefix: string;
  readonly #tables = new Map<TableDefinition, Table>();
  /** Statements by their shape: building their text takes longer than running them. */
  readonly #statements = new Map<string, unknown>();

  constructor(handle: Handle, db: DrizzleDatabase, tablePrefix: string) {
    this.#handle = handle;
    this.#db = db;
    this.#tablePrefix = tablePrefix;
  }

  find(definition: TableDefinition, query: RecordQuery<TableDefinition, string>): Row[] {
    const { where, columns: names, order = [], after = [], limit, offset = 0 } = query;
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const key = `find ${definition.name} ${names?.join() ?? "*"} ${shape.key} ${order.join()} ${after.length}`;
    const statement = this.statement(key, () => {
      const filter = and(
        conditionsOf(columns, shape),
        after.length === 0
          ? undefined
          : isBehind(order.map(([name, direction]) => [columns[name] as AnySQLiteColumn, direction])),
      );
      const selected =
        names === undefined
          ? columns
          : Object.fromEntries(names.map((name) => [name, columns[name] as AnySQLiteColumn]));
      const query = this.#db
        .select(selected)
        .from(table)
        .where(filter)
        .orderBy(
          ...order.map(([name, direction]) => (direction === "asc" ? asc : desc)(columns[name] as AnySQLiteColumn)),
        )
        .limit(sql.placeholder("limit"))
        .offset(sql.placeholder("offset"));
      return this.compile(query, Object.entries(selected));
    });
    return statement.all({ value: shape.values, after, limit, offset });
  }

  count(definition: TableDefinition, where: Where<TableDefinition>): number {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const statement = this.statement(`count ${definition.name} ${shape.key}`, () =>
      this.compile(this.#db.select({ count: sql`count(*)` }).from(table).where(conditionsOf(columns, shape)), [
        ["count", null],
      ]),
    );
    return Number(statement.all({ value: shape.values })[0]?.["count"]);
  }

  change(steps: readonly Step[]): number[] | null {
    this.#refuseForeignTransaction();
    try {
      return this.#handle.transaction(() => steps.map((step) => this.#apply(step)));
    } catch (error) {
      if (error instanceof GuardMissed) return null;
      throw error;
    }
  }

  modify(definition: TableDefinition, where: Where<TableDefinition>, decide: (row: never) => Row | null): Row | null {
    this.#refuseForeignTransaction();
    return this.#handle.transaction(() => {
      const [row] = this.find(definition, { where, limit: 1 });
      if (row === undefined) return null;
      const given = Object.entries(decide(row as never) ?? {}).filter(([, value]) => value !== undefined);
      if (given.length === 0) return row;
      const set = Object.fromEntries(given);
      const isRow = Object.fromEntries(definition.key.map((name) => [name, row[name]]));
      this.#apply({ verb: "update", table: definition, where: isRow, set, expect: null });
      return { ...row, ...set };
    });
  }

  /** Ours never outlast a call. What was written within the user's own transaction would go when that is rolled back. */
  #refuseForeignTransaction(): void {
    if (this.#handle.inTransaction()) {
      throw new CheckpointError("CONTENTION", "change records: options.database is within a transaction of its owner");
    }
  }

  #apply(step: Step): number {
    if (step.verb === "insert") return this.#insert(step);
    if (step.verb === "remove keys") return this.#removeKeys(step);
    if (step.verb === "expect") {
      if (this.count(step.table, step.where as never) !== step.expect) throw new GuardMissed();
      return step.expect;
    }
    const changed = step.verb === "update" ? this.#update(step) : this.#remove(step);
    if (step.expect !== null && changed !== step.expect) throw new GuardMissed();
    return changed;
  }

  #insert({ table: definition, rows, onConflict }: InsertStep): number {
    const { table, columns } = this.table(definition);
    const statement = this.statement(`insert ${definition.name} ${onConflict}`, () => {
      const values = Object.fromEntries(Object.keys(columns).map((name) => [name, placeholder("set", name)]));
      const insert = this.#db.insert(table).values(values as SQLiteInsertValue<SQLiteTable>);
      if (onConflict === "fail") return this.compile(insert);
      if (onConflict === "ignore") return this.compile(insert.onConflictDoNothing());
      const others = Object.entries(columns).filter(([name]) => !definition.key.includes(name));
      return this.compile(
        insert.onConflictDoUpdate({
          target: definition.key.map((name) => columns[name] as AnySQLiteColumn),
          set: Object.fromEntries(others.map(([name, column]) => [name, sql`excluded.${sql.identifier(column.name)}`])),
        }),
      );
    });
    let count = 0;
    for (const set of rows) count += statement.run({ set });
    return count;
  }

  #update({ table: definition, where, set }: UpdateStep): number {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const given = Object.entries(set).filter(([, value]) => value !== undefined);
    const terms = given.map(([name, value]) => `${name}${value instanceof Addition ? "+" : ""}`);
    const statement = this.statement(`update ${definition.name} ${terms.join()} ${shape.key}`, () =>
      this.compile(
        this.#db
          .update(table)
          .set(
            Object.fromEntries(
              given.map(([name, value]) => {
                const column = columns[name] as AnySQLiteColumn;
                const bound = sql.param(placeholder("set", name), column);
                return [name, value instanceof Addition ? sql`${column} + ${bound}` : sql`${bound}`];
              }),
            ),
          )
          .where(conditionsOf(columns, shape)),
      ),
    );
    const values = given.map(([name, value]) => [name, value instanceof Addition ? value.by : value]);
    return statement.run({ set: Object.fromEntries(values) as Row, value: shape.values });
  }

  #remove({ table: definition, where }: RemoveStep): number {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const statement = this.statement(`remove ${definition.name} ${shape.key}`, () =>
      this.compile(this.#db.delete(table).where(conditionsOf(columns, shape))),
    );
    return statement.run({ value: shape.values });
  }

  #removeKeys({ table: definition, keys }: RemoveKeysStep): number {
    const { table, columns } = this.table(definition);
    const statement = this.statement(`remove keys ${definition.name}`, () =>
      this.compile(
        this.#db.delete(table).where(
          and(
            ...definition.key.map((name) => {
              const column = columns[name] as AnySQLiteColumn;
              return eq(column, sql.param(placeholder("set", name), column));
            }),
          ),
        ),
      ),
    );
    let count = 0;
    for (const set of keys) count += statement.run({ set });
    return count;
  }

  /** Returns Drizzle's table of a definition, for statements beside the verbs. */
  table(definition: TableDefinition): Table {
    const existing = this.#tables.get(definition);
    if (existing !== undefined) return existing;
    const table = tableOf(definition, this.#tablePrefix) as unknown as SQLiteTable;
    const made = { definition, table, columns: getTableColumns(table) as Columns };
    this.#tables.set(definition, made);
    return made;
  }

  /**
   * Compiles a query of Drizzle's into a statement that binds and decodes by itself: Drizzle's own prepared queries take several times
   * as long as SQLite does for a row that is found by its key. `columns`: the names of the results, with the columns that decode them.
   */
  compile(
    query: SQL | { toSQL(): Query },
    columns: readonly (readonly [string, AnySQLiteColumn | null])[] = [],
  ): Compiled {
    const { sql: text, params } = is(query, SQL) ? new SQLiteSyncDialect().sqlToQuery(query) : query.toSQL();
    const statement = this.#handle.prepare(text);
    const rows = columns.length === 0 ? statement : statement.raw();
    const binders = params.map(binderOf);
    const decoders = columns.map(([name, column]) => [name, decoderOf(column)] as const);
    const bind = (values: Values) => binders.map((binder) => binder(values));
    const decode = (row: unknown) => {
      const decoded: Row = {};
      let at = 0;
      for (const [name, decodeColumn] of decoders) decoded[name] = decodeColumn((row as unknown[])[at++]);
      return decoded;
    };
    return {
      all: (values) => rows.all(...bind(values)).map(decode),
      run: (values) => Number(statement.run(...bind(values)).changes),
    };
  }

  /** Returns the statement of this key, or builds it. */
  statement<Statement>(key: string, build: () => Statement): Statement {
    const existing = this.#statements.get(key) as Statement | undefined;
    if (existing !== undefined) return existing;
    const statement = build();
    this.#statements.set(key, statement);
    return statement;
  }
}

/** Groups of values that a statement is given: those of its filter, of its cursor, and of the columns that it sets. */
export interface Values {
  readonly value?: readonly unknown[];
  readonly after?: readonly unknown[];
  readonly set?: Row;
  readonly [name: string]: unknown;
}

/** A statement whose text was built once. */
export interface Compiled {
  all(values: Values): Row[];
  run(values: Values): number;
}

/** Makes a function that finds a parameter's value, as the driver takes it. */
function binderOf(parameter: unknown): (values: Values) => unknown {
  if (is(parameter, Param)) {
    const find = binderOf(parameter.value);
    const { encoder } = parameter;
    return (values) => {
      const value = find(values);
      return value === null ? null : encoder.mapToDriverValue(value);
    };
  }
  if (!is(parameter, Placeholder)) return () => parameter;
  const [group = "", name] = parameter.name.split(".");
  if (name === undefined) return (values) => values[group];
  return (values) => (values[group] as Row)[name];
}

/** Makes a function that decodes a column's value. */
function decoderOf(column: AnySQLiteColumn | null): (value: unknown) => unknown {
  if (column === null) return (value) => value;
  return (value) => (value === null ? null : column.mapFromDriverValue(value));
}

/** A placeholder for one value of a group. */
export function placeholder(group: keyof Values, name: string | number): Placeholder {
  return sql.placeholder(`${group}.${name}`);
}

/** A filter as SQL, with a placeholder for each of its values. */
export function conditionsOf(columns: Columns, { conditions }: Shape): SQL | undefined {
  let at = 0;
  return and(
    ...conditions.map(({ column: name, operator, count }: Condition) => {
      const column = columns[name] as AnySQLiteColumn;
      const values = Array.from({ length: count }, () => sql.param(placeholder("value", at++), column));
      if (operator === "is null") return sql`${column} is null`;
      if (operator === "in") return sql`${column} in (${sql.join(values, sql`, `)})`;
      if (operator === "contains") return sql`instr(${column}, ${values[0]}) > 0`;
      return sql`${column} ${sql.raw(operator)} ${values[0]}`;
    }),
  );
}

/** Rows behind the one with the bound values, in this order. */
function isBehind(order: readonly (readonly [AnySQLiteColumn, "asc" | "desc"])[]): SQL | undefined {
  const terms = order.map(([column, direction], at) => ({
    column,
    isBeyond: direction === "asc" ? gt : lt,
    isWithin: direction === "asc" ? gte : lte,
    value: sql.param(placeholder("after", at), column),
  }));
  const [first] = terms;
  const beyond = terms.map(({ column, isBeyond, value }, at) =>
    and(...terms.slice(0, at).map((equal) => eq(equal.column, equal.value)), isBeyond(column, value)),
  );
  // The first column by itself bounds the range of an index.
  return and(first?.isWithin(first.column, first.value), or(...beyond));
}
