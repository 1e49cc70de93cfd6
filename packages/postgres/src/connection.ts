import { property } from "@waymark/core/kit";
import type { Sql } from "postgres";
import { clientMaker, endClient, retireClient, untilDestroyed } from "./client.ts";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** Time for the queries of a client that is closed, in seconds. */
const CLOSE_TIMEOUT_SECONDS = 5;
/** Time for a call whose caller has stopped waiting, before its client is replaced. */
const ABORTED_TIMEOUT_MS = 1_000;

/** A client, made of a URL or handed in by the user. One that is stuck is replaced. */
export interface Connection {
  /** Runs `work` on the client, which is replaced when the deadline passes or a connection is lost. */
  use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export async function connect(options: ResolvedOptions): Promise<Connection> {
  const own = options.client as Sql | null;
  const makeClient = own === null ? await clientMaker(options) : () => own;
  let current = makeClient();

  /**
   * Replaces a client that is stuck. A query without an answer holds its connection for as long as the operating system
   * believes in it (a server that is stopped, a network that drops packets), and postgres.js cannot give up a single one. A
   * connection that was lost with something to be sent never sends anything when it is made again (postgres.js 3.4.9). So it
   * is all connections or none.
   */
  function replace(stuck: Sql): void {
    if (own !== null || current !== stuck) return;
    current = makeClient();
    retireClient(stuck).catch(() => {}); // its queries reject by themselves
  }

  async function use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const client = current;
    let timer: NodeJS.Timeout | undefined;
    const giveUp = () => {
      if (property(signal.reason, "code") === "TIMEOUT") replace(client);
      else timer = setTimeout(replace, ABORTED_TIMEOUT_MS, client).unref();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await untilDestroyed(client, work);
    } catch (error) {
      if (classify(error) === "connection") replace(client);
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
      clearTimeout(timer);
    }
  }

  return { use, close: () => (own === null ? endClient(current, CLOSE_TIMEOUT_SECONDS) : Promise.resolve()) };
}
