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

/** Forms of values by the number of their type, where PGlite's own differ from those of our postgres.js clients. */
export const FORMS = {
  parsers: { 17: BYTEA.parse, 20: (text: string) => text },
  serializers: { 17: BYTEA.serialize },
};

interface ClientOptions {
  /** Forms for each query. Default: {@link FORMS}, for a PGlite that was not made with them. */
  readonly forms?: object;
  /** Called once if the database has ended: no statement is sent any more. */
  readonly onEnd?: () => void;
}

/**
 * Makes a client. Statements run one after the other, and none between those of a transaction. After an error that ends the
 * database (`PANIC`: no space for its log) PGlite would never return from the next statement, and with it the event loop
 * (0.5.17): nothing is sent any more then.
 */
export function clientOn(pglite: Pglite, { forms = FORMS, onEnd = () => {} }: ClientOptions = {}): Sql {
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
