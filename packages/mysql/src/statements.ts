import type { Change, Rewrite, Row, RowHead, RowQuery, RowStats } from "@waymark/core/dialect-kit";
import { and, desc, eq, getTableColumns, getTableName, gt, inArray, isNull, lt, type SQL, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import type { CheckpointsTable } from "./schema.ts";

/** Ends a transaction whose guard missed. */
class GuardMissed extends Error {}

/** What runs statements: the pool, or a transaction on one of its connections. */
type Runner = Pick<MySql2Database, "select" | "insert" | "update" | "delete">;

/** The statements of one database and table. */
export function createStatements(db: MySql2Database, table: CheckpointsTable, nilId: string) {
  const { state: _, afterId: __, pending: ___, ...head } = getTableColumns(table);
  const columns = getTableColumns(table);
  const byAgent = `${getTableName(table)}_by_agent`;
  const byNamespace = `${getTableName(table)}_by_namespace`;

  async function commit(change: Change): Promise<boolean> {
    const { insert = [], rewrite = [], remove = [] } = change;
    // One statement is all or nothing by itself, and saves two round trips.
    if (rewrite.length + remove.length === 0 && insert.every((row) => row.afterId === null)) {
      if (insert.length > 0) await db.insert(table).values([...insert]);
      return true;
    }
    if (insert.length + rewrite.length === 0) {
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
    if (remove.length > 0) await removeRows(runner, remove);
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
    return await db
      .select(head)
      .from(table)
      .where(inArray(table.baseId, [...ids]))
      .orderBy(desc(table.id));
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
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(length(${table.state})), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${table.stateBytes}), 0)`.mapWith(Number),
    };
    const where = agentId === null ? undefined : eq(table.agentId, agentId);
    const [result] = await db.select(counts).from(table).where(where);
    return result as RowStats;
  }

  async function ping(): Promise<void> {
    await db.execute(sql`select 1`);
  }

  return { commit, readChain, list, dependents, agents, stats, ping };
}
