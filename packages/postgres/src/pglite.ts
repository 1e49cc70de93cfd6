import { setImmediate as turn } from "node:timers/promises";
import type { Sql, TransactionSql } from "postgres";
import { BYTEA, clientEnded } from "./client.ts";
import { endsConnection } from "./errors.ts";

/** PGlite in the shape of a postgres.js client, as far as this package uses one: so the same statements run on both. */

interface PgliteResult {
  readonly rows: unknown[];
  readonly affectedRows?: number;
  /** Absent before 0.5.15. */
  readonly rowCount?: number;
}

interface PgliteRunner {
  query(query: string, parameters?: unknown[], options?: object): Promise<PgliteResult>;
}

/** The parts of PGlite that are used here. */
export interface Pglite extends PgliteRunner {
  transaction<Result>(work: (transaction: PgliteRunner) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** Types that postgres.js leaves as text, and PGlite does not: int8, and arrays of built-in types. */
const TEXTS = [20, 199, 1000, 1001, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1115, 1182, 1185, 1231, 2951, 3807];

/** How values are written and read, by the number of their type. */
export interface Forms {
  readonly parsers: Readonly<Record<number, (text: string) => unknown>>;
  readonly serializers: Readonly<Record<number, (value: unknown) => unknown>>;
}

/** Returns the forms of our clients of servers. One of postgres.js lists them, and does not connect for that. */
export async function loadForms(): Promise<Forms> {
  const { default: postgres } = await import("postgres");
  const { parsers, serializers } = postgres({ types: { bytea: BYTEA }, max: 1 }).options as unknown as Forms;
  const asText = Object.fromEntries(TEXTS.map((type) => [type, (text: string) => text]));
  return { parsers: { ...parsers, ...asText }, serializers };
}

interface ClientOptions {
  /** Forms for each query; `null`: PGlite was made with them. */
  readonly forms: Forms | null;
  /** Called once if the database has ended: no statement is sent any more. */
  readonly onEnd?: () => void;
}

/**
 * Makes a client. Statements run one after the other, and none between those of a transaction. After an error that ends the
 * database (`PANIC`: no space for its log) PGlite would never return from the next statement, and with it the event loop
 * (0.5.17): nothing is sent any more then.
 */
export function clientOn(pglite: Pglite, { forms, onEnd = () => {} }: ClientOptions): Sql {
  let last: Promise<unknown> = Promise.resolve();
  let hasEnded = false;

  /** PGlite runs a statement at once, and settles before the event loop has turned: timers and signals get their turn here. */
  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = last.then(() => turn()).then(work);
    last = result.catch(() => {});
    return result;
  }

  async function send(runner: PgliteRunner, query: string, parameters: unknown[], isArray: boolean) {
    if (hasEnded) throw clientEnded();
    try {
      const options = { ...forms, rowMode: isArray ? "array" : "object" };
      const { rows, affectedRows, rowCount = affectedRows } = await runner.query(query, parameters, options);
      return Object.assign(rows, { count: rowCount ?? rows.length });
    } catch (error) {
      if (!hasEnded && endsConnection(error)) {
        hasEnded = true;
        onEnd();
      }
      throw error;
    }
  }

  /**
   * Runs `work` in a transaction. PGlite is not told of an error that has ended the database: it would send a rollback. The
   * transaction rejects by itself then, as one of postgres.js does.
   */
  function transact(work: (transaction: TransactionSql) => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (hasEnded) throw clientEnded();
      const run = async (transaction: PgliteRunner) => {
        const sendIn = async (query: string, parameters: unknown[], isArray: boolean) => {
          try {
            return await send(transaction, query, parameters, isArray);
          } catch (error) {
            if (hasEnded) reject(error);
            throw error;
          }
        };
        const unsafe = (query: string, parameters: unknown[] = []) =>
          new PgliteQuery((isArray) => sendIn(query, parameters, isArray));
        try {
          return await work({ unsafe } as unknown as TransactionSql);
        } catch (error) {
          if (hasEnded) await new Promise<never>(() => {});
          throw error;
        }
      };
      pglite.transaction(run).then(resolve, reject);
    });
  }

  const client = {
    unsafe: (query: string, parameters: unknown[] = []) =>
      new PgliteQuery((isArray) => inTurn(() => send(pglite, query, parameters, isArray))),
    // There is one session: nothing else is under way, whatever the isolation is.
    begin: (_: string, work: (transaction: TransactionSql) => Promise<unknown>) => inTurn(() => transact(work)),
  };
  return client as unknown as Sql;
}

/** A query that is sent soon after somebody waits for it, with rows as objects, or as arrays after `values()`. */
class PgliteQuery<Result> implements PromiseLike<Result> {
  readonly #send: (isArray: boolean) => Promise<Result>;
  #isArray = false;
  #result: Promise<Result> | null = null;

  constructor(send: (isArray: boolean) => Promise<Result>) {
    this.#send = send;
  }

  values(): this {
    this.#isArray = true;
    return this;
  }

  // biome-ignore lint/suspicious/noThenProperty: a query is awaited
  then<One = Result, Other = never>(
    onResult?: ((result: Result) => One | PromiseLike<One>) | null,
    onError?: ((error: unknown) => Other | PromiseLike<Other>) | null,
  ): Promise<One | Other> {
    this.#result ??= Promise.resolve().then(() => this.#send(this.#isArray));
    return this.#result.then(onResult, onError);
  }

  catch<Other>(onError: (error: unknown) => Other | PromiseLike<Other>): Promise<Result | Other> {
    return this.then(null, onError);
  }
}
