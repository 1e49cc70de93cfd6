import {
  buildColumns,
  buildConstraints,
  type ColumnConfig,
  floatsOf,
  littleEndian,
  type TableDefinition,
} from "@waymark/core/kit";
import {
  type AnySQLiteColumn,
  customType,
  foreignKey,
  index,
  primaryKey,
  type SQLiteColumn,
  type SQLiteColumnBuilderBase,
  type SQLiteTableExtraConfigValue,
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

/** A Drizzle table with the columns of a definition. */
export type TableOf<Table extends TableDefinition> = SQLiteTableWithColumns<{
  name: Table["name"];
  schema: undefined;
  dialect: "sqlite";
  columns: {
    [Name in keyof Table["columns"]]: SQLiteColumn<ColumnConfig<Table, Table["columns"][Name], "SQLiteCustomColumn">>;
  };
}>;

/** Makes a Drizzle table. */
export function tableOf<const Table extends TableDefinition>(definition: Table, tablePrefix: string): TableOf<Table> {
  const name = `${tablePrefix}${definition.name}`;
  const columns = buildColumns<SQLiteColumnBuilderBase>(definition, KINDS);
  const tableOfParent = (parent: TableDefinition) => tableOf(parent, tablePrefix);
  return sqliteTable(name, columns, (own) =>
    buildConstraints<AnySQLiteColumn, SQLiteTableExtraConfigValue>(definition, {
      ...{ name, columns: own, tableOf: tableOfParent },
      ...{ primaryKey, uniqueIndex, index, foreignKey },
    }),
  ) as unknown as TableOf<Table>;
}
