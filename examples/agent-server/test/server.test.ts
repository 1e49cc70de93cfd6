import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, type IncomingMessage, type RequestOptions, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setImmediate, setInterval } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { type CheckpointStorage, createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApp } from "../src/app.ts";
import { scriptedModel } from "../src/scripted-model.ts";
import { userOf } from "../src/user.ts";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-agent-server-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Server {
  readonly process: ChildProcess;
  readonly url: string;
  readonly exit: Promise<unknown[]>;
}

async function start(databasePath: string): Promise<Server> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, databasePath], {
    env: { ...env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "close");
  const lines = createInterface({ input: child.stdout });
  const [line] = (await Promise.race([once(lines, "line"), exit])) as [string];
  return { process: child, url: String(line).replace("listening on ", ""), exit };
}

let number = 0;
let databasePath: string;
let server: Server;
interface Answer {
  readonly status: number;
  readonly body: {
    readonly id: string;
    readonly answer: string;
    readonly error: string;
    readonly latest: string | null;
    readonly deleted: number;
    readonly messages: { readonly role: string; readonly content: string }[];
    readonly checkpoints: { readonly id: string; readonly name: string; readonly parentId?: string }[];
  };
}

async function call(user: string | null, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(server.url + path, {
    method,
    headers: user === null ? {} : { "x-user": user },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer["body"] };
}

async function isListening(): Promise<boolean> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Takes turns after what is there. Returns the id of the last. */
async function talk(user: string, ...texts: string[]): Promise<string> {
  let { latest: after } = (await call(user, "GET", "/history")).body;
  for (const text of texts) {
    const { status, body } = await call(user, "POST", "/turns", { text, after });
    expect(status).toBe(200);
    after = body.id;
  }
  return after as string;
}

const said = ({ body }: Answer) => body.messages.filter(({ role }) => role === "user").map(({ content }) => content);

describe("the server", () => {
  beforeEach(async () => {
    number += 1;
    databasePath = join(folder, `${number}.db`);
    server = await start(databasePath);
  });
  afterEach(() => void server.process.kill("SIGKILL"));

  it("goes on where it was when it was killed", async () => {
    await talk("ada", "one", "two");
    server.process.kill("SIGKILL");
    expect(await server.exit).toEqual([null, "SIGKILL"]);
    server = await start(databasePath);
    await talk("ada", "three");
    const history = await call("ada", "GET", "/history");
    expect(said(history)).toEqual(["one", "two", "three"]);
    expect(history.body.messages.at(-1)?.content).toBe('That was turn 3: "three".');
    const [third, second, first] = history.body.checkpoints;
    expect([third?.parentId, second?.parentId, first?.parentId]).toEqual([second?.id, first?.id, undefined]);
  });

  it("ends by SIGTERM with the requests under way answered, and what it acknowledged stored", async () => {
    const after = await talk("ada", "one");
    const headers = { "x-user": "ada", expect: "100-continue" };
    const begun = request(`${server.url}/turns`, { method: "POST", headers });
    begun.flushHeaders();
    await once(begun, "continue"); // the server has it, and waits for its body
    server.process.kill("SIGTERM");
    while (await isListening()); // from now on it takes no other request
    begun.end(JSON.stringify({ text: "two", after }));
    const [response] = (await once(begun, "response")) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(await server.exit).toEqual([null, "SIGTERM"]);
    server = await start(databasePath);
    expect(said(await call("ada", "GET", "/history"))).toEqual(["one", "two"]);
  });

  it("ends by SIGTERM under 50 requests a second, and fails none", async () => {
    const next = await start(databasePath);
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const turn = async (n: number, { url } = server, options: RequestOptions = { agent }) => {
      const headers = { "x-user": `user-${n}` };
      const sent = request(`${url}/turns`, { method: "POST", headers, ...options });
      sent.end(JSON.stringify({ text: "one", after: null }));
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      await once(response.resume(), "end");
      return response.statusCode;
    };
    const turns: ReturnType<typeof turn>[] = [];
    for await (const _ of setInterval(20)) {
      const n = turns.length;
      if (n < 50) turns.push(turn(n));
      // As a load balancer does: no new connections to a server that ends, those that are open are used on.
      else if (Object.keys(agent.freeSockets).length > 0) turns.push(turn(n));
      else turns.push(turn(n, next, {}));
      if (n === 50) {
        // Connections that wait to be accepted when the signal comes.
        for (let more = 0; more < 10; more++) turns.push(turn(turns.length, server, { agent: false }));
        await setImmediate();
        server.process.kill("SIGTERM");
      }
      if (n >= 100) break;
    }
    const statuses = await Promise.all(turns);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(await server.exit).toEqual([null, "SIGTERM"]);
    agent.destroy();
    server = next;
    await using storage = createSQLiteStorage({ databasePath });
    expect(await storage.listAgents()).toHaveLength(statuses.length);
  });

  it("shows and restores a user's own checkpoints only", async () => {
    const ofAda = await talk("ada", "secret of ada");
    await talk("bob", "hello");
    const history = await call("bob", "GET", "/history");
    expect(said(history)).toEqual(["hello"]);
    expect(history.body.checkpoints.length).toBe(1);
    const { latest: after } = history.body;
    for (const id of [ofAda, "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11", "no id"]) {
      const { status, body } = await call("bob", "POST", "/restore", { id, after });
      expect([status, body]).toEqual([404, { error: "there is no such checkpoint" }]);
    }
    expect((await call("bob", "POST", "/turns", { text: "x", after: ofAda })).status).toBe(409);
    expect(said(await call("bob", "GET", "/history"))).toEqual(["hello"]);
  });

  it("restores an older checkpoint as the latest, and forgets nothing", async () => {
    const first = await talk("ada", "one");
    const after = await talk("ada", "two", "three");
    expect((await call("ada", "POST", "/restore", { id: first, after: first })).status).toBe(409);
    const { status } = await call("ada", "POST", "/restore", { id: first, after });
    expect(status).toBe(200);
    await talk("ada", "another two");
    const history = await call("ada", "GET", "/history");
    expect(said(history)).toEqual(["one", "another two"]);
    expect(history.body.checkpoints.map(({ name }) => name)).toEqual([
      "turn 2",
      "turn 1",
      "turn 3",
      "turn 2",
      "turn 1",
    ]);
    expect(history.body.checkpoints[1]?.parentId).toBe(first);
    const page = await call("ada", "GET", `/history?limit=2&before=${after}`);
    expect(page.body.checkpoints.map(({ name }) => name)).toEqual(["turn 2", "turn 1"]);
  });

  it("deletes all that it has of a user, and nothing of another", async () => {
    await talk("ada", "one", "two");
    await talk("bob", "hello");
    expect((await call("ada", "DELETE", "/agent")).body).toEqual({ deleted: 2 });
    expect((await call("ada", "DELETE", "/agent")).body).toEqual({ deleted: 0 });
    expect((await call("ada", "GET", "/history")).body).toEqual({ latest: null, messages: [], checkpoints: [] });
    expect(said(await call("bob", "GET", "/history"))).toEqual(["hello"]);
    await talk("ada", "anew");
  });

  it("says what is wrong with a request, and stores nothing", async () => {
    const requests: [string, string, unknown, number][] = [
      ["POST", "/turns", "{", 400],
      ["POST", "/turns", { text: "x" }, 400],
      ["POST", "/turns", { text: "", after: null }, 400],
      ["POST", "/turns", { text: "x", after: "now" }, 400],
      ["POST", "/turns", { text: "x".repeat(70_000), after: null }, 413],
      ["POST", "/restore", { id: 7, after: null }, 400],
      ["GET", "/history?limit=0", undefined, 400],
      ["GET", "/history?before=yesterday", undefined, 400],
    ];
    for (const [method, path, body, status] of requests) {
      expect([method, path, (await call("ada", method, path, body)).status]).toEqual([method, path, status]);
    }
    expect((await call("ada", "GET", "/history")).body.checkpoints).toEqual([]);
  });
});

describe("the app", () => {
  let storage: CheckpointStorage;
  beforeEach(() => {
    number += 1;
    databasePath = join(folder, `${number}.db`);
    storage = createSQLiteStorage({ type: "sqlite", databasePath });
  });
  afterEach(async () => void (await storage.close()));

  const send = (path: string, init: RequestInit = {}, model = scriptedModel, from = storage) =>
    createApp({ storage: from, authenticate: userOf, model }).request(path, { headers: { "x-user": "ada" }, ...init });

  it.each([null, "", "Ada", "a/b", "user:ada", "-a", "a".repeat(65)])("does not know the user %j", async (user) => {
    for (const [method, path] of [
      ["GET", "/history"],
      ["POST", "/turns"],
      ["POST", "/restore"],
      ["DELETE", "/agent"],
    ] as const) {
      const { status } = await send(path, { method, headers: user === null ? {} : { "x-user": user } });
      expect(status).toBe(401);
    }
  });

  it("lets exactly one of several tabs go on from what they see", async () => {
    const tabs = ["two", "zwei", "deux", "due"];
    let asked = 0;
    let answer = () => {};
    const allAsked = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const slowModel: typeof scriptedModel = async (messages) => {
      asked += 1;
      if (asked === tabs.length) answer(); // no one is stored before all have seen the same
      await allAsked;
      return await scriptedModel(messages);
    };
    const first = await send("/turns", { method: "POST", body: JSON.stringify({ text: "one", after: null }) });
    const { id: after } = (await first.json()) as { id: string };
    const answers = await Promise.all(
      tabs.map(async (text) => {
        const response = await send("/turns", { method: "POST", body: JSON.stringify({ text, after }) }, slowModel);
        return { status: response.status, body: (await response.json()) as Answer["body"] };
      }),
    );
    expect(asked).toBe(4);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
    const won = answers.findIndex(({ status }) => status === 200);
    const history = (await (await send("/history")).json()) as Answer["body"];
    expect(history.messages.map(({ content }) => content).filter((_, index) => index % 2 === 0)).toEqual([
      "one",
      tabs[won],
    ]);
    for (const { status, body } of answers) if (status === 409) expect(body.latest).toBe(history.latest);
    // A request after an outdated checkpoint is refused before the model is called.
    const late = await send("/turns", { method: "POST", body: JSON.stringify({ text: "late", after }) }, slowModel);
    expect([late.status, asked]).toEqual([409, 4]);
  });

  it("does not go on from a state that is not its own, and does not show it", async () => {
    await storage.storeCheckpoint({ agentId: "user:ada", name: "x", state: { secret: "canary" }, createdAt: 0 });
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const response = await send("/history");
    expect([response.status, await response.json()]).toEqual([500, { error: "something went wrong" }]);
    expect(logged).toHaveBeenCalledTimes(1);
    expect(inspect(logged.mock.calls)).not.toContain("canary");
    logged.mockRestore();
  });

  it("asks to try again where the storage does not answer in time", async () => {
    await storage.migrate();
    await using impatient = createSQLiteStorage({ type: "sqlite", databasePath, operationTimeoutMs: 500 });
    const other = new Database(databasePath);
    other.exec("BEGIN EXCLUSIVE"); // somebody who holds the file for longer than the storage waits
    const body = JSON.stringify({ text: "one", after: null });
    const response = await send("/turns", { method: "POST", body }, scriptedModel, impatient);
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    other.exec("COMMIT");
    other.close();
    expect((await send("/turns", { method: "POST", body })).status).toBe(200);
  });
});
