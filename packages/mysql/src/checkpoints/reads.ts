import {
  type IdRange,
  NO_AGENT,
  type Row,
  type RowHead,
  type RowQuery,
  type RowStats,
  rankOf,
  slices,
  type TaskWriteKey,
  type TaskWriteRow,
} from "@waymark/core/kit";
import { and, desc, eq, getTableColumns, gt, gte, inArray, isNull, lt, ne, or, type SQL, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import { equals, indexesOf, inRange, MAX_VALUES, type QueryTerms, type Runner, storedBytesOf } from "./expressions.ts";
import type { Tables } from "./schema.ts";

interface PreparedList {
  execute(query: Record<string, unknown>): Promise<RowHead[]>;
}

/** Reading statements. */
export class CheckpointReads {
  readonly #db: MySql2Database;
  readonly #tables: Tables;
  readonly #indexes;
  readonly #head;
  readonly #key;
  /** Built once: building its text takes longer than running it. */
  readonly #chain;
  /** One statement for each set of query members. */
  readonly #lists = new Map<string, PreparedList>();

  constructor(db: MySql2Database, tables: Tables) {
    const { state: _, afterId: __, ...head } = getTableColumns(tables.checkpoints);
    this.#db = db;
    this.#tables = tables;
    this.#indexes = indexesOf(tables.checkpoints);
    this.#head = head;
    const { checkpointId, taskId, index, rank } = tables.writes;
    this.#key = { checkpointId, taskId, index, rank };
    this.#chain = this.#selectChain().prepare();
  }

  async readChain(id: string): Promise<Row[]> {
    return await this.#chain.execute({ id });
  }

  #selectChain() {
    const { checkpoints } = this.#tables;
    const { id, baseId } = checkpoints;
    const chain = sql`(with recursive chain (id, base_id, depth) as (
      select ${id}, ${baseId}, 0 from ${checkpoints} where ${equals(id, sql.placeholder("id"))}
      union all
      select ${id}, ${baseId}, chain.depth + 1 from chain join ${checkpoints} on ${id} = chain.base_id
    ) select id, depth from chain) as chain`;
    return this.#db
      .select(getTableColumns(checkpoints))
      .from(checkpoints)
      .innerJoin(chain, sql`chain.id = ${id}`)
      .orderBy(sql`chain.depth`);
  }

  async readRows(ids: readonly string[]): Promise<Row[]> {
    const { checkpoints } = this.#tables;
    const columns = getTableColumns(checkpoints);
    const rows: Row[] = [];
    for (const slice of slices(ids, MAX_VALUES)) {
      rows.push(...(await this.#db.select(columns).from(checkpoints).where(inArray(checkpoints.id, slice))));
    }
    return rows;
  }

  async readTaskWrites(ids: readonly string[]): Promise<TaskWriteRow[]> {
    const { writes } = this.#tables;
    const rows: TaskWriteRow[] = [];
    for (const slice of slices(ids, MAX_VALUES)) {
      rows.push(...(await this.#db.select().from(writes).where(inArray(writes.checkpointId, slice))));
    }
    return rows;
  }

  async taskWriteKeys(range: IdRange): Promise<TaskWriteKey[]> {
    const { writes } = this.#tables;
    return await this.#db
      .select(this.#key)
      .from(writes)
      .where(and(...inRange(writes.checkpointId, range)));
  }

  async writeKeysOfTasks(id: string, taskIds: readonly string[]): Promise<TaskWriteKey[]> {
    const { writes } = this.#tables;
    const keys: TaskWriteKey[] = [];
    for (const slice of slices(taskIds, MAX_VALUES)) {
      const ofTasks = and(eq(writes.checkpointId, id), inArray(writes.taskId, slice));
      keys.push(...(await this.#db.select(this.#key).from(writes).where(ofTasks)));
    }
    return keys;
  }

  async areWrittenSince(ids: readonly string[], since: string): Promise<boolean> {
    return await this.areWrittenSinceOn(this.#db, ids, since);
  }

  /** Asks within a transaction. */
  async areWrittenSinceOn(runner: Runner, ids: readonly string[], since: string): Promise<boolean> {
    const { writes } = this.#tables;
    const { checkpointId, index, rank } = writes;
    const isLater = or(and(lt(index, 0), gt(rank, rankOf(since, -1))), and(gte(index, 0), lt(rank, rankOf(since, 0))));
    for (const slice of slices(ids, MAX_VALUES)) {
      const ofRows = and(inArray(checkpointId, slice), isLater);
      if ((await runner.select({ checkpointId }).from(writes).where(ofRows).limit(1)).length > 0) return true;
    }
    return false;
  }

  async list(query: RowQuery): Promise<RowHead[]> {
    const { labels = [], ...members } = query;
    if (labels.length > 0) return await this.#select(this.#db, query);
    const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : name));
    const key = given.sort().join(" ");
    let prepared = this.#lists.get(key);
    if (prepared === undefined) {
      const terms = Object.fromEntries(given.map((name) => [name, sql.placeholder(name)]));
      prepared = this.#select(this.#db, terms as unknown as QueryTerms).prepare();
      this.#lists.set(key, prepared);
    }
    return await prepared.execute(members);
  }

  /** Lists within a transaction. */
  async listOn(runner: Runner, query: RowQuery): Promise<RowHead[]> {
    return await this.#select(runner, query);
  }

  #select(runner: Runner, query: QueryTerms) {
    const { checkpoints } = this.#tables;
    return runner
      .select(this.#head)
      .from(checkpoints, { forceIndex: this.#indexFor(query) })
      .where(and(...this.#conditions(query)))
      .orderBy(desc(checkpoints.id))
      .limit(query.limit);
  }

  /**
   * Names the index in whose order the rows are read. By themselves, MySQL may walk the primary key and filter, and MariaDB
   * may intersect two indexes and sort, or start at an agent's newest row for a page far from it. For rows of all agents they
   * may sort what an index says of all but the tombstones.
   */
  #indexFor({ id, agentId, namespace }: QueryTerms): string[] {
    const { primary, byAgent, byNamespace } = this.#indexes;
    if (agentId === undefined) return id === undefined ? [primary] : [];
    return [namespace === undefined ? byAgent : byNamespace];
  }

  #conditions({ id, agentId, namespace, name, parentId, labels = [], before, since }: QueryTerms): SQL[] {
    const { checkpoints } = this.#tables;
    const all: SQL[] = labels.map((label) => sql`locate(${Buffer.from(label)}, ${checkpoints.metadata}) > 0`);
    if (id !== undefined) all.push(equals(checkpoints.id, id));
    if (id === undefined && agentId === undefined) all.push(ne(checkpoints.agentId, NO_AGENT));
    if (agentId !== undefined) all.push(equals(checkpoints.agentId, agentId));
    if (namespace !== undefined) all.push(equals(checkpoints.namespace, namespace));
    if (name !== undefined) all.push(equals(checkpoints.name, name));
    if (parentId !== undefined) all.push(equals(checkpoints.parentId, parentId));
    if (before !== undefined) all.push(sql`${checkpoints.id} < ${sql.param(before, checkpoints.id)}`);
    if (since !== undefined) all.push(sql`${checkpoints.id} > ${sql.param(since, checkpoints.id)}`);
    return all;
  }

  async dependents(ids: readonly string[]): Promise<RowHead[]> {
    const { checkpoints } = this.#tables;
    const rows: RowHead[] = [];
    for (const slice of slices(ids, MAX_VALUES)) {
      // For hundreds of ids MySQL goes by its statistics, in which all rows without a base count as those of one base.
      const from = this.#db.select(this.#head).from(checkpoints, { forceIndex: this.#indexes.byBase });
      rows.push(...(await from.where(inArray(checkpoints.baseId, slice))));
    }
    return rows.sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /** A loose index scan, which both servers do for a grouping: one step of the index per agent, however many rows each has. */
  async agents(after: string | null, limit: number): Promise<string[]> {
    const { checkpoints } = this.#tables;
    const { agentId } = checkpoints;
    const rows = await this.#db
      .select({ id: agentId })
      .from(checkpoints, { forceIndex: this.#indexes.byAgent })
      .where(gt(agentId, after ?? NO_AGENT))
      .groupBy(agentId)
      .orderBy(agentId)
      .limit(limit);
    return rows.map(({ id }) => id);
  }

  async stats(agentId: string | null): Promise<RowStats> {
    const { checkpoints } = this.#tables;
    const where = agentId === null ? ne(checkpoints.agentId, NO_AGENT) : eq(checkpoints.agentId, agentId);
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytesOf(checkpoints)}), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${checkpoints.stateBytes}), 0)`.mapWith(Number),
      // Of all agents the tombstones count too: each is a chain of one, and no row builds on it.
      longestChain: this.#longestChain(agentId === null ? undefined : where).mapWith(Number),
    };
    const forceIndex = agentId === null ? [this.#indexes.primary] : [];
    const [result] = await this.#db.select(counts).from(checkpoints, { forceIndex }).where(where);
    const { rows, longestChain, ...bytes } = result as RowStats;
    return { rows, longestChain: Math.min(longestChain, rows), ...bytes };
  }

  /** From full rows to the rows that build on them. By itself MariaDB would read all full rows for the few of an agent. */
  #longestChain(where: SQL | undefined): SQL {
    const { checkpoints } = this.#tables;
    const { id, baseId } = checkpoints;
    const { byAgent, byBase } = this.#indexes;
    const force = (index: string) => sql`force index (${sql.identifier(index)})`;
    return sql`(with recursive chain (base, length) as (
      select ${id}, 1 from ${checkpoints} ${force(where === undefined ? byBase : byAgent)}
      where ${and(isNull(baseId), where)}
      union all
      select ${id}, chain.length + 1
      from chain straight_join ${checkpoints} ${force(byBase)} on ${baseId} = chain.base
    ) select coalesce(max(length), 0) from chain)`;
  }
}
