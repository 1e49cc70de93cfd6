import {
  type Acknowledgement,
  GuardMissed,
  type IdRange,
  type Lease,
  NO_AGENT,
  type PendingHead,
  type PendingMark,
  type RowBacklog,
  slices,
} from "@waymark/core/kit";
import { and, asc, eq, getTableColumns, isNotNull, lte, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import { equals, indexesOf, inRange, MAX_VALUES, pairsOf, type Runner, storedBytesOf } from "./expressions.ts";
import type { CheckpointsTable, Tables } from "./schema.ts";

/**
 * Statements of the outbox: what is pending, and the parts of a change that concern it. Updates find their rows by the primary
 * key, which they force: the servers lock every row that they look at.
 */
export class CheckpointOutbox {
  readonly #db: MySql2Database;
  readonly #checkpoints: CheckpointsTable;
  readonly #indexes;

  constructor(db: MySql2Database, { checkpoints }: Tables) {
    this.#db = db;
    this.#checkpoints = checkpoints;
    this.#indexes = indexesOf(checkpoints);
  }

  async pending(until: number, limit: number): Promise<PendingHead[]> {
    const { state: _, afterId: __, ...head } = getTableColumns(this.#checkpoints);
    const rows = await this.#db
      .select({ ...head, storedBytes: storedBytesOf(this.#checkpoints) })
      .from(this.#checkpoints, { forceIndex: this.#indexes.byPending })
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
    const from = this.#db.select(counts).from(this.#checkpoints, { forceIndex: this.#indexes.byPending });
    const [backlog] = await from.where(isNotNull(pending));
    return backlog as RowBacklog;
  }

  /** All rows minus the tombstones: each is counted in an index, without reading rows. */
  async count(range: IdRange): Promise<number> {
    const { id, agentId } = this.#checkpoints;
    const between = inRange(id, range);
    const all = sql`(select count(*) from ${this.#checkpoints} where ${and(sql`true`, ...between)})`;
    const tombstones = sql`(select count(*) from ${this.#checkpoints} force index (${sql.identifier(this.#indexes.byAgent)})
      where ${and(eq(agentId, NO_AGENT), ...between)})`;
    const [result] = await this.#db.execute(sql`select ${all} - ${tombstones} as count`);
    const [first] = result as unknown as { count: number | string }[];
    return Number(first?.count);
  }

  async acknowledgeOn(runner: Runner, rows: readonly Acknowledgement[]): Promise<void> {
    const { id, digest, pending } = this.#checkpoints;
    for (const slice of slices(rows, MAX_VALUES)) {
      const { ids, pairs } = pairsOf(this.#checkpoints, slice);
      const sent = pairs.map((pair, at) => [...pair, slice[at]?.pending]);
      await runner.execute(sql`update ${this.#checkpoints} force index (primary) set ${pending} = null
        where ${id} in (${sql.param(ids)}) and (${id}, ${digest}, ${pending}) in (${sql.param(sent)})`);
    }
  }

  /** Leases rows. One statement for those with the same end, which all of a batch have. */
  async leaseOn(runner: Runner, leases: readonly Lease[]): Promise<void> {
    const { id, pending } = this.#checkpoints;
    for (const until of new Set(leases.map((lease) => lease.pending))) {
      for (const slice of slices(
        leases.filter((lease) => lease.pending === until),
        MAX_VALUES,
      )) {
        const ids = slice.map((lease) => id.mapToDriverValue(lease.id));
        const pairs = slice.map(({ fromPending }, at) => [ids[at], fromPending]);
        const [{ affectedRows }] = await runner.execute(sql`update ${this.#checkpoints} force index (primary)
          set ${pending} = ${until}
          where ${id} in (${sql.param(ids)}) and (${id}, ${pending}) in (${sql.param(pairs)})`);
        if (affectedRows !== slice.length) throw new GuardMissed();
      }
    }
  }

  async markPendingOn(runner: Runner, marks: readonly PendingMark[]): Promise<void> {
    const { id, pending } = this.#checkpoints;
    for (const mark of marks) {
      await runner.execute(sql`update ${this.#checkpoints} force index (primary)
        set ${pending} = greatest(coalesce(${pending} + 1, 0), ${mark.pending}) where ${equals(id, mark.id)}`);
    }
  }
}
