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
  stop(): Promise<void>;
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
  const held = new Set<() => void>();
  let decide: Interceptor = () => "forward";
  let swallowing = false;

  const pipe = (from: Socket, to: Socket, direction: Direction) => {
    const waiting: Buffer[] = [];
    const release = () => {
      for (const chunk of waiting.splice(0)) to.write(chunk);
    };
    from.on("data", (chunk: Buffer) => {
      if (swallowing) return;
      const fate = waiting.length > 0 ? "hold" : decide(chunk, direction);
      if (fate === "forward") to.write(chunk);
      if (fate === "hold") {
        waiting.push(chunk);
        held.add(release);
      }
    });
    from.on("close", () => {
      held.delete(release);
      // A side's end can not be seen through a black hole either. Otherwise what it said last still arrives.
      if (!swallowing) to.destroySoon();
    });
  };

  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {}); // the close that follows says all there is to do
    return socket;
  };

  const server = createServer((socket) => {
    const client = track(socket);
    clients.add(client);
    client.on("close", () => clients.delete(client));
    if (swallowing) {
      client.resume();
      return;
    }
    const upstream = track(connect(targetPort, target.hostname));
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
    async stop() {
      dropAll();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
  };
}
