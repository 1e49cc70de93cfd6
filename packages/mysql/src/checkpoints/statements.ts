import type {
  Acknowledgement,
  Base,
  Change,
  IdRange,
  Lease,
  Pend,
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
  getTableName,
  gt,
  inArray,
  isNotNull,
  isNull,
  lt,
  lte,
  ne,
  type Placeholder,
  type SQL,
  type SQLWrapper,
  sql,
} from "drizzle-orm";
import type { AnyMySqlColumn } from "drizzle-orm/mysql-core";
import type { MySql2Database } from "drizzle-orm/mysql2";
import type { CheckpointsTable, WritesTable } from "./schema.ts";

/** Ends a transaction whose guard missed. */
class GuardMissed extends Error {}

/** From 1,000 values on MariaDB makes a table of them, and reads all of ours to join it. */
const MAX_VALUES = 999;

/** What both servers call the index of a primary key. */
const PRIMARY = "PRIMARY";

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

/** The statements of one database and its tables. */
export function createStatements(
  db: MySql2Database,
  table: CheckpointsTable,
  writes: WritesTable,
  nilId: string,
  noAgent: string,
  isForeignKeyFault: (error: unknown) => boolean,
) {
  const { state: _, afterId: __, ...head } = getTableColumns(table);
  const columns = getTableColumns(table);
  // Built once: building their text takes longer than running them. mysql2 writes a list of lists as tuples.
  const insertMany = insertManyOn(db);
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
  const byPending = `${getTableName(table)}_pending`;

  async function commit(change: Change): Promise<boolean> {
    const { bases = [], insert = [], remove = [], acknowledge = [], append = [], ...others } = change;
    const rest = Object.values(others).reduce((sum, some) => sum + some.length, 0);
    const rows = bases.length + insert.length + remove.length + acknowledge.length;
    // One statement is all or nothing by itself, and saves two round trips.
    if (rest + rows === 0 && append.length > 0 && append.length <= MAX_VALUES) return await appendWrites(db, append);
    if (rest + append.length === 0) {
      const guarded = bases.length + insert.length;
      if (remove.length + acknowledge.length === 0 && insert.every((row) => row.afterId === null)) {
        if (insert.length === 0) return await areThere(db, bases, IN_SHARE_MODE);
        if (bases.length <= MAX_VALUES) return await insertRows(insert, bases);
      }
      if (guarded + remove.length === 0 && acknowledge.length <= MAX_VALUES) {
        await acknowledgeRows(db, acknowledge);
        return true;
      }
      if (guarded + acknowledge.length === 0 && remove.length <= MAX_VALUES) {
        await removeRows(db, remove);
        return true;
      }
    }
    try {
      await db.transaction((transaction) => commitAll(transaction, change));
      return true;
    } catch (error) {
      if (error instanceof GuardMissed) return false;
      throw error;
    }
  }

  function insertManyOn(runner: Runner) {
    return runner
      .insert(table)
      .select(sql`values ${sql.placeholder("rows")}`)
      .prepare();
  }

  function tupleOf(row: Row): unknown[] {
    return valuesOf(columns, row);
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
    const { bases = [], insert = [], rewrite = [], remove = [], bury = [], acknowledge = [], lease = [] } = change;
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
    for (const rows of partsOf(bury)) await insertManyOn(runner).execute({ rows: rows.map(tupleOf) });
    for (const rows of partsOf(acknowledge)) await acknowledgeRows(runner, rows);
    if (!(await leaseRows(runner, lease))) throw new GuardMissed();
    // Before their writes: two who share the lock that those take, and then both want to write, are a deadlock.
    await pendRows(runner, change.pend ?? []);
    for (const part of partsOf(change.append ?? [])) if (!(await appendWrites(runner, part))) throw new GuardMissed();
  }

  async function pendRows(runner: Runner, pend: readonly Pend[]): Promise<void> {
    for (const { id, pending } of pend) {
      await runner.execute(sql`update ${table} force index (primary)
        set ${table.pending} = greatest(coalesce(${table.pending} + 1, 0), ${pending}) where ${is(table.id, id)}`);
    }
  }

  /**
   * At most {@link MAX_VALUES}. As with rows that build on others, if what they belong to is not there the first of them is
   * made one of a row that never is, and the foreign key refuses them all: by itself it takes a tombstone for a row.
   */
  async function appendWrites(runner: Runner, append: readonly WriteRow[]): Promise<boolean> {
    const { checkpointId, taskId, index, ...written } = getTableColumns(writes);
    const ids = [...new Set(append.map((write) => write.checkpointId))].map((id) => table.id.mapToDriverValue(id));
    const [[first, ...rest] = [], ...others] = append.map((write) => valuesOf(getTableColumns(writes), write));
    const there = sql`select there from (select count(*) as there from ${table} force index (primary)
      where ${table.id} in (${sql.param(ids)}) and ${ne(table.agentId, noAgent)} ${IN_SHARE_MODE}) as guard`;
    const id = sql`if((${there}) = ${ids.length}, ${sql.param(first)}, ${table.id.mapToDriverValue(nilId)})`;
    const tuples = [sql`(${id}, ${sql.param(rest)})`, ...others.map((values) => sql`(${sql.param(values)})`)];
    const isNewer = sql`values(${nameOf(writes.rank)}) >= ${nameOf(writes.rank)}`;
    // The rank last: what is set first is what the next ones see.
    const set = [...Object.values(written).filter((column) => column !== writes.rank), writes.rank].map(
      (column) => sql`${nameOf(column)} = if(${isNewer}, values(${nameOf(column)}), ${nameOf(column)})`,
    );
    const names = Object.values(getTableColumns(writes)).map(nameOf);
    try {
      await runner.execute(sql`insert into ${writes} (${sql.join(names, sql`, `)}) values ${sql.join(tuples, sql`, `)}
        on duplicate key update ${sql.join(set, sql`, `)}`);
      return true;
    } catch (error) {
      if (isForeignKeyFault(error)) return false;
      throw error;
    }
  }

  /** By the primary key whatever the servers think of it: they lock what they only look at. */
  async function acknowledgeRows(runner: Runner, rows: readonly Acknowledgement[]): Promise<void> {
    const { ids, pairs } = pairsOf(rows);
    const sent = pairs.map((pair, at) => [...pair, rows[at]?.pending]);
    await runner.execute(sql`update ${table} force index (primary) set ${table.pending} = null
      where ${table.id} in (${sql.param(ids)}) and (${table.id}, ${table.digest}, ${table.pending}) in (${sql.param(sent)})`);
  }

  /** One statement for those with the same end, which all of a batch have. */
  async function leaseRows(runner: Runner, leases: readonly Lease[]): Promise<boolean> {
    for (const until of new Set(leases.map(({ pending }) => pending))) {
      for (const part of partsOf(leases.filter(({ pending }) => pending === until))) {
        const ids = part.map(({ id }) => table.id.mapToDriverValue(id));
        const pairs = part.map(({ fromPending }, at) => [ids[at], fromPending]);
        const [{ affectedRows }] = await runner.execute(sql`update ${table} force index (primary)
          set ${table.pending} = ${until}
          where ${table.id} in (${sql.param(ids)}) and (${table.id}, ${table.pending}) in (${sql.param(pairs)})`);
        if (affectedRows !== part.length) return false;
      }
    }
    return true;
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
   * MariaDB intersect two indexes and sort, or start at the agent's newest row for a page far from it. Asked for all, they
   * might sort what an index has of all but the tombstones.
   */
  function indexFor({ id, agentId, namespace }: Asked): string[] {
    if (agentId === undefined) return id === undefined ? [PRIMARY] : [];
    return [namespace === undefined ? byAgent : byNamespace];
  }

  function conditions(query: Asked): SQL[] {
    const { id, agentId, namespace, name, parentId, metadataLines = [], before, since } = query;
    const all: SQL[] = metadataLines.map((line) => sql`locate(${Buffer.from(line)}, ${table.metadata}) > 0`);
    if (id !== undefined) all.push(is(table.id, id));
    else if (agentId === undefined) all.push(ne(table.agentId, noAgent));
    if (agentId !== undefined) all.push(is(table.agentId, agentId));
    if (namespace !== undefined) all.push(is(table.namespace, namespace));
    if (name !== undefined) all.push(is(table.name, name));
    if (parentId !== undefined) all.push(is(table.parentId, parentId));
    if (before !== undefined) all.push(sql`${table.id} < ${sql.param(before, table.id)}`);
    if (since !== undefined) all.push(sql`${table.id} > ${sql.param(since, table.id)}`);
    return all;
  }

  async function readRows(ids: readonly string[]): Promise<Row[]> {
    const rows: Row[] = [];
    for (const part of partsOf(ids))
      rows.push(...(await db.select(columns).from(table).where(inArray(table.id, part))));
    return rows;
  }

  async function readWrites(ids: readonly string[]): Promise<WriteRow[]> {
    const found: WriteRow[] = [];
    for (const part of partsOf(ids)) {
      found.push(...(await db.select().from(writes).where(inArray(writes.checkpointId, part))));
    }
    return found;
  }

  async function writeKeys(range: IdRange): Promise<WriteKey[]> {
    const { checkpointId, taskId, index, rank } = getTableColumns(writes);
    return await db
      .select({ checkpointId, taskId, index, rank })
      .from(writes)
      .where(and(...inRange(checkpointId, range)));
  }

  const storedBytes = sql`length(${table.state})`.mapWith(Number);

  async function pending(until: number, limit: number): Promise<PendingHead[]> {
    const rows = await db
      .select({ ...head, storedBytes })
      .from(table, { forceIndex: byPending })
      .where(lte(table.pending, until))
      .orderBy(asc(table.pending), asc(table.id))
      .limit(limit);
    return rows as PendingHead[];
  }

  async function backlog(): Promise<RowBacklog> {
    const sums = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytes}), 0)`.mapWith(Number),
      oldest: sql`min(${table.pending})`.mapWith(table.pending),
    };
    const [result] = await db.select(sums).from(table, { forceIndex: byPending }).where(isNotNull(table.pending));
    return result as RowBacklog;
  }

  /** All, less the tombstones: so both are counted in an index, and which agent has a row is not asked. */
  async function count(ids: IdRange): Promise<number> {
    const range = inRange(table.id, ids);
    const rows = sql`(select count(*) from ${table} where ${and(sql`true`, ...range)})`;
    const tombstones = sql`(select count(*) from ${table} force index (${sql.identifier(byAgent)})
      where ${and(eq(table.agentId, noAgent), ...range)})`;
    const [result] = await db.execute(sql`select ${rows} - ${tombstones} as count`);
    const [first] = result as unknown as { count: number | string }[];
    return Number(first?.count);
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
    const where = agentId === null ? ne(table.agentId, noAgent) : eq(table.agentId, agentId);
    const ofAgent = agentId === null ? undefined : where; // no state builds on a tombstone, and each is a chain of one
    // From whole rows to what builds on them. By itself MariaDB would read all whole rows for the few of an agent.
    const index = (name: string) => sql`force index (${sql.identifier(name)})`;
    const chain = sql`(with recursive chain (base, length) as (
      select ${table.id}, 1 from ${table} ${index(agentId === null ? byBase : byAgent)}
      where ${and(isNull(table.baseId), ofAgent)}
      union all
      select ${table.id}, chain.length + 1
      from chain straight_join ${table} ${index(byBase)} on ${table.baseId} = chain.base
    ) select coalesce(max(length), 0) from chain)`;
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytes}), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${table.stateBytes}), 0)`.mapWith(Number),
      longestChain: chain.mapWith(Number),
    };
    const from = db.select(counts).from(table, { forceIndex: agentId === null ? [PRIMARY] : [] });
    const [result] = await from.where(where);
    const { rows, longestChain, ...bytes } = result as RowStats;
    return { rows, longestChain: Math.min(longestChain, rows), ...bytes };
  }

  async function ping(): Promise<void> {
    await db.execute(sql`select 1`);
  }

  return {
    commit,
    readChain,
    readRows,
    readWrites,
    writeKeys,
    list,
    pending,
    backlog,
    count,
    dependents,
    agents,
    stats,
    ping,
  };
}

/** A tuple, as the driver takes it. */
function valuesOf(columns: Record<string, AnyMySqlColumn>, row: object): unknown[] {
  return Object.entries(columns).map(([name, column]) => {
    const value: unknown = row[name as keyof typeof row];
    return value === null ? null : column.mapToDriverValue(value);
  });
}

function inRange(id: AnyMySqlColumn, { since, before }: IdRange): SQL[] {
  const range: SQL[] = [];
  if (since !== undefined) range.push(gt(id, since));
  if (before !== undefined) range.push(lt(id, before));
  return range;
}

function nameOf({ name }: AnyMySqlColumn): SQL {
  return sql`${sql.identifier(name)}`;
}

function is(column: AnyMySqlColumn, value: string | Placeholder): SQL {
  return sql`${column} = ${sql.param(value, column)}`;
}

function partsOf<Item>(all: readonly Item[]): Item[][] {
  const count = Math.ceil(all.length / MAX_VALUES);
  return Array.from({ length: count }, (_, at) => all.slice(at * MAX_VALUES, (at + 1) * MAX_VALUES));
}
