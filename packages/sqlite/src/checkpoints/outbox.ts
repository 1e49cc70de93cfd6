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
import { and, asc, eq, getTableColumns, isNotNull, lte, sql } from "drizzle-orm";
import type { DrizzleDatabase } from "../handle.ts";
import { equals, inRange, storedBytesOf } from "./expressions.ts";
import type { CheckpointsTable, Tables } from "./schema.ts";

/**
 * Statements of the outbox: what is pending, and the parts of a change that concern it. None is told where to run: there is
 * one connection, and its transactions are synchronous.
 */
export class CheckpointOutbox {
  readonly #db: DrizzleDatabase;
  readonly #checkpoints: CheckpointsTable;
  // Built once: building their text takes longer than running them.
  readonly #acknowledge;
  readonly #lease;
  readonly #markPending;

  constructor(db: DrizzleDatabase, { checkpoints }: Tables) {
    const { id, digest, pending } = checkpoints;
    const isRow = equals(id, sql.placeholder("id"));
    this.#db = db;
    this.#checkpoints = checkpoints;
    this.#acknowledge = db
      .update(checkpoints)
      .set({ pending: null })
      .where(and(isRow, equals(digest, sql.placeholder("digest")), equals(pending, sql.placeholder("pending"))))
      .prepare();
    this.#lease = db
      .update(checkpoints)
      .set({ pending: sql`${sql.placeholder("pending")}` })
      .where(and(isRow, equals(pending, sql.placeholder("fromPending"))))
      .prepare();
    this.#markPending = db
      .update(checkpoints)
      .set({ pending: sql`max(coalesce(${pending} + 1, 0), ${sql.placeholder("pending")})` })
      .where(isRow)
      .prepare();
  }

  pending(until: number, limit: number): PendingHead[] {
    const { state: _, afterId: __, ...head } = getTableColumns(this.#checkpoints);
    const rows = this.#db
      .select({ ...head, storedBytes: storedBytesOf(this.#checkpoints) })
      .from(this.#checkpoints)
      .where(lte(this.#checkpoints.pending, until))
      .orderBy(asc(this.#checkpoints.pending), asc(this.#checkpoints.id))
      .limit(limit);
    return rows.all() as PendingHead[];
  }

  backlog(): RowBacklog {
    const { pending } = this.#checkpoints;
    const counts = {
      rows: sql`count(*)`.mapWith(Number),
      storedBytes: sql`coalesce(sum(${storedBytesOf(this.#checkpoints)}), 0)`.mapWith(Number),
      oldest: sql`min(${pending})`.mapWith(pending),
    };
    return this.#db.select(counts).from(this.#checkpoints).where(isNotNull(pending)).get() as RowBacklog;
  }

  /** All rows minus the tombstones: each is counted in an index, without reading rows. */
  count(range: IdRange): number {
    const { id, agentId } = this.#checkpoints;
    const between = inRange(id, range);
    const all = sql`(select count(*) from ${this.#checkpoints} where ${between})`;
    const tombstones = sql`(select count(*) from ${this.#checkpoints} where ${and(eq(agentId, NO_AGENT), between)})`;
    return Number(this.#db.get<{ rows: number | bigint }>(sql`select ${all} - ${tombstones} as rows`).rows);
  }

  acknowledge(rows: readonly Acknowledgement[]): void {
    for (const row of rows) this.#acknowledge.run({ ...row });
  }

  lease(leases: readonly Lease[]): void {
    for (const lease of leases) if (this.#lease.run({ ...lease }).changes !== 1) throw new GuardMissed();
  }

  markPending(marks: readonly PendingMark[]): void {
    for (const mark of marks) this.#markPending.run({ ...mark });
  }
}
