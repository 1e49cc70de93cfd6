import {
  assignmentsOf,
  behindCursor,
  bindingOf,
  type Condition,
  type CursorTerm,
  type ExpectStep,
  encoded,
  guarded,
  type InsertStep,
  LruCache,
  modification,
  padded,
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
  slicesOfBytes,
  type TableDefinition,
  type UpdateStep,
  type Values,
  type Where,
} from "@waymark/core/kit";
import {
  and,
  asc,
  desc,
  getTableColumns,
  getTableName,
  or,
  type Param,
  type Placeholder,
  type SQL,
  sql,
} from "drizzle-orm";
import { type AnyMySqlColumn, MySqlDialect, type MySqlTable } from "drizzle-orm/mysql-core";
import { type PoolConnection, queryRows, runStatement } from "../connection.ts";
import { type Isolation, tooLarge } from "../database.ts";
import { indexToChange, indexToRead } from "./indexes.ts";
import { tableOf } from "./tables.ts";

/**
 * From 1,000 values on MariaDB makes a table of a list, and reads all of ours to join it. Longer lists, whose lengths are powers
 * of two, become several.
 */
const MAX_VALUES = 512;

/** The most bytes of a statement's values, if it has several rows. */
const SLICE_BYTES = 512 * 1_024;

type Row = Record<string, unknown>;
type Columns = Readonly<Record<string, AnyMySqlColumn>>;

export interface Table {
  readonly table: MySqlTable;
  readonly columns: Columns;
}

/** Tables of a dialect and statements over them, for all of its connections. */
export class RecordStatements {
  readonly #tablePrefix: string;
  readonly #tables = new LruCache<TableDefinition, Table>();
  /** By their shape: building their text takes longer than running them. */
  readonly #statements = new LruCache<string, Compiled>();
  readonly #dialect = new MySqlDialect();

  constructor(tablePrefix: string) {
    this.#tablePrefix = tablePrefix;
  }

  /** Returns Drizzle's table of a definition. */
  table(definition: TableDefinition): Table {
    return this.#tables.get(definition, () => {
      const table = tableOf(definition, this.#tablePrefix) as unknown as MySqlTable;
      return { table, columns: getTableColumns(table) as Columns };
    });
  }

  /** Compiles a statement. `results`: the names of its results, with the functions that read them. */
  compile(text: SQL, results: readonly (readonly [string, Read])[] = []): Compiled {
    const { sql: compiled, params } = this.#dialect.sqlToQuery(text);
    const [bind, read] = [bindingOf(params), rowReader(results)];
    return {
      all: async (connection, values) => (await queryRows(connection, compiled, bind(values))).map(read),
      run: (connection, values) => runStatement(connection, compiled, bind(values)),
    };
  }

  /** Returns the statement of this key, or builds it. */
  statement(key: string, build: () => Compiled): Compiled {
    return this.#statements.get(key, build);
  }
}

/** Settings of the server that changes depend on. */
export interface RecordLimits {
  readonly maxStatementBytes: number;
  readonly isolation: Isolation;
}

/** The verbs over tables that are data (see `Records` in core), on one connection. */
export class MySQLRecords {
  readonly #connection: PoolConnection;
  readonly #statements: RecordStatements;
  readonly #limits: RecordLimits;

  constructor(connection: PoolConnection, statements: RecordStatements, limits: RecordLimits) {
    this.#connection = connection;
    this.#statements = statements;
    this.#limits = limits;
  }

  async find(definition: TableDefinition, query: RecordQuery<TableDefinition, string>): Promise<Row[]> {
    return await this.#find(definition, query, false);
  }

