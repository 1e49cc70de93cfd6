import {
  type IdRange,
  NO_AGENT,
  type Row,
  type RowHead,
  type RowQuery,
  type RowStats,
  rankOf,
  type TaskWriteKey,
  type TaskWriteRow,
} from "@waymark/core/kit";
import {
  and,
  desc,
  eq,
  getTableColumns,
  gt,
  gte,
  isNull,
  lt,
  ne,
  or,
  type Placeholder,
  type SQL,
  sql,
} from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { inRange, isOneOf, type QueryTerms, type Runner, storedBytesOf, textArray, uuidArray } from "./expressions.ts";
import type { Tables } from "./schema.ts";

interface PreparedList {
  execute(query: Record<string, unknown>): Promise<RowHead[]>;
}

/** A column and the value that it is compared with. */
type Comparison = readonly [column: AnyPgColumn, value: string | Placeholder];

/** Reading statements. */
export class CheckpointReads {
  readonly #db: PostgresJsDatabase;
  readonly #tables: Tables;
  readonly #head;
  // Built once: building their text takes longer than running them.
  readonly #chain;
  readonly #rows;
  readonly #writes;
  readonly #key;
  readonly #keysOfTasks;
  /** One statement for each set of query members. */
  readonly #lists = new Map<string, PreparedList>();

