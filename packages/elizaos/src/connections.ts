import { fileURLToPath } from "node:url";
import { CheckpointError, openRecordStore, type RecordStore } from "@waymark/core/records";
import type { DatabasePlace, DialectOptions } from "./options.ts";
import { SCHEMAS } from "./schemas.ts";

/**
 * Connections that the adapters of a process share: one for each database with the same options, opened at first use, and closed by the
 * last that releases it. Two copies of this package share none: of two versions, one might open the other's schema.
 */

const SOURCE = "open ElizaOS database";

/** One adapter's share of a connection. */
export interface SharedConnection {
  /**
   * Returns the tables; opens them if nobody has. A failure is not kept: the next call tries again.
   * @throws CheckpointError `INVALID_CONFIG`, `CLOSED` once released
   */
  store(): Promise<RecordStore>;
  /** Opens the same database once more, with these options of the dialect on top, and migrates nothing. The caller closes it. */
  another(options: DialectOptions): Promise<RecordStore>;
  /** The tables, if they were opened, and are not released. */
  readonly opened: RecordStore | null;
  /** Gives the share back, and resolves when the connection is closed, if it was the last. Again: the same promise. */
  release(): Promise<void>;
}

/** Connections that somebody has a share of, by {@link keyOf}. */
const connections = new Map<string, Connection>();

/** Ends of connections that are being closed: the next one to the same database waits for it. */
const closings = new Map<string, Promise<void>>();

/** Takes a share of the connection to a database. Nothing is opened. */
export function acquire(place: DatabasePlace): SharedConnection {
  const key = keyOf(place);
  const connection = connections.get(key) ?? new Connection(key, place);
  connections.set(key, connection);
  return connection.share();
}

class Connection {
  readonly #key: string;
  readonly #place: DatabasePlace;
  #shares = 0;
  #opening: Promise<RecordStore> | null = null;
  #store: RecordStore | null = null;

  constructor(key: string, place: DatabasePlace) {
    this.#key = key;
    this.#place = place;
  }

  share(): SharedConnection {
    this.#shares += 1;
    const connection = this;
    let released: Promise<void> | null = null;
    return {
      async store() {
        if (released !== null) throw new CheckpointError("CLOSED", `${SOURCE}: the adapter was closed`);
        return await connection.#open();
      },
      another: (options) => openPlace(connection.#place, { ...options, migrate: "off" }),
      get opened() {
        return released === null ? connection.#store : null;
      },
      release() {
        released ??= connection.#leave();
        return released;
      },
    };
  }

  async #open(): Promise<RecordStore> {
    const opening = this.#opening ?? this.#openStore();
    this.#opening = opening;
    try {
      return await opening;
    } catch (error) {
      if (this.#opening === opening) this.#opening = null;
      throw error;
    }
  }

  async #openStore(): Promise<RecordStore> {
    await closings.get(this.#key);
    this.#store = await openPlace(this.#place);
    return this.#store;
  }

  async #leave(): Promise<void> {
    this.#shares -= 1;
    if (this.#shares > 0) return;
    connections.delete(this.#key);
    const closing = this.#close();
    const end = closing.catch(() => {});
    closings.set(this.#key, end);
    await end;
    if (closings.get(this.#key) === end) closings.delete(this.#key);
    await closing;
  }

  async #close(): Promise<void> {
    const before = closings.get(this.#key);
    const store = await this.#opening?.catch(() => null);
    await store?.close();
    await before;
  }
}

async function openPlace(
  { field, url, pgliteDataDir, database, optionsField, cwd }: DatabasePlace,
  more: DialectOptions = {},
): Promise<RecordStore> {
  return await openRecordStore({
    source: SOURCE,
    field,
    ...(url === null ? {} : { url }),
    ...(pgliteDataDir === null ? {} : { pgliteDataDir }),
    options: { ...database, ...more },
    optionsField,
    schemas: SCHEMAS,
    cwd,
    from: [fileURLToPath(import.meta.url)],
  });
}

/** Numbers of objects that are handles, which no text stands for. */
const handles = new WeakMap<object, number>();
let lastHandle = 0;

/** Tells databases and their options apart. It may hold a password: for this map alone. */
function keyOf({ url, pgliteDataDir, database, cwd }: DatabasePlace): string {
  return JSON.stringify([url, pgliteDataDir, cwd, keyPart(database)]);
}

function keyPart(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(keyPart);
  if (typeof value === "object" && value !== null && isRecord(value)) {
    const entries = Object.entries(value).filter(([, member]) => member !== undefined);
    return { members: entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, member]) => [name, keyPart(member)]) };
  }
  if (typeof value !== "object" && typeof value !== "function") return typeof value === "bigint" ? `${value}n` : value;
  if (value === null) return null;
  const handle = handles.get(value) ?? ++lastHandle;
  handles.set(value, handle);
  return { handle };
}

function isRecord(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
