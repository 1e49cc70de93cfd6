import type { Change, Rewrite, Row, RowHead, RowQuery, RowStats } from "@waymark/core/dialect-kit";
import { and, desc, eq, getTableColumns, getTableName, gt, inArray, isNull, lt, type SQL, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import type { CheckpointsTable } from "./schema.ts";

/** Ends a transaction whose guard missed. */
class GuardMissed extends Error {}

/** From 1,000 values on MariaDB makes a table of them, and reads all of ours to join it. */
const MAX_VALUES = 999;

/** What runs statements: the pool, or a transaction on one of its connections. */
type Runner = Pick<MySql2Database, "select" | "insert" | "update" | "delete">;

/** The statements of one database and table. */
export function createStatements(db: MySql2Database, table: CheckpointsTable, nilId: string) {
  const { state: _, afterId: __, pending: ___, ...head } = getTableColumns(table);
  const columns = getTableColumns(table);
  // Built once: building its text takes longer than running it. mysql2 writes a list of lists as tuples.
  const insertMany = db
    .insert(table)
    .select(sql`values ${sql.placeholder("rows")}`)
    .prepare();
  const byAgent = `${getTableName(table)}_by_agent`;
  const byBase = `${getTableName(table)}_base`;
  const byNamespace = `${getTableName(table)}_by_namespace`;

  async function commit(change: Change): Promise<boolean> {
    const { insert = [], rewrite = [], remove = [] } = change;
    // One statement is all or nothing by itself, and saves two round trips.
    if (rewrite.length + remove.length === 0 && insert.every((row) => row.afterId === null)) {
      if (insert.length > 0) await insertMany.execute({ rows: insert.map(tupleOf) });
      return true;
    }
    if (insert.length + rewrite.length === 0 && remove.length <= MAX_VALUES) {
      await removeRows(db, remove);
      return true;
    }
    try {
      await db.transaction((transaction) => commitAll(transaction, insert, rewrite, remove));
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

  async function commitAll(
    runner: Runner,
    insert: readonly Row[],
    rewrite: readonly Rewrite[],
    remove: readonly string[],
  ): Promise<void> {
    for (const row of insert) {
      await runner.insert(table).values(row);
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
    const chain = sql`(with recursive chain (id, base_id, depth) as (
      select ${table.id}, ${table.baseId}, 0 from ${table} where ${eq(table.id, id)}
      union all
      select ${table.id}, ${table.baseId}, chain.depth + 1 from chain join ${table} on ${table.id} = chain.base_id
    ) select id, depth from chain) as chain`;
    return await db.select(columns).from(table).innerJoin(chain, sql`chain.id = ${table.id}`).orderBy(sql`chain.depth`);
  }

  async function list(query: RowQuery): Promise<RowHead[]> {
    return await select(db, query);
  }

  function select(runner: Runner, query: RowQuery) {
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
  function indexFor({ agentId, namespace }: RowQuery): string[] {
    if (agentId === undefined) return [];
    return [namespace === undefined ? byAgent : byNamespace];
  }

  function conditions(query: RowQuery): SQL[] {
    const { id, agentId, namespace, name, parentId, metadataLines = [], before, since } = query;
    const all: SQL[] = metadataLines.map((line) => sql`locate(${Buffer.from(line)}, ${table.metadata}) > 0`);
    if (id !== undefined) all.push(eq(table.id, id));
    if (agentId !== undefined) all.push(eq(table.agentId, agentId));
    if (namespace !== undefined) all.push(eq(table.namespace, namespace));
    if (name !== undefined) all.push(eq(table.name, name));
    if (parentId !== undefined) all.push(eq(table.parentId, parentId));
    if (before !== undefined) all.push(lt(table.id, before));
    if (since !== undefined) all.push(gt(table.id, since));
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

function partsOf(ids: readonly string[]): string[][] {
  const count = Math.ceil(ids.length / MAX_VALUES);
  return Array.from({ length: count }, (_, at) => ids.slice(at * MAX_VALUES, (at + 1) * MAX_VALUES));
}
