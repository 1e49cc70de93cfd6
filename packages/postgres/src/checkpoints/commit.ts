import {
  GuardMissed,
  NIL_ID,
  NO_AGENT,
  type OutboxChange,
  type PendingMark,
  type Rewrite,
  type Row,
  type RowVersion,
  type Setting,
  type TaskWriteRow,
} from "@waymark/core/kit";
import { and, eq, getTableColumns, isNull, ne, type Placeholder, type SQL, sql } from "drizzle-orm";
import type { PgInsertValue } from "drizzle-orm/pg-core";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { hex, isOneOf, jsonParameters, nameOf, placeholders, type Runner, selectFromJson } from "./expressions.ts";
import type { CheckpointLabels } from "./labels.ts";
import type { CheckpointOutbox } from "./outbox.ts";
import type { CheckpointReads } from "./reads.ts";
import type { CheckpointsTable, Tables } from "./schema.ts";
import type { CheckpointSettings } from "./settings.ts";

/** The write primitive: applies a change, all or nothing. */
export class CheckpointCommit {
  readonly #db: PostgresJsDatabase;
  readonly #tables: Tables;
  readonly #reads: CheckpointReads;
  readonly #settings: CheckpointSettings;
  readonly #labels: CheckpointLabels;
  readonly #outbox: CheckpointOutbox;
  // Built once: building their text takes longer than running them.
  readonly #insertOne;
  readonly #insertMany;
  readonly #insertOneGuarded;
  readonly #insertManyGuarded;

  constructor(
    db: PostgresJsDatabase,
    tables: Tables,
    reads: CheckpointReads,
    settings: CheckpointSettings,
    labels: CheckpointLabels,
    outbox: CheckpointOutbox,
  ) {
    const { checkpoints } = tables;
    this.#db = db;
    this.#tables = tables;
    this.#reads = reads;
    this.#settings = settings;
    this.#labels = labels;
    this.#outbox = outbox;
    this.#insertOne = db
      .insert(checkpoints)
      .values(placeholders(getTableColumns(checkpoints)) as PgInsertValue<CheckpointsTable>)
      .prepare("insert_one");
    this.#insertMany = this.#insertManyOn(db).prepare("insert_many");
    this.#insertOneGuarded = this.#insertOneGuardedOn(db).prepare("insert_one_guarded");
    this.#insertManyGuarded = this.#insertManyGuardedOn(db).prepare("insert_many_guarded");
  }

  async commit(change: OutboxChange): Promise<boolean> {
    const alone = this.#commitAlone(change);
    if (alone !== null) return await alone;
    try {
      await this.#db.transaction((transaction) => this.#commitAll(transaction, change));
      return true;
    } catch (error) {
      if (error instanceof GuardMissed) return false;
      throw error;
    }
  }

