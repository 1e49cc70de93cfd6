import { Once, type SharedUse } from "@waymark/core/kit";
import type * as DrizzlePglite from "drizzle-orm/pglite";
import { drizzle } from "drizzle-orm/postgres-js";
import type { Sql } from "postgres";
import { clientMaker, endClient } from "../client.ts";
import type { Connection } from "../connection.ts";
import type { ResolvedOptions } from "../options.ts";
import { importModule } from "../pglite-folder.ts";

/** The most connections to a server for tables that are not ours. */
const POOL_SIZE = 4;
/** Time for queries under way when the store is closed. */
const CLOSE_TIMEOUT_SECONDS = 5;

/** A database of Drizzle's for tables of others, in the place of the records. */
export interface ForeignDatabase {
  get(signal: AbortSignal): Promise<unknown>;
  close(): Promise<void>;
}

/**
 * Makes Drizzle databases for tables of others. On a server they have connections of their own: Drizzle reads dates in its own way, and
 * tells the client so; and lists come as such, since Drizzle itself reads their text without its backslashes (0.45). `execute` returns
 * `{ rows }`, as with Drizzle's other drivers.
 */
export function foreignDatabase(connection: SharedUse<Connection>, options: ResolvedOptions): ForeignDatabase {
  let client: Sql | null = null;
  const server = new Once(connectToServer);
  const onPglite = new WeakMap<object, unknown>();

  async function connectToServer(): Promise<unknown> {
    const make = await clientMaker(
      { ...options, poolSize: Math.min(options.poolSize, POOL_SIZE) },
      { fetchTypes: true },
    );
    client = make();
    return withRows(drizzle({ client }));
  }

  return {
    async get(signal) {
      const { pglite } = await connection.get(signal);
      if (pglite === undefined) {
        return await server.get(signal);
      }
      const opened = await pglite(signal);
      const existing = onPglite.get(opened) ?? (await drizzleOnPglite(opened));
      onPglite.set(opened, existing);
      return existing;
    },
    async close() {
      await server.current();
      if (client !== null) await endClient(client, CLOSE_TIMEOUT_SECONDS);
    },
  };
}

async function drizzleOnPglite(pglite: object): Promise<unknown> {
  const modules = await Promise.all(["drizzle-orm/pglite", "@electric-sql/pglite"].map(importModule));
  const [{ drizzle: drizzleOn }, { types }] = modules as unknown as [typeof DrizzlePglite, { types: Forms }];
  return drizzleOn({ client: withForms(pglite as PgliteRunner, types) as never });
}

/** How values are written and read, by the number of their type. */
interface Forms {
  readonly parsers: object;
  readonly serializers: object;
}

/** The parts of PGlite that Drizzle uses. */
interface PgliteRunner {
  query(query: string, parameters: unknown[], options?: Partial<Forms>): Promise<unknown>;
  transaction(work: (transaction: PgliteRunner) => Promise<unknown>): Promise<unknown>;
}

/**
 * Wraps PGlite, so that values have its own forms. Those of postgres.js, which our clients of PGlite use, would make JSON of JSON, and take
 * a time without a zone for one of the process's zone.
 */
function withForms(pglite: PgliteRunner, { parsers, serializers }: Forms): PgliteRunner {
  return {
    query: (query, parameters, options = {}) =>
      pglite.query(query, parameters, { ...options, serializers, parsers: { ...parsers, ...options.parsers } }),
    transaction: (work) => pglite.transaction((transaction) => work(withForms(transaction, { parsers, serializers }))),
  };
}

/** The parts of a Drizzle database that are wrapped. */
interface Executor {
  execute(query: unknown): PromiseLike<readonly unknown[] & { readonly count?: number }>;
  transaction(work: (transaction: Executor) => Promise<unknown>, config?: unknown): Promise<unknown>;
}

/** Wraps a database, or a transaction: `execute` returns an object with the rows, and `transaction` hands out one that does. */
function withRows(database: unknown): unknown {
  const target = database as Executor;
  const wrapped = {
    execute: async (query: unknown) => {
      const rows = await target.execute(query);
      return { rows: [...rows], rowCount: rows.count ?? rows.length };
    },
    transaction: (work: (transaction: unknown) => Promise<unknown>, config?: unknown) =>
      target.transaction((transaction) => work(withRows(transaction)), config),
  };
  return new Proxy(target, {
    get(_, name) {
      if (name === "execute" || name === "transaction") return wrapped[name];
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
