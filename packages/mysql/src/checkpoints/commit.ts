import {
  GuardMissed,
  NIL_ID,
  NO_AGENT,
  type OutboxChange,
  type Rewrite,
  type Row,
  type RowVersion,
  type Setting,
  slices,
  type TaskWriteRow,
} from "@waymark/core/kit";
import { and, desc, eq, getTableColumns, inArray, isNull, ne, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import { classify } from "../errors.ts";
import { equals, FOR_UPDATE, IN_SHARE_MODE, MAX_VALUES, nameOf, pairsOf, type Runner, tupleOf } from "./expressions.ts";
import type { CheckpointLabels } from "./labels.ts";
import type { CheckpointOutbox } from "./outbox.ts";
import type { CheckpointReads } from "./reads.ts";
import type { Tables } from "./schema.ts";
import type { CheckpointSettings } from "./settings.ts";

interface GuardedInsert {
  execute(parameters: Record<string, unknown>): Promise<unknown>;
}

/** The write primitive: applies a change, all or nothing. */
export class CheckpointCommit {
  readonly #db: MySql2Database;
  readonly #tables: Tables;
  readonly #reads: CheckpointReads;
  readonly #settings: CheckpointSettings;
  readonly #labels: CheckpointLabels;
  readonly #outbox: CheckpointOutbox;
  // Built once: building their text takes longer than running them.
  readonly #insertMany;
  readonly #insertOneGuarded;
  readonly #insertManyGuarded;

  constructor(
    db: MySql2Database,
    tables: Tables,
    reads: CheckpointReads,
    settings: CheckpointSettings,
    labels: CheckpointLabels,
    outbox: CheckpointOutbox,
  ) {
    const { checkpoints } = tables;
    const { id, digest } = checkpoints;
    this.#db = db;
    this.#tables = tables;
    this.#reads = reads;
    this.#settings = settings;
    this.#labels = labels;
    this.#outbox = outbox;
    this.#insertMany = this.#insertManyOn(db);
    this.#insertOneGuarded = db
      .insert(checkpoints)
      .select(sql`select ${sql.placeholder("row")} from ${checkpoints}
        where ${equals(id, sql.placeholder("guardId"))} and ${equals(digest, sql.placeholder("guardDigest"))} ${IN_SHARE_MODE}`)
      .prepare();
    this.#insertManyGuarded = this.#insertGuardedOn(db, sql`, ${sql.placeholder("others")}`);
  }

  async commit(change: OutboxChange): Promise<boolean> {
    const done = await this.#commitAlone(change);
    if (done !== null) return done;
    try {
      await this.#inTransaction(() => this.#commitAll(this.#db, change));
      return true;
    } catch (error) {
      if (error instanceof GuardMissed) return false;
      throw error;
    }
  }

  /** Runs `work` in a transaction. Drizzle's `begin` would begin a block of a program in MariaDB's `sql_mode` ORACLE. */
  async #inTransaction(work: () => Promise<void>): Promise<void> {
    await this.#db.execute(sql`start transaction`);
    try {
      await work();
    } catch (error) {
      await this.#db.execute(sql`rollback`);
      throw error;
    }
    await this.#db.execute(sql`commit`);
  }

  /**
   * Commits a change of one statement, which is all or nothing by itself: it saves two round trips. `null`: it takes more, or
   * the statement did nothing, and does not say why.
   */
  #commitAlone(change: OutboxChange): Promise<boolean | null> | null {
    const {
      expectedSettings = [],
      expected = [],
      insert = [],
      remove = [],
      acknowledge = [],
      append = [],
      ...others
    } = change;
    const given = {
      inserts: expected.length + insert.length,
      remove: remove.length,
      acknowledge: acknowledge.length,
      append: append.length,
    };
    const parts = Object.entries(given).filter(([, count]) => count > 0);
    const isOther = Object.values(others).some((some) => some.length > 0);
    if (isOther || parts.length > 1) return null;
    const [[part, count] = ["inserts", 0]] = parts;
    if (expectedSettings.length > 0 && part !== "remove") return null;
    if (part === "inserts" && insert.length === 0) return this.#areThere(this.#db, expected, IN_SHARE_MODE);
    if (part === "inserts" ? expected.length > MAX_VALUES : count > MAX_VALUES) return null;
    if (part === "append") return this.#appendWrites(this.#db, append);
    if (part === "remove") return this.#removeAlone(remove, expectedSettings);
    if (part === "acknowledge") return this.#outbox.acknowledgeOn(this.#db, acknowledge).then(() => true);
    return insert.every((row) => row.afterId === null) ? this.#insertRows(insert, expected) : null;
  }

  async #commitAll(runner: Runner, change: OutboxChange): Promise<void> {
    const {
      expectedSettings = [],
      expected = [],
      insert = [],
      rewrite = [],
      label = [],
      remove = [],
      unwrittenSince,
      emptiedAgent,
      append = [],
    } = change;
    const { insertTombstones = [], acknowledge = [], lease = [], markPending = [] } = change;
    if (!(await this.#settings.areAsExpected(runner, expectedSettings))) throw new GuardMissed();
    // Rows that will be written are locked for that at once: two clients that share a lock, and then both want to write, are
    // a deadlock.
    await this.#insertAll(runner, insert, expected, rewrite.length > 0 ? FOR_UPDATE : IN_SHARE_MODE);
    if (label.length > 0) await this.#labels.addOn(runner, label);
    for (const one of rewrite) await this.#rewrite(runner, one);
    if (unwrittenSince !== undefined) await this.#checkUnwritten(runner, remove, unwrittenSince);
    for (const ids of slices(remove, MAX_VALUES)) await this.#removeRows(runner, ids);
    // It waits for no insert under way: one that is not seen here comes after this change.
    if (
      emptiedAgent !== undefined &&
      (await this.#reads.listOn(runner, { agentId: emptiedAgent, limit: 1 })).length > 0
    ) {
      throw new GuardMissed();
    }
    for (const rows of slices(insertTombstones, MAX_VALUES)) {
      await this.#insertManyOn(runner).execute({ rows: this.#tuplesOf(rows) });
    }
    await this.#outbox.acknowledgeOn(runner, acknowledge);
    await this.#outbox.leaseOn(runner, lease);
    // Before the writes, for the same reason: they lock the rows that they belong to, shared.
    await this.#outbox.markPendingOn(runner, markPending);
    for (const slice of slices(append, MAX_VALUES)) {
      if (!(await this.#appendWrites(runner, slice))) throw new GuardMissed();
    }
  }

  /** Inserts rows one by one: each may be guarded by its `afterId`. The bases are checked with the first row if they are few. */
  async #insertAll(runner: Runner, insert: readonly Row[], expected: readonly RowVersion[], lock: SQL): Promise<void> {
    const [first] = insert;
    if (
      lock === IN_SHARE_MODE &&
      insert.length > 1 &&
      expected.length <= MAX_VALUES &&
      insert.every((row) => row.afterId === null)
    ) {
      if (!(await this.#insertManyIn(runner, insert, expected))) throw new GuardMissed();
      return;
    }
    const withFirst = first !== undefined && expected.length > 0 && expected.length <= MAX_VALUES;
    if (!withFirst && !(await this.#areThere(runner, expected, lock))) throw new GuardMissed();
    for (const row of insert) {
      if (row !== first || !withFirst) await runner.insert(this.#tables.checkpoints).values(row);
      else if (!(await this.#insertGuarded(this.#insertGuardedOn(runner), [row], expected))) throw new GuardMissed();
      if (row.afterId === null) continue;
      const isLocked = row.afterId === NIL_ID || expected.some(({ id }) => id === row.afterId);
      if (!isLocked && !(await this.#lockRow(runner, row.afterId))) throw new GuardMissed();
      if ((await this.#latestBeside(runner, row)) !== row.afterId) throw new GuardMissed();
    }
  }

  #tuplesOf(rows: readonly Row[]): unknown[][] {
    const columns = getTableColumns(this.#tables.checkpoints);
    return rows.map((row) => tupleOf(columns, row));
  }

  async #insertRows(rows: readonly Row[], expected: readonly RowVersion[]): Promise<boolean> {
    const [base] = expected;
    if (base === undefined) {
      await this.#insertMany.execute({ rows: this.#tuplesOf(rows) });
      return true;
    }
    if (rows.length > 1) return await this.#insertGuarded(this.#insertManyGuarded, rows, expected);
    if (expected.length > 1) return await this.#insertGuarded(this.#insertGuardedOn(this.#db), rows, expected);
    const [row] = this.#tuplesOf(rows);
    const [{ affectedRows }] = await this.#insertOneGuarded.execute({
      row,
      guardId: base.id,
      guardDigest: base.digest,
    });
    return affectedRows === 1;
  }

  /** Inserts rows within a transaction. */
  async #insertManyIn(runner: Runner, rows: readonly Row[], expected: readonly RowVersion[]): Promise<boolean> {
    if (expected.length > 0) {
      const statement = this.#insertGuardedOn(runner, sql`, ${sql.placeholder("others")}`);
      return await this.#insertGuarded(statement, rows, expected);
    }
    await this.#insertManyOn(runner).execute({ rows: this.#tuplesOf(rows) });
    return true;
  }

  #insertManyOn(runner: Runner) {
    return runner
      .insert(this.#tables.checkpoints)
      .select(sql`values ${sql.placeholder("rows")}`)
      .prepare();
  }

  /**
   * Inserts rows if all bases are there. If not, the first row is given a base that never is, and the foreign key refuses them
   * all. An `insert … select` of many rows would copy them to temporary tables on disk first, which takes as long as inserting.
   */
  #insertGuardedOn(runner: Runner, others = sql``): GuardedInsert {
    const { checkpoints } = this.#tables;
    const count = this.#countBases(sql.placeholder("ids"), sql.placeholder("pairs"), IN_SHARE_MODE);
    const nothing = checkpoints.id.mapToDriverValue(NIL_ID);
    const base = sql`if((${count}) = ${sql.placeholder("count")}, ${sql.placeholder("baseId")}, ${nothing})`;
    return runner
      .insert(checkpoints)
      .select(sql`values (${sql.placeholder("before")}, ${base}, ${sql.placeholder("after")})${others}`)
      .prepare();
  }

  async #insertGuarded(
    statement: GuardedInsert,
    rows: readonly Row[],
    expected: readonly RowVersion[],
  ): Promise<boolean> {
    const { checkpoints } = this.#tables;
    const [first = [], ...others] = this.#tuplesOf(rows);
    const at = Object.keys(getTableColumns(checkpoints)).indexOf("baseId");
    const parts = { before: first.slice(0, at), baseId: first[at], after: first.slice(at + 1), others };
    const guard = { ...pairsOf(checkpoints, expected), count: expected.length };
    return await unlessForeignKey(statement.execute({ ...parts, ...guard }));
  }

  /**
   * Counts which of these are there, and locks them until the transaction ends. It forces the primary key: rows that are only
   * looked at would be locked too. It is a derived table, since an insert may not read its own table.
   */
  #countBases(ids: SQLWrapper, pairs: SQLWrapper, lock: SQL): SQL {
    const { checkpoints } = this.#tables;
    const { id, digest } = checkpoints;
    return sql`select there from (select count(*) as there from ${checkpoints} force index (primary)
      where ${id} in (${ids}) and (${id}, ${digest}) in (${pairs}) ${lock}) as guard`;
  }

  async #areThere(runner: Runner, expected: readonly RowVersion[], lock: SQL): Promise<boolean> {
    for (const slice of slices(expected, MAX_VALUES)) {
      const { ids, pairs } = pairsOf(this.#tables.checkpoints, slice);
      const [rows] = await runner.execute(this.#countBases(sql.param(ids), sql.param(pairs), lock));
      const [first] = rows as unknown as { there: number | string }[];
      if (Number(first?.there) !== slice.length) return false;
    }
    return true;
  }

  /** Keeps a row from being removed until the transaction ends. `false`: it is not there. */
  async #lockRow(runner: Runner, id: string): Promise<boolean> {
    const { checkpoints } = this.#tables;
    const isRow = eq(checkpoints.id, id);
    const [rows] = await runner.execute(sql`select 1 from ${checkpoints} where ${isRow} ${IN_SHARE_MODE}`);
    return (rows as unknown as unknown[]).length === 1;
  }

  /**
   * Reads the latest id beside a row that was just inserted. The unique index on `after_id` has let in one writer; a row that
   * another writer stored, and that somebody pruned since, may have left a newer one behind.
   */
  async #latestBeside(runner: Runner, { id, agentId, namespace }: Row): Promise<string> {
    const newest = await this.#reads.listOn(runner, { agentId, namespace, limit: 2 });
    return newest.find((other) => other.id !== id)?.id ?? NIL_ID;
  }

  async #rewrite(runner: Runner, { id, fromBaseId, ...rewritten }: Rewrite): Promise<void> {
    const { checkpoints } = this.#tables;
    const isBase = fromBaseId === null ? isNull(checkpoints.baseId) : eq(checkpoints.baseId, fromBaseId);
    // mysql2 asks the server to count the rows that match, changed or not.
    const [{ affectedRows }] = await runner
      .update(checkpoints)
      .set(rewritten)
      .where(and(eq(checkpoints.id, id), isBase));
    if (affectedRows !== 1) throw new GuardMissed();
  }

  /** Locks the rows first: so each write that another client is appending to them is seen, or finds its row gone. */
  async #checkUnwritten(runner: Runner, ids: readonly string[], since: string): Promise<void> {
    const { checkpoints } = this.#tables;
    const { id } = checkpoints;
    for (const slice of slices(ids, MAX_VALUES)) {
      await runner.select({ id }).from(checkpoints).where(inArray(id, slice)).orderBy(desc(id)).for("update");
    }
    if (await this.#reads.areWrittenSinceOn(runner, ids, since)) throw new GuardMissed();
  }

  /** Removes rows in one statement, if these settings are as expected. `null`: no row was removed, for whatever reason. */
  async #removeAlone(ids: readonly string[], expected: readonly Setting[]): Promise<boolean | null> {
    const count = await this.#removeRows(this.#db, ids, this.#settings.allAsExpected(expected));
    return expected.length === 0 || count > 0 || null;
  }

  /** Removes rows, and counts them. Foreign keys are checked row by row, so dependents go first. */
  async #removeRows(runner: Runner, ids: readonly string[], condition?: SQL): Promise<number> {
    const { checkpoints } = this.#tables;
    const [{ affectedRows }] = await runner
      .delete(checkpoints)
      .where(and(inArray(checkpoints.id, [...ids]), condition))
      .orderBy(desc(checkpoints.id));
    return affectedRows;
  }

  /**
   * Appends at most {@link MAX_VALUES} writes. If a row that they belong to is missing, the first write is given a row that
   * never is, and the foreign key refuses them all; by itself it takes a tombstone for a row.
   */
  async #appendWrites(runner: Runner, append: readonly TaskWriteRow[]): Promise<boolean> {
    const { checkpoints, writes } = this.#tables;
    const columns = getTableColumns(writes);
    const { checkpointId, taskId, index, ...written } = columns;
    const ids = [...new Set(append.map((write) => write.checkpointId))].map((id) =>
      checkpoints.id.mapToDriverValue(id),
    );
    const [[first, ...rest] = [], ...others] = append.map((write) => tupleOf(columns, write));
    const there = sql`select there from (select count(*) as there from ${checkpoints} force index (primary)
      where ${checkpoints.id} in (${sql.param(ids)}) and ${ne(checkpoints.agentId, NO_AGENT)} ${IN_SHARE_MODE}) as guard`;
    const nothing = checkpoints.id.mapToDriverValue(NIL_ID);
    const id = sql`if((${there}) = ${ids.length}, ${sql.param(first)}, ${nothing})`;
    const tuples = [sql`(${id}, ${sql.param(rest)})`, ...others.map((values) => sql`(${sql.param(values)})`)];
    const isNewer = sql`values(${nameOf(writes.rank)}) >= ${nameOf(writes.rank)}`;
    // The rank last: each assignment sees what those before it have set.
    const set = [...Object.values(written).filter((column) => column !== writes.rank), writes.rank].map(
      (column) => sql`${nameOf(column)} = if(${isNewer}, values(${nameOf(column)}), ${nameOf(column)})`,
    );
    const names = Object.values(columns).map(nameOf);
    return await unlessForeignKey(
      runner.execute(sql`insert into ${writes} (${sql.join(names, sql`, `)}) values ${sql.join(tuples, sql`, `)}
        on duplicate key update ${sql.join(set, sql`, `)}`),
    );
  }
}

/** Waits for an insert. `false`: the foreign key has refused it. */
async function unlessForeignKey(inserting: PromiseLike<unknown>): Promise<boolean> {
  try {
    await inserting;
    return true;
  } catch (error) {
    if (classify(error) === "foreign-key") return false;
    throw error;
  }
}
