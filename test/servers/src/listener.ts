import { type Command, type Enclosure, hasExited, waitForExit } from "./enclosure.ts";
import { findFreePort } from "./ports.ts";
import { READY_WITHIN_SECONDS, retryUntilReady } from "./readiness.ts";

/** A program in an enclosure that listens on a port of 127.0.0.1. */
export interface Listener {
  readonly port: number;
  kill(): Promise<void>;
  /** Starts the program again after `kill`, on the same port. */
  start(): Promise<void>;
  /** Starts the program again if it has ended by itself, and waits until it answers. */
  revive(): Promise<void>;
}

export interface ListenerOptions {
  readonly title: string;
  command(port: number): Command | Promise<Command>;
  /** Asks for a sign that the program answers. Rejects while it does not, or while another program uses the port. */
  ask(port: number): Promise<void>;
}

const PORTS_TO_TRY = 5;

/** Starts the program on a free port, and waits until it answers. */
export async function startListener(enclosure: Enclosure, options: ListenerOptions): Promise<Listener> {
  const { title, command, ask } = options;

  const startAt = async (port: number) => {
    const child = await enclosure.start(await command(port));
    try {
      await retryUntilReady(
        () => ask(port),
        () => hasExited(child),
      );
      return child;
    } catch (cause) {
      const outcome = hasExited(child) ? `it ended with ${child.exitCode ?? child.signalCode}` : "it did not answer";
      const expected = `expected an answer at 127.0.0.1:${port} within ${READY_WITHIN_SECONDS} seconds, but ${outcome}`;
      throw new Error(`start ${title}: ${expected}. Its log ends:\n${await enclosure.logTail()}`, { cause });
    }
  };

  const startAnywhere = async (tries: number) => {
    const port = await findFreePort();
    try {
      return { port, child: await startAt(port) };
    } catch (error) {
      // Another program may have taken the port meanwhile.
      const isTaken = error instanceof Error && /address already in use/i.test(error.message);
      if (!isTaken || tries === 1) throw error;
      return startAnywhere(tries - 1);
    }
  };

  let { port, child } = await startAnywhere(PORTS_TO_TRY);
  return {
    port,
    async kill() {
      await enclosure.kill();
      await waitForExit(child);
    },
    async start() {
      if (!hasExited(child)) throw new Error(`start ${title}: expected it to be killed, but it is running`);
      child = await startAt(port);
    },
    async revive() {
      await retryUntilReady(
        () => ask(port),
        () => hasExited(child),
      ).catch((error) => {
        if (!hasExited(child)) throw error;
      });
      if (!hasExited(child)) return;
      await enclosure.kill(); // processes that outlived it
      child = await startAt(port);
    },
  };
}
