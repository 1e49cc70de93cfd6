import { once } from "node:events";
import { createServer } from "node:net";

// The system gives outgoing connections ports from 32768 on. Below, nobody is given a server's port while the
// server is down for a test, be it the very client that tries to reach it again.
const FIRST_PORT = 20_000;
const PORTS = 12_000;

/** A port of 127.0.0.1 that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
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
