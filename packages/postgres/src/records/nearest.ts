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
      const { table, columns } = this.#records.table(definition);
      const read = query.columns.map((name) => this.#records.selection(definition, name));
      const own = definition.key.map((name) => columns[name] as AnyPgColumn);
      const isNear = own.map((one) => sql`${one} = near.${sql.identifier(one.name)}`);
      const nearest = this.#nearestFirst(columns[vectorColumn] as AnyPgColumn);
      // Candidates first, whatever the planner believes of a table without statistics; then each is looked up by its key.
      return this.#records.compile(
        sql`select ${sql.join(
          read.map(([, selection]) => sql`${selection}`),
          sql`, `,
        )} from (${this.#candidates(definition, query, shape)} offset 0) as near
          cross join lateral (select * from ${table} where ${sql.join(isNear, sql` and `)} offset 0) as ${table}${nearest}`,
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

  #nearestFirst(column: AnyPgColumn): SQL {
    const extension = this.#extension;
    if (extension === null) return sql``;
    const distance = distanceTo(extension, sql`${column}`, placeholder("set", "vector"));
    return sql` order by ${distance} limit ${placeholder("set", "limit")}`;
  }
}
