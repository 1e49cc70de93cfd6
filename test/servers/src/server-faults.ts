import { setTimeout } from "node:timers/promises";
import { connect, execute, isMysql, type Session } from "./client.ts";
import { whenItAnswers } from "./readiness.ts";

export interface ExhaustOptions {
  /** A database whose sessions are ended again and again meanwhile: its clients must connect anew, and can not. */
  readonly evict?: string;
}

const CONNECT_AT_ONCE = 8;
const TRY_AGAIN_MS = 20;

/**
 * Has the server refuse all writes as one does that was a primary until now, or ends that. PostgreSQL's sessions obey
 * from their next transaction on, MySQL's and MariaDB's from their next statement; these two wait for transactions
 * that are committing. MariaDB's administrators are let through: there use a database that has an `ownUser`.
 */
export async function setReadOnly(serverUrl: string, on: boolean): Promise<void> {
  if (isMysql(serverUrl)) {
    const [row] = await execute(serverUrl, "select version() as version");
    const isMariadb = String(row?.["version"]).includes("MariaDB");
    // MySQL's `read_only` alone would leave administrators out; `super_read_only` turns it on, but not off.
    const name = isMariadb || !on ? "read_only" : "super_read_only";
    await execute(serverUrl, `set global ${name} = ${on ? 1 : 0}`);
    return;
  }
  await execute(serverUrl, `alter system set default_transaction_read_only = ${on ? "on" : "off"}`);
  await execute(serverUrl, "select pg_reload_conf()");
  // The server tells its sessions before it opens the next, so that when a new one obeys, all do.
  await whenItAnswers(async () => {
    const [row] = await execute(serverUrl, "show default_transaction_read_only");
    const value = row?.["default_transaction_read_only"];
    if (value !== (on ? "on" : "off")) throw new Error(`set PostgreSQL read-only: expected ${on}, got ${value}`);
  });
}

/**
 * Takes connections as the URL's user until the server refuses more, and those that others give back later.
 * Fulfilled at the first refusal, with what gives all of them back. An administrator's URL takes those too that a
 * server reserves for administrators.
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

  /** False if the server has no more. */
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
    const line = async () => {
      while (!over.signal.aborted && (await take())) {}
    };
    const lines = await Promise.allSettled(Array.from({ length: CONNECT_AT_ONCE }, line));
    const failure = lines.find((outcome) => outcome.status === "rejected");
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

  const goingOn = (async () => {
    while (!over.signal.aborted) {
      try {
        await takeAll();
        await evict();
      } catch {
        // The server is down or silent, which gives nobody a connection either.
      }
      await setTimeout(TRY_AGAIN_MS, undefined, { signal: over.signal, ref: false }).catch(() => {});
    }
  })();
  return async () => {
    over.abort();
    await goingOn;
    await giveBack();
  };
}

/** Ends all sessions of the database, whatever they are doing; tells how many. */
export async function killConnections(serverUrl: string, databaseName: string): Promise<number> {
  const session = await connect(serverUrl);
  try {
    return await endSessions(session, serverUrl, databaseName);
  } finally {
    await session.end();
  }
}

/** Ends all sessions of the database but this one. */
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
      if (codeOf(error) !== "ER_NO_SUCH_THREAD") throw error; // it has just ended by itself
    }
  }
  return ended;
}

/** Too many connections: on the whole server, or of this user. */
function isRefusal(error: unknown): boolean {
  return ["53300", "ER_CON_COUNT_ERROR", "ER_TOO_MANY_USER_CONNECTIONS", "ER_USER_LIMIT_REACHED"].includes(
    codeOf(error),
  );
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}
