import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, type RequestListener, request } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { setImmediate as turn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { ServerCloser } from "../../src/agent/close-server.ts";

const LONG_MS = 60_000;
/** An address, not a name: so a connection is made before the call that connects returns. */
const HOST = "127.0.0.1";

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
  const events = ["connection", "session", "request"];
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
