import type { Base, Change, Row, RowHead, RowQuery, RowStats } from "@waymark/core/dialect-kit";
import {
  and,
  desc,
  eq,
  getTableColumns,
  getTableName,
  gt,
  inArray,
  isNull,
  type Placeholder,
  type SQL,
  type SQLWrapper,
  sql,
} from "drizzle-orm";
import type { AnyMySqlColumn } from "drizzle-orm/mysql-core";
import type { MySql2Database } from "drizzle-orm/mysql2";
import type { CheckpointsTable } from "./schema.ts";

/** Ends a transaction whose guard missed. */
class GuardMissed extends Error {}

/** From 1,000 values on MariaDB makes a table of them, and reads all of ours to join it. */
const MAX_VALUES = 999;

/** As both servers write it. */
const IN_SHARE_MODE = sql`lock in share mode`;
const FOR_UPDATE = sql`for update`;

/** What runs statements: the pool, or a transaction on one of its connections. */
type Runner = Pick<MySql2Database, "select" | "insert" | "update" | "delete" | "execute">;

interface GuardedInsert {
  execute(parameters: Record<string, unknown>): Promise<unknown>;
}

/** A query's members, or what stands for them in a kept statement. */
type Asked = { readonly [Name in Exclude<keyof RowQuery, "limit" | "metadataLines">]?: string | Placeholder } & {
  readonly metadataLines?: readonly string[];
  readonly limit: number | Placeholder;
};

