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
  gt,
  isNotNull,
  isNull,
  lt,
  lte,
  ne,
  type Placeholder,
  type SQL,
  sql,
} from "drizzle-orm";
import type { AnyPgColumn, PgInsertValue } from "drizzle-orm/pg-core";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { CheckpointsTable, WritesTable } from "./schema.ts";

/** Ends a transaction whose guard missed. */
class GuardMissed extends Error {}

/** What runs statements: the pool, or a transaction on one of its connections. */
type Runner = Pick<PostgresJsDatabase, "select" | "insert" | "update" | "delete" | "execute">;

type Term = readonly [column: AnyPgColumn, value: string | Placeholder];

/** A query's members, or what stands for them in a kept statement. */
type Asked = { readonly [Name in Exclude<keyof RowQuery, "limit" | "metadataLines">]?: string | Placeholder } & {
  readonly metadataLines?: readonly string[];
  readonly limit: number | Placeholder;
};

/** The statements of one database and its tables. */
export function createStatements(
  db: PostgresJsDatabase,
  table: CheckpointsTable,
  writes: WritesTable,
  nilId: string,
  noAgent: string,
) {
  const { state: _, afterId: __, ...head } = getTableColumns(table);
  const columns = getTableColumns(table);
  // Built once: building their text takes longer than running them.
  const insertOne = db.insert(table).values(placeholders(columns)).prepare("insert_one");
  const insertMany = insertManyPlainlyOn(db).prepare("insert_many");
  const insertOneGuarded = insertOneOn(db).prepare("insert_one_guarded");
  const insertManyGuarded = insertManyOn(db).prepare("insert_many_guarded");
  const acknowledgeMany = acknowledgeOn(db).prepare("acknowledge");
  const chainOf = selectChain().prepare("read_chain");
  const rowsOf = db
    .select(columns)
    .from(table)
    .where(isOneOf(table.id, sql.placeholder("ids")))
    .prepare("read_rows");
  const writesOf = db
    .select()
    .from(writes)
    .where(isOneOf(writes.checkpointId, sql.placeholder("ids")))
    .prepare("read_writes");
  const lists = new Map<string, { execute(query: Record<string, unknown>): Promise<RowHead[]> }>();

  async function commit(change: Change): Promise<boolean> {
    const { bases = [], insert = [], remove = [], acknowledge = [], pend = [], append = [], ...others } = change;
    const rest = Object.values(others).reduce((sum, some) => sum + some.length, 0);
    const rows = bases.length + insert.length + remove.length + acknowledge.length;
    // One statement is all or nothing by itself, and saves two round trips.
    if (append.length > 0 && rest + rows === 0) return await appendWrites(db, append, pend);
    if (rest + pend.length + append.length === 0) {
      const guarded = bases.length + insert.length;
      if (remove.length + acknowledge.length === 0 && insert.every((row) => row.afterId === null)) {
        if (insert.length > 0) return await insertRows(insert, bases);
        return bases.length === 0 || (await areThere(db, bases));
      }
      if (guarded + remove.length === 0) {
        await acknowledgeMany.execute({ sent: acknowledgementsOf(acknowledge) });
        return true;
      }
      if (guarded + acknowledge.length === 0) {
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

  async function insertRows(rows: readonly Row[], bases: readonly Base[]): Promise<boolean> {
    const [[only], [base]] = [rows as [Row], bases];
    if (base === undefined) {
      if (rows.length > 1) await insertMany.execute(parametersOf(rows));
      else await insertOne.execute({ ...only });
      return true;
    }
    const { count } =
      rows.length === 1 && bases.length === 1
        ? await insertOneGuarded.execute({ ...only, guardId: base.id, guardDigest: base.digest })
        : await insertManyGuarded.execute({ ...parametersOf(rows), bases: jsonOf(bases) });
    return count === rows.length;
  }

  /** The row, if its base is there: locked until the insert is done, as its foreign key locks it too. */
  function insertOneOn(runner: Runner) {
    const values = Object.entries(columns).map(
      ([name, column]) => sql`${sql.placeholder(name)}::${sql.raw(column.getSQLType())}`,
    );
    return runner.insert(table).select(sql`select ${sql.join(values, sql`, `)} from ${table}
      where ${table.id} = ${sql.placeholder("guardId")} and ${table.digest} = ${sql.placeholder("guardDigest")} for key share`);
  }

  function insertManyPlainlyOn(runner: Runner) {
    return runner.insert(table).select(rowsOfJson(columns));
  }

  /** All rows, if all bases are there. */
  function insertManyOn(runner: Runner) {
    return runner.insert(table).select(sql`with guard as (${basesOfJson(sql.placeholder("bases"))})
      ${rowsOfJson(columns)} where (select count(*) from guard) = json_array_length(${sql.placeholder("bases")}::text::json)`);
  }

  /** Those that are there. LATERAL with its own lock keeps PostgreSQL to the primary key: it might scan a small table. */
  function basesOfJson(bases: Placeholder | string): SQL {
    return sql`select 1 from json_to_recordset(${bases}::text::json) as expected (id uuid, digest bytea)
      cross join lateral (
        select 1 from ${table} where ${table.id} = expected.id and ${table.digest} = expected.digest for key share
      ) as base`;
  }

  async function insertAfterGuard(runner: Runner, row: Row, bases: readonly Base[]): Promise<boolean> {
    const statement = insertManyOn(runner).prepare("insert_after_guard");
    return (await statement.execute({ ...parametersOf([row]), bases: jsonOf(bases) })).count === 1;
  }

  async function areThere(runner: Runner, bases: readonly Base[]): Promise<boolean> {
    return (await runner.execute(basesOfJson(jsonOf(bases)))).length === bases.length;
  }

  async function commitAll(runner: Runner, change: Change): Promise<void> {
    const { bases = [], insert = [], rewrite = [], remove = [], bury = [], acknowledge = [], lease = [] } = change;
    const { pend = [], append = [] } = change;
    const [first] = insert;
    // With the first row, which saves a round trip.
    if (bases.length > 0 && first === undefined && !(await areThere(runner, bases))) throw new GuardMissed();
    for (const row of insert) {
      if (row !== first || bases.length === 0) await runner.insert(table).values(row);
      else if (!(await insertAfterGuard(runner, row, bases))) throw new GuardMissed();
      if (row.afterId !== null && (await latestBeside(runner, row)) !== row.afterId) throw new GuardMissed();
    }
    for (const { id, fromBaseId, ...change } of rewrite) {
      const base = fromBaseId === null ? isNull(table.baseId) : eq(table.baseId, fromBaseId);
      const changed = await runner
        .update(table)
        .set(change)
        .where(and(eq(table.id, id), base))
        .returning({ id: table.id });
      if (changed.length !== 1) throw new GuardMissed();
    }
    if (remove.length > 0) await removeRows(runner, remove);
    // A statement of its own: in one with the removal, the foreign key would take the tombstone for the row.
    if (bury.length > 0) await insertManyPlainlyOn(runner).prepare("bury").execute(parametersOf(bury));
    if (acknowledge.length > 0) {
      await acknowledgeOn(runner)
        .prepare("acknowledge")
        .execute({ sent: acknowledgementsOf(acknowledge) });
    }
    if (lease.length > 0 && !(await leaseRows(runner, lease))) throw new GuardMissed();
    if (append.length > 0 && !(await appendWrites(runner, append, pend))) throw new GuardMissed();
    else if (append.length === 0 && pend.length > 0) await runner.execute(pendRows(pend));
  }

  /**
   * One statement: what is locked first is the rows that the writes belong to, so that none of them is removed meanwhile.
   * Nothing is inserted, and nothing becomes pending, unless all of them are there.
   */
  async function appendWrites(runner: Runner, append: readonly WriteRow[], pend: readonly Pend[]): Promise<boolean> {
    const { rows, states } = parametersOf(append);
    const ids = new Set(append.map(({ checkpointId }) => checkpointId));
    const complete = sql`(select count(*) from there) = ${ids.size}`;
    const { checkpointId, taskId, index, ...written } = getTableColumns(writes);
    const target = sql.join([checkpointId, taskId, index].map(nameOf), sql`, `);
    const set = Object.values(written).map((column) => sql`${nameOf(column)} = excluded.${nameOf(column)}`);
    // The alias keeps apart what the table's full name would not: within SET and WHERE it is the row that is there.
    const [counted] = await runner.execute<{ there: string }>(sql`with there as materialized (
        select 1 from ${table} where ${isOneOf(table.id, [...ids])} and ${ne(table.agentId, noAgent)} for key share
      ), marked as (${pendRows(pend, complete)}), appended as (
        insert into ${writes} as known (${sql.join(Object.values(getTableColumns(writes)).map(nameOf), sql`, `)})
        ${rowsOfJson(getTableColumns(writes), rows, states)} where ${complete}
        on conflict (${target}) do update set ${sql.join(set, sql`, `)}
        where excluded.${nameOf(writes.rank)} >= known.${nameOf(writes.rank)}
      ) select count(*) as there from there`);
    return Number(counted?.there) === ids.size;
  }

  function pendRows(pend: readonly Pend[], condition: SQL = sql`true`): SQL {
    return sql`update ${table} set pending = greatest(${table.pending} + 1, pend.pending)
      from json_to_recordset(${JSON.stringify(pend)}::text::json) as pend (id uuid, pending bigint)
      where ${table.id} = pend.id and ${condition}`;
  }

  /**
   * Whether a row is pending is not asked here, and below in words that no index serves: PostgreSQL might take the one of
   * what is pending, whose statistics are always late, and in which all rows that were leased together have one time.
   */
  function acknowledgeOn(runner: Runner) {
    return runner
      .update(table)
      .set({ pending: null })
      .from(
        sql`json_to_recordset(${sql.placeholder("sent")}::text::json) as sent (id uuid, digest bytea, pending bigint)`,
      )
      .where(
        and(
          sql`${table.id} = sent.id`,
          sql`${table.digest} = sent.digest`,
          sql`${table.pending} is not distinct from sent.pending`,
        ),
      );
  }

  async function leaseRows(runner: Runner, leases: readonly Lease[]): Promise<boolean> {
    const { count } = await runner.execute(sql`update ${table} set pending = lease.until
      from json_to_recordset(${leasesOf(leases)}::text::json) as lease (id uuid, read bigint, until bigint)
      where ${table.id} = lease.id and ${table.pending} is not distinct from lease.read`);
    return count === leases.length;
  }

  /** Foreign keys are checked when the statement is done, so the order of the rows does not matter here. */
  async function removeRows(runner: Runner, ids: readonly string[]): Promise<void> {
    await runner.delete(table).where(isOneOf(table.id, ids));
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
      select ${table.id}, ${table.baseId}, 0 from ${table} where ${table.id} = ${sql.placeholder("id")}
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
      known = select(db, asked as unknown as Asked).prepare("list");
      lists.set(key, known);
    }
    return await known.execute(members);
  }

  /**
   * An agent's rows are asked for as a range of (agent, id), or (agent, namespace, id), and ordered by all of it, which
   * one index serves. Asked for by `agent_id = …` and ordered by id, PostgreSQL may walk the primary key instead and
   * filter: through the whole table, if the agent's rows are old.
   */
  function select(runner: Runner, query: Asked) {
    const { agentId, namespace, before, since, limit } = query;
    const within: Term[] = [];
    if (agentId !== undefined) within.push([table.agentId, agentId]);
    if (namespace !== undefined) within.push([table.namespace, namespace]);
    const range: SQL[] = [];
    if (since !== undefined) range.push(compare(">", [...within, [table.id, since]]));
    else if (within.length > 0) range.push(compare(">=", within));
    if (before !== undefined) range.push(compare("<", [...within, [table.id, before]]));
    else if (within.length > 0) range.push(compare("<=", within));
    const order = [...within.map(([column]) => column), table.id].map((column) => desc(column));
    return runner
      .select(head)
      .from(table)
      .where(and(...range, ...filters(query)))
      .orderBy(...order)
      .limit(limit);
  }

  function compare(operator: ">" | ">=" | "<" | "<=", row: readonly Term[]): SQL {
    const columns = sql.join(
      row.map(([column]) => sql`${column}`),
      sql`, `,
    );
    const values = sql.join(
      row.map(([, value]) => sql`${value}`),
      sql`, `,
    );
    return sql`(${columns}) ${sql.raw(operator)} (${values})`;
  }

  function filters({ id, agentId, name, parentId, metadataLines = [] }: Asked): SQL[] {
    const all: SQL[] = metadataLines.map((line) => sql`strpos(${table.metadata}, ${line}) > 0`);
    if (id !== undefined) all.push(eq(table.id, id));
    else if (agentId === undefined) all.push(ne(table.agentId, noAgent));
    if (name !== undefined) all.push(eq(table.name, name));
    if (parentId !== undefined) all.push(eq(table.parentId, parentId));
    return all;
  }

  async function readRows(ids: readonly string[]): Promise<Row[]> {
    return ids.length === 0 ? [] : await rowsOf.execute({ ids: arrayOf(ids) });
  }

  async function readWrites(ids: readonly string[]): Promise<WriteRow[]> {
    return ids.length === 0 ? [] : await writesOf.execute({ ids: arrayOf(ids) });
  }

  async function writeKeys(range: IdRange): Promise<WriteKey[]> {
    const { checkpointId, taskId, index, rank } = getTableColumns(writes);
    return await db
      .select({ checkpointId, taskId, index, rank })
      .from(writes)
      .where(and(...inRange(checkpointId, range)));
  }

  /** Of a large state PostgreSQL knows the length without reading it. */
  const storedBytes = sql`length(${table.state})`.mapWith(Number);

  async function pending(until: number, limit: number): Promise<PendingHead[]> {
    const rows = await db
      .select({ ...head, storedBytes })
      .from(table)
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
    const [result] = await db.select(sums).from(table).where(isNotNull(table.pending));
    return result as RowBacklog;
  }

  /** All, less the tombstones: so both are counted in an index, and no row is read. */
  async function count(ids: IdRange): Promise<number> {
    const range = inRange(table.id, ids);
    const rows = sql`(select count(*) from ${table} where ${and(sql`true`, ...range)})`;
    const tombstones = sql`(select count(*) from ${table} where ${and(eq(table.agentId, noAgent), ...range)})`;
    const [result] = await db.execute<{ count: string }>(sql`select ${rows} - ${tombstones} as count`);
    return Number(result?.count);
  }

  async function dependents(ids: readonly string[]): Promise<RowHead[]> {
    return await db.select(head).from(table).where(isOneOf(table.baseId, ids)).orderBy(desc(table.id));
  }

  /** A loose index scan: one step of the index per agent, however many rows each has. */
  async function agents(after: string | null, limit: number): Promise<string[]> {
    const next = (above: SQL) => sql`(select min(${table.agentId}) from ${table} where ${table.agentId} > ${above})`;
    const rows = await db.execute<{ id: string }>(sql`with recursive agent (id, position) as (
      select ${next(sql`${after ?? ""}`)}, 1
      union all
      select ${next(sql`agent.id`)}, position + 1 from agent where agent.id is not null and position < ${limit}
    ) select id from agent where id is not null order by position`);
    return rows.map(({ id }) => id);
  }

  async function stats(agentId: string | null): Promise<RowStats> {
    const where = agentId === null ? ne(table.agentId, noAgent) : eq(table.agentId, agentId);
    const ofAgent = agentId === null ? undefined : where; // no state builds on a tombstone, and each is a chain of one
    // From whole rows to what builds on them. OFFSET 0 keeps PostgreSQL to the index of bases: it would rather join the
    // whole table for every length.
    const chain = sql`(with recursive chain (base, length) as (
      select ${table.id}, 1 from ${table} where ${and(isNull(table.baseId), ofAgent)}
      union all
      select dependent.id, chain.length + 1 from chain cross join lateral (
        select ${table.id} from ${table} where ${table.baseId} = chain.base offset 0
      ) as dependent
    ) select coalesce(max(length), 0) from chain)`;
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytes}), 0)`.mapWith(Number),
      stateBytes: sql`coalesce(sum(${table.stateBytes}), 0)`.mapWith(Number),
      longestChain: chain.mapWith(Number),
    };
    const [result] = await db.select(counts).from(table).where(where);
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

/** As one parameter: a text for each number of ids would be a prepared statement each. */
function isOneOf(column: AnyPgColumn, ids: readonly string[] | Placeholder): SQL {
  return sql`${column} = any(${Array.isArray(ids) ? arrayOf(ids) : ids}::uuid[])`;
}

function inRange(id: AnyPgColumn, { since, before }: IdRange): SQL[] {
  const range: SQL[] = [];
  if (since !== undefined) range.push(gt(id, since));
  if (before !== undefined) range.push(lt(id, before));
  return range;
}

function nameOf({ name }: AnyPgColumn): SQL {
  return sql`${sql.identifier(name)}`;
}

function arrayOf(ids: readonly string[]): string {
  return `{${ids.join(",")}}`;
}

type Columns = CheckpointsTable["_"]["columns"];

function placeholders(columns: Columns): PgInsertValue<CheckpointsTable> {
  const values = Object.keys(columns).map((name) => [name, sql.placeholder(name)]);
  return Object.fromEntries(values) as PgInsertValue<CheckpointsTable>;
}

/**
 * One text for any number of rows, with two parameters: their states end to end, since large ones would take long as JSON,
 * and the JSON of all else, with the place of each state. `state` is the last column.
 */
function rowsOfJson(
  { state: _, ...columns }: Record<string, AnyPgColumn>,
  rows: Placeholder | string = sql.placeholder("rows"),
  states: Placeholder | Uint8Array = sql.placeholder("states"),
): SQL {
  const names = Object.keys(columns).map((name) => sql.identifier(name));
  const types = Object.entries(columns).map(
    ([name, column]) => sql`${sql.identifier(name)} ${sql.raw(column.getSQLType())}`,
  );
  // As text first: a parameter of type json the driver would write as JSON itself.
  return sql`select ${sql.join(names, sql`, `)}, substring(${states}::bytea from start for length)
    from json_to_recordset(${rows}::text::json) as row (${sql.join(types, sql`, `)}, start int, length int)`;
}

function parametersOf(rows: readonly (Row | WriteRow)[]): { rows: string; states: Uint8Array } {
  const states = Buffer.concat(rows.map(({ state }) => state));
  let start = 1;
  const heads = rows.map(({ state, digest, ...head }) => {
    const place = { start, length: state.byteLength };
    start += state.byteLength;
    return { ...head, digest: hex(digest), ...place };
  });
  return { rows: JSON.stringify(heads), states };
}

function jsonOf(bases: readonly Base[]): string {
  return JSON.stringify(bases.map(({ id, digest }) => ({ id, digest: hex(digest) })));
}

function acknowledgementsOf(rows: readonly Acknowledgement[]): string {
  return JSON.stringify(rows.map(({ id, digest, pending }) => ({ id, digest: hex(digest), pending })));
}

function leasesOf(leases: readonly Lease[]): string {
  return JSON.stringify(leases.map(({ id, fromPending, pending }) => ({ id, read: fromPending, until: pending })));
}

function hex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes).toString("hex")}`;
}
