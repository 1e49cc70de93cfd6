import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, type RequestListener, request } from "node:http";
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  createSecureServer as createSecureHttp2Server,
} from "node:http2";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import { ServerCloser } from "../../src/agent/close-server.ts";

const LONG_MS = 60_000;
/** An address, not a name: so a connection is made before the call that connects returns. */
const HOST = "127.0.0.1";
/** TLS with a key that both sides have: it needs no certificate. */
const PSK = { psk: Buffer.alloc(32, 7), identity: "a client" };
const TLS = { ciphers: "PSK", maxVersion: "TLSv1.2" } as const;
const SECURE_SERVER = { ...TLS, pskCallback: () => PSK.psk };
const SECURE_CLIENT = { ...TLS, pskCallback: () => PSK, checkServerIdentity: () => undefined };

async function listening<One extends Server>(
  server: One,
): Promise<{ server: One; port: number; closer: ServerCloser }> {
  const closer = new ServerCloser(server);
  server.listen(0, HOST);
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port, closer };
}

/** Starts a server, and a client that keeps its one connection. */
async function start(listener: RequestListener) {
  const started = await listening(createServer({ keepAliveTimeout: LONG_MS }, listener));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const get = async (path: string) => {
    const sent = request({ host: HOST, port: started.port, path, agent }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  };
  return { ...started, get };
}

/** Begins to close, and waits until no connection is accepted any more. */
async function closing({ server, closer }: { server: Server; closer: ServerCloser }, timeoutMs = LONG_MS) {
  const closed = closer.close(timeoutMs);
  while (server.listening) await turn();
  return { closed };
}

/** Waits until a client's socket is connected. `ended` resolves when the server has closed the connection. */
async function connected<Client extends Socket>(socket: Client, event: "connect" | "secureConnect") {
  const ended = once(socket, "close");
  await once(socket, event);
  socket.resume();
  return { socket, ended };
}

test("a request under way is answered, and its connection ends with it", async () => {
  let answer = () => {};
  const one = await start((_, response) => {
    answer = () => void response.end("done");
  });
  const response = one.get("/");
  await once(one.server, "request");
  const { closed } = await closing(one);
  answer();
  expect((await response).headers.connection).toBe("close");
  expect(await text(await response)).toBe("done");
  await closed;
  await expect(once(connect(one.port, HOST), "connect")).rejects.toThrow("ECONNREFUSED");
});

test("requests whose connections wait to be accepted are answered", async () => {
  const one = await start((_, response) => void response.end("done"));
  const requests = Array.from({ length: 20 }, () => request({ host: HOST, port: one.port, agent: false }).end());
  const responses = requests.map(async (sent) => await text((await once(sent, "response"))[0] as IncomingMessage));
  const { closed } = await closing(one);
  expect(await Promise.all(responses)).toEqual(Array(20).fill("done"));
  await closed;
});

test("a request that arrives on an idle connection while the server closes is answered", async () => {
  const one = await start((_, response) => void response.end("done"));
  expect(await text(await one.get("/one"))).toBe("done");
  const { closed } = await closing(one);
  const response = await one.get("/two");
  expect([response.headers.connection, await text(response)]).toEqual(["close", "done"]);
  await closed;
});

test("idle connections end: after their last request, after a stream that had begun, and without any request", async () => {
  let end = () => {};
  const one = await start((_, response) => {
    response.write("begun, ");
    end = () => void response.end("done");
  });
  const silent = connect(one.port, HOST);
  await once(one.server, "connection");
  const stream = await one.get("/");
  expect(stream.headers.connection).toBe("keep-alive");
  const { closed } = await closing(one);
  await once(silent, "close");
  end();
  expect(await text(stream)).toBe("begun, done");
  await closed;
});

test("a request under way is answered on a runtime whose connections do not count what they read", async () => {
  let answer = () => {};
  const one = await start((_, response) => {
    answer = () => void response.end("done");
  });
  one.server.prependListener("connection", (socket) => Object.defineProperty(socket, "bytesRead", { value: 0 }));
  const closeIdleConnections = one.server.closeIdleConnections.bind(one.server);
  const idleClosed = new Promise<void>((resolve) => {
    one.server.closeIdleConnections = () => {
      closeIdleConnections();
      resolve();
    };
  });
  const response = one.get("/");
  await once(one.server, "request");
  const { closed } = await closing(one);
  await idleClosed;
  answer();
  expect(await text(await response)).toBe("done");
  await closed;
});

test("HTTPS: idle connections end, with a handshake before or while the server closes; requests under way are answered", async () => {
  let answer = () => {};
  const server = createSecureServer(SECURE_SERVER, (_, response) => {
    answer = () => void response.end("done");
  });
  const one = await listening(server);
  const silent = await connected(connectTls({ host: HOST, port: one.port, ...SECURE_CLIENT }), "secureConnect");
  const late = await connected(connect(one.port, HOST), "connect");
  const busy = connectTls({ host: HOST, port: one.port, ...SECURE_CLIENT });
  busy.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await once(one.server, "request");
  const { closed } = await closing(one);
  const secure = await connected(connectTls({ socket: late.socket, ...SECURE_CLIENT }), "secureConnect");
  await Promise.all([silent.ended, secure.ended]);
  answer();
  expect(await text(busy)).toMatch(/\r\nConnection: close\r\n.*done/s);
  await closed;
});

test("HTTPS: a request is answered that follows a handshake just before idle connections end", async () => {
  const one = await listening(createSecureServer(SECURE_SERVER, (_, response) => void response.end("done")));
  const late = await connected(connect(one.port, HOST), "connect");
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  onTestFinished(() => void vi.useRealTimers());
  const { closed } = await closing(one);
  const secure = connectTls({ socket: late.socket, ...SECURE_CLIENT });
  await once(secure, "secureConnect");
  vi.advanceTimersByTime(500);
  await turn();
  secure.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  expect(await text(secure)).toMatch(/done/);
  await closed;
});

test("what has not ended when the time is over is cut off", async () => {
  const one = await start(() => {});
  const response = one.get("/");
  await once(one.server, "request");
  const { closed } = await closing(one, 10);
  await expect(response).rejects.toThrow("socket hang up");
  await closed;
});

test("a server that does not listen, or that somebody else has closed, is closed at once", async () => {
  await new ServerCloser(createServer()).close(LONG_MS);
  const { server, closer } = await listening(createServer());
  server.close();
  await closer.close(LONG_MS);
});

test("a server that is no longer to be closed is left alone", async () => {
  const events = ["connection", "secureConnection", "session", "request"];
  const server = createServer();
  const before = events.map((event) => server.listenerCount(event));
  new ServerCloser(server).release();
  expect(events.map((event) => server.listenerCount(event))).toEqual(before);
});

test("HTTP/2: streams under way end, then their connection", async () => {
  const one = await listening(createHttp2Server());
  const client = connectHttp2(`http://${HOST}:${one.port}`);
  const request = client.request({ ":path": "/" });
  const [stream] = await once(one.server, "stream");
  const { closed } = await closing(one);
  stream.end("done");
  expect(await text(request)).toBe("done");
  await Promise.all([closed, once(client, "close")]);
});

test("HTTP/2 over TLS: connections end that have sent nothing, or that a handshake makes while the server closes", async () => {
  const server = createSecureHttp2Server({ ...SECURE_SERVER, ALPNProtocols: ["h2"] });
  const one = await listening(server);
  const options = { ...SECURE_CLIENT, ALPNProtocols: ["h2"] };
  const silent = await connected(connectTls({ host: HOST, port: one.port, ...options }), "secureConnect");
  const late = await connected(connect(one.port, HOST), "connect");
  const { closed } = await closing(one);
  const createConnection = () => connectTls({ socket: late.socket, ...options });
  const client = connectHttp2(`https://${HOST}:${one.port}`, { createConnection });
  await Promise.all([closed, silent.ended, once(client, "close")]);
});
