import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import { rejection, startNode } from "@waymark/conformance";
import type { PostgresStorageOptions } from "@waymark/postgres";
import { expect, it, onTestFinished, vi } from "vitest";
import { startProxy, type TcpProxy } from "waymark-test-servers";
import { begin } from "../src/client.ts";
import { CERTIFICATE, KEY, ROOT } from "./certificates.ts";
import { checkpoint, connect, emptyDatabase, open, run, sharedServer, target } from "./on-server.ts";

/** Two seconds for the queries of a client that is replaced, and time for a process to end on a busy machine. Connecting may take 20. */
const EXIT_MS = 2_000 + 8_000;

/** Program of a process with storages whose calls run into deadlines until a line comes; then all are closed. */
const PROGRAM = `
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (error) => {
      console.log(event, error);
      process.exitCode = 1;
    });
  }
  const [connectionString, count] = args;
  const storages = Array.from({ length: count }, () => createCheckpointStorage({
    connectionString, poolSize: 2, operationTimeoutMs: 300, connectTimeoutMs: 20_000, migrate: "off",
    circuit: { failureThreshold: 1_000_000 },
  }));
  let stopped = false;
  const codes = new Set();
  const use = async (storage) => {
    while (!stopped) {
      const calls = Array.from({ length: 6 }, () => storage.listCheckpoints().catch(({ code }) => codes.add(code)));
      await Promise.all(calls);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const using = storages.map(use);
  console.log("started");
  await nextLine();
  stopped = true;
  await Promise.all(using);
  console.log([...codes].sort().join());
  await Promise.all(storages.map((storage) => storage.close().catch(({ code }) => {
    if (code !== "TIMEOUT") throw code;
  })));
  console.log("closed");
  setTimeout(() => console.log("left", process.getActiveResourcesInfo()), 9_000).unref();`;

/** Codes where connections are refused: that may be noticed before the deadline. */
const REFUSED = /TIMEOUT|UNAVAILABLE/;

const situations: Readonly<Record<string, (proxy: TcpProxy) => Promise<void>>> = {
  "is refused and comes back": async (proxy) => {
    for (let round = 0; round < 12; round++) {
      await proxy.refuse(true);
      proxy.dropAll();
      await delay(250);
      await proxy.refuse(false);
      await delay(50);
    }
  },
  "takes longer than the deadline": async (proxy) => {
    proxy.delay(400);
    await delay(3_000);
  },
  "leads nowhere, and then is cut": async (proxy) => {
    for (let round = 0; round < 4; round++) {
      proxy.blackhole(true);
      await delay(700);
      proxy.blackhole(false);
      await delay(50);
    }
  },
};

/** Expects that a process ends by itself whose storages ran into deadlines while something happened. */
async function expectExit(connectionString: string, happen: () => Promise<void>, codes = /TIMEOUT/): Promise<void> {
  const child = startNode(target.module, PROGRAM, connectionString, 10);
  expect(await child.nextLine()).toBe("started");
  await happen();
  child.send("stop");
  expect(await child.nextLine()).toMatch(codes);
  expect(await child.nextLine()).toBe("closed");
  const closed = performance.now();
  const { code, output } = await child.exit;
  expect(output).not.toMatch(/left|unhandled|uncaught/);
  expect(code).toBe(0);
  expect(performance.now() - closed).toBeLessThan(EXIT_MS);
}

it.each(Object.entries(situations))(
  "leaves no socket and no timer behind when connecting %s",
  async (situation, happen) => {
    const { url } = await emptyDatabase();
    await open({ connectionString: url }).migrate();
    const proxy = await startProxy(url);
    onTestFinished(() => proxy.stop());
    await expectExit(proxy.url, () => happen(proxy), situation.includes("refused") ? REFUSED : undefined);
  },
);

it("leaves no socket and no timer behind when none of several hosts can be reached", async () => {
  const proxies = await Promise.all([1, 2].map(() => startProxy(sharedServer())));
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  const hosts = proxies.map(({ url }) => new URL(url).host).join();
  await expectExit(`postgres://postgres@${hosts}/postgres`, () => delay(1_500), REFUSED);
});

