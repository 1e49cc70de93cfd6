import {
  GuardMissed,
  NIL_ID,
  type OutboxChange,
  type Rewrite,
  type Row,
  type RowVersion,
  type TaskWriteRow,
} from "@waymark/core/kit";
import { and, eq, getTableColumns, isNull, type SQL, sql } from "drizzle-orm";
import type { SQLiteInsertValue } from "drizzle-orm/sqlite-core";
import type { DrizzleDatabase } from "../handle.ts";
import { equals, isNoTombstone, placeholders } from "./expressions.ts";
import type { CheckpointLabels } from "./labels.ts";
import type { CheckpointOutbox } from "./outbox.ts";
import type { CheckpointReads } from "./reads.ts";
import type { CheckpointsTable, Tables, WritesTable } from "./schema.ts";
import type { CheckpointSettings } from "./settings.ts";

/** The write primitive: applies a change, all or nothing. */
export class CheckpointCommit {
  readonly #db: DrizzleDatabase;
  readonly #checkpoints: CheckpointsTable;
  readonly #reads: CheckpointReads;
  readonly #settings: CheckpointSettings;
  readonly #labels: CheckpointLabels;
  readonly #outbox: CheckpointOutbox;
  // Built once: building their text takes longer than running them.
  readonly #insert;
  readonly #insertGuarded;
  readonly #findBase;
  readonly #remove;
  readonly #findRow;
  readonly #append;

  constructor(
    db: DrizzleDatabase,
    { checkpoints, writes }: Tables,
    reads: CheckpointReads,
    settings: CheckpointSettings,
    labels: CheckpointLabels,
    outbox: CheckpointOutbox,
  ) {
    const { id, digest } = checkpoints;
    const columns = getTableColumns(checkpoints);
    const isRow = equals(id, sql.placeholder("id"));
    const isBase = sql`${equals(id, sql.placeholder("guardId"))} and ${equals(digest, sql.placeholder("guardDigest"))}`;
    const values = Object.entries(columns).map(([name, column]) => sql`${sql.param(sql.placeholder(name), column)}`);
    this.#db = db;
    this.#checkpoints = checkpoints;
    this.#reads = reads;
    this.#settings = settings;
    this.#labels = labels;
    this.#outbox = outbox;
    this.#insert = db
      .insert(checkpoints)
      .values(placeholders(columns) as SQLiteInsertValue<CheckpointsTable>)
      .prepare();
    this.#insertGuarded = db
      .insert(checkpoints)
      .select(sql`select ${sql.join(values, sql`, `)} from ${checkpoints} where ${isBase}`)
      .prepare();
    this.#findBase = db.select({ id }).from(checkpoints).where(isBase).prepare();
    this.#remove = db.delete(checkpoints).where(isRow).prepare();
    this.#findRow = db
      .select({ id })
      .from(checkpoints)
      .where(and(isRow, isNoTombstone(checkpoints)))
      .prepare();
    this.#append = upsert(db, writes).prepare();
  }

  commit(change: OutboxChange): boolean {
    const { expected = [], insert = [], acknowledge = [], ...others } = change;
    const [only] = insert;
    const [base] = expected;
    const rest = Object.values(others).reduce((sum, some) => sum + some.length, 0);
    // One row alone: a statement is a transaction by itself.
    if (rest === 0 && insert.length + acknowledge.length === 1) {
      if (only !== undefined && only.afterId === null && expected.length <= 1) {
        if (base !== undefined) return this.#insertGuarded.run({ ...only, ...guardOf(base) }).changes === 1;
        this.#insert.run({ ...only });
        return true;
      }
      if (only === undefined && base === undefined) {
        this.#outbox.acknowledge(acknowledge);
        return true;
      }
    }
    try {
      // Immediate: a transaction that reads first and then writes would be refused at once, without the busy timeout.
      this.#db.transaction(() => this.#commitAll(change), { behavior: "immediate" });
      return true;
    } catch (error) {
      if (error instanceof GuardMissed) return false;
      throw error;
    }
  }

  #commitAll(change: OutboxChange): void {
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
    if (!this.#settings.areAsExpected(expectedSettings)) throw new GuardMissed();
    for (const base of expected) if (this.#findBase.get(guardOf(base)) === undefined) throw new GuardMissed();
    for (const row of insert) {
      if (row.afterId !== null && this.#latestId(row) !== row.afterId) throw new GuardMissed();
      this.#insert.run({ ...row });
    }
    this.#labels.add(label);
    for (const one of rewrite) this.#rewrite(one);
    if (unwrittenSince !== undefined && this.#reads.areWrittenSince(remove, unwrittenSince)) throw new GuardMissed();
    // One by one: a text with a list of ids would be another one for every length (see handle.ts).
    for (const id of remove) this.#remove.run({ id });
    if (emptiedAgent !== undefined && this.#reads.list({ agentId: emptiedAgent, limit: 1 }).length > 0) {
      throw new GuardMissed();
    }
    for (const row of insertTombstones) this.#insert.run({ ...row });
    this.#outbox.acknowledge(acknowledge);
    this.#outbox.lease(lease);
    this.#outbox.markPending(markPending);
    this.#appendWrites(append);
  }

  #latestId({ agentId, namespace }: Row): string {
    const [latest] = this.#reads.list({ agentId, namespace, limit: 1 });
    return latest?.id ?? NIL_ID;
  }

  #rewrite({ id, fromBaseId, ...rewritten }: Rewrite): void {
    const { baseId } = this.#checkpoints;
    const isBase: SQL = fromBaseId === null ? isNull(baseId) : eq(baseId, fromBaseId);
    const { changes } = this.#db
      .update(this.#checkpoints)
      .set(rewritten)
      .where(and(eq(this.#checkpoints.id, id), isBase))
      .run();
    if (changes !== 1) throw new GuardMissed();
  }

  #appendWrites(append: readonly TaskWriteRow[]): void {
    for (const { checkpointId: id } of append) if (this.#findRow.get({ id }) === undefined) throw new GuardMissed();
    for (const write of append) this.#append.run({ ...write });
  }
}

function guardOf({ id, digest }: RowVersion) {
  return { guardId: id, guardDigest: digest };
}

/** Inserts a write, or replaces one with the same key and no higher rank. */
function upsert(db: DrizzleDatabase, writes: WritesTable) {
  const { checkpointId, taskId, index, ...written } = getTableColumns(writes);
  return db
    .insert(writes)
    .values(placeholders(getTableColumns(writes)) as SQLiteInsertValue<WritesTable>)
    .onConflictDoUpdate({
      target: [checkpointId, taskId, index],
      set: Object.fromEntries(
        Object.entries(written).map(([name, column]) => [name, sql`excluded.${sql.identifier(column.name)}`]),
      ),
      setWhere: sql`excluded.${sql.identifier(writes.rank.name)} >= ${writes.rank}`,
    });
}
