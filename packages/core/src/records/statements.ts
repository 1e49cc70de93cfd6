/**
 * The ways of a dialect's statements that are not SQL: how values get into the parameters that Drizzle has made of a statement, and out
 * of its results. Drizzle's own prepared queries take several times as long as a database does for a row that is found by its key.
 */

/** A row, by names of columns. */
type Row = Readonly<Record<string, unknown>>;

/** Groups of values that a statement is given: those of its filter, of its cursor, and of the columns that it sets. */
export interface Values {
  readonly value?: readonly unknown[];
  readonly after?: readonly unknown[];
  readonly set?: Row;
  readonly [name: string]: unknown;
}

/** Changes a value into the form that the driver takes. */
interface Encoder {
  mapToDriverValue(value: unknown): unknown;
}

/** A column, by the part of it that changes the driver's values into ours. */
export interface Decoder {
  mapFromDriverValue(value: never): unknown;
}

/** Reads a value that the driver returns. */
export type Read = (value: unknown) => unknown;

/**
 * Returns the function that finds the values of a statement's parameters. A parameter is a value, a placeholder named `group.name` or
 * `group`, or one of these with the encoder of its column.
 */
export function bindingOf(parameters: readonly unknown[]): (values: Values) => unknown[] {
  const binders = parameters.map(binderOf);
  return (values) => binders.map((binder) => binder(values));
}

function binderOf(parameter: unknown): (values: Values) => unknown {
  if (isEncoded(parameter)) {
    const find = binderOf(parameter.value);
    const { encoder } = parameter;
    return (values) => encoded(encoder, find(values));
  }
  if (!isPlaceholder(parameter)) return () => parameter;
  const [group = "", name] = parameter.name.split(".");
  if (name === undefined) return (values) => values[group];
  return (values) => (values[group] as Row)[name];
}

/** Returns the value in the form that the driver takes. */
export function encoded(encoder: Encoder, value: unknown): unknown {
  return value === null ? null : encoder.mapToDriverValue(value);
}

/** Drizzle's parameters, by the parts of them that are used: of a parameter of a driver's own, a Buffer say, there are none. */
function isEncoded(parameter: unknown): parameter is { readonly value: unknown; readonly encoder: Encoder } {
  return isObject(parameter) && "encoder" in parameter;
}

function isPlaceholder(parameter: unknown): parameter is { readonly name: string } {
  return isObject(parameter) && "name" in parameter;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Returns the function that reads a column's values. */
export function readerOf(column: Decoder): Read {
  return (value) => (value === null ? null : column.mapFromDriverValue(value as never));
}

/** Returns the function that makes a row of the values of a statement's results, by their names. */
export function rowReader(
  results: readonly (readonly [name: string, read: Read])[],
): (values: readonly unknown[]) => Record<string, unknown> {
  return (values) => {
    const row: Record<string, unknown> = {};
    let at = 0;
    for (const [name, read] of results) row[name] = read(values[at++]);
    return row;
  };
}
