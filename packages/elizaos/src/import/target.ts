import { CheckpointError, insertRecords, type RecordStore, type TableDefinition } from "@waymark/core/records";
import { AGENTS, type ROOMS, type WORLDS } from "../tables.ts";
import { OPERATION } from "./source.ts";

/** Writing rows of an import: those that are there stay as they are. */

export type Row = Readonly<Record<string, unknown>>;

/** Rows that belong together, the one that stands for them first, and what they were in the source. */
export interface Item {
  /** The row in the source, for problems. */
  readonly key: string;
  readonly rows: readonly [Row, ...Row[]];
  /** Number of rows of the source that are in it, and of their embeddings. */
  readonly read: number;
  readonly embeddings: number;
}

/**
 * What became of an item. `changed`: it was there, with another content. A text: why it is not there, or is another than was written.
 */
export type Outcome = "inserted" | "skipped" | "changed" | { readonly reason: string };

/** Codes of failures that one row may be the reason for. */
const OF_ONE_ROW: ReadonlySet<string> = new Set([
  "NOT_FOUND",
  "INVALID_ARGUMENT",
  "STATE_TOO_LARGE",
  "CONFLICT",
  "DATABASE_ERROR",
]);

/** The most rows that a row has with the same id: a memory, and its vectors. */
const ROWS_OF_ONE = 16;

/** The tables that are imported into. */
export class Target {
  readonly #store: RecordStore;
  readonly #signal: AbortSignal | undefined;

  constructor(store: RecordStore, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#signal = signal;
  }

  /** Writes items, reads them again, and compares. */
  async write(table: TableDefinition, items: readonly Item[]): Promise<Outcome[]> {
    const before = await this.#read(table, items);
    const isNew = ({ rows: [first] }: Item) => !before.has(keyOf(table, first));
    const failures = new Map<Item, string>();
    const fresh = items.filter(isNew);
    await this.#insert(table, fresh, failures);
    const after = fresh.length === 0 ? before : await this.#read(table, items);
    return items.map((item) => {
      const reason = failures.get(item);
      if (reason !== undefined) return { reason };
      const isSame = item.rows.every((row) => isEqual(table, row, after.get(keyOf(table, row))));
      if (!isNew(item)) return isSame ? "skipped" : "changed";
      if (isSame) return "inserted";
      return { reason: "it was not stored as it was read, or another row has one of its unique keys" };
    });
  }

  /** Returns the agents of rooms, or of worlds, that are there. */
  async agentsOf(table: typeof ROOMS | typeof WORLDS, ids: readonly (string | null)[]): Promise<Map<string, string>> {
    const wanted = [...new Set(ids)].filter((id) => id !== null);
    if (wanted.length === 0) return new Map();
    const query = { where: { id: { in: wanted } }, columns: ["id", "agent"], limit: wanted.length } as const;
    const rows = await this.#store.run(OPERATION, (records, signal) => records.find(table, query, signal), this.#call);
    return new Map(rows.map(({ id, agent }) => [id, agent]));
  }

  /** Returns the agent, if there is one alone. */
  async onlyAgent(): Promise<string | null> {
    const query = { where: {}, columns: ["id"], limit: 2 } as const;
    const rows = await this.#store.run(OPERATION, (records, signal) => records.find(AGENTS, query, signal), this.#call);
    return rows.length === 1 ? (rows[0]?.id ?? null) : null;
  }

  /** Reads the rows with the keys of items, by their keys. */
  async #read(table: TableDefinition, items: readonly Item[]): Promise<Map<string, Row>> {
    const rows = items.flatMap((item) => item.rows);
    const names = table.key.filter((name) => name !== "part"); // of vectors: few of each memory
    const where = Object.fromEntries(names.map((name) => [name, { in: [...different(rows, name)] }]));
    const wanted = new Set(rows.map((row) => keyOf(table, row)));
    const found = new Map<string, Row>();
    const limit = names.length === 1 ? rows.length * ROWS_OF_ONE : MAX_ROWS;
    const read = await this.#store.run(
      OPERATION,
      (records, signal) => records.find<TableDefinition>(table, { where: where as never, limit }, signal),
      this.#call,
    );
    for (const row of read) {
      const key = keyOf(table, row);
      if (wanted.has(key)) found.set(key, row);
    }
    return found;
  }

  /** Inserts items, all in one change; where one of them is the reason why that fails, in halves. */
  async #insert(table: TableDefinition, items: readonly Item[], failures: Map<Item, string>): Promise<void> {
    if (items.length === 0) return;
    const rows = items.flatMap((item) => item.rows);
    const step = insertRecords<TableDefinition>(table, rows as never, "ignore");
    try {
      await this.#store.run(
        OPERATION,
        async (records, signal) => {
          try {
            await records.change([step], signal);
          } catch (error) {
            if (!this.#store.isForeignKey(error)) throw error;
            throw new CheckpointError("NOT_FOUND", "an agent, entity, room or world that it names is not there");
          }
        },
        this.#call,
      );
    } catch (error) {
      if (!(error instanceof CheckpointError) || !OF_ONE_ROW.has(error.code)) throw error;
      if (items.length === 1) {
        failures.set(items[0] as Item, error.message);
        return;
      }
      const half = Math.ceil(items.length / 2);
      await this.#insert(table, items.slice(0, half), failures);
      await this.#insert(table, items.slice(half), failures);
    }
  }

  get #call(): { readonly signal: AbortSignal | undefined } {
    return { signal: this.#signal };
  }
}

const MAX_ROWS = 2 ** 31 - 1;

function different(rows: readonly Row[], name: string): Iterable<unknown> {
  return new Map(rows.map((row) => [partOf(row[name]), row[name]])).values();
}

/** Tells the rows of a table apart. */
function keyOf({ key }: TableDefinition, row: Row): string {
  return key.map((name) => partOf(row[name])).join("\n");
}

function partOf(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value);
}

function isEqual({ columns }: TableDefinition, row: Row, stored: Row | undefined): boolean {
  return stored !== undefined && Object.keys(columns).every((name) => isSameValue(row[name], stored[name]));
}

function isSameValue(one: unknown, other: unknown): boolean {
  if (one instanceof Uint8Array && other instanceof Uint8Array) return Buffer.compare(one, other) === 0;
  if (!(one instanceof Float32Array) || !(other instanceof Float32Array)) return one === other;
  return one.length === other.length && one.every((value, at) => value === other[at]);
}
