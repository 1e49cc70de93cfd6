import { type ColumnDefinition, floatsOf, littleEndian, type TableDefinition, type ValueOf } from "@waymark/core/kit";
import {
  type AnySQLiteColumn,
  customType,
  foreignKey,
  index,
  primaryKey,
  type SQLiteColumn,
  type SQLiteTableWithColumns,
  sqliteTable,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";

/** Drizzle's tables, made of tables that are data. */

const text = customType<{ data: string; driverData: string }>({ dataType: () => "text" });

/** A UUID as its 16 bytes, which order as the UUID's text does. */
const uuid = customType<{ data: string; driverData: Uint8Array }>({
  dataType: () => "blob",
  toDriver: (id) => Buffer.from(id.replaceAll("-", ""), "hex"),
  fromDriver(bytes) {
    const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
});

/** A whole number up to 2^53. A handle that a user hands in may be set to return bigints. */
const integer = customType<{ data: number; driverData: number | bigint }>({
  dataType: () => "integer",
  // Of a JavaScript number above 2^31 drivers make a float, which SQLite turns back into an integer in such a column.
  fromDriver: Number,
});

const real = customType<{ data: number; driverData: number }>({ dataType: () => "real" });

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => "blob" });

/** A vector as float32, little-endian, one after the other: the form that sqlite-vec has too. */
const vector = customType<{ data: Float32Array; driverData: Uint8Array }>({
  dataType: () => "blob",
  toDriver: littleEndian,
  fromDriver: floatsOf,
});

/** Builders of columns, by their kinds. */
const KINDS = { text, uuid, integer, number: real, bytes, bits: bytes, vector };

/** A Drizzle column of a definition. Nullable ones may have `null`. */
type ColumnOfKind<Table extends TableDefinition, Column extends ColumnDefinition> = SQLiteColumn<{
  name: Column["name"];
  tableName: Table["name"];
  dataType: "custom";
  columnType: "SQLiteCustomColumn";
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
export type TableOf<Table extends TableDefinition> = SQLiteTableWithColumns<{
  name: Table["name"];
  schema: undefined;
  dialect: "sqlite";
  columns: { [Name in keyof Table["columns"]]: ColumnOfKind<Table, Table["columns"][Name]> };
}>;

/** Makes a Drizzle table. */
export function tableOf<const Table extends TableDefinition>(definition: Table, tablePrefix: string): TableOf<Table> {
  const name = `${tablePrefix}${definition.name}`;
  const columns = Object.fromEntries(
    Object.entries(definition.columns).map(([column, { name: columnName, kind, nullable }]) => {
      const builder = (KINDS[kind] as typeof KINDS.text)(columnName);
      return [column, nullable === true ? builder : builder.notNull()];
    }),
  );
  return sqliteTable(name, columns, (table) =>
    constraints(name, definition, table, tablePrefix),
  ) as unknown as TableOf<Table>;
}

function constraints(
  name: string,
  { key, unique = {}, indexes = {}, partOf }: TableDefinition,
  table: Readonly<Record<string, AnySQLiteColumn>>,
  tablePrefix: string,
) {
  const columns = (names: readonly string[]) =>
    names.map((column) => table[column]) as [AnySQLiteColumn, ...AnySQLiteColumn[]];
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
            foreignColumns: foreignColumns(partOf.table, tablePrefix),
          }).onDelete("cascade"),
        ]),
  ];
}

/** Columns of the primary key of another table. */
function foreignColumns(definition: TableDefinition, tablePrefix: string): [AnySQLiteColumn, ...AnySQLiteColumn[]] {
  const table = tableOf(definition, tablePrefix) as unknown as Record<string, AnySQLiteColumn>;
  return definition.key.map((name) => table[name]) as [AnySQLiteColumn, ...AnySQLiteColumn[]];
}
