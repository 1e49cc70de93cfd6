import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { freePort } from "./ports.ts";

export type Direction = "to-server" | "to-client";
export type Fate = "forward" | "hold" | "drop";
export type Interceptor = (chunk: Buffer, direction: Direction) => Fate;

/** A TCP proxy in this process, for tests of what happens when the network fails. */
export interface TcpProxy {
  /** The target's URL, by way of the proxy. */
  readonly url: string;
  /** How many clients are connected. */
  readonly connections: number;
  /** Cuts all connections, both sides. */
  dropAll(): void;
  /** While on, nobody can connect; connections that are open stay. */
  refuse(on: boolean): Promise<void>;
  /**
   * While on, bytes vanish in both directions and connecting leads nowhere, without an error. Turning it off cuts
   * all connections: the bytes they lost do not come back.
   */
  blackhole(on: boolean): void;
  /**
   * Decides on every chunk from now on. After "hold" all that follows on that connection in that direction waits
   * too, until `intercept` is called again, with or without a function: then it goes on its way, undecided anew.
   */
  intercept(interceptor?: Interceptor): void;
  /** From now on every chunk, in both directions, arrives so much later, in order. 0 ends it. */
  delay(ms: number): void;
  /**
   * The next chunk in that direction, on whichever connection, arrives by its first half, and then the connection is cut on
   * both sides. Fulfilled when that has happened. Default: "to-client".
   */
  truncate(direction?: Direction): Promise<void>;
  /**
   * Ends that direction of all open connections: who listens there is told that no more will come, and what is still
   * said vanishes. The other direction stays open, until its own sides close it. Default: "to-client".
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

  const port = await freePort();
  const url = new URL(targetUrl);
  url.host = `127.0.0.1:${port}`;

  const sockets = new Set<Socket>();
  const clients = new Set<Socket>();
  const pipes = new Set<Pipe>();
  const held = new Set<() => void>();
  const cuts: Record<Direction, (() => void)[]> = { "to-server": [], "to-client": [] };
  let decide: Interceptor = () => "forward";
  let swallowing = false;
  let delayMs = 0;

  const pipe = (from: Socket, to: Socket, direction: Direction) => {
    const waiting: Buffer[] = [];
    const late = lateness(() => delayMs);
    const end = () => to.writable && to.end();
    const send = (chunk: Buffer) =>
      late(() => {
        if (swallowing || !to.writable) return;
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
      if (swallowing) return;
      const fate = waiting.length > 0 ? "hold" : decide(chunk, direction);
      if (fate === "forward") send(chunk);
      if (fate === "hold") {
        waiting.push(chunk);
        held.add(release);
      }
    });
    // A side's end can not be seen through a black hole either. Otherwise what it said last still arrives.
    from.on("end", () => (swallowing ? from.end() : late(end)));
    from.on("close", () => {
      pipes.delete(itself);
      held.delete(release);
      if (!swallowing) late(() => to.destroySoon());
    });
  };

  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // the close that follows says all there is to do
    return socket;
  };

  // Half open, or the end of one direction would be that of the other.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const client = track(socket);
    clients.add(client);
    client.on("close", () => clients.delete(client));
    if (swallowing) {
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
      if (swallowing && !on) dropAll();
      swallowing = on;
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

/** Does each thing so many milliseconds after it is told to, and never before what it was told earlier. */
function lateness(delayMs: () => number): (act: () => void) => void {
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
