import { once } from "node:events";
import { createServer } from "node:net";

// Linux uses ports from 32768 on for outgoing connections. A server's port is below these. Otherwise, while the server is down in
// a test, a connection could take its port, even one of the client that tries to reach it.
const FIRST_PORT = 20_000;
const PORTS = 12_000;

/** Returns a port of 127.0.0.1 on which no program listens at the moment. */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}
