import {
  buildColumns,
  buildConstraints,
  type ColumnConfig,
  floatsOf,
  littleEndian,
  type TableDefinition,
} from "@waymark/core/kit";
import {
  type AnyMySqlColumn,
  customType,
  foreignKey,
  index,
  type MySqlColumn,
  type MySqlColumnBuilderBase,
  type MySqlTableExtraConfigValue,
  type MySqlTableWithColumns,
  mysqlTable,
  primaryKey,
  uniqueIndex,
} from "drizzle-orm/mysql-core";

/** Drizzle's tables, made of tables that are data. */

interface Limit {
  readonly maxBytes?: number | undefined;
}

/** The type of any number of bytes, or of at most so many, which may be part of a key. */
function bytesType(limit?: Limit): string {
  return limit?.maxBytes === undefined ? "longblob" : `varbinary(${limit.maxBytes})`;
}

/** Text as its UTF-8 bytes. Every collation takes some different texts for the same, if only by their trailing spaces. */
const text = customType<{ data: string; driverData: Buffer; config: Limit }>({
  dataType: bytesType,
  toDriver: (value) => Buffer.from(value, "utf8"),
  fromDriver: (bytes) => bytes.toString("utf8"),
});

/** A UUID as its 16 bytes, which order as the UUID's text does. */
const uuid = customType<{ data: string; driverData: Buffer; config: Limit }>({
  dataType: () => "binary(16)",
  toDriver: (id) => Buffer.from(id.replaceAll("-", ""), "hex"),
  fromDriver(bytes) {
    const hex = bytes.toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
});

/** A whole number up to 2^53. A pool that a user hands in may be set to return strings. */
const integer = customType<{ data: number; driverData: number | string; config: Limit }>({
  dataType: () => "bigint",
  fromDriver: Number,
});

/** A float64 as a literal with an exponent: a server takes `0.1` for a decimal, and calculates with it as with one. */
export function doubleLiteral(value: number): { toSqlString(): string } {
  return { toSqlString: () => value.toExponential() };
}

const double = customType<{ data: number; driverData: unknown; config: Limit }>({
  dataType: () => "double",
  toDriver: doubleLiteral,
  fromDriver: Number,
});

const bytes = customType<{ data: Uint8Array; driverData: Buffer; config: Limit }>({
  dataType: bytesType,
  toDriver: bufferOf,
});

/** Bytes whose bits are counted. */
const bits = customType<{ data: Uint8Array; driverData: Buffer; config: Limit }>({
  dataType: () => "varbinary(512)",
  toDriver: bufferOf,
});

/** A vector as float32, little-endian, one after the other: the form that MariaDB's functions take too. */
const vector = customType<{ data: Float32Array; driverData: Buffer; config: Limit }>({
  dataType: () => "mediumblob",
  toDriver: (floats) => bufferOf(littleEndian(floats)),
  fromDriver: floatsOf,
});

/** The same bytes as a Buffer, which mysql2 does not copy. */
function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Builders of columns, by their kinds. */
const KINDS = { text, uuid, integer, number: double, bytes, bits, vector };

/** A Drizzle table with the columns of a definition. */
export type TableOf<Table extends TableDefinition> = MySqlTableWithColumns<{
  name: Table["name"];
  schema: undefined;
  dialect: "mysql";
  columns: {
    [Name in keyof Table["columns"]]: MySqlColumn<ColumnConfig<Table, Table["columns"][Name], "MySqlCustomColumn">>;
  };
}>;

/** Makes a Drizzle table. */
export function tableOf<const Table extends TableDefinition>(definition: Table, tablePrefix: string): TableOf<Table> {
  const name = `${tablePrefix}${definition.name}`;
  const columns = buildColumns<MySqlColumnBuilderBase>(definition, KINDS);
  const tableOfParent = (parent: TableDefinition) => tableOf(parent, tablePrefix);
  return mysqlTable(name, columns, (own) =>
    buildConstraints<AnyMySqlColumn, MySqlTableExtraConfigValue>(definition, {
      ...{ name, columns: own, tableOf: tableOfParent },
      ...{ primaryKey, uniqueIndex, index, foreignKey },
    }),
  ) as unknown as TableOf<Table>;
}
