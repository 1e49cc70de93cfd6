import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** An address that can be moved from one server to another, as a DNS name or a virtual IP is after a failover. */
export interface Address {
  readonly url: string;
  /** Cuts all connections, and directs new ones to this server. */
  pointTo(serverUrl: string): void;
  stop(): Promise<void>;
}

/** @param url URL of a database on the first server */
export async function startAddress(url: string): Promise<Address> {
  let target = new URL(url);
  const sockets = new Set<Socket>();
  const track = (socket: Socket, other: () => Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {}); // handled by the "close" that follows
    socket.on("close", () => {
      sockets.delete(socket);
      other().destroy();
    });
  };
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    const upstream: Socket = connect(Number(target.port), target.hostname);
    track(client, () => upstream);
    track(upstream, () => client);
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const own = new URL(url);
  own.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: own.href,
    pointTo(serverUrl) {
      target = new URL(serverUrl);
      cutAll();
    },
    async stop() {
      cutAll();
      server.close();
      await once(server, "close");
    },
  };
}
