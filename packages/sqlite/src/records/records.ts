import { CheckpointError } from "@waymark/core";
import {
  assignmentsOf,
  behindCursor,
  bindingOf,
  type Condition,
  type CursorTerm,
  guarded,
  type InsertStep,
  LruCache,
  modification,
  type Read,
  type RecordQuery,
  type RemoveKeysStep,
  type RemoveStep,
  readerOf,
  refusal,
  rowReader,
  type Shape,
  type Step,
  shapeOf,
  type TableDefinition,
  type UpdateStep,
  type Values,
  type Where,
} from "@waymark/core/kit";
import { and, asc, desc, eq, getTableColumns, is, or, type Placeholder, type Query, SQL, sql } from "drizzle-orm";
import {
  type AnySQLiteColumn,
  type SQLiteInsertValue,
  SQLiteSyncDialect,
  type SQLiteTable,
} from "drizzle-orm/sqlite-core";
import type { DrizzleDatabase, Handle } from "../handle.ts";
import { tableOf } from "./tables.ts";

type Row = Record<string, unknown>;
/** Drizzle's columns, by their names in rows. */
export type Columns = Readonly<Record<string, AnySQLiteColumn>>;

interface Table {
  readonly table: SQLiteTable;
  readonly columns: Columns;
}

/** The verbs over tables that are data (see `Records` in core). Synchronous, as the driver is. */
export class SQLiteRecords {
  readonly #handle: Handle;
  readonly #db: DrizzleDatabase;
  readonly #tablePrefix: string;
  readonly #tables = new LruCache<TableDefinition, Table>();
  /** Statements by their shape: building their text takes longer than running them. */
  readonly #statements = new LruCache<string, Compiled>();

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
      const filter = and(conditionsOf(columns, shape), after.length === 0 ? undefined : isBehind(columns, order));
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
      return this.compile(
        query,
        Object.entries(selected).map(([name, column]) => [name, readerOf(column)]),
      );
    });
    return statement.all({ value: shape.values, after, limit, offset });
  }

  count(definition: TableDefinition, where: Where<TableDefinition>): number {
    const { table, columns } = this.table(definition);
    const shape = shapeOf(where);
    const statement = this.statement(`count ${definition.name} ${shape.key}`, () =>
      this.compile(this.#db.select({ count: sql`count(*)` }).from(table).where(conditionsOf(columns, shape)), [
        ["count", Number],
      ]),
    );
    return statement.all({ value: shape.values })[0]?.["count"] as number;
  }

  change(steps: readonly Step[]): number[] | null {
    this.#refuseForeignTransaction();
    try {
      return this.#handle.transaction(() => steps.map((step) => this.#apply(step)));
    } catch (error) {
      return refusal(error);
    }
  }

  modify(definition: TableDefinition, where: Where<TableDefinition>, decide: (row: never) => Row | null): Row | null {
    this.#refuseForeignTransaction();
    return this.#handle.transaction(() => {
      const [row] = this.find(definition, { where, limit: 1 });
      if (row === undefined) return null;
      const { modified, step } = modification(definition, row, decide);
      if (step !== null) this.#update(step);
      return modified;
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
    if (step.verb === "update") return guarded(step, this.#update(step));
    if (step.verb === "remove") return guarded(step, this.#remove(step));
    return guarded(step, this.count(step.table, step.where as never));
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
    const assignments = assignmentsOf(set);
    const statement = this.statement(`update ${definition.name} ${assignments.key} ${shape.key}`, () =>
      this.compile(
        this.#db
          .update(table)
          .set(
            Object.fromEntries(
              assignments.columns.map(({ column: name, isAdded }) => {
                const column = columns[name] as AnySQLiteColumn;
                const bound = sql.param(placeholder("set", name), column);
                return [name, isAdded ? sql`${column} + ${bound}` : sql`${bound}`];
              }),
            ),
          )
          .where(conditionsOf(columns, shape)),
      ),
    );
    return statement.run({ set: assignments.values, value: shape.values });
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
    return this.#tables.get(definition, () => {
      const table = tableOf(definition, this.#tablePrefix) as unknown as SQLiteTable;
      return { table, columns: getTableColumns(table) as Columns };
    });
  }

  /**
   * Compiles a query of Drizzle's into a statement that binds and reads by itself. `results`: the names of the results, with the
   * functions that read them.
   */
  compile(query: SQL | { toSQL(): Query }, results: readonly (readonly [string, Read])[] = []): Compiled {
    const { sql: text, params } = is(query, SQL) ? new SQLiteSyncDialect().sqlToQuery(query) : query.toSQL();
    const statement = this.#handle.prepare(text);
    const rows = results.length === 0 ? statement : statement.raw();
    const [bind, read] = [bindingOf(params), rowReader(results)];
    return {
      all: (values) => rows.all(...bind(values)).map((row) => read(row as unknown[])),
      run: (values) => Number(statement.run(...bind(values)).changes),
    };
  }

  /** Returns the statement of this key, or builds it. */
  statement(key: string, build: () => Compiled): Compiled {
    return this.#statements.get(key, build);
  }
}

/** A statement whose text was built once. */
export interface Compiled {
  all(values: Values): Row[];
  run(values: Values): number;
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
function isBehind(columns: Columns, order: Parameters<typeof behindCursor>[0]): SQL | undefined {
  const { bound, alternatives } = behindCursor(order);
  const compare = ({ column: name, operator, at }: CursorTerm) => {
    const column = columns[name] as AnySQLiteColumn;
    return sql`${column} ${sql.raw(operator)} ${sql.param(placeholder("after", at), column)}`;
  };
  return and(compare(bound), or(...alternatives.map((terms) => and(...terms.map(compare)))));
}
