import {
  type Acknowledgement,
  GuardMissed,
  type IdRange,
  type Lease,
  NO_AGENT,
  type PendingHead,
  type PendingMark,
  type RowBacklog,
} from "@waymark/core/kit";
import { and, asc, eq, getTableColumns, isNotNull, lte, type SQL, sql } from "drizzle-orm";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { hex, inRange, type Runner, storedBytesOf } from "./expressions.ts";
import type { CheckpointsTable, Tables } from "./schema.ts";

/** Statements of the outbox: what is pending, and the parts of a change that concern it. */
export class CheckpointOutbox {
  readonly #db: PostgresJsDatabase;
  readonly #checkpoints: CheckpointsTable;
  /** The one outside of transactions. Built once: building its text takes longer than running it. */
  readonly #acknowledge;

  constructor(db: PostgresJsDatabase, { checkpoints }: Tables) {
    this.#db = db;
    this.#checkpoints = checkpoints;
    this.#acknowledge = this.#prepareAcknowledge(db);
  }

  async pending(until: number, limit: number): Promise<PendingHead[]> {
    const { state: _, afterId: __, ...head } = getTableColumns(this.#checkpoints);
    const rows = await this.#db
      .select({ ...head, storedBytes: storedBytesOf(this.#checkpoints) })
      .from(this.#checkpoints)
      .where(lte(this.#checkpoints.pending, until))
      .orderBy(asc(this.#checkpoints.pending), asc(this.#checkpoints.id))
      .limit(limit);
    return rows as PendingHead[];
  }

  async backlog(): Promise<RowBacklog> {
    const { pending } = this.#checkpoints;
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytesOf(this.#checkpoints)}), 0)`.mapWith(Number),
      oldest: sql`min(${pending})`.mapWith(pending),
    };
    const [backlog] = await this.#db.select(counts).from(this.#checkpoints).where(isNotNull(pending));
    return backlog as RowBacklog;
  }

  /** All rows minus the tombstones: each is counted in an index, without reading rows. */
  async count(range: IdRange): Promise<number> {
    const { id, agentId } = this.#checkpoints;
    const between = inRange(id, range);
    const all = sql`(select count(*) from ${this.#checkpoints} where ${and(sql`true`, ...between)})`;
    const tombstones = sql`(select count(*) from ${this.#checkpoints} where ${and(eq(agentId, NO_AGENT), ...between)})`;
    const [result] = await this.#db.execute<{ rows: string }>(sql`select ${all} - ${tombstones} as rows`);
    return Number(result?.rows);
  }

  async acknowledgeOn(runner: Runner, rows: readonly Acknowledgement[]): Promise<void> {
    const statement = runner === this.#db ? this.#acknowledge : this.#prepareAcknowledge(runner);
    await statement.execute({ sent: acknowledgementsJson(rows) });
  }

  /**
   * "is not distinct from" keeps PostgreSQL from the index of pending rows, here and in the lease: its statistics are always
   * late, and all rows that were leased together have one time in it.
   */
  #prepareAcknowledge(runner: Runner) {
    const { id, digest, pending } = this.#checkpoints;
    return runner
      .update(this.#checkpoints)
      .set({ pending: null })
      .from(
        sql`json_to_recordset(${sql.placeholder("sent")}::text::json) as sent (id uuid, digest bytea, pending bigint)`,
      )
      .where(and(sql`${id} = sent.id`, sql`${digest} = sent.digest`, sql`${pending} is not distinct from sent.pending`))
      .prepare("acknowledge");
  }

  async leaseOn(runner: Runner, leases: readonly Lease[]): Promise<void> {
    const { id, pending } = this.#checkpoints;
    const { count } = await runner.execute(sql`update ${this.#checkpoints} set pending = lease.until
      from json_to_recordset(${leasesJson(leases)}::text::json) as lease (id uuid, read bigint, until bigint)
      where ${id} = lease.id and ${pending} is not distinct from lease.read`);
    if (count !== leases.length) throw new GuardMissed();
  }

  async markPendingOn(runner: Runner, marks: readonly PendingMark[]): Promise<void> {
    await runner.execute(this.markPendingIf(sql`true`, marks));
  }

  /** Returns the statement that marks rows as pending if a condition holds, to be a part of another statement. */
  markPendingIf(condition: SQL, marks: readonly PendingMark[]): SQL {
    const { id, pending } = this.#checkpoints;
    return sql`update ${this.#checkpoints} set pending = greatest(${pending} + 1, mark.pending)
      from json_to_recordset(${JSON.stringify(marks)}::text::json) as mark (id uuid, pending bigint)
      where ${id} = mark.id and ${condition}`;
  }
}

function acknowledgementsJson(rows: readonly Acknowledgement[]): string {
  return JSON.stringify(rows.map(({ id, digest, pending }) => ({ id, digest: hex(digest), pending })));
}

function leasesJson(leases: readonly Lease[]): string {
  return JSON.stringify(leases.map(({ id, fromPending, pending }) => ({ id, read: fromPending, until: pending })));
}