  async #find(
    definition: TableDefinition,
    { where, columns: names, order = [], after = [], limit, offset = 0 }: RecordQuery<TableDefinition, string>,
    forUpdate: boolean,
  ): Promise<Row[]> {
    const shape = shapeOf(where);
    const key = `find ${definition.name} ${forUpdate} ${names?.join() ?? "*"} ${shape.key} ${order.join()} ${after.length}`;
    const statement = this.#statements.statement(key, () => {
      const { table, columns } = this.#statements.table(definition);
      const filter = and(conditionsOf(columns, shape), after.length === 0 ? undefined : isBehind(columns, order));
      const selected = (names ?? Object.keys(columns)).map((name) => [name, columns[name] as AnyMySqlColumn] as const);
      const terms = order.map(([name, direction]) =>
        (direction === "asc" ? asc : desc)(columns[name] as AnyMySqlColumn),
      );
      const index = forUpdate ? indexToChange(definition, shape) : indexToRead(definition, shape, order);
      return this.#statements.compile(
        sql`select ${list(selected.map(([, column]) => column))} from ${table}${forceIndex(table, index)}${clause("where", filter)}${clause(
          "order by",
          list(terms),
        )} limit ${sql.placeholder("limit")} offset ${sql.placeholder("offset")}${forUpdate ? sql` for update` : sql``}`,
        selected.map(([name, column]) => [name, readerOf(column)]),
      );
    });
    return await statement.all(this.#connection, { value: shape.values, after, limit, offset });
  }

  async count(definition: TableDefinition, where: Where<TableDefinition>): Promise<number> {
    const shape = shapeOf(where);
    const statement = this.#statements.statement(`count ${definition.name} ${shape.key}`, () => {
      const { table, columns } = this.#statements.table(definition);
      return this.#statements.compile(
        sql`select count(*) from ${table}${clause("where", conditionsOf(columns, shape))}`,
        [["count", Number]],
      );
    });
    const [row] = await statement.all(this.#connection, { value: shape.values });
    return row?.["count"] as number;
  }

  /** Counts rows as they are now, and locks them until the transaction ends. */
  async #countLocked({ table: definition, where }: ExpectStep): Promise<number> {
    const shape = shapeOf(where);
    const statement = this.#statements.statement(`count locked ${definition.name} ${shape.key}`, () => {
      const { table, columns } = this.#statements.table(definition);
      const index = forceIndex(table, indexToChange(definition, shape));
      return this.#statements.compile(
        sql`select count(*) from ${table}${index}${clause("where", conditionsOf(columns, shape))} for update`,
        [["count", Number]],
      );
    });
    const [row] = await statement.all(this.#connection, { value: shape.values });
    return row?.["count"] as number;
  }

  async change(steps: readonly Step[]): Promise<number[] | null> {
    const [first] = steps;
    // One statement is all or nothing by itself.
    if (first !== undefined && steps.length === 1 && this.#isOneStatement(first)) return [await this.#apply(first)];
    try {
      return await this.#inTransaction(async () => {
        const counts: number[] = [];
        for (const step of steps) counts.push(await this.#apply(step));
        return counts;
      });
    } catch (error) {
      return refusal(error);
    }
  }

  #isOneStatement(step: Step): boolean {
    if (step.verb === "insert") return this.#slices(step).length <= 1;
    return step.verb === "remove keys" ? step.keys.length <= MAX_VALUES : step.expect === null;
  }

  async modify(
    definition: TableDefinition,
    where: Where<TableDefinition>,
    decide: (row: never) => Row | null,
  ): Promise<Row | null> {
    return await this.#inTransaction(async () => {
      const [row] = await this.#find(definition, { where, limit: 1 }, true);
      if (row === undefined) return null;
      const { modified, step } = modification(definition, row, decide);
      if (step !== null) await this.#update(step);
      return modified;
    });
  }

  /** Runs `work` in a transaction. `begin` would begin a block of a program in MariaDB's `sql_mode` ORACLE. */
  async #inTransaction<Result>(work: () => Promise<Result>): Promise<Result> {
    const connection = this.#connection;
    await runStatement(connection, `set transaction isolation level ${this.#limits.isolation}`);
    await runStatement(connection, "start transaction");
    let result: Result;
    try {
      result = await work();
    } catch (error) {
      try {
        await runStatement(connection, "rollback");
      } catch {
        connection.destroy(); // and with it the transaction
      }
      throw error;
    }
    await runStatement(connection, "commit");
    return result;
  }

  async #apply(step: Step): Promise<number> {
    if (step.verb === "insert") return await this.#insert(step);
    if (step.verb === "remove keys") return await this.#removeKeys(step);
    if (step.verb === "update") return guarded(step, await this.#update(step));
    if (step.verb === "remove") return guarded(step, await this.#remove(step));
    return guarded(step, await this.#countLocked(step));
  }

  /** A statement has one text for any number of rows: mysql2 writes a list of lists as tuples. */
  async #insert(step: InsertStep): Promise<number> {
    const { table: definition, onConflict } = step;
    const statement = this.#statements.statement(`insert ${definition.name} ${onConflict}`, () => {
      const { table, columns } = this.#statements.table(definition);
      const updated = Object.entries(columns).filter(
        ([name]) => onConflict === "update" && !definition.key.includes(name),
      );
      const set = updated.map(([, column]) => sql`${nameOf(column)} = values(${nameOf(column)})`);
      // Not `insert ignore`, which lets wrong values in too.
      const [key] = definition.key.map((name) => nameOf(columns[name] as AnyMySqlColumn));
      if (set.length === 0) set.push(sql`${key} = ${key}`);
      return this.#statements.compile(
        sql`insert into ${table} (${list(Object.values(columns).map(nameOf))}) values ${sql.placeholder("rows")}${
          onConflict === "fail" ? sql`` : sql` on duplicate key update ${list(set)}`
        }`,
      );
    });
    let count = 0;
    for (const rows of this.#slices(step)) count += await statement.run(this.#connection, { rows });
    return count;
  }

  /** Rows as the driver takes them, in as many lists as statements that the server takes. */
  #slices({ table: definition, rows }: InsertStep): unknown[][][] {
    const columns = Object.entries(this.#statements.table(definition).columns);
    const tuples = rows.map((row) => columns.map(([name, column]) => encoded(column, row[name])));
    const { maxStatementBytes } = this.#limits;
    return slicesOfBytes(tuples, (tuple) => this.#checkBytes(tuple), Math.min(maxStatementBytes, SLICE_BYTES));
  }

  /** Refuses values that the server would cut the connection for. Returns their bytes. */
  #checkBytes(values: readonly unknown[]): number {
    const { maxStatementBytes } = this.#limits;
    const bytes = values.reduce((sum: number, value) => sum + bytesOf(value), 0);
    if (bytes > maxStatementBytes) throw tooLarge("change records", bytes, maxStatementBytes);
    return bytes;
  }

  async #update({ table: definition, where, set }: UpdateStep): Promise<number> {
    const shape = shapeOf(where);
    const assignments = assignmentsOf(set);
    const { table, columns } = this.#statements.table(definition);
    const statement = this.#statements.statement(`update ${definition.name} ${assignments.key} ${shape.key}`, () => {
      const set = assignments.columns.map(({ column: name, isAdded }) => {
        const column = columns[name] as AnyMySqlColumn;
        const bound = placeholder("set", name);
        return isAdded ? sql`${column} = ${column} + ${bound}` : sql`${column} = ${bound}`;
      });
      return this.#statements.compile(
        sql`update ${table}${forceIndex(table, indexToChange(definition, shape))} set ${list(set)}${clause(
          "where",
          conditionsOf(columns, shape),
        )}`,
      );
    });
    const values = Object.entries(assignments.values).map(([name, value]) => [
      name,
      encoded(columns[name] as AnyMySqlColumn, value),
    ]);
    this.#checkBytes(values.map(([, value]) => value));
    return await statement.run(this.#connection, { set: Object.fromEntries(values), value: shape.values });
  }

  async #remove({ table: definition, where }: RemoveStep): Promise<number> {
    const shape = shapeOf(where);
    const statement = this.#statements.statement(`remove ${definition.name} ${shape.key}`, () => {
      const { table, columns } = this.#statements.table(definition);
      // In this form of the statement alone may it name an index.
      return this.#statements.compile(
        sql`delete ${table} from ${table}${forceIndex(table, indexToChange(definition, shape))}${clause(
          "where",
          conditionsOf(columns, shape),
        )}`,
      );
    });
    return await statement.run(this.#connection, { value: shape.values });
  }

  /** A list of alternatives: by pairs of values MariaDB finds no rows in an index. */
  async #removeKeys({ table: definition, keys }: RemoveKeysStep): Promise<number> {
    let count = 0;
    for (let from = 0; from < keys.length; from += MAX_VALUES) {
      const some = keys.slice(from, from + MAX_VALUES);
      // Filled up with the last one: it is removed once.
      const all = padded(some);
      const statement = this.#statements.statement(`remove ${all.length} keys ${definition.name}`, () => {
        const { table, columns } = this.#statements.table(definition);
        const isRow = (_: unknown, at: number) =>
          and(
            ...definition.key.map((name) => {
              const column = columns[name] as AnyMySqlColumn;
              return sql`${column} = ${sql.param(placeholder(`key${at}`, name), column)}`;
            }),
          );
        return this.#statements.compile(
          sql`delete ${table} from ${table}${forceIndex(table, "")} where ${or(...all.map(isRow))}`,
        );
      });
      const values = Object.fromEntries(all.map((key, at) => [`key${at}`, key]));
      count += await statement.run(this.#connection, values);
    }
    return count;
  }
}