it("finds the one of several hosts that can be reached", async () => {
  const { url } = await emptyDatabase();
  const stopped = await startProxy(url);
  await stopped.stop();
  const { host } = new URL(url);
  const storage = open({ connectionString: url.replace(host, `${new URL(stopped.url).host},${host}`), poolSize: 3 });
  const ids = await Promise.all(Array.from({ length: 20 }, () => storage.storeCheckpoint(checkpoint())));
  expect((await storage.listCheckpoints()).map(({ id }) => id).sort()).toEqual(ids.sort());
});

/** A server before the server of a URL: on a port or a path, with or without TLS. */
interface Front {
  readonly port: number;
  readonly connections: number;
  /** Names that clients have asked for in TLS. */
  readonly names: string[];
}

/** @param answer to a client that asks for TLS; after "S…" the handshake never ends */
async function startFront(
  url: string,
  answer: "S" | "N" | "S…",
  listen: { path?: string; host?: string } = {},
): Promise<Front> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const names: string[] = [];
  const server = createServer(async (client) => {
    sockets.add(client.on("error", () => {}));
    client.on("close", () => sockets.delete(client));
    const forward = (from: Duplex, first?: Buffer) => {
      const upstream = createConnection(Number(port), hostname);
      if (first) upstream.write(first);
      from.pipe(upstream).pipe(from);
      from.on("close", () => upstream.destroy()).on("error", () => {});
      upstream.on("close", () => from.destroy()).on("error", () => {});
    };
    const [first] = (await once(client, "data").catch(() => [])) as Buffer[];
    if (first?.length !== 8) {
      if (first) forward(client, first);
      return;
    }
    client.write(answer.slice(0, 1));
    if (answer === "S…") client.resume();
    if (answer === "N") forward(client);
    if (answer !== "S") return;
    const secure = new TLSSocket(client, {
      isServer: true,
      cert: CERTIFICATE,
      key: KEY,
      SNICallback: (name, done) => {
        names.push(name);
        done(null);
      },
    });
    forward(secure);
  });
  server.listen(listen.path === undefined ? { port: 0, host: "localhost", ...listen } : listen);
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: listen.path === undefined ? (server.address() as AddressInfo).port : 0,
    get connections() {
      return sockets.size;
    },
    names,
  };
}

const ssl = { ca: ROOT };

/** Expects that calls succeed, and that all connections end with the storage. */
async function expectUse(front: Front, options: PostgresStorageOptions): Promise<void> {
  const storage = open({ poolSize: 3, ...options });
  await storage.migrate();
  const ids = await Promise.all(Array.from({ length: 20 }, () => storage.storeCheckpoint(checkpoint())));
  const newest = await storage.listCheckpoints({ limit: 20 });
  expect(newest.map(({ id }) => id).sort()).toEqual(ids.sort());
  expect(front.connections).toBeGreaterThan(0);
  await storage.close();
  while (front.connections > 0) await turn();
}

const at = (url: string, host: string) => url.replace(new URL(url).host, host);

it("connects by TLS, and names the host of the URL", async () => {
  const { url } = await emptyDatabase();
  const front = await startFront(url, "S");
  await expectUse(front, { connectionString: at(url, `localhost:${front.port}`), ssl });
  expect(new Set(front.names)).toEqual(new Set(["localhost"]));
});

it("connects without TLS if it is only preferred, and the server has none", async () => {
  const { url } = await emptyDatabase();
  const front = await startFront(url, "N");
  await expectUse(front, { connectionString: at(url, `localhost:${front.port}`), ssl: "prefer" });
  expect(front.names).toEqual([]);
});

