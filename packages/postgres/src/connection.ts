import { CheckpointError } from "@waymark/core";
import { property, rootCause, unref } from "@waymark/core/kit";
import type { Sql } from "postgres";
import { clientMaker, endClient, refusedSetting, retireClient, untilDestroyed } from "./client.ts";
import { classify } from "./errors.ts";
import { IN_MEMORY, type ResolvedOptions } from "./options.ts";
import { clientOn, loadForms, type Pglite } from "./pglite.ts";
import { openInMemory, type PgliteFolder, shareFolder } from "./pglite-folder.ts";

/** Time for the queries of a client that is closed; with shorter deadlines half of one. */
const CLOSE_TIMEOUT_MS = 5_000;
/** Time for a call whose caller has stopped waiting, before its client is replaced. */
const ABORTED_TIMEOUT_MS = 1_000;

/** Age from which a client is given up for a connection that is read-only: a younger one reaches what a new one would. */
const GIVE_UP_AGE_MS = 1_000;

/** A client, made of a URL or handed in by the user. One that is stuck is replaced. */
export interface Connection {
  /** Runs `work` on the client, which is replaced when the deadline passes, or a connection is lost or read-only. */
  use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result>;
  /** Returns once whether the database was created for this connection. Absent: it was there. */
  takeIsNew?(): boolean;
  /** Returns the PGlite that runs the statements. Absent: it is a server that does. */
  pglite?(signal: AbortSignal): Promise<object>;
  close(): Promise<void>;
}

/** Makes a connection: to PGlite, or to a server. */
export async function connect(options: ResolvedOptions): Promise<Connection> {
  const { pglite, pgliteDataDir } = options;
  if (pglite !== null) return connectTo(pglite, await clientOf(pglite), async () => {});
  if (pgliteDataDir === null) return await connectToServer(options);
  if (pgliteDataDir !== IN_MEMORY) return await connectToFolder(pgliteDataDir);
  const opened = await openInMemory();
  return connectTo(opened.pglite, opened.client, opened.close);
}

/** Clients of the user's own PGlites: statements of several storages wait for each other's. */
const clients = new WeakMap<object, Sql>();

async function clientOf(pglite: object): Promise<Sql> {
  if (property(pglite, "closed") === true) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options.pglite to be open, got one that is closed");
  }
  const forms = await loadForms();
  const client = clients.get(pglite) ?? clientOn(pglite as Pglite, { forms });
  clients.set(pglite, client);
  return client;
}

function connectTo(pglite: object, client: Sql, close: () => Promise<void>): Connection {
  return {
    pglite: async () => pglite,
    async use(signal, work) {
      signal.throwIfAborted();
      return await work(client);
    },
    close,
  };
}

async function connectToFolder(path: string): Promise<Connection> {
  let opened: PgliteFolder | null = null;
  const folder = await shareFolder(path);
  return {
    async use(signal, work) {
      signal.throwIfAborted();
      opened = await folder.get(signal);
      const client = await opened.client();
      signal.throwIfAborted();
      return await work(client);
    },
    takeIsNew: () => opened?.takeIsNew() ?? false,
    pglite: async (signal) => await (await folder.get(signal)).pglite(),
    close: () => folder.close(),
  };
}

async function connectToServer(options: ResolvedOptions): Promise<Connection> {
  const own = options.client as Sql | null;
  const makeClient = own === null ? await clientMaker(options) : () => own;
  let current = makeClient();
  let madeAt = performance.now();
  const callsUnderWay = new Map<Sql, number>();
  /** Clients that were replaced, and end with their last call. */
  const leaving = new Set<Sql>();

  function renew(): void {
    current = makeClient();
    madeAt = performance.now();
  }

  function retire(client: Sql): void {
    retireClient(client).catch(() => {}); // its queries reject by themselves
  }

  /**
   * Replaces a client that is stuck. A query without an answer holds its connection for as long as the operating system
   * believes in it (a server that is stopped, a network that drops packets), and postgres.js cannot give up a single one. A
   * connection that was lost with something to be sent never sends anything when it is made again (postgres.js 3.4.9). So it
   * is all connections or none.
   */
  function replace(stuck: Sql): void {
    if (own !== null) return;
    if (current === stuck) renew();
    else if (!leaving.delete(stuck)) return;
    retire(stuck);
  }

  /**
   * Replaces a client with a connection that is read-only. A session keeps the default that it began with, and a server that was
   * the primary keeps its connections: only a new connection sees what an operator has changed, or reaches another server.
   */
  function giveUp(client: Sql): void {
    if (own !== null || current !== client || performance.now() - madeAt < GIVE_UP_AGE_MS) return;
    renew();
    leaving.add(client); // nothing is wrong with its other calls
  }

  function countCall(client: Sql, change: 1 | -1): void {
    const calls = (callsUnderWay.get(client) ?? 0) + change;
    callsUnderWay.set(client, calls);
    if (calls > 0) return;
    callsUnderWay.delete(client);
    if (leaving.delete(client)) retire(client);
  }

  async function use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const client = current;
    let timer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      if (property(signal.reason, "code") === "TIMEOUT") replace(client);
      else timer = unref(setTimeout(replace, ABORTED_TIMEOUT_MS, client));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    countCall(client, 1);
    try {
      return await untilDestroyed(client, work);
    } catch (error) {
      const refused = options.server === null ? null : refusedSetting(error, options.server);
      if (refused !== null) {
        const message = `connect: the server refuses the parameter ${refused} of options.connectionString`;
        throw new CheckpointError("INVALID_CONFIG", `${message} (${property(rootCause(error), "code")})`);
      }
      const fault = classify(error);
      if (fault === "connection" || fault === "outage") replace(client);
      else if (fault === "read-only") giveUp(client);
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
      countCall(client, -1);
    }
  }

  async function close(): Promise<void> {
    if (own === null) await endClient(current, Math.min(CLOSE_TIMEOUT_MS, options.operationTimeoutMs / 2) / 1_000);
  }

  return { use, close };
}
