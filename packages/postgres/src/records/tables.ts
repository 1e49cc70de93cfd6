import type { ColumnDefinition, TableDefinition, ValueOf } from "@waymark/core/kit";
import {
  type AnyPgColumn,
  customType,
  doublePrecision,
  foreignKey,
  index,
  type PgColumn,
  PgSchema,
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

/** A Drizzle column of a definition. Nullable ones may have `null`. */
type ColumnOfKind<Table extends TableDefinition, Column extends ColumnDefinition> = PgColumn<{
  name: Column["name"];
  tableName: Table["name"];
  dataType: "custom";
  columnType: "PgCustomColumn";
  data: ValueOf<Column>;
  driverParam: unknown;
  notNull: Column extends { readonly nullable: true } ? false : true;
  hasDefault: false;
  isPrimaryKey: false;
  isAutoincrement: false;
  hasRuntimeDefault: false;
  enumValues: undefined;
  baseColumn: never;
  identity: undefined;
  generated: undefined;
}>;

/** A Drizzle table with the columns of a definition. */
export type TableOf<Table extends TableDefinition> = PgTableWithColumns<{
  name: Table["name"];
  schema: string | undefined;
  dialect: "pg";
  columns: { [Name in keyof Table["columns"]]: ColumnOfKind<Table, Table["columns"][Name]> };
}>;

/** Where tables are: their prefix, and the PostgreSQL schema. `null`: whatever the search path says, for migrations. */
export interface Place {
  readonly tablePrefix: string;
  readonly schema: string | null;
}

/** Makes a Drizzle table. */
export function tableOf<const Table extends TableDefinition>(definition: Table, place: Place): TableOf<Table> {
  const name = `${place.tablePrefix}${definition.name}`;
  const columns = Object.fromEntries(
    Object.entries(definition.columns).map(([column, { name: columnName, kind, nullable }]) => {
      const builder = (KINDS[kind] as typeof KINDS.text)(columnName);
      return [column, nullable === true ? builder : builder.notNull()];
    }),
  );
  return tablesIn(place.schema)(name, columns, (table) =>
    constraints(name, definition, table, place),
  ) as unknown as TableOf<Table>;
}

/** Not `pgSchema()`, which refuses `public`: naming it too makes us independent of the role's search path. */
function tablesIn(schema: string | null): PgTableFn<string> {
  return (schema === null ? pgTable : new PgSchema(schema).table) as PgTableFn<string>;
}

function constraints(
  name: string,
  { key, unique = {}, indexes = {}, partOf }: TableDefinition,
  table: Readonly<Record<string, AnyPgColumn>>,
  place: Place,
) {
  const columns = (names: readonly string[]) => names.map((column) => table[column]) as [AnyPgColumn, ...AnyPgColumn[]];
  return [
    primaryKey({ name: `${name}_pk`, columns: columns(key) }),
    ...Object.entries(unique).map(([end, names]) => uniqueIndex(`${name}_${end}`).on(...columns(names))),
    ...Object.entries(indexes).map(([end, names]) => index(`${name}_${end}`).on(...columns(names))),
    ...(partOf === undefined
      ? []
      : [
          foreignKey({
            name: `${name}_fk`,
            columns: columns(partOf.columns),
            foreignColumns: foreignColumns(partOf.table, place),
          }).onDelete("cascade"),
        ]),
  ];
}

/** Columns of the primary key of another table. */
function foreignColumns(definition: TableDefinition, place: Place): [AnyPgColumn, ...AnyPgColumn[]] {
  const table = tableOf(definition, place) as unknown as Record<string, AnyPgColumn>;
  return definition.key.map((name) => table[name]) as [AnyPgColumn, ...AnyPgColumn[]];
}