/** The statements of one database and table. */
export function createStatements(
  db: MySql2Database,
  table: CheckpointsTable,
  nilId: string,
  isForeignKeyFault: (error: unknown) => boolean,
) {
  const { state: _, afterId: __, pending: ___, ...head } = getTableColumns(table);
  const columns = getTableColumns(table);
  // Built once: building their text takes longer than running them. mysql2 writes a list of lists as tuples.
  const insertMany = db
    .insert(table)
    .select(sql`values ${sql.placeholder("rows")}`)
    .prepare();
  const insertOneGuarded = db
    .insert(table)
    .select(
      sql`select ${sql.placeholder("row")} from ${table} where ${is(table.id, sql.placeholder("guardId"))} and ${is(table.digest, sql.placeholder("guardDigest"))} ${IN_SHARE_MODE}`,
    )
    .prepare();
  const insertManyGuarded = insertGuardedOn(db, sql`, ${sql.placeholder("others")}`);
  const chainOf = selectChain().prepare();
  const lists = new Map<string, { execute(query: Record<string, unknown>): Promise<RowHead[]> }>();
  const byAgent = `${getTableName(table)}_by_agent`;
  const byBase = `${getTableName(table)}_base`;
  const byNamespace = `${getTableName(table)}_by_namespace`;

  async function commit(change: Change): Promise<boolean> {
    const { bases = [], insert = [], rewrite = [], remove = [] } = change;
    // One statement is all or nothing by itself, and saves two round trips.
    if (rewrite.length + remove.length === 0 && insert.every((row) => row.afterId === null)) {
      if (insert.length === 0) return await areThere(db, bases, IN_SHARE_MODE);
      if (bases.length <= MAX_VALUES) return await insertRows(insert, bases);
    }
    if (bases.length + insert.length + rewrite.length === 0 && remove.length <= MAX_VALUES) {
      await removeRows(db, remove);
      return true;
    }
    try {
      await db.transaction((transaction) => commitAll(transaction, change));
      return true;
    } catch (error) {
      if (error instanceof GuardMissed) return false;
      throw error;
    }
  }

  function tupleOf(row: Row): unknown[] {
    return Object.entries(columns).map(([name, column]) => {
      const value = row[name as keyof Row];
      return value === null ? null : column.mapToDriverValue(value);
    });
  }

  async function insertRows(rows: readonly Row[], bases: readonly Base[]): Promise<boolean> {
    const tuples = rows.map(tupleOf);
    const [base] = bases;
    if (base === undefined) {
      await insertMany.execute({ rows: tuples });
      return true;
    }
    if (rows.length > 1 || bases.length > 1) {
      return await insertGuarded(rows.length > 1 ? insertManyGuarded : insertGuardedOn(db), rows, bases);
    }
    const [{ affectedRows }] = await insertOneGuarded.execute({
      row: tuples[0],
      guardId: base.id,
      guardDigest: base.digest,
    });
    return affectedRows === 1;
  }

  /**
   * Rows that are inserted if all bases are there: else the first one's base is made one that never is, and the foreign key
   * refuses them all. An `insert … select` of many would copy them to temporary tables first, on disk, which takes as
   * long as inserting them.
   */
  function insertGuardedOn(runner: Runner, others = sql``): GuardedInsert {
    const base = sql`if((${countOf(sql.placeholder("ids"), sql.placeholder("pairs"), IN_SHARE_MODE)}) = ${sql.placeholder("count")}, ${sql.placeholder("baseId")}, ${table.id.mapToDriverValue(nilId)})`;
    return runner
      .insert(table)
      .select(sql`values (${sql.placeholder("before")}, ${base}, ${sql.placeholder("after")})${others}`)
      .prepare();
  }

  function guardedParameters(rows: readonly Row[], bases: readonly Base[]) {
    const [first, ...others] = rows.map(tupleOf);
    const at = Object.keys(columns).indexOf("baseId");
    const parts = { before: first?.slice(0, at), baseId: first?.[at], after: first?.slice(at + 1), others };
    return { ...parts, ...pairsOf(bases), count: bases.length };
  }

  async function insertGuarded(statement: GuardedInsert, rows: readonly Row[], bases: readonly Base[]) {
    try {
      await statement.execute(guardedParameters(rows, bases));
      return true;
    } catch (error) {
      if (isForeignKeyFault(error)) return false;
      throw error;
    }
  }

  /**
   * How many of these are there, now and until the transaction is over. Reached by the primary key whatever the servers
   * think of it: what is only looked at would be locked too. As a derived table, since an insert may not read its own.
   */
  function countOf(ids: SQLWrapper, pairs: SQLWrapper, lock: SQL): SQL {
    return sql`select there from (select count(*) as there from ${table} force index (primary)
      where ${table.id} in (${ids}) and (${table.id}, ${table.digest}) in (${pairs}) ${lock}) as guard`;
  }

  function pairsOf(bases: readonly Base[]) {
    const pairs = bases.map(({ id, digest }) => [table.id.mapToDriverValue(id), table.digest.mapToDriverValue(digest)]);
    return { ids: pairs.map(([id]) => id), pairs };
  }

  async function areThere(runner: Runner, bases: readonly Base[], lock: SQL): Promise<boolean> {
    for (const part of partsOf(bases)) {
      const { ids, pairs } = pairsOf(part);
      const [rows] = await runner.execute(countOf(sql.param(ids), sql.param(pairs), lock));
      const [first] = rows as unknown as { there: number | string }[];
      if (Number(first?.there) !== part.length) return false;
    }
    return true;
  }

  async function commitAll(runner: Runner, change: Change): Promise<void> {
    const { bases = [], insert = [], rewrite = [], remove = [] } = change;
    const [first] = insert;
    // With the first row, which saves a round trip.
    const withFirst = first !== undefined && bases.length > 0 && bases.length <= MAX_VALUES;
    // What is to be written is locked for that at once: two who share a lock, and then both want to write, are a deadlock.
    const lock = rewrite.length > 0 ? FOR_UPDATE : IN_SHARE_MODE;
    if (!withFirst && !(await areThere(runner, bases, lock))) throw new GuardMissed();
    for (const row of insert) {
      if (row !== first || !withFirst) await runner.insert(table).values(row);
      else if (!(await insertGuarded(insertGuardedOn(runner), [row], bases))) throw new GuardMissed();
      if (row.afterId !== null && (await latestBeside(runner, row)) !== row.afterId) throw new GuardMissed();
    }
    for (const { id, fromBaseId, ...change } of rewrite) {
      const base = fromBaseId === null ? isNull(table.baseId) : eq(table.baseId, fromBaseId);
      // mysql2 asks the server to count the rows that match, changed or not.
      const [{ affectedRows }] = await runner
        .update(table)
        .set(change)
        .where(and(eq(table.id, id), base));
      if (affectedRows !== 1) throw new GuardMissed();
    }
    for (const ids of partsOf(remove)) await removeRows(runner, ids);
  }

  /** Foreign keys are checked row by row, so dependents go first. */
  async function removeRows(runner: Runner, ids: readonly string[]): Promise<void> {
    await runner
      .delete(table)
      .where(inArray(table.id, [...ids]))
      .orderBy(desc(table.id));
  }

  /**
   * Asked after the insert: the unique index on `after_id` has let in one writer, and what another stored and somebody
   * pruned meanwhile has left a newer row behind.
   */
  async function latestBeside(runner: Runner, { id, agentId, namespace }: Row): Promise<string> {
    const newest = await select(runner, { agentId, namespace, limit: 2 });
    return newest.find((other) => other.id !== id)?.id ?? nilId;
  }

  async function readChain(id: string): Promise<Row[]> {
    return await chainOf.execute({ id });
  }

  function selectChain() {
    const chain = sql`(with recursive chain (id, base_id, depth) as (
      select ${table.id}, ${table.baseId}, 0 from ${table} where ${is(table.id, sql.placeholder("id"))}
      union all
      select ${table.id}, ${table.baseId}, chain.depth + 1 from chain join ${table} on ${table.id} = chain.base_id
    ) select id, depth from chain) as chain`;
    return db.select(columns).from(table).innerJoin(chain, sql`chain.id = ${table.id}`).orderBy(sql`chain.depth`);
  }

  async function list(query: RowQuery): Promise<RowHead[]> {
    const { metadataLines = [], ...members } = query;
    if (metadataLines.length > 0) return await select(db, query);
    // One for each set of members.
    const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : name));
    const key = given.sort().join(" ");
    let known = lists.get(key);
    if (known === undefined) {
      const asked = Object.fromEntries(given.map((name) => [name, sql.placeholder(name)]));
      known = select(db, asked as unknown as Asked).prepare();
      lists.set(key, known);
    }
    return await known.execute(members);
  }

  function select(runner: Runner, query: Asked) {
    const from = runner.select(head).from(table, { forceIndex: indexFor(query) });
    return from
      .where(and(...conditions(query)))
      .orderBy(desc(table.id))
      .limit(query.limit);
  }

  /**
   * The index in whose order an agent's rows are read. Left to themselves, MySQL may walk the primary key and filter, and
   * MariaDB intersect two indexes and sort, or start at the agent's newest row for a page far from it.
   */
  function indexFor({ agentId, namespace }: Asked): string[] {
    if (agentId === undefined) return [];
    return [namespace === undefined ? byAgent : byNamespace];
  }

  function conditions(query: Asked): SQL[] {
    const { id, agentId, namespace, name, parentId, metadataLines = [], before, since } = query;
    const all: SQL[] = metadataLines.map((line) => sql`locate(${Buffer.from(line)}, ${table.metadata}) > 0`);
    if (id !== undefined) all.push(is(table.id, id));
    if (agentId !== undefined) all.push(is(table.agentId, agentId));
    if (namespace !== undefined) all.push(is(table.namespace, namespace));
    if (name !== undefined) all.push(is(table.name, name));
    if (parentId !== undefined) all.push(is(table.parentId, parentId));
    if (before !== undefined) all.push(sql`${table.id} < ${sql.param(before, table.id)}`);
    if (since !== undefined) all.push(sql`${table.id} > ${sql.param(since, table.id)}`);
    return all;
  }

  async function dependents(ids: readonly string[]): Promise<RowHead[]> {
    const rows: RowHead[] = [];
    for (const part of partsOf(ids)) {
      // Of hundreds of ids MySQL asks the statistics, in which all rows without a base count as those of one.
      const from = db.select(head).from(table, { forceIndex: byBase });
      rows.push(...(await from.where(inArray(table.baseId, part))));
    }
    return rows.sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /** By a loose index scan, which both servers do for a grouping: one step per agent, however many rows each has. */
  async function agents(after: string | null, limit: number): Promise<string[]> {
    const from = db.select({ id: table.agentId }).from(table, { forceIndex: byAgent });
    const rows = await from
      .where(gt(table.agentId, after ?? ""))
      .groupBy(table.agentId)
      .orderBy(table.agentId)
      .limit(limit);
    return rows.map(({ id }) => id);
  }

  async function stats(agentId: string | null): Promise<RowStats> {
    const where = agentId === null ? undefined : eq(table.agentId, agentId);
    // From whole rows to what builds on them. By itself MariaDB would read all whole rows for the few of an agent.
    const index = (name: string) => sql`force index (${sql.identifier(name)})`;
    const chain = sql`(with recursive chain (base, length) as (
      select ${table.id}, 1 from ${table} ${index(agentId === null ? byBase : byAgent)}
      where ${and(isNull(table.baseId), where)}
      union all
      select ${table.id}, chain.length + 1
      from chain straight_join ${table} ${index(byBase)} on ${table.baseId} = chain.base
    ) select coalesce(max(length), 0) from chain)`;
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(length(${table.state})), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${table.stateBytes}), 0)`.mapWith(Number),
      longestChain: chain.mapWith(Number),
    };
    const [result] = await db.select(counts).from(table).where(where);
    return result as RowStats;
  }

  async function ping(): Promise<void> {
    await db.execute(sql`select 1`);
  }

  return { commit, readChain, list, dependents, agents, stats, ping };
}

function is(column: AnyMySqlColumn, value: string | Placeholder): SQL {
  return sql`${column} = ${sql.param(value, column)}`;
}

function partsOf<Item>(all: readonly Item[]): Item[][] {
  const count = Math.ceil(all.length / MAX_VALUES);
  return Array.from({ length: count }, (_, at) => all.slice(at * MAX_VALUES, (at + 1) * MAX_VALUES));
}
