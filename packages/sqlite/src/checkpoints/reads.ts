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
import { and, desc, eq, getTableColumns, isNull, type SQL, sql } from "drizzle-orm";
import type { DrizzleDatabase } from "../handle.ts";
import { equals, inRange, isNoTombstone, type QueryTerms, storedBytesOf } from "./expressions.ts";
import type { Tables } from "./schema.ts";

interface PreparedList {
  all(query: Record<string, unknown>): RowHead[];
}

/** Reading statements. Synchronous, as the driver is. */
export class CheckpointReads {
  readonly #db: DrizzleDatabase;
  readonly #tables: Tables;
  readonly #columns;
  readonly #head;
  // Built once: building their text takes longer than running them.
  readonly #chain;
  readonly #rows;
  readonly #writes;
  readonly #key;
  readonly #keysOfTasks;
  readonly #writtenSince;
  /** One statement for each set of query members. */
  readonly #lists = new Map<string, PreparedList>();

  constructor(db: DrizzleDatabase, tables: Tables) {
    const { checkpoints, writes } = tables;
    const { state: _, afterId: __, ...head } = getTableColumns(checkpoints);
    this.#db = db;
    this.#tables = tables;
    this.#columns = getTableColumns(checkpoints);
    this.#head = head;
    this.#chain = this.#selectChain().prepare();
    this.#rows = db.select(this.#columns).from(checkpoints).where(sql`${checkpoints.id} in ${joinedIds()}`).prepare();
    this.#writes = db.select().from(writes).where(sql`${writes.checkpointId} in ${joinedIds()}`).prepare();
    const { checkpointId, taskId, index, rank } = writes;
    this.#key = { checkpointId, taskId, index, rank };
    this.#keysOfTasks = db
      .select(this.#key)
      .from(writes)
      .where(
        and(
          equals(checkpointId, sql.placeholder("id")),
          sql`${taskId} in (select value from json_each(${sql.placeholder("taskIds")}) as wanted)`,
        ),
      )
      .prepare();
    const [above, below] = ["above", "below"].map((name) => sql.param(sql.placeholder(name), rank));
    this.#writtenSince = db
      .select({ checkpointId })
      .from(writes)
      .where(
        sql`${checkpointId} in ${joinedIds()}
          and ((${index} < 0 and ${rank} > ${above}) or (${index} >= 0 and ${rank} < ${below}))`,
      )
      .limit(1)
      .prepare();
  }

  readChain(id: string): Row[] {
    return this.#chain.values({ id }).map((values) => this.#toRow(values));
  }

  #selectChain() {
    const { checkpoints } = this.#tables;
    const { id, baseId } = checkpoints;
    const chain = sql`(with recursive chain (id, base_id, depth) as (
      select ${id}, ${baseId}, 0 from ${checkpoints} where ${equals(id, sql.placeholder("id"))}
      union all
      select ${id}, ${baseId}, chain.depth + 1 from chain join ${checkpoints} on ${id} = chain.base_id
    ) select id, depth from chain) as chain`;
    // CROSS JOIN keeps SQLite from reading the whole table and looking each row up in the chain.
    return this.#db
      .select(this.#columns)
      .from(chain)
      .crossJoin(checkpoints)
      .where(sql`chain.id = ${id}`)
      .orderBy(sql`chain.depth`);
  }

  /** Maps a row as Drizzle does. Drizzle itself takes longer than the read: it checks each value for joins. */
  #toRow(values: unknown[]): Row {
    const row: Record<string, unknown> = {};
    Object.entries(this.#columns).forEach(([name, column], at) => {
      const value = values[at];
      row[name] = value === null ? null : column.mapFromDriverValue(value);
    });
    return row as unknown as Row;
  }

  readRows(ids: readonly string[]): Row[] {
    return this.#rows.values({ ids: joinIds(ids) }).map((values) => this.#toRow(values));
  }

  readTaskWrites(ids: readonly string[]): TaskWriteRow[] {
    return this.#writes.all({ ids: joinIds(ids) });
  }

  taskWriteKeys(range: IdRange): TaskWriteKey[] {
    const { writes } = this.#tables;
    return this.#db.select(this.#key).from(writes).where(inRange(writes.checkpointId, range)).all();
  }

  writeKeysOfTasks(id: string, taskIds: readonly string[]): TaskWriteKey[] {
    return this.#keysOfTasks.all({ id, taskIds: JSON.stringify(taskIds) });
  }

  areWrittenSince(ids: readonly string[], since: string): boolean {
    const ranks = { above: rankOf(since, -1), below: rankOf(since, 0) };
    return this.#writtenSince.get({ ids: joinIds(ids), ...ranks }) !== undefined;
  }

  list(query: RowQuery): RowHead[] {
    const { labels = [], ...members } = query;
    if (labels.length > 0) return this.#select(query).all();
    const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : name));
    const key = given.sort().join(" ");
    let prepared = this.#lists.get(key);
    if (prepared === undefined) {
      const terms = Object.fromEntries(given.map((name) => [name, sql.placeholder(name)]));
      prepared = this.#select(terms as unknown as QueryTerms).prepare() as PreparedList;
      this.#lists.set(key, prepared);
    }
    return prepared.all(members);
  }

  #select(query: QueryTerms) {
    const { checkpoints } = this.#tables;
    return this.#db
      .select(this.#head)
      .from(checkpoints)
      .where(and(...this.#conditions(query)))
      .orderBy(desc(checkpoints.id))
      .limit(query.limit);
  }

  #conditions({ id, agentId, namespace, name, parentId, labels = [], before, since }: QueryTerms): SQL[] {
    const { checkpoints } = this.#tables;
    const all: SQL[] = labels.map((label) => sql`instr(${checkpoints.metadata}, ${label}) > 0`);
    if (id !== undefined) all.push(equals(checkpoints.id, id));
    if (agentId !== undefined) all.push(equals(checkpoints.agentId, agentId));
    if (namespace !== undefined) all.push(equals(checkpoints.namespace, namespace));
    if (name !== undefined) all.push(equals(checkpoints.name, name));
    if (parentId !== undefined) all.push(equals(checkpoints.parentId, parentId));
    if (id === undefined && agentId === undefined) all.push(isNoTombstone(checkpoints));
    if (before !== undefined) all.push(sql`${checkpoints.id} < ${sql.param(before, checkpoints.id)}`);
    if (since !== undefined) all.push(sql`${checkpoints.id} > ${sql.param(since, checkpoints.id)}`);
    return all;
  }

  dependents(ids: readonly string[]): RowHead[] {
    const { checkpoints } = this.#tables;
    const rows = ids.flatMap((id) =>
      this.#db.select(this.#head).from(checkpoints).where(eq(checkpoints.baseId, id)).all(),
    );
    return rows.sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /** A loose index scan: one step of the index per agent, however many rows each has. It begins above the tombstones. */
  agents(after: string | null, limit: number): string[] {
    const { checkpoints } = this.#tables;
    const { agentId } = checkpoints;
    const next = (above: SQL) => sql`(select min(${agentId}) from ${checkpoints} where ${agentId} > ${above})`;
    const rows = this.#db.all<{ id: string }>(sql`with recursive agent (id, position) as (
      select ${next(sql`${after ?? NO_AGENT}`)}, 1
      union all
      select ${next(sql`agent.id`)}, position + 1 from agent where agent.id is not null and position < ${limit}
    ) select id from agent where id is not null order by position`);
    return rows.map(({ id }) => id);
  }

  stats(agentId: string | null): RowStats {
    const { checkpoints } = this.#tables;
    const where = agentId === null ? isNoTombstone(checkpoints) : eq(checkpoints.agentId, agentId);
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytesOf(checkpoints)}), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${checkpoints.stateBytes}), 0)`.mapWith(Number),
      longestChain: this.#longestChain(where).mapWith(Number),
    };
    return this.#db.select(counts).from(checkpoints).where(where).get() as RowStats;
  }

  /**
   * From full rows to the rows that build on them, by the index of bases. CROSS JOIN, or SQLite may read the whole table for
   * each length.
   */
  #longestChain(where: SQL): SQL {
    const { checkpoints } = this.#tables;
    const { id, baseId } = checkpoints;
    return sql`(with recursive chain (base, length) as (
      select ${id}, 1 from ${checkpoints} where ${and(isNull(baseId), where)}
      union all
      select ${id}, chain.length + 1 from chain cross join ${checkpoints} on ${baseId} = chain.base
    ) select coalesce(max(length), 0) from chain)`;
  }
}

/** The ids of 16 bytes that {@link joinIds} has joined to one value: so the text is the same for any number of them. */
function joinedIds(): SQL {
  const ids = sql.placeholder("ids");
  return sql`(with recursive wanted (id, behind) as (
    select substr(${ids}, 1, 16), 17
    union all
    select substr(${ids}, behind, 16), behind + 16 from wanted where behind <= length(${ids})
  ) select id from wanted)`;
}

function joinIds(ids: readonly string[]): Buffer {
  return Buffer.from(ids.join("").replaceAll("-", ""), "hex");
}
