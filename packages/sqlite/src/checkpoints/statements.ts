import type {
  Base,
  Change,
  IdRange,
  PendingHead,
  Row,
  RowBacklog,
  RowHead,
  RowQuery,
  RowStats,
  WriteKey,
  WriteRow,
} from "@waymark/core/kit";
import {
  and,
  asc,
  desc,
  eq,
  getTableColumns,
  gt,
  isNotNull,
  isNull,
  lt,
  lte,
  type Placeholder,
  type SQL,
  sql,
} from "drizzle-orm";
import type { BetterSQLite3Database } from "drizzle-orm/better-sqlite3";
import type { AnySQLiteColumn, SQLiteInsertValue } from "drizzle-orm/sqlite-core";
import type { CheckpointsTable, WritesTable } from "./schema.ts";

/** Above every id: a UUID of version 15, which there is not. */
const LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/** Ends a transaction whose guard missed. */
class GuardMissed extends Error {}

/** A query's members, or what stands for them in a kept statement. */
type Asked = { readonly [Name in Exclude<keyof RowQuery, "limit" | "metadataLines">]?: string | Placeholder } & {
  readonly metadataLines?: readonly string[];
  readonly limit: number | Placeholder;
};

/** The statements of one database and its tables. Synchronous, as the driver is. */
export function createStatements(
  db: BetterSQLite3Database,
  table: CheckpointsTable,
  writes: WritesTable,
  nilId: string,
) {
  const { state: _, afterId: __, ...head } = getTableColumns(table);
  const columns = getTableColumns(table);
  // Built once: building their text costs more than running them.
  const insertOne = db
    .insert(table)
    .values(placeholders(columns) as SQLiteInsertValue<CheckpointsTable>)
    .prepare();
  const entries = Object.entries(columns);
  const row = entries.map(([name, column]) => sql`${sql.param(sql.placeholder(name), column)}`);
  const insertOneGuarded = db
    .insert(table)
    .select(sql`select ${sql.join(row, sql`, `)} from ${table} where ${isBase()}`)
    .prepare();
  const findBase = db.select({ id: table.id }).from(table).where(isBase()).prepare();
  const removeOne = db
    .delete(table)
    .where(is(table.id, sql.placeholder("id")))
    .prepare();
  const acknowledgeOne = db
    .update(table)
    .set({ pending: null })
    .where(
      and(
        is(table.id, sql.placeholder("id")),
        is(table.digest, sql.placeholder("digest")),
        is(table.pending, sql.placeholder("pending")),
      ),
    )
    .prepare();
  const leaseOne = db
    .update(table)
    .set({ pending: sql`${sql.placeholder("pending")}` })
    .where(and(is(table.id, sql.placeholder("id")), is(table.pending, sql.placeholder("fromPending"))))
    .prepare();
  const pendOne = db
    .update(table)
    .set({ pending: sql`max(coalesce(${table.pending} + 1, 0), ${sql.placeholder("pending")})` })
    .where(is(table.id, sql.placeholder("id")))
    .prepare();
  const findRow = db
    .select({ id: table.id })
    .from(table)
    .where(and(is(table.id, sql.placeholder("id")), noTombstone()))
    .prepare();
  const { checkpointId, taskId, index, ...written } = getTableColumns(writes);
  const appendOne = db
    .insert(writes)
    .values(placeholders(getTableColumns(writes)) as SQLiteInsertValue<WritesTable>)
    .onConflictDoUpdate({
      target: [checkpointId, taskId, index],
      set: Object.fromEntries(
        Object.entries(written).map(([name, column]) => [name, sql`excluded.${sql.identifier(column.name)}`]),
      ),
      setWhere: sql`excluded.${sql.identifier(writes.rank.name)} >= ${writes.rank}`,
    })
    .prepare();
  const chainOf = selectChain().prepare();
  const rowsOf = selectRows().prepare();
  const writesOf = selectWrites().prepare();
  // Told by the row's header: the state itself is not read for it.
  const storedBytes = sql`length(${table.state})`.mapWith(Number);
  const lists = new Map<string, { all(query: Record<string, unknown>): RowHead[] }>();

  function commit(change: Change): boolean {
    const { bases = [], insert = [], acknowledge = [], ...others } = change;
    const [[only], [base], [acknowledged]] = [insert, bases, acknowledge];
    const rest = Object.values(others).reduce((sum, some) => sum + some.length, 0);
    // One row alone: each statement is a transaction of its own.
    if (rest === 0 && insert.length + acknowledge.length === 1) {
      if (only !== undefined && only.afterId === null && bases.length <= 1) {
        if (base !== undefined) return insertGuarded(only, base);
        insertRow(only);
        return true;
      }
      if (acknowledged !== undefined && base === undefined) {
        acknowledgeOne.run({ ...acknowledged });
        return true;
      }
    }
    try {
      // Immediate: a transaction that reads first and then writes would be refused at once, without the busy timeout.
      db.transaction(() => commitAll(change), { behavior: "immediate" });
      return true;
    } catch (error) {
      if (error instanceof GuardMissed) return false;
      throw error;
    }
  }

  function commitAll(change: Change): void {
    const { bases = [], insert = [], rewrite = [], remove = [], bury = [], acknowledge = [], lease = [] } = change;
    for (const base of bases) if (findBase.get(guardOf(base)) === undefined) throw new GuardMissed();
    for (const row of insert) {
      if (row.afterId !== null && latestId(row) !== row.afterId) throw new GuardMissed();
      insertRow(row);
    }
    for (const { id, fromBaseId, ...rewritten } of rewrite) {
      const base = fromBaseId === null ? isNull(table.baseId) : eq(table.baseId, fromBaseId);
      const { changes } = db
        .update(table)
        .set(rewritten)
        .where(and(eq(table.id, id), base))
        .run();
      if (changes !== 1) throw new GuardMissed();
    }
    // One by one, as the text with a list of ids would be another one for every length (see handle.ts).
    for (const id of remove) removeOne.run({ id });
    for (const row of bury) insertRow(row);
    for (const content of acknowledge) acknowledgeOne.run({ ...content });
    for (const one of lease) if (leaseOne.run({ ...one }).changes !== 1) throw new GuardMissed();
    for (const one of change.pend ?? []) pendOne.run({ ...one });
    for (const { checkpointId: id } of change.append ?? [])
      if (findRow.get({ id }) === undefined) throw new GuardMissed();
    for (const write of change.append ?? []) appendOne.run({ ...write });
  }

  function insertRow(row: Row): void {
    insertOne.run({ ...row });
  }

  /** The row, if its base is there. */
  function insertGuarded(row: Row, base: Base): boolean {
    return insertOneGuarded.run({ ...row, ...guardOf(base) }).changes === 1;
  }

  function guardOf({ id, digest }: Base) {
    return { guardId: id, guardDigest: digest };
  }

  function isBase(): SQL {
    return sql`${is(table.id, sql.placeholder("guardId"))} and ${is(table.digest, sql.placeholder("guardDigest"))}`;
  }

  function latestId({ agentId, namespace }: Row): string {
    const [latest] = list({ agentId, namespace, limit: 1 });
    return latest?.id ?? nilId;
  }

  function readChain(id: string): Row[] {
    return chainOf.values({ id }).map(rowOf);
  }

  /** As Drizzle does it, which takes longer than reading them: it looks at each value for what may be there but is not. */
  function rowOf(values: unknown[]): Row {
    const row: Record<string, unknown> = {};
    entries.forEach(([name, column], at) => {
      const value = values[at];
      row[name] = value === null ? null : column.mapFromDriverValue(value);
    });
    return row as unknown as Row;
  }

  function selectChain() {
    const chain = sql`(with recursive chain (id, base_id, depth) as (
      select ${table.id}, ${table.baseId}, 0 from ${table} where ${is(table.id, sql.placeholder("id"))}
      union all
      select ${table.id}, ${table.baseId}, chain.depth + 1 from chain join ${table} on ${table.id} = chain.base_id
    ) select id, depth from chain) as chain`;
    // CROSS JOIN keeps SQLite from reading the whole table and looking each row up in the chain.
    return db.select(columns).from(chain).crossJoin(table).where(sql`chain.id = ${table.id}`).orderBy(sql`chain.depth`);
  }

  function readRows(ids: readonly string[]): Row[] {
    return rowsOf.values({ ids: joined(ids) }).map(rowOf);
  }

  function selectRows() {
    return db.select(columns).from(table).where(sql`${table.id} in ${wanted()}`);
  }

  function readWrites(ids: readonly string[]): WriteRow[] {
    return writesOf.all({ ids: joined(ids) });
  }

  function writeKeys(range: IdRange): WriteKey[] {
    return db
      .select({ checkpointId, taskId, index, rank: writes.rank })
      .from(writes)
      .where(inRange(checkpointId, range))
      .all();
  }

  function selectWrites() {
    return db.select().from(writes).where(sql`${checkpointId} in ${wanted()}`);
  }

  /** Ids of 16 bytes that are joined to one value, so that the text is the same for any number of them. */
  function wanted(): SQL {
    const ids = sql.placeholder("ids");
    return sql`(with recursive wanted (id, behind) as (
      select substr(${ids}, 1, 16), 17
      union all
      select substr(${ids}, behind, 16), behind + 16 from wanted where behind <= length(${ids})
    ) select id from wanted)`;
  }

  function joined(ids: readonly string[]): Buffer {
    return Buffer.from(ids.join("").replaceAll("-", ""), "hex");
  }

  function pending(until: number, limit: number): PendingHead[] {
    const rows = db
      .select({ ...head, storedBytes })
      .from(table)
      .where(lte(table.pending, until))
      .orderBy(asc(table.pending), asc(table.id))
      .limit(limit);
    return rows.all() as PendingHead[];
  }

  function backlog(): RowBacklog {
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytes}), 0)`.mapWith(Number),
      oldest: sql`min(${table.pending})`.mapWith(table.pending),
    };
    return db.select(counts).from(table).where(isNotNull(table.pending)).get() as RowBacklog;
  }

  function inRange(id: AnySQLiteColumn, { since = nilId, before = LAST_ID }: IdRange): SQL | undefined {
    return and(gt(id, since), lt(id, before));
  }

  /** All, less the tombstones: each of the two is counted in an index, without a look at the rows. */
  function count(range: IdRange): number {
    const between = inRange(table.id, range);
    const all = sql`(select count(*) from ${table} where ${between})`;
    const tombstones = sql`(select count(*) from ${table} where ${and(eq(table.agentId, ""), between)})`;
    return Number(db.get<{ rows: number | bigint }>(sql`select ${all} - ${tombstones} as rows`).rows);
  }

  function list(query: RowQuery): RowHead[] {
    const { metadataLines = [], ...members } = query;
    if (metadataLines.length > 0) return select(query).all();
    // One for each set of members.
    const given = Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : name));
    const key = given.sort().join(" ");
    let known = lists.get(key);
    if (known === undefined) {
      const asked = Object.fromEntries(given.map((name) => [name, sql.placeholder(name)]));
      known = select(asked as unknown as Asked).prepare();
      lists.set(key, known);
    }
    return known.all(members);
  }

  function select(query: Asked) {
    return db
      .select(head)
      .from(table)
      .where(and(...conditions(query)))
      .orderBy(desc(table.id))
      .limit(query.limit);
  }

  function conditions(query: Asked): SQL[] {
    const { id, agentId, namespace, name, parentId, metadataLines = [], before, since } = query;
    const all: SQL[] = metadataLines.map((line) => sql`instr(${table.metadata}, ${line}) > 0`);
    if (id !== undefined) all.push(is(table.id, id));
    if (agentId !== undefined) all.push(is(table.agentId, agentId));
    if (namespace !== undefined) all.push(is(table.namespace, namespace));
    if (name !== undefined) all.push(is(table.name, name));
    if (parentId !== undefined) all.push(is(table.parentId, parentId));
    if (id === undefined && agentId === undefined) all.push(noTombstone());
    if (before !== undefined) all.push(sql`${table.id} < ${sql.param(before, table.id)}`);
    if (since !== undefined) all.push(sql`${table.id} > ${sql.param(since, table.id)}`);
    return all;
  }

  /** Not as a range of agents (`>`): SQLite would go through the index of agents, and sort. */
  function noTombstone(): SQL {
    return sql`${table.agentId} <> ''`;
  }

  function dependents(ids: readonly string[]): RowHead[] {
    const rows = ids.flatMap((id) => db.select(head).from(table).where(eq(table.baseId, id)).all());
    return rows.sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /** A loose index scan: one step of the index per agent, however many rows each has; it begins above the tombstones. */
  function agents(after: string | null, limit: number): string[] {
    const next = (above: SQL) => sql`(select min(${table.agentId}) from ${table} where ${table.agentId} > ${above})`;
    const rows = db.all<{ id: string }>(sql`with recursive agent (id, position) as (
      select ${next(sql`${after ?? ""}`)}, 1
      union all
      select ${next(sql`agent.id`)}, position + 1 from agent where agent.id is not null and position < ${limit}
    ) select id from agent where id is not null order by position`);
    return rows.map(({ id }) => id);
  }

  function stats(agentId: string | null): RowStats {
    const where = agentId === null ? noTombstone() : eq(table.agentId, agentId);
    // From whole rows to what builds on them, by the index of bases. CROSS JOIN, or SQLite may read the whole table each time.
    const chain = sql`(with recursive chain (base, length) as (
      select ${table.id}, 1 from ${table} where ${and(isNull(table.baseId), where)}
      union all
      select ${table.id}, chain.length + 1 from chain cross join ${table} on ${table.baseId} = chain.base
    ) select coalesce(max(length), 0) from chain)`;
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytes}), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${table.stateBytes}), 0)`.mapWith(Number),
      longestChain: chain.mapWith(Number),
    };
    return db.select(counts).from(table).where(where).get() as RowStats;
  }

  function ping(): void {
    db.get(sql`select 1`);
  }

  return {
    commit,
    readChain,
    readRows,
    readWrites,
    writeKeys,
    pending,
    backlog,
    count,
    list,
    dependents,
    agents,
    stats,
    ping,
  };
}

function placeholders(columns: object): Record<string, Placeholder> {
  return Object.fromEntries(Object.keys(columns).map((name) => [name, sql.placeholder(name)]));
}

function is(column: AnySQLiteColumn, value: string | Placeholder): SQL {
  return sql`${column} = ${sql.param(value, column)}`;
}