it("gives up TLS handshakes that never end", async () => {
  const front = await startFront(sharedServer(), "S…");
  const connectionString = at(sharedServer(), `localhost:${front.port}`);
  const storage = open({ connectionString, ssl, poolSize: 2, operationTimeoutMs: 300, connectTimeoutMs: 20_000 });
  for (let call = 0; call < 3; call++) {
    expect(await rejection(storage.listCheckpoints())).toMatchObject({ code: "TIMEOUT" });
  }
  expect(front.connections).toBeGreaterThan(0);
  const start = performance.now();
  await storage.close();
  while (front.connections > 0) await turn();
  expect(performance.now() - start).toBeLessThan(EXIT_MS);
});

it("connects to a Unix socket", async () => {
  const { url } = await emptyDatabase();
  const folder = await mkdtemp(join(tmpdir(), "waymark-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const front = await startFront(url, "N", { path: join(folder, ".s.PGSQL.5432") });
  const { username, pathname } = new URL(url);
  const encoded = encodeURIComponent(folder);
  for (const connectionString of [
    `postgres://${username}@${encoded}${pathname}`,
    `postgres://${username}@localhost${pathname}?host=${folder}&sslmode=require`, // there is no TLS on such sockets
  ]) {
    await expectUse(front, { connectionString });
  }
  vi.stubEnv("PGHOST", folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.stubEnv("PGUSER", username);
  await expectUse(front, { connectionString: `postgres://${pathname}` });
});

it("verifies a certificate as far as the URL says", async () => {
  const { url } = await emptyDatabase();
  const front = await startFront(url, "S");
  const folder = await mkdtemp(join(tmpdir(), "waymark-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const root = join(folder, "root.pem");
  await writeFile(root, ROOT);
  const use = (host: string, parameters: string) =>
    open({ connectionString: `${at(url, `${host}:${front.port}`)}?${parameters}` }).listCheckpoints();
  for (const [host, parameters] of [
    ["127.0.0.1", "sslmode=require"],
    ["127.0.0.1", `sslmode=verify-ca&sslrootcert=${root}`],
    ["localhost", `sslmode=verify-full&sslrootcert=${root}`],
  ] as const) {
    expect(await use(host, parameters)).toEqual([]);
  }
  for (const [host, parameters, cause] of [
    ["localhost", "sslmode=verify-ca", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    ["localhost", "sslrootcert=system", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    // Node would compare the name of the certificate with `localhost`, since postgres.js names no address.
    ["127.0.0.1", `sslmode=verify-full&sslrootcert=${root}`, "ERR_TLS_CERT_ALTNAME_INVALID"],
  ] as const) {
    expect(await rejection(use(host, parameters))).toMatchObject({ code: "ACCESS_DENIED", cause: { code: cause } });
  }
});

it("connects to an IPv6 address", async () => {
  const { url } = await emptyDatabase();
  const front = await startFront(url, "N", { host: "::1" });
  await expectUse(front, { connectionString: at(url, `[::1]:${front.port}`) });
});

it("leaves the sockets of a user's own client alone", async () => {
  const { url } = await emptyDatabase();
  const client = connect(url);
  const storage = open({ client });
  await storage.migrate();
  expect(client.options).toMatchObject({ socket: undefined });
  await storage.close();
  expect(await client`select 1 as one`).toEqual([{ one: 1 }]);
});

it("sends nothing more of a transaction whose connection is lost between two of its statements", async () => {
  const { url } = await emptyDatabase();
  const client = connect(url);
  let goOn = () => {};
  const untilTold = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const transaction = begin(client, async (on) => {
    const [row] = await on.unsafe("select pg_backend_pid() as pid");
    await run(url, `select pg_terminate_backend(${row?.["pid"]})`);
    await untilTold;
    await on.unsafe("create table left_behind (n integer)");
  });
  await expect(transaction).rejects.toMatchObject({ code: expect.stringMatching(/CONNECTION_CLOSED|57P01/) });
  await client.unsafe("select 1"); // on the connection that takes the place of the lost one
  goOn();
  await turn();
  expect(await client.unsafe("select to_regclass('left_behind') as found")).toEqual([{ found: null }]);
});
