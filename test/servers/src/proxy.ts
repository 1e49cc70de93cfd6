import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { findFreePort } from "./ports.ts";

export type Direction = "to-server" | "to-client";
export type Fate = "forward" | "hold" | "drop";
export type Interceptor = (chunk: Buffer, direction: Direction) => Fate;

/** A TCP proxy in this process, for tests of network faults. */
export interface TcpProxy {
  /** URL of the target, through the proxy. */
  readonly url: string;
  /** Number of connected clients. */
  readonly connections: number;
  /** Cuts all connections, on both sides. */
  dropAll(): void;
  /** Refuses new connections while on. Open connections stay. */
  refuse(on: boolean): Promise<void>;
  /**
   * Drops all bytes in both directions while on, without an error. New connections are accepted, but lead nowhere. Turning it off
   * cuts all connections, since their bytes are lost.
   */
  blackhole(on: boolean): void;
  /**
   * Calls a function for every chunk from now on. After "hold", later chunks of that connection and direction wait too, until
   * `intercept` is called again, with or without a function. They are then forwarded without another decision.
   */
  intercept(interceptor?: Interceptor): void;
  /** Delays every chunk from now on, in both directions, and keeps their order. 0 ends the delay. */
  delay(ms: number): void;
  /**
   * Forwards only the first half of the next chunk in that direction, on any connection, then cuts the connection on both sides.
   * Waits until that has happened. Default: "to-client".
   */
  truncate(direction?: Direction): Promise<void>;
  /**
   * Ends that direction of all open connections: its receiver gets an end, and later bytes are dropped. The other direction stays
   * open until client or server closes it. Default: "to-client".
   */
  halfClose(direction?: Direction): void;
  stop(): Promise<void>;
}

/** One direction of a connection. */
interface Pipe {
  readonly direction: Direction;
  end(): void;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { "postgres:": 5432, "postgresql:": 5432, "mysql:": 3306 };

export async function startProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl);
  const targetPort = Number(target.port) || DEFAULT_PORTS[target.protocol];
  if (!targetPort) throw new Error(`start proxy: expected a postgres:// or mysql:// URL, got ${target.protocol}//…`);

  const port = await findFreePort();
  const url = new URL(targetUrl);
  url.host = `127.0.0.1:${port}`;

  const sockets = new Set<Socket>();
  const clients = new Set<Socket>();
  const pipes = new Set<Pipe>();
  const held = new Set<() => void>();
  const cuts: Record<Direction, (() => void)[]> = { "to-server": [], "to-client": [] };
  let decide: Interceptor = () => "forward";
  let isBlackhole = false;
  let delayMs = 0;

  const pipe = (from: Socket, to: Socket, direction: Direction) => {
    const waiting: Buffer[] = [];
    const late = createDelay(() => delayMs);
    const end = () => to.writable && to.end();
    const send = (chunk: Buffer) =>
      late(() => {
        if (isBlackhole || !to.writable) return;
        const cut = cuts[direction].shift();
        if (!cut) {
          to.write(chunk);
          return;
        }
        to.write(chunk.subarray(0, chunk.length >> 1));
        to.destroySoon();
        from.destroy();
        cut();
      });
    const release = () => {
      for (const chunk of waiting.splice(0)) send(chunk);
    };
    const itself: Pipe = { direction, end };
    pipes.add(itself);
    from.on("data", (chunk: Buffer) => {
      if (isBlackhole) return;
      const fate = waiting.length > 0 ? "hold" : decide(chunk, direction);
      if (fate === "forward") send(chunk);
      if (fate === "hold") {
        waiting.push(chunk);
        held.add(release);
      }
    });
    // A black hole hides the end of a side too. Without one, the end follows the last chunk.
    from.on("end", () => (isBlackhole ? from.end() : late(end)));
    from.on("close", () => {
      pipes.delete(itself);
      held.delete(release);
      if (!isBlackhole) late(() => to.destroySoon());
    });
  };

  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // handled by the "close" that follows
    return socket;
  };

  // Half-open connections: otherwise the end of one direction would end the other too.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const client = track(socket);
    clients.add(client);
    client.on("close", () => clients.delete(client));
    if (isBlackhole) {
      client.on("end", () => client.end());
      client.resume();
      return;
    }
    const upstream = track(connect({ port: targetPort, host: target.hostname, allowHalfOpen: true }));
    pipe(client, upstream, "to-server");
    pipe(upstream, client, "to-client");
  });
  const listen = async () => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  const dropAll = () => {
    for (const socket of sockets) socket.destroy();
  };

  await listen();
  return {
    url: url.href,
    get connections() {
      return clients.size;
    },
    dropAll,
    async refuse(on) {
      if (on) server.close();
      else if (!server.listening) await listen();
    },
    blackhole(on) {
      if (isBlackhole && !on) dropAll();
      isBlackhole = on;
    },
    intercept(interceptor = () => "forward") {
      decide = interceptor;
      for (const release of held) release();
      held.clear();
    },
    delay(ms) {
      delayMs = ms;
    },
    truncate(direction = "to-client") {
      return new Promise((resolve) => cuts[direction].push(resolve));
    },
    halfClose(direction = "to-client") {
      for (const pipe of pipes) if (pipe.direction === direction) pipe.end();
    },
    async stop() {
      dropAll();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
}

/** Returns a function that calls functions after this delay, in the order in which it got them. */
function createDelay(delayMs: () => number): (act: () => void) => void {
  const queue: { readonly due: number; readonly act: () => void }[] = [];
  const work = () => {
    for (let first = queue[0]; first; first = queue[0]) {
      const ms = first.due - performance.now();
      if (ms > 0) {
        setTimeout(work, ms);
        return;
      }
      queue.shift();
      first.act();
    }
  };
  return (act) => {
    if (queue.length === 0 && delayMs() === 0) {
      act();
      return;
    }
    queue.push({ due: Math.max(performance.now() + delayMs(), queue.at(-1)?.due ?? 0), act });
    if (queue.length === 1) work();
  };
}
