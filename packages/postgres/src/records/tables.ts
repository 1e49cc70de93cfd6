import { buildColumns, buildConstraints, type ColumnConfig, type TableDefinition } from "@waymark/core/kit";
import {
  type AnyPgColumn,
  customType,
  doublePrecision,
  foreignKey,
  index,
  type PgColumn,
  type PgColumnBuilderBase,
  PgSchema,
  type PgTableExtraConfigValue,
  type PgTableFn,
  type PgTableWithColumns,
  pgTable,
  primaryKey,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";

/** Drizzle's tables, made of tables that are data. */

/** Compares and orders byte for byte, whatever the database's own collation is. */
const text = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });

/** A whole number up to 2^53. A client that a user hands in may be set to return bigints. */
const integer = customType<{ data: number; driverData: number | string | bigint }>({
  dataType: () => "bigint",
  fromDriver: Number,
});

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => "bytea" });

/** Bytes whose bits PostgreSQL can count: at most 512 of them. It reads hex digits, and writes zeros and ones. */
const bits = customType<{ data: Uint8Array; driverData: string }>({
  dataType: () => "bit varying(4096)",
  toDriver: (value) => `X${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`,
  fromDriver: (digits) =>
    Uint8Array.from({ length: digits.length / 8 }, (_, at) => Number.parseInt(digits.slice(at * 8, at * 8 + 8), 2)),
});

/** A vector as float32. pgvector casts it to its own type: a column of that would need the extension to be there. */
const vector = customType<{ data: Float32Array; driverData: string | number[] }>({
  dataType: () => "real[]",
  // As float64, with more digits than are needed. As JSON, since that takes half the time that join() does.
  toDriver: (floats) => `{${JSON.stringify(Array.from(floats)).slice(1, -1)}}`,
  fromDriver: (given) => Float32Array.from(typeof given === "string" ? JSON.parse(`[${given.slice(1, -1)}]`) : given),
});

/** Builders of columns, by their kinds. */
const KINDS = { text, uuid, integer, number: doublePrecision, bytes, bits, vector };

/** A Drizzle table with the columns of a definition. */
export type TableOf<Table extends TableDefinition> = PgTableWithColumns<{
  name: Table["name"];
  schema: string | undefined;
  dialect: "pg";
  columns: {
    [Name in keyof Table["columns"]]: PgColumn<ColumnConfig<Table, Table["columns"][Name], "PgCustomColumn">>;
  };
}>;

/** Where tables are: their prefix, and the PostgreSQL schema. `null`: whatever the search path says, for migrations. */
export interface Place {
  readonly tablePrefix: string;
  readonly schema: string | null;
}

/** Makes a Drizzle table. */
export function tableOf<const Table extends TableDefinition>(definition: Table, place: Place): TableOf<Table> {
  const name = `${place.tablePrefix}${definition.name}`;
  const columns = buildColumns<PgColumnBuilderBase>(definition, KINDS);
  const tableOfParent = (parent: TableDefinition) => tableOf(parent, place);
  return tablesIn(place.schema)(name, columns, (own) =>
    buildConstraints<AnyPgColumn, PgTableExtraConfigValue>(definition, {
      ...{ name, columns: own, tableOf: tableOfParent },
      ...{ primaryKey, uniqueIndex, index, foreignKey },
    }),
  ) as unknown as TableOf<Table>;
}

/** Not `pgSchema()`, which refuses `public`: naming it too makes us independent of the role's search path. */
function tablesIn(schema: string | null): PgTableFn<string> {
  return (schema === null ? pgTable : new PgSchema(schema).table) as PgTableFn<string>;
}
