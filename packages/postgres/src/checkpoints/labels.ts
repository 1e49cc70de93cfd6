import { type LabelQuery, NO_AGENT, type RowHead, type RowLabel } from "@waymark/core/kit";
import { and, desc, eq, getTableColumns, gte, lte, ne, type SQL, sql } from "drizzle-orm";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import { inRange, nameOf, type Runner } from "./expressions.ts";
import type { Tables } from "./schema.ts";

/** Statements of the index of labels. */
export class CheckpointLabels {
  readonly #db: PostgresJsDatabase;
  readonly #tables: Tables;

  constructor(db: PostgresJsDatabase, tables: Tables) {
    this.#db = db;
    this.#tables = tables;
  }

  /**
   * Selects a range of (label, id), ordered by both, as an agent's rows are (see `reads.ts`). OFFSET 0 keeps PostgreSQL to
   * looking each row up: it would rather join the whole table.
   */
  async list(label: string, { labels: lines = [], before, since, limit }: LabelQuery): Promise<RowHead[]> {
    const { checkpoints, labels } = this.#tables;
    const { state: _, afterId: __, ...head } = getTableColumns(checkpoints);
    const range = { ...(since === undefined ? {} : { since }), ...(before === undefined ? {} : { before }) };
    const row = this.#db
      .select(head)
      .from(checkpoints)
      .where(eq(checkpoints.id, labels.checkpointId))
      .offset(sql`0` as unknown as number)
      .as("row");
    const filters = lines.map((line) => sql`strpos(${row.metadata}, ${line}) > 0`);
    return (await this.#db
      .select(row._.selectedFields)
      .from(labels)
      .crossJoinLateral(row)
      .where(
        and(gte(labels.label, label), lte(labels.label, label), ...inRange(labels.checkpointId, range), ...filters),
      )
      .orderBy(desc(labels.label), desc(labels.checkpointId))
      .limit(limit)) as unknown as RowHead[];
  }

  /** A loose index scan, as that of all agents. */
  async agents(label: string, after: string | null, limit: number): Promise<string[]> {
    const { labels } = this.#tables;
    const next = (above: SQL) => sql`(select min(${labels.agentId}) from ${labels}
      where ${eq(labels.label, label)} and ${labels.agentId} > ${above})`;
    const rows = await this.#db.execute<{ id: string }>(sql`with recursive agent (id, position) as (
      select ${next(sql`${after ?? NO_AGENT}`)}, 1
      union all
      select ${next(sql`agent.id`)}, position + 1 from agent where agent.id is not null and position < ${limit}
    ) select id from agent where id is not null order by position`);
    return rows.map(({ id }) => id);
  }

  /** Adds labels in one statement. It locks the rows that have them, so that none becomes a tombstone meanwhile. */
  async addOn(runner: Runner, added: readonly RowLabel[]): Promise<void> {
    const { checkpoints, labels } = this.#tables;
    const { id, agentId } = checkpoints;
    const names = sql.join([labels.label, labels.checkpointId, labels.agentId].map(nameOf), sql`, `);
    await runner.execute(sql`insert into ${labels} (${names})
      select added.label, row.id, row.agent_id
      from json_to_recordset(${JSON.stringify(added)}::text::json) as added (label uuid, "checkpointId" uuid)
      cross join lateral (
        select ${id}, ${agentId} from ${checkpoints} where ${id} = added."checkpointId" and ${ne(agentId, NO_AGENT)} for key share
      ) as row on conflict do nothing`);
  }
}
