import { invalidArgument, property } from "@waymark/core/dialect-kit";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { Options, Sql, TransactionSql } from "postgres";
import type { ResolvedOptions } from "./options.ts";

/** How long the queries of a client that is replaced or closed may still take, in seconds. */
const END_TIMEOUT_SECONDS = 5;

/** The client of one storage: made of a URL, or the user's own. */
export interface Connection {
  client(): Sql;
  /** Drizzle on the client. When the signal says that a deadline passed, the client is replaced. */
  database(signal: AbortSignal): PostgresJsDatabase;
  close(): Promise<void>;
}

export async function connect(options: ResolvedOptions): Promise<Connection> {
  const own = options.client as Sql | null;
  const makeClient = own === null ? await clientMaker(options) : () => own;
  let current = makeClient();

  /**
   * A query without an answer holds its connection for as long as the operating system believes in it (a server that is
   * stopped, a network that drops packets), and postgres.js has no way to give up a single one.
   */
  function replace(stuck: Sql): void {
    if (own !== null || current !== stuck) return;
    current = makeClient();
    end(stuck).catch(() => {}); // its queries were told already
  }

  /** The client that a call used last: it may make several statements. */
  const usedBy = new WeakMap<AbortSignal, Sql>();
  function replaceAtDeadline(this: AbortSignal): void {
    const client = usedBy.get(this);
    if (client !== undefined && property(this.reason, "code") === "TIMEOUT") replace(client);
  }

  return {
    client: () => current,
    database(signal) {
      usedBy.set(signal, current);
      signal.addEventListener("abort", replaceAtDeadline); // the same listener twice is one
      return drizzle({ client: shield(current, options.prepare) });
    },
    close: () => (own === null ? end(current) : Promise.resolve()),
  };
}

/** With a timeout always: without one postgres.js waits for ever if a connection was lost with a query under way. */
function end(client: Sql): Promise<void> {
  return client.end({ timeout: END_TIMEOUT_SECONDS });
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
      throw invalidArgument("options.connectionString", "a URL that can be parsed (is the password URL-encoded?)", connectionString);
    }
  };
}

/**
 * What Drizzle sees of a client. Drizzle overwrites the parsers and serializers of the client that it is given, so that
 * a user's own client would read dates as strings from then on: it gets lists of its own to write to. And Drizzle
 * never prepares statements: here the option decides.
 */
function shield(client: Sql | TransactionSql, prepare: boolean): Sql {
  const shielded = {
    options: { parsers: {}, serializers: {} },
    unsafe: (query: string, parameters: never[]) => client.unsafe(query, parameters, { prepare }),
    begin: (work: (transaction: Sql) => Promise<unknown>) =>
      (client as Sql).begin((transaction) => work(shield(transaction, prepare))),
  };
  return shielded as unknown as Sql;
}
