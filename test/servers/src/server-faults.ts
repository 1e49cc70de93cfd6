import { setTimeout } from "node:timers/promises";
import { connect, execute, isMysql, type Session } from "./client.ts";
import { retryUntilReady } from "./readiness.ts";

export interface ExhaustOptions {
  /** Database whose sessions are ended again and again: its clients must connect again, and cannot. */
  readonly evict?: string;
}

const CONNECT_AT_ONCE = 8;
const TRY_AGAIN_MS = 20;

/**
 * Makes the server refuse all writes, like a former primary, or ends that. It applies to PostgreSQL's sessions from their next
 * transaction on, to MySQL's and MariaDB's from their next statement. These two wait for transactions that are committing.
 * MariaDB's administrators may still write: use a database with an `ownUser`.
 */
export async function setReadOnly(serverUrl: string, on: boolean): Promise<void> {
  if (isMysql(serverUrl)) {
    const [row] = await execute(serverUrl, "select version() as version");
    const isMariadb = String(row?.["version"]).includes("MariaDB");
    // MySQL's `read_only` does not apply to administrators. Turning `super_read_only` on, or `read_only` off, sets both.
    const name = isMariadb || !on ? "read_only" : "super_read_only";
    await execute(serverUrl, `set global ${name} = ${on ? 1 : 0}`);
    return;
  }
  await execute(serverUrl, `alter system set default_transaction_read_only = ${on ? "on" : "off"}`);
  await execute(serverUrl, "select pg_reload_conf()");
  // The server signals its sessions before it opens a new one: when a new session has the setting, all have it.
  await retryUntilReady(async () => {
    const [row] = await execute(serverUrl, "show default_transaction_read_only");
    const value = row?.["default_transaction_read_only"];
    if (value !== (on ? "on" : "off")) throw new Error(`set PostgreSQL read-only: expected ${on}, got ${value}`);
  });
}

/**
 * Opens connections as the URL's user until the server refuses more, and also takes those that others close later. Waits for the
 * first refusal, and returns a function that closes all of them. With an administrator's URL it takes reserved connections too.
 */
export async function exhaustConnections(
  serverUrl: string,
  options: ExhaustOptions = {},
): Promise<() => Promise<void>> {
  const taken: Session[] = [];
  const over = new AbortController();
  const giveBack = async () => {
    await Promise.all(taken.splice(0).map((session) => session.end()));
  };

  /** Takes one connection. Returns `false` if the server refuses it. */
  const take = async (): Promise<boolean> => {
    try {
      taken.push(await connect(serverUrl));
      return true;
    } catch (error) {
      if (isRefusal(error)) return false;
      throw error;
    }
  };
  const takeAll = async () => {
    const takeUntilRefused = async () => {
      while (!over.signal.aborted && (await take())) {}
    };
    const outcomes = await Promise.allSettled(Array.from({ length: CONNECT_AT_ONCE }, takeUntilRefused));
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (failure) throw failure.reason;
  };
  const evict = async (): Promise<number> => {
    const session = taken[0];
    return session && options.evict !== undefined ? endSessions(session, serverUrl, options.evict) : 0;
  };

  try {
    await takeAll();
    while ((await evict()) > 0) await takeAll();
  } catch (error) {
    await giveBack();
    throw error;
  }

  const takingMore = (async () => {
    while (!over.signal.aborted) {
      try {
        await takeAll();
        await evict();
      } catch {
        // The server is down or does not answer: other clients get no connection either.
      }
      await setTimeout(TRY_AGAIN_MS, undefined, { signal: over.signal, ref: false }).catch(() => {});
    }
  })();
  return async () => {
    over.abort();
    await takingMore;
    await giveBack();
  };
}

/** Ends all sessions of a database, even during statements. Returns their number. */
export async function killConnections(serverUrl: string, databaseName: string): Promise<number> {
  const session = await connect(serverUrl);
  try {
    return await endSessions(session, serverUrl, databaseName);
  } finally {
    await session.end();
  }
}

/** Ends all sessions of a database except this one. */
async function endSessions(session: Session, serverUrl: string, databaseName: string): Promise<number> {
  const name = `'${databaseName.replaceAll("'", "''")}'`;
  if (!isMysql(serverUrl)) {
    const of = `from pg_stat_activity where datname = ${name} and pid <> pg_backend_pid()`;
    const [row] = await session.execute(`select count(*) filter (where pg_terminate_backend(pid))::int as ended ${of}`);
    return Number(row?.["ended"]);
  }
  const of = `from information_schema.processlist where db = ${name} and id <> connection_id()`;
  const threads = await session.execute(`select id ${of}`);
  let ended = 0;
  for (const thread of threads) {
    try {
      await session.execute(`kill ${Object.values(thread)[0]}`);
      ended += 1;
    } catch (error) {
      if (codeOf(error) !== "ER_NO_SUCH_THREAD") throw error; // the session has already ended
    }
  }
  return ended;
}

/** True if the error is about too many connections, of the server or of the user. */
function isRefusal(error: unknown): boolean {
  return ["53300", "ER_CON_COUNT_ERROR", "ER_TOO_MANY_USER_CONNECTIONS", "ER_USER_LIMIT_REACHED"].includes(
    codeOf(error),
  );
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}