  constructor(db: PostgresJsDatabase, tables: Tables) {
    const { checkpoints, writes } = tables;
    const { state: _, afterId: __, ...head } = getTableColumns(checkpoints);
    const ids = sql.placeholder("ids");
    this.#db = db;
    this.#tables = tables;
    this.#head = head;
    this.#chain = this.#selectChain().prepare("read_chain");
    this.#rows = db
      .select(getTableColumns(checkpoints))
      .from(checkpoints)
      .where(isOneOf(checkpoints.id, ids))
      .prepare("read_rows");
    this.#writes = db.select().from(writes).where(isOneOf(writes.checkpointId, ids)).prepare("read_writes");
    const { checkpointId, taskId, index, rank } = writes;
    this.#key = { checkpointId, taskId, index, rank };
    this.#keysOfTasks = db
      .select(this.#key)
      .from(writes)
      .where(and(eq(checkpointId, sql.placeholder("id")), isOneOf(taskId, sql.placeholder("taskIds"), "text")))
      .prepare("write_keys_of_tasks");
  }

  async readChain(id: string): Promise<Row[]> {
    return await this.#chain.execute({ id });
  }

  #selectChain() {
    const { checkpoints } = this.#tables;
    const { id, baseId } = checkpoints;
    const chain = sql`(with recursive chain (id, base_id, depth) as (
      select ${id}, ${baseId}, 0 from ${checkpoints} where ${id} = ${sql.placeholder("id")}
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
    return ids.length === 0 ? [] : await this.#rows.execute({ ids: uuidArray(ids) });
  }

  async readTaskWrites(ids: readonly string[]): Promise<TaskWriteRow[]> {
    return ids.length === 0 ? [] : await this.#writes.execute({ ids: uuidArray(ids) });
  }

  async taskWriteKeys(range: IdRange): Promise<TaskWriteKey[]> {
    const { writes } = this.#tables;
    return await this.#db
      .select(this.#key)
      .from(writes)
      .where(and(...inRange(writes.checkpointId, range)));
  }

  async writeKeysOfTasks(id: string, taskIds: readonly string[]): Promise<TaskWriteKey[]> {
    return await this.#keysOfTasks.execute({ id, taskIds: textArray(taskIds) });
  }

  async areWrittenSince(ids: readonly string[], since: string): Promise<boolean> {
    return await this.areWrittenSinceOn(this.#db, ids, since);
  }

  /** Asks within a transaction. */
  async areWrittenSinceOn(runner: Runner, ids: readonly string[], since: string): Promise<boolean> {
    const { checkpointId, index, rank } = this.#tables.writes;
    const isLater = or(and(lt(index, 0), gt(rank, rankOf(since, -1))), and(gte(index, 0), lt(rank, rankOf(since, 0))));
    const found = await runner
      .select({ checkpointId })
      .from(this.#tables.writes)
      .where(and(isOneOf(checkpointId, ids), isLater))
      .limit(1);
    return found.length > 0;
  }

  async list(query: RowQuery): Promise<RowHead[]> {
    const { labels = [], ...members } = query;
    if (labels.length > 0) return await this.#select(this.#db, query);
    const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : name));
    const key = given.sort().join(" ");
    let prepared = this.#lists.get(key);
    if (prepared === undefined) {
      const terms = Object.fromEntries(given.map((name) => [name, sql.placeholder(name)]));
      prepared = this.#select(this.#db, terms as unknown as QueryTerms).prepare("list");
      this.#lists.set(key, prepared);
    }
    return await prepared.execute(members);
  }

  /** Lists within a transaction. */
  async listOn(runner: Runner, query: RowQuery): Promise<RowHead[]> {
    return await this.#select(runner, query);
  }

  /**
   * Selects an agent's rows as a range of (agent, id), or (agent, namespace, id), ordered by all of it, which one index serves.
   * With `agent_id = …`, ordered by id, PostgreSQL may walk the primary key instead and filter: through the whole table, if the
   * agent's rows are old.
   */
  #select(runner: Runner, query: QueryTerms) {
    const { checkpoints } = this.#tables;
    const { agentId, namespace, before, since, limit } = query;
    const prefix: Comparison[] = [];
    if (agentId !== undefined) prefix.push([checkpoints.agentId, agentId]);
    if (namespace !== undefined) prefix.push([checkpoints.namespace, namespace]);
    const range: SQL[] = [];
    if (since !== undefined) range.push(compare(">", [...prefix, [checkpoints.id, since]]));
    else if (prefix.length > 0) range.push(compare(">=", prefix));
    if (before !== undefined) range.push(compare("<", [...prefix, [checkpoints.id, before]]));
    else if (prefix.length > 0) range.push(compare("<=", prefix));
    const order = [...prefix.map(([column]) => column), checkpoints.id].map((column) => desc(column));
    return runner
      .select(this.#head)
      .from(checkpoints)
      .where(and(...range, ...this.#filters(query)))
      .orderBy(...order)
      .limit(limit);
  }

  #filters({ id, agentId, name, parentId, labels = [] }: QueryTerms): SQL[] {
    const { checkpoints } = this.#tables;
    const all: SQL[] = labels.map((label) => sql`strpos(${checkpoints.metadata}, ${label}) > 0`);
    if (id !== undefined) all.push(eq(checkpoints.id, id));
    if (id === undefined && agentId === undefined) all.push(ne(checkpoints.agentId, NO_AGENT));
    if (name !== undefined) all.push(eq(checkpoints.name, name));
    if (parentId !== undefined) all.push(eq(checkpoints.parentId, parentId));
    return all;
  }

  async dependents(ids: readonly string[]): Promise<RowHead[]> {
    const { checkpoints } = this.#tables;
    return await this.#db
      .select(this.#head)
      .from(checkpoints)
      .where(isOneOf(checkpoints.baseId, ids))
      .orderBy(desc(checkpoints.id));
  }

  /** A loose index scan: one step of the index per agent, however many rows each has. It begins above the tombstones. */
  async agents(after: string | null, limit: number): Promise<string[]> {
    const { checkpoints } = this.#tables;
    const { agentId } = checkpoints;
    const next = (above: SQL) => sql`(select min(${agentId}) from ${checkpoints} where ${agentId} > ${above})`;
    const rows = await this.#db.execute<{ id: string }>(sql`with recursive agent (id, position) as (
      select ${next(sql`${after ?? NO_AGENT}`)}, 1
      union all
      select ${next(sql`agent.id`)}, position + 1 from agent where agent.id is not null and position < ${limit}
    ) select id from agent where id is not null order by position`);
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
    const [result] = await this.#db.select(counts).from(checkpoints).where(where);
    const { rows, longestChain, ...bytes } = result as RowStats;
    return { rows, longestChain: Math.min(longestChain, rows), ...bytes };
  }

  /**
   * From full rows to the rows that build on them. OFFSET 0 keeps PostgreSQL to the index of bases: it would rather join the
   * whole table for each length.
   */
  #longestChain(where: SQL | undefined): SQL {
    const { checkpoints } = this.#tables;
    const { id, baseId } = checkpoints;
    return sql`(with recursive chain (base, length) as (
      select ${id}, 1 from ${checkpoints} where ${and(isNull(baseId), where)}
      union all
      select dependent.id, chain.length + 1 from chain cross join lateral (
        select ${id} from ${checkpoints} where ${baseId} = chain.base offset 0
      ) as dependent
    ) select coalesce(max(length), 0) from chain)`;
  }
}

/** Compares several columns at once, as one row. */
function compare(operator: ">" | ">=" | "<" | "<=", comparisons: readonly Comparison[]): SQL {
  const columns = sql.join(
    comparisons.map(([column]) => sql`${column}`),
    sql`, `,
  );
  const values = sql.join(
    comparisons.map(([, value]) => sql`${value}`),
    sql`, `,
  );
  return sql`(${columns}) ${sql.raw(operator)} (${values})`;
}
