import type { ColumnDefinition, ColumnKind, Parent, TableDefinition, ValueOf } from "./tables.ts";

/**
 * Drizzle's tables of tables that are data, as far as they are the same in all of its dialects. Its builders are described by the parts
 * of them that are used: each dialect has its own.
 */

/** Configuration of a column of a definition, for Drizzle's type of it. Nullable ones may have `null`. */
export type ColumnConfig<Table extends TableDefinition, Column extends ColumnDefinition, Type extends string> = {
  name: Column["name"];
  tableName: Table["name"];
  dataType: "custom";
  columnType: Type;
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
};

/** Functions that make a builder of a column from its name. */
type ColumnBuilders = Readonly<Record<ColumnKind, (name: never, limit: never) => unknown>>;

/** Makes builders of a table's columns, by their names in rows. */
export function buildColumns<Builder>({ columns }: TableDefinition, builders: ColumnBuilders): Record<string, Builder> {
  return Object.fromEntries(
    Object.entries(columns).map(([column, { name, kind, nullable, maxBytes }]) => {
      const build = builders[kind] as (name: string, limit: { maxBytes: number | undefined }) => NotNullable<Builder>;
      const builder = build(name, { maxBytes });
      return [column, nullable === true ? builder : builder.notNull()];
    }),
  );
}

type NotNullable<Builder> = Builder & { notNull(): Builder };

type Columns<Column> = [Column, ...Column[]];

/** A table whose constraints are made, in the words of one of Drizzle's dialects. */
interface TableParts<Column, Constraint> {
  /** With the prefix. */
  readonly name: string;
  readonly columns: Readonly<Record<string, unknown>>;
  /** Makes the table that this one is part of. */
  readonly tableOf: (definition: TableDefinition) => unknown;
  readonly primaryKey: (config: { name: string; columns: Columns<Column> }) => Constraint;
  readonly uniqueIndex: (name: string) => IndexBuilder<Column, Constraint>;
  readonly index: (name: string) => IndexBuilder<Column, Constraint>;
  readonly foreignKey: (config: { name: string; columns: Columns<Column>; foreignColumns: Columns<Column> }) => {
    onDelete(action: "cascade"): Constraint;
  };
}

interface IndexBuilder<Column, Constraint> {
  on(...columns: Columns<Column>): Constraint;
}

/** Makes a table's constraints. */
export function buildConstraints<Column, Constraint>(
  { columns: definitions, key, unique = {}, indexes = {}, partOf }: TableDefinition,
  parts: TableParts<Column, Constraint>,
): Constraint[] {
  const { name } = parts;
  const columnsOf = (table: unknown, names: readonly string[]) =>
    names.map((column) => (table as Record<string, unknown>)[column]) as Columns<Column>;
  const own = (names: readonly string[]) => columnsOf(parts.columns, names);
  const constraints = [
    parts.primaryKey({ name: `${name}_pk`, columns: own(key) }),
    ...Object.entries(unique).map(([end, names]) => parts.uniqueIndex(`${name}_${end}`).on(...own(names))),
    ...Object.entries(indexes).map(([end, names]) => parts.index(`${name}_${end}`).on(...own(names))),
  ];
  const parents = partOf === undefined ? [] : isList(partOf) ? partOf : [partOf];
  const foreignKeys = parents.map(({ columns, table }) => {
    const foreignColumns = columnsOf(parts.tableOf(table), table.key);
    const end = isList(partOf) ? `${columns.map((column) => definitions[column]?.name).join("_")}_fk` : "fk";
    return parts.foreignKey({ name: `${name}_${end}`, columns: own(columns), foreignColumns }).onDelete("cascade");
  });
  return [...constraints, ...foreignKeys];
}

function isList(partOf: TableDefinition["partOf"]): partOf is readonly Parent[] {
  return Array.isArray(partOf);
}
