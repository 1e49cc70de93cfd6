import { type ColumnDefinition, floatsOf, littleEndian, type TableDefinition, type ValueOf } from "@waymark/core/kit";
import {
  type AnyMySqlColumn,
  customType,
  foreignKey,
  index,
  type MySqlColumn,
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

/** A Drizzle column of a definition. Nullable ones may have `null`. */
type ColumnOfKind<Table extends TableDefinition, Column extends ColumnDefinition> = MySqlColumn<{
  name: Column["name"];
  tableName: Table["name"];
  dataType: "custom";
  columnType: "MySqlCustomColumn";
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
export type TableOf<Table extends TableDefinition> = MySqlTableWithColumns<{
  name: Table["name"];
  schema: undefined;
  dialect: "mysql";
  columns: { [Name in keyof Table["columns"]]: ColumnOfKind<Table, Table["columns"][Name]> };
}>;

/** Makes a Drizzle table. */
export function tableOf<const Table extends TableDefinition>(definition: Table, tablePrefix: string): TableOf<Table> {
  const name = `${tablePrefix}${definition.name}`;
  const columns = Object.fromEntries(
    Object.entries(definition.columns).map(([column, { name: columnName, kind, nullable, maxBytes }]) => {
      const builder = (KINDS[kind] as typeof KINDS.text)(columnName, { maxBytes });
      return [column, nullable === true ? builder : builder.notNull()];
    }),
  );
  return mysqlTable(name, columns, (table) =>
    constraints(name, definition, table, tablePrefix),
  ) as unknown as TableOf<Table>;
}

function constraints(
  name: string,
  { key, unique = {}, indexes = {}, partOf }: TableDefinition,
  table: Readonly<Record<string, AnyMySqlColumn>>,
  tablePrefix: string,
) {
  const columns = (names: readonly string[]) =>
    names.map((column) => table[column]) as [AnyMySqlColumn, ...AnyMySqlColumn[]];
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
function foreignColumns(definition: TableDefinition, tablePrefix: string): [AnyMySqlColumn, ...AnyMySqlColumn[]] {
  const table = tableOf(definition, tablePrefix) as unknown as Record<string, AnyMySqlColumn>;
  return definition.key.map((name) => table[name]) as [AnyMySqlColumn, ...AnyMySqlColumn[]];
}