/** A statement whose text was built once. */
export interface Compiled {
  all(connection: PoolConnection, values: Values): Promise<Row[]>;
  /** Returns how many rows it has inserted, changed or removed. */
  run(connection: PoolConnection, values: Values): Promise<number>;
}

/** Bytes of the rows of a change, about, and of the largest one: for an error that may be the answer to too many. */
export function changeBytes(steps: readonly Step[]): { rows: number; largest: number } {
  const bytes = steps.flatMap((step) => {
    if (step.verb !== "insert" && step.verb !== "update") return [];
    return step.verb === "insert" ? step.rows.map(rowBytes) : [rowBytes(step.set)];
  });
  return {
    rows: bytes.reduce((sum, one) => sum + one, 0),
    largest: bytes.reduce((most, one) => Math.max(most, one), 0),
  };
}

function rowBytes(row: Row): number {
  return Object.values(row).reduce((sum: number, value) => {
    if (typeof value === "string") return sum + Buffer.byteLength(value);
    return sum + (ArrayBuffer.isView(value) ? value.byteLength : 0);
  }, 0);
}

/** Bytes of a value in a statement, half as many as its text has: of bytes that is hex. */
function bytesOf(value: unknown): number {
  return Buffer.isBuffer(value) ? value.byteLength + 4 : 16;
}