  /** Commits a change of one statement, which is all or nothing by itself: it saves two round trips. `null`: it takes more. */
  #commitAlone(change: OutboxChange): Promise<boolean> | null {
    const {
      expectedSettings = [],
      expected = [],
      insert = [],
      remove = [],
      acknowledge = [],
      markPending = [],
      append = [],
      ...others
    } = change;
    const given = { inserts: expected.length + insert.length, remove: remove.length, acknowledge: acknowledge.length };
    const parts = Object.entries(given).filter(([, count]) => count > 0);
    const isOther = Object.values(others).some((some) => some.length > 0);
    if (isOther || parts.length > 1) return null;
    const [part] = parts.map(([name]) => name);
    if (append.length > 0)
      return part === undefined && expectedSettings.length === 0
        ? this.#appendWrites(this.#db, append, markPending)
        : null;
    if (markPending.length > 0) return null;
    if (part === "remove") return this.#removeAlone(remove, expectedSettings);
    if (expectedSettings.length > 0) return null;
    if (part === "acknowledge") return this.#outbox.acknowledgeOn(this.#db, acknowledge).then(() => true);
    if (insert.length === 0) return this.#areThere(this.#db, expected);
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
    await this.#insertAll(runner, insert, expected);
    if (label.length > 0) await this.#labels.addOn(runner, label);
    for (const one of rewrite) await this.#rewrite(runner, one);
    if (unwrittenSince !== undefined) await this.#checkUnwritten(runner, remove, unwrittenSince);
    if (remove.length > 0) await this.#removeRows(runner, remove);
    // It waits for no insert under way: one that is not seen here comes after this change.
    if (
      emptiedAgent !== undefined &&
      (await this.#reads.listOn(runner, { agentId: emptiedAgent, limit: 1 })).length > 0
    ) {
      throw new GuardMissed();
    }
    if (insertTombstones.length > 0) {
      // A statement of its own: in one with the removal, the foreign key would take the tombstone for the row.
      await this.#insertManyOn(runner).prepare("insert_tombstones").execute(jsonParameters(insertTombstones));
    }
    if (acknowledge.length > 0) await this.#outbox.acknowledgeOn(runner, acknowledge);
    if (lease.length > 0) await this.#outbox.leaseOn(runner, lease);
    if (append.length > 0) {
      if (!(await this.#appendWrites(runner, append, markPending))) throw new GuardMissed();
    } else if (markPending.length > 0) {
      await this.#outbox.markPendingOn(runner, markPending);
    }
  }

  /** Inserts rows one by one: each may be guarded by its `afterId`. The bases are checked with the first row. */
  async #insertAll(runner: Runner, insert: readonly Row[], expected: readonly RowVersion[]): Promise<void> {
    const [first] = insert;
    if (insert.length > 1 && insert.every((row) => row.afterId === null)) {
      if (!(await this.#insertManyIn(runner, insert, expected))) throw new GuardMissed();
      return;
    }
    if (expected.length > 0 && first === undefined && !(await this.#areThere(runner, expected)))
      throw new GuardMissed();
    for (const row of insert) {
      if (row !== first || expected.length === 0) await runner.insert(this.#tables.checkpoints).values(row);
      else if (!(await this.#insertGuardedOn(runner, row, expected))) throw new GuardMissed();
      if (row.afterId === null) continue;
      const isLocked = row.afterId === NIL_ID || expected.some(({ id }) => id === row.afterId);
      if (!isLocked && !(await this.#lockRow(runner, row.afterId))) throw new GuardMissed();
      if ((await this.#latestBeside(runner, row)) !== row.afterId) throw new GuardMissed();
    }
  }

  async #insertRows(rows: readonly Row[], expected: readonly RowVersion[]): Promise<boolean> {
    const [[only], [base]] = [rows as [Row], expected];
    if (base === undefined) {
      if (rows.length > 1) await this.#insertMany.execute(jsonParameters(rows));
      else await this.#insertOne.execute({ ...only });
      return true;
    }
    const { count } =
      rows.length === 1 && expected.length === 1
        ? await this.#insertOneGuarded.execute({ ...only, guardId: base.id, guardDigest: base.digest })
        : await this.#insertManyGuarded.execute({ ...jsonParameters(rows), expected: versionsJson(expected) });
    return count === rows.length;
  }

  /** Inserts rows within a transaction. */
  async #insertManyIn(runner: Runner, rows: readonly Row[], expected: readonly RowVersion[]): Promise<boolean> {
    if (expected.length === 0) {
      await this.#insertManyOn(runner).prepare("insert_many").execute(jsonParameters(rows));
      return true;
    }
    const statement = this.#insertManyGuardedOn(runner).prepare("insert_many_guarded");
    return (
      (await statement.execute({ ...jsonParameters(rows), expected: versionsJson(expected) })).count === rows.length
    );
  }

  #insertManyOn(runner: Runner) {
    const { checkpoints } = this.#tables;
    return runner.insert(checkpoints).select(selectFromJson(getTableColumns(checkpoints)));
  }

  /** Inserts the row if its base is there, and locks the base until that is done, as the foreign key does too. */
  #insertOneGuardedOn(runner: Runner) {
    const { checkpoints } = this.#tables;
    const { id, digest } = checkpoints;
    const values = Object.entries(getTableColumns(checkpoints)).map(
      ([name, column]) => sql`${sql.placeholder(name)}::${sql.raw(column.getSQLType())}`,
    );
    return runner.insert(checkpoints).select(sql`select ${sql.join(values, sql`, `)} from ${checkpoints}
      where ${id} = ${sql.placeholder("guardId")} and ${digest} = ${sql.placeholder("guardDigest")} for key share`);
  }

  /** Inserts all rows if all bases are there. */
  #insertManyGuardedOn(runner: Runner) {
    const { checkpoints } = this.#tables;
    const expected = sql.placeholder("expected");
    return runner.insert(checkpoints).select(sql`with guard as (${this.#selectExpected(expected)})
      ${selectFromJson(getTableColumns(checkpoints))}
      where (select count(*) from guard) = json_array_length(${expected}::text::json)`);
  }

  async #insertGuardedOn(runner: Runner, row: Row, expected: readonly RowVersion[]): Promise<boolean> {
    return await this.#insertManyIn(runner, [row], expected);
  }

  /** Selects those that are there. LATERAL with its own lock keeps PostgreSQL to the primary key: it might scan a small table. */
  #selectExpected(expected: Placeholder | string): SQL {
    const { checkpoints } = this.#tables;
    const { id, digest } = checkpoints;
    return sql`select 1 from json_to_recordset(${expected}::text::json) as expected (id uuid, digest bytea)
      cross join lateral (
        select 1 from ${checkpoints} where ${id} = expected.id and ${digest} = expected.digest for key share
      ) as base`;
  }

  async #areThere(runner: Runner, expected: readonly RowVersion[]): Promise<boolean> {
    if (expected.length === 0) return true;
    return (await runner.execute(this.#selectExpected(versionsJson(expected)))).length === expected.length;
  }

  /** Keeps a row from being removed until the transaction ends. `false`: it is not there. */
  async #lockRow(runner: Runner, id: string): Promise<boolean> {
    const { checkpoints } = this.#tables;
    const found = await runner.execute(sql`select 1 from ${checkpoints} where ${eq(checkpoints.id, id)} for key share`);
    return found.length === 1;
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
    const changed = await runner
      .update(checkpoints)
      .set(rewritten)
      .where(and(eq(checkpoints.id, id), isBase))
      .returning({ id: checkpoints.id });
    if (changed.length !== 1) throw new GuardMissed();
  }

  /** Locks the rows first: so each write that another client is appending to them is seen, or finds its row gone. */
  async #checkUnwritten(runner: Runner, ids: readonly string[], since: string): Promise<void> {
    const { id } = this.#tables.checkpoints;
    await runner.select({ id }).from(this.#tables.checkpoints).where(isOneOf(id, ids)).for("update");
    if (await this.#reads.areWrittenSinceOn(runner, ids, since)) throw new GuardMissed();
  }

  /** Foreign keys are checked when the statement is done, so the order of the rows does not matter here. */
  async #removeRows(runner: Runner, ids: readonly string[]): Promise<void> {
    const { checkpoints } = this.#tables;
    await runner.delete(checkpoints).where(isOneOf(checkpoints.id, ids));
  }

  /** Removes rows in one statement, if these settings are as expected. */
  async #removeAlone(ids: readonly string[], expected: readonly Setting[]): Promise<boolean> {
    if (expected.length === 0) {
      await this.#removeRows(this.#db, ids);
      return true;
    }
    const { checkpoints } = this.#tables;
    const [counted] = await this.#db.execute<{ met: string }>(sql`with guard as materialized (
        ${this.#settings.selectExpected(expected)}
      ), removed as (
        delete from ${checkpoints}
        where ${isOneOf(checkpoints.id, ids)} and (select count(*) from guard) = ${expected.length}
      ) select count(*) as met from guard`);
    return Number(counted?.met) === expected.length;
  }

  /**
   * Appends writes in one statement. It locks the rows that they belong to first, so that none of them is removed meanwhile.
   * Nothing is inserted, and nothing becomes pending, unless all of them are there.
   */
  async #appendWrites(
    runner: Runner,
    append: readonly TaskWriteRow[],
    marks: readonly PendingMark[],
  ): Promise<boolean> {
    const { checkpoints, writes } = this.#tables;
    const { rows, states } = jsonParameters(append);
    const ids = new Set(append.map(({ checkpointId }) => checkpointId));
    const isComplete = sql`(select count(*) from there) = ${ids.size}`;
    const columns = getTableColumns(writes);
    const { checkpointId, taskId, index, ...written } = columns;
    const target = sql.join([checkpointId, taskId, index].map(nameOf), sql`, `);
    const set = Object.values(written).map((column) => sql`${nameOf(column)} = excluded.${nameOf(column)}`);
    // Within SET and WHERE the alias means the row that is there; the table's full name would not.
    const [counted] = await runner.execute<{ there: string }>(sql`with there as materialized (
        select 1 from ${checkpoints} where ${isOneOf(checkpoints.id, [...ids])} and ${ne(checkpoints.agentId, NO_AGENT)} for key share
      ), marked as (${this.#outbox.markPendingIf(isComplete, marks)}), appended as (
        insert into ${writes} as stored (${sql.join(Object.values(columns).map(nameOf), sql`, `)})
        ${selectFromJson(columns, rows, states)} where ${isComplete}
        on conflict (${target}) do update set ${sql.join(set, sql`, `)}
        where excluded.${nameOf(writes.rank)} >= stored.${nameOf(writes.rank)}
      ) select count(*) as there from there`);
    return Number(counted?.there) === ids.size;
  }
}

function versionsJson(expected: readonly RowVersion[]): string {
  return JSON.stringify(expected.map(({ id, digest }) => ({ id, digest: hex(digest) })));
}
