import { type NearestRecords, type Shape, shapeOf, type TableDefinition } from "@waymark/core/kit";
import { type SQL, sql } from "drizzle-orm";
import type { AnyPgColumn } from "drizzle-orm/pg-core";
import { conditionsOf, operandsOf, type PostgresRecords, placeholder } from "./records.ts";
import { distanceTo, type VectorExtension, vectorText } from "./vector-extension.ts";

type Row = Record<string, unknown>;
type Query = NearestRecords<TableDefinition, string>;

/** The verb `nearest` (see `Records` in core), on one client: one statement. With pgvector the cosines are compared there too. */
export class NearestRows {
  readonly #records: PostgresRecords;
  readonly #extension: VectorExtension | null;

  constructor(records: PostgresRecords, extension: VectorExtension | null) {
    this.#records = records;
    this.#extension = extension;
  }

  async nearest(definition: TableDefinition, query: Query): Promise<Row[]> {
    const [[signatureColumn, signature], [vectorColumn, vector]] = [query.signature, query.vector];
    const shape = shapeOf(query.where);
    const key = `nearest ${definition.name} ${signatureColumn} ${vectorColumn} ${query.columns.join()} ${shape.key}`;
    const statement = this.#records.statement(key, () => {
      const { table } = this.#records.table(definition);
      const read = query.columns.map((name) => this.#records.selection(definition, name));
      const selected = read.map(([, selection], at) => sql`${selection} as ${sql.identifier(`value_${at}`)}`);
      const keys = this.#nearestKeys(definition, query, this.#candidates(definition, query, shape));
      // Each is looked up by its key, whatever the planner believes of a table without statistics (`offset 0`).
      return this.#records.compile(
        sql`select found.* from (${keys}) as near cross join lateral (select ${sql.join(selected, sql`, `)} from ${table}
          where ${this.#isNear(definition)} offset 0) as found`,
        read.map(([name, , reader]) => [name, reader]),
      );
    });
    const set = {
      signature,
      candidates: query.candidates,
      ...(this.#extension !== null && { vector: vectorText(vector), limit: query.limit }),
    };
    return await statement.all({ value: operandsOf(shape), set });
  }

  #candidates(definition: TableDefinition, { signature: [column] }: Query, shape: Shape): SQL {
    const { table, columns } = this.#records.table(definition);
    const own = definition.key.map((name) => columns[name] as AnyPgColumn);
    const wanted = sql.param(placeholder("set", "signature"), columns[column] as AnyPgColumn);
    return sql`select ${sql.join(own, sql`, `)} from ${table} where ${conditionsOf(definition, columns, shape)}
      order by bit_count(${columns[column]} # ${wanted}::bit varying) limit ${placeholder("set", "candidates")}`;
  }

  /** The candidates' keys; with pgvector those of the nearest by their cosine. */
  #nearestKeys(definition: TableDefinition, { vector: [name] }: Query, candidates: SQL): SQL {
    const extension = this.#extension;
    if (extension === null) return sql`${candidates} offset 0`;
    const { table, columns } = this.#records.table(definition);
    const distance = distanceTo(extension, sql`${columns[name]}`, placeholder("set", "vector"));
    return sql`select near.* from (${candidates} offset 0) as near
      order by (select ${distance} from ${table} where ${this.#isNear(definition)}) limit ${placeholder("set", "limit")}`;
  }

  /** Whether a row of the table has a key that is near. */
  #isNear(definition: TableDefinition): SQL {
    const { columns } = this.#records.table(definition);
    const own = definition.key.map((name) => columns[name] as AnyPgColumn);
    return sql.join(
      own.map((one) => sql`${one} = near.${sql.identifier(one.name)}`),
      sql` and `,
    );
  }
}
