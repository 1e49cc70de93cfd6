import { type LabelQuery, NO_AGENT, type RowHead, type RowLabel } from "@waymark/core/kit";
import { and, desc, eq, getTableColumns, ne, type SQL, sql } from "drizzle-orm";
import type { DrizzleDatabase } from "../handle.ts";
import type { Tables } from "./schema.ts";

/** Statements of the index of labels. */
export class CheckpointLabels {
  readonly #db: DrizzleDatabase;
  readonly #tables: Tables;
  // Built once: building their text takes longer than running them.
  readonly #add;

  constructor(db: DrizzleDatabase, tables: Tables) {
    this.#db = db;
    this.#tables = tables;
    this.#add = this.#insertFromRow().prepare();
  }

  /** CROSS JOIN keeps SQLite to the order of the index. */
  list(label: string, { labels: lines = [], before, since, limit }: LabelQuery): RowHead[] {
    const { checkpoints, labels } = this.#tables;
    const { state: _, afterId: __, ...head } = getTableColumns(checkpoints);
    const conditions: SQL[] = [sql`${checkpoints.id} = ${labels.checkpointId}`, eq(labels.label, label)];
    if (before !== undefined) conditions.push(sql`${labels.checkpointId} < ${sql.param(before, checkpoints.id)}`);
    if (since !== undefined) conditions.push(sql`${labels.checkpointId} > ${sql.param(since, checkpoints.id)}`);
    for (const line of lines) conditions.push(sql`instr(${checkpoints.metadata}, ${line}) > 0`);
    return this.#db
      .select(head)
      .from(labels)
      .crossJoin(checkpoints)
      .where(and(...conditions))
      .orderBy(desc(labels.checkpointId))
      .limit(limit)
      .all();
  }

  /** A loose index scan, as that of all agents. */
  agents(label: string, after: string | null, limit: number): string[] {
    const { labels } = this.#tables;
    const next = (above: SQL) => sql`(select min(${labels.agentId}) from ${labels}
      where ${eq(labels.label, label)} and ${labels.agentId} > ${above})`;
    const rows = this.#db.all<{ id: string }>(sql`with recursive agent (id, position) as (
      select ${next(sql`${after ?? NO_AGENT}`)}, 1
      union all
      select ${next(sql`agent.id`)}, position + 1 from agent where agent.id is not null and position < ${limit}
    ) select id from agent where id is not null order by position`);
    return rows.map(({ id }) => id);
  }

  add(labels: readonly RowLabel[]): void {
    for (const { label, checkpointId } of labels) this.#add.run({ label, id: checkpointId });
  }

  #insertFromRow() {
    const { checkpoints, labels } = this.#tables;
    const { id, agentId } = checkpoints;
    const label = sql.param(sql.placeholder("label"), labels.label);
    const isRow = and(sql`${id} = ${sql.param(sql.placeholder("id"), id)}`, ne(agentId, NO_AGENT));
    return this.#db
      .insert(labels)
      .select(sql`select ${label}, ${id}, ${agentId} from ${checkpoints} where ${isRow}`)
      .onConflictDoNothing();
  }
}
