import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { startProxy, type TcpProxy } from "../src/index.ts";
import { isReachable, open, waitUntilClosed } from "./observe.ts";

let echo: Server;
let proxy: TcpProxy;
let received: string;
let served: Socket[];
beforeEach(async () => {
  received = "";
  served = [];
  echo = createServer((socket) => {
    served.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      received += chunk;
      socket.write(chunk);
    });
  }).listen(0, "127.0.0.1");
  await once(echo, "listening");
  proxy = await startProxy(`postgres://me@127.0.0.1:${(echo.address() as AddressInfo).port}/db?ssl=no`);
});
afterEach(async () => {
  await proxy.stop();
  echo.close();
});

const answer = async (socket: Socket) => String((await once(socket, "data"))[0]);

it("has the target's URL with another port, and forwards in both directions", async () => {
  expect(proxy.url).toMatch(/^postgres:\/\/me@127\.0\.0\.1:\d+\/db\?ssl=no$/);
  const socket = await open(proxy.url);
  socket.write("ping");
  expect(await answer(socket)).toBe("ping");
  expect(proxy.connections).toBe(1);
});

it("forwards the last bytes of a server that closes the connection", async () => {
  const socket = await open(proxy.url);
  socket.write("a");
  await answer(socket);
  served[0]?.end("bye");
  expect(await answer(socket)).toBe("bye");
  await waitUntilClosed(socket);
});

it("cuts all connections on both sides", async () => {
  const sockets = await Promise.all([open(proxy.url), open(proxy.url)]);
  for (const socket of sockets) socket.write("a");
  await Promise.all(sockets.map(answer));
  const ends = [...sockets, ...served].map(waitUntilClosed);
  proxy.dropAll();
  await Promise.all(ends);
  expect(ends).toHaveLength(4);
  expect(proxy.connections).toBe(0);
});

it("refuses new connections while `refuse` is on, and keeps open ones", async () => {
  const socket = await open(proxy.url);
  await proxy.refuse(true);
  expect(await isReachable(proxy.url)).toBe(false);
  socket.write("still");
  expect(await answer(socket)).toBe("still");
  await proxy.refuse(false);
  expect(await isReachable(proxy.url)).toBe(true);
});

it("drops the bytes of both sides while it is a black hole, and cuts the connections afterwards", async () => {
  const before = await open(proxy.url);
  before.write("a");
  await answer(before);
  proxy.blackhole(true);
  const during = await open(proxy.url);
  let delivered = "";
  for (const socket of [before, during]) {
    socket.write("lost");
    socket.on("data", (chunk) => {
      delivered += chunk;
    });
  }
  served[0]?.write("lost too");
  const ends = [before, during].map(waitUntilClosed);
  proxy.blackhole(false);
  await Promise.all(ends);
  expect({ received, delivered }).toEqual({ received: "a", delivered: "" });
  const after = await open(proxy.url);
  after.write("b");
  expect(await answer(after)).toBe("b");
});

it("holds a chunk and all later ones until `intercept` is called again", async () => {
  const socket = await open(proxy.url);
  const asked = new Promise<void>((resolve) => {
    proxy.intercept((chunk, direction) => {
      if (direction === "to-server" || chunk.toString() !== "secret") return "forward";
      resolve();
      return "hold";
    });
  });
  socket.write("open");
  expect(await answer(socket)).toBe("open");
  socket.write("secret");
  await asked;
  expect(received).toBe("opensecret");
  proxy.intercept();
  expect(await answer(socket)).toBe("secret");
  socket.write("more");
  expect(await answer(socket)).toBe("more");
});

it("drops a chunk and forwards the next", async () => {
  const socket = await open(proxy.url);
  proxy.intercept((chunk, direction) => (direction === "to-client" && chunk.includes("1") ? "drop" : "forward"));
  socket.write("1");
  await once(served[0] ?? (await once(echo, "connection"))[0], "data");
  socket.write("2");
  expect(await answer(socket)).toBe("2");
});

it("delays the chunks of both sides, keeps their order, and forwards the last one before the end", async () => {
  const socket = await open(proxy.url);
  proxy.delay(30);
  const start = performance.now();
  let delivered = "";
  socket.on("data", (chunk) => {
    delivered += chunk;
  });
  for (const word of ["one ", "two ", "three"]) socket.write(word);
  await vi.waitUntil(() => delivered === "one two three", { interval: 1, timeout: 90_000 });
  expect(performance.now() - start).toBeGreaterThan(55); // a timer may be early by the fraction of a millisecond
  served[0]?.end(" four");
  await waitUntilClosed(socket);
  expect(delivered).toBe("one two three four");
});

it("keeps the order when the delay ends", async () => {
  const socket = await open(proxy.url);
  proxy.delay(30);
  const arrival = vi.waitUntil(() => received === "latesoon", { interval: 1, timeout: 90_000 });
  const passed = new Promise<void>((resolve) => {
    proxy.intercept(() => {
      resolve();
      return "forward";
    });
  });
  socket.write("late");
  await passed;
  proxy.delay(0);
  socket.write("soon");
  await arrival;
});

it("cuts a connection in the middle of a chunk, and no other connection", async () => {
  const [victim, other] = await Promise.all([open(proxy.url), open(proxy.url)]);
  const truncated = proxy.truncate("to-client");
  let delivered = "";
  victim.on("data", (chunk) => {
    delivered += chunk;
  });
  const end = waitUntilClosed(victim);
  victim.write("12345678");
  await Promise.all([truncated, end]);
  expect({ received, delivered }).toEqual({ received: "12345678", delivered: "1234" });
  other.write("whole");
  expect(await answer(other)).toBe("whole");

  const again = proxy.truncate("to-server");
  const otherEnd = waitUntilClosed(other);
  other.write("abcd");
  await Promise.all([again, otherEnd]);
  await vi.waitUntil(() => received === "12345678wholeab", { interval: 1, timeout: 90_000 });
});

it("ends one direction and leaves the other open", async () => {
  const { port } = new URL(proxy.url);
  const socket = connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true });
  socket.write("a");
  await answer(socket);
  const ended = once(socket, "end");
  proxy.halfClose("to-client");
  await ended;
  socket.write("b");
  await vi.waitUntil(() => received === "ab", { interval: 1, timeout: 90_000 });
  expect(served[0]?.readyState).toBe("open");
  expect(socket.readyState).toBe("writeOnly");
});

it("ends the direction to the server, which can still answer", async () => {
  const socket = await open(proxy.url);
  socket.write("a");
  await answer(socket);
  const upstream = served[0] as Socket;
  upstream.allowHalfOpen = true;
  const ended = once(upstream, "end");
  proxy.halfClose("to-server");
  await ended;
  socket.write("dropped");
  upstream.write("bye");
  expect(await answer(socket)).toBe("bye");
  expect(received).toBe("a");
});