/** A placeholder for one value of a group. */
export function placeholder(group: keyof Values, name: string | number): Placeholder {
  return sql.placeholder(`${group}.${name}`);
}

export function list(parts: readonly (SQL | AnyMySqlColumn)[]): SQL {
  return sql.join([...parts], sql`, `);
}

/** A clause, if there is anything in it. */
function clause(word: string, content: SQL | undefined): SQL {
  return content === undefined || content.queryChunks.length === 0 ? sql`` : sql` ${sql.raw(word)} ${content}`;
}

/** The column's name alone, without its table. */
export function nameOf({ name }: AnyMySqlColumn): SQL {
  return sql`${sql.identifier(name)}`;
}

/** Names the index to read by. `end`: of the index's name; `null`: the server chooses. */
export function forceIndex(table: MySqlTable, end: string | null): SQL {
  if (end === null) return sql``;
  return sql` force index (${sql.identifier(end === "" ? "PRIMARY" : `${getTableName(table)}_${end}`)})`;
}

/** A filter as SQL, with a placeholder for each of its values. */
export function conditionsOf(columns: Columns, { conditions }: Shape): SQL | undefined {
  let at = 0;
  return and(
    ...conditions.map(({ column: name, operator, count }: Condition) => {
      const column = columns[name] as AnyMySqlColumn;
      const values = Array.from({ length: count }, () => sql.param(placeholder("value", at++), column));
      if (operator === "is null") return sql`${column} is null`;
      if (operator === "in") return isIn(column, values);
      if (operator === "contains") return sql`locate(${values[0]}, ${column}) > 0`;
      return sql`${column} ${sql.raw(operator)} ${values[0]}`;
    }),
  );
}

function isIn(column: AnyMySqlColumn, values: readonly Param[]): SQL | undefined {
  if (values.length === 0) return sql`false`;
  const lists: SQL[] = [];
  for (let from = 0; from < values.length; from += MAX_VALUES) {
    lists.push(sql`${column} in (${sql.join(values.slice(from, from + MAX_VALUES), sql`, `)})`);
  }
  return or(...lists);
}

/** Rows behind the one with the bound values, in this order. */
export function isBehind(columns: Columns, order: Parameters<typeof behindCursor>[0]): SQL | undefined {
  const { bound, alternatives } = behindCursor(order);
  const compare = ({ column: name, operator, at }: CursorTerm) => {
    const column = columns[name] as AnyMySqlColumn;
    return sql`${column} ${sql.raw(operator)} ${sql.param(placeholder("after", at), column)}`;
  };
  return and(compare(bound), or(...alternatives.map((terms) => and(...terms.map(compare)))));
}
