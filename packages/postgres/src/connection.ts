import { invalidArgument, property } from "@waymark/core/dialect-kit";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { Options, Sql, TransactionSql } from "postgres";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** How long the queries of a client that is closed may still take, in seconds. */
const CLOSE_TIMEOUT_SECONDS = 5;
/** And of one that is replaced: whatever is cut off then is sent again by its replacement. */
const REPLACE_TIMEOUT_SECONDS = 1;

/** The client of one storage: made of a URL, or the user's own. */
export interface Connection {
  /** Runs `work` on the client, which is given up when the deadline passes or a connection is lost. */
  use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export async function connect(options: ResolvedOptions): Promise<Connection> {
  const own = options.client as Sql | null;
  const makeClient = own === null ? await clientMaker(options) : () => own;
  let current = makeClient();

  /**
   * A query without an answer holds its connection for as long as the operating system believes in it (a server that is
   * stopped, a network that drops packets), and postgres.js has no way to give up a single one. And a connection that was
   * lost with something to be sent never sends anything when it is made again (postgres.js 3.4.9). So it is all or nothing.
   */
  function replace(stuck: Sql): void {
    if (own !== null || current !== stuck) return;
    current = makeClient();
    end(stuck, REPLACE_TIMEOUT_SECONDS).catch(() => {}); // its queries are told themselves
  }

  async function use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const client = current;
    const giveUp = () => {
      if (property(signal.reason, "code") === "TIMEOUT") replace(client);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await work(client);
    } catch (error) {
      if (classify(error) === "connection") replace(client);
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  return { use, close: () => (own === null ? end(current, CLOSE_TIMEOUT_SECONDS) : Promise.resolve()) };
}

/** Drizzle on a client. It never prepares statements: here the option decides. */
export function drizzleOn(client: Sql, prepare: boolean): PostgresJsDatabase {
  return drizzle({ client: shield(client, prepare) });
}

/**
 * Runs `work` in a transaction. After any failure postgres.js sends a rollback, also over a connection that is lost, and
 * then throws where nobody can catch it, which ends the process (3.4.9). So it is not told of such a failure: it rejects
 * by itself as the connection closes.
 */
export async function begin<Result>(
  client: Sql,
  work: (transaction: TransactionSql) => Promise<Result>,
): Promise<Result> {
  const result = await client.begin(async (transaction) => {
    try {
      return await work(transaction);
    } catch (error) {
      if (classify(error) === "connection") await new Promise<never>(() => {});
      throw error;
    }
  });
  return result as Result;
}

/** With a timeout always: without one postgres.js waits for ever if a connection was lost with a query under way. */
function end(client: Sql, timeoutSeconds: number): Promise<void> {
  return client.end({ timeout: timeoutSeconds });
}

async function clientMaker(options: ResolvedOptions): Promise<() => Sql> {
  const { default: postgres } = await import("postgres");
  const settings: Options<never> = {
    max: options.poolSize,
    connect_timeout: options.connectTimeoutMs / 1_000,
    idle_timeout: options.idleTimeoutMs / 1_000,
    // Between attempts to connect; by default it grows to 20 s, and a database that is back would wait for us.
    backoff: (attempt: number) => Math.min(2 ** attempt / 100, 1),
    // Poolers: nothing that lives in a session, and no question about types when a connection starts.
    prepare: options.prepare,
    fetch_types: false,
    onnotice: () => {}, // else postgres.js prints them
    connection: { application_name: "waymark" },
  };
  if (options.ssl !== null) settings.ssl = options.ssl as NonNullable<typeof settings.ssl>;
  const connectionString = options.connectionString as string;
  return () => {
    try {
      return postgres(connectionString, settings);
    } catch {
      // The error would show the URL.
      throw invalidArgument(
        "options.connectionString",
        "a URL that can be parsed (is the password URL-encoded?)",
        connectionString,
      );
    }
  };
}

/**
 * What Drizzle sees of a client. Drizzle overwrites the parsers and serializers of the client that it is given, so that
 * a user's own client would read dates as strings from then on: it gets lists of its own to write to.
 */
function shield(client: Sql | TransactionSql, prepare: boolean): Sql {
  const shielded = {
    options: { parsers: {}, serializers: {} },
    unsafe: (query: string, parameters: never[]) => client.unsafe(query, parameters, { prepare }),
    begin: (work: (transaction: Sql) => Promise<unknown>) =>
      begin(client as Sql, (transaction) => work(shield(transaction, prepare))),
  };
  return shielded as unknown as Sql;
}
