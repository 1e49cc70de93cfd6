import { type LabelQuery, NO_AGENT, type RowHead, type RowLabel, slices } from "@waymark/core/kit";
import { and, desc, eq, getTableColumns, getTableName, gt, ne, type SQL, sql } from "drizzle-orm";
import type { MySql2Database } from "drizzle-orm/mysql2";
import { equals, inRange, nameOf, type Runner } from "./expressions.ts";
import type { Tables } from "./schema.ts";

/** Labels of one statement. */
const AT_ONCE = 200;

/** Statements of the index of labels. */
export class CheckpointLabels {
  readonly #db: MySql2Database;
  readonly #tables: Tables;
  readonly #byAgent: string;

  constructor(db: MySql2Database, tables: Tables) {
    this.#db = db;
    this.#tables = tables;
    this.#byAgent = `${getTableName(tables.labels)}_by_agent`;
  }

  /** STRAIGHT_JOIN keeps the servers to the order of the index. Drizzle has no word for it. */
  async list(label: string, { labels: lines = [], before, since, limit }: LabelQuery): Promise<RowHead[]> {
    const { checkpoints, labels } = this.#tables;
    const { state: _, afterId: __, ...head } = getTableColumns(checkpoints);
    const range = { ...(since === undefined ? {} : { since }), ...(before === undefined ? {} : { before }) };
    const filters = lines.map((line) => sql`locate(${Buffer.from(line)}, ${checkpoints.metadata}) > 0`);
    const [rows] = await this.#db.execute(sql`select ${sql.join(Object.values(head), sql`, `)}
      from ${labels} force index (primary) straight_join ${checkpoints} force index (primary)
        on ${checkpoints.id} = ${labels.checkpointId}
      where ${and(equals(labels.label, label), ...inRange(labels.checkpointId, range), ...filters)}
      order by ${desc(labels.checkpointId)} limit ${limit}`);
    return (rows as unknown as Record<string, unknown>[]).map((row) => {
      const values = Object.entries(head).map(([name, column]) => {
        const value = row[column.name];
        return [name, value === null ? null : column.mapFromDriverValue(value)];
      });
      return Object.fromEntries(values) as RowHead;
    });
  }

  /** A loose index scan, as that of all agents. The servers do one only if the label is among the columns to group by. */
  async agents(label: string, after: string | null, limit: number): Promise<string[]> {
    const { labels } = this.#tables;
    const rows = await this.#db
      .select({ id: labels.agentId })
      .from(labels, { forceIndex: [this.#byAgent] })
      .where(and(eq(labels.label, label), gt(labels.agentId, after ?? NO_AGENT)))
      .groupBy(labels.label, labels.agentId)
      .orderBy(labels.label, labels.agentId)
      .limit(limit);
    return rows.map(({ id }) => id);
  }

  /** Adds labels. Each statement locks the rows that have them, so that none becomes a tombstone meanwhile. */
  async addOn(runner: Runner, added: readonly RowLabel[]): Promise<void> {
    const { labels } = this.#tables;
    const names = sql.join([labels.label, labels.checkpointId, labels.agentId].map(nameOf), sql`, `);
    for (const some of slices(added, AT_ONCE)) {
      const rows = sql.join(
        some.map((one) => this.#selectRow(one)),
        sql` union all `,
      );
      await runner.execute(sql`insert ignore into ${labels} (${names}) ${rows}`);
    }
  }

  #selectRow({ label, checkpointId }: RowLabel): SQL {
    const { checkpoints, labels } = this.#tables;
    const { id, agentId } = checkpoints;
    return sql`select ${sql.param(label, labels.label)}, ${id}, ${agentId} from ${checkpoints} force index (primary)
      where ${equals(id, checkpointId)} and ${ne(agentId, NO_AGENT)}`;
  }
}
