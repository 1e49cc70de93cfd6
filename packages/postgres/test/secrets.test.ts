import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { killable, type Server, startProxy, startServer } from "waymark-test-servers";
import { untilDone } from "../../core/test/until-done.ts";
import { type CheckpointStorage, createPostgresStorage } from "../src/index.ts";
import { startNode } from "./node.ts";
import { checkpoint, connect, emptyDatabase, open, rejection } from "./on-server.ts";

const PASSWORD = "hunter2:canary";
const CANARY = "canary in the cage";
const secrets = [PASSWORD, encodeURIComponent(PASSWORD), CANARY, "hunter2", "canary"].flatMap((text) => [
  text,
  Buffer.from(text).toString("hex"),
  Buffer.from(text).toString("base64").slice(0, -4),
]);

/** A checkpoint that has the canary wherever a user's words may be. */
const telling = (more = {}) =>
  checkpoint({
    agentId: `agent, ${CANARY}`,
    name: CANARY,
    namespace: CANARY,
    state: CANARY,
    metadata: { [CANARY]: CANARY },
    ...more,
  });

/** All that an error can show, in whichever way it is printed. */
function shown(error: unknown): string {
  const texts: string[] = [];
  for (let one = error; one instanceof Error; one = one.cause) {
    const own = Object.getOwnPropertyNames(one).map((name) => [name, Reflect.get(one as Error, name)]);
    texts.push(
      String(one),
      one.message,
      String(one.stack),
      JSON.stringify(one),
      JSON.stringify(Object.fromEntries(own)),
    );
  }
  texts.push(inspect(error, { showHidden: true, depth: Number.POSITIVE_INFINITY }));
  return texts.join("\n");
}

async function expectNoSecret(call: Promise<unknown>, code: string): Promise<void> {
  const error = await rejection(call);
  expect(error).toMatchObject({ name: "CheckpointError", code });
  const text = shown(error);
  expect(text).toContain(code);
  expect(secrets.filter((secret) => text.toLowerCase().includes(secret.toLowerCase()))).toEqual([]);
}

function withPassword(url: string): string {
  const secret = new URL(url);
  secret.password = PASSWORD;
  return secret.href;
}

function everyCall(storage: CheckpointStorage): Promise<unknown>[] {
  return [
    storage.storeCheckpoint(telling()),
    storage.storeCheckpoint(telling(), { ifLatest: null }),
    storage.listCheckpoints({
      agentId: `agent, ${CANARY}`,
      namespace: CANARY,
      name: CANARY,
      metadata: { [CANARY]: CANARY },
    }),
    storage.retrieveLatestCheckpoint(CANARY, { namespace: CANARY }),
    storage.deleteAgent(CANARY),
  ];
}

it("shows no secret that it knows how to look for", () => {
  const telltale = new Error("x", { cause: Object.assign(new Error("y"), { detail: { deep: CANARY } }) });
  expect(shown(telltale)).toContain(CANARY);
});

it("shows no secret when the connection is refused", async () => {
  const { url } = await emptyDatabase();
  const proxy = await startProxy(withPassword(url));
  await proxy.stop();
  const storage = open({ connectionString: proxy.url, operationTimeoutMs: 20_000 });
  await Promise.all(everyCall(storage).map((call) => expectNoSecret(call, "UNAVAILABLE")));
  await expectNoSecret(
    storage.health().then(({ error }) => Promise.reject(error)),
    "UNAVAILABLE",
  );
});

it("shows no secret when the server does not know the role or the database", async () => {
  const { url } = await emptyDatabase();
  const stranger = new URL(withPassword(url));
  stranger.username = "canary";
  const elsewhere = new URL(withPassword(url));
  elsewhere.pathname = "/canary";
  for (const { href } of [stranger, elsewhere]) {
    await Promise.all(everyCall(open({ connectionString: href })).map((call) => expectNoSecret(call, "ACCESS_DENIED")));
  }
});

it.each([
  "postgres://user:hunter2%@localhost/db",
  "postgres://user:hun/ter2canary@localhost:canary/db",
  "postgres://user:hunter2 canary@local host/db",
  "postgres://hunter2:canary@[::1/db",
  "hunter2:canary@localhost/db",
  "mysql://user:hunter2@localhost/db",
])("shows no secret of the URL that cannot be used: %s", async (connectionString) => {
  const storing = (async () => {
    const storage = createPostgresStorage({ connectionString, operationTimeoutMs: 3_000 });
    onTestFinished(async () => void (await storage.close()));
    await storage.storeCheckpoint(telling());
  })();
  const error = await rejection(storing);
  expect(error.name).toBe("CheckpointError");
  expect(secrets.filter((secret) => shown(error).includes(secret))).toEqual([]);
});

it("shows no secret when rows conflict", async () => {
  const { url } = await emptyDatabase();
  const storage = open({ connectionString: withPassword(url) });
  const id = await storage.storeCheckpoint(telling());
  await expectNoSecret(storage.storeCheckpoint(telling({ id, state: [CANARY] })), "CONFLICT");
  await expectNoSecret(storage.storeCheckpoint(telling(), { ifLatest: null }), "CONFLICT");

  await storage.storeCheckpoint(telling());
  await connect(url)`update agent_checkpoints set base_id = ${id} where id <> ${id}`;
  await expectNoSecret(storage.deleteCheckpoint(id), "CORRUPT_CHECKPOINT");
});

it("shows no secret when the database itself objects to a value", async () => {
  const { url } = await emptyDatabase();
  const storage = open({ connectionString: withPassword(url) });
  await storage.migrate();
  await connect(url).unsafe("alter table agent_checkpoints add constraint no_canary check (name not like '%canary%')");
  await expectNoSecret(storage.storeCheckpoint(telling()), "DATABASE_ERROR");
  await connect(url).unsafe(
    "alter table agent_checkpoints drop constraint no_canary, alter column name type varchar(3)",
  );
  await expectNoSecret(storage.storeCheckpoint(telling()), "DATABASE_ERROR");
});

it("shows no secret when connections are lost with statements under way, or nothing answers", async () => {
  const { url } = await emptyDatabase();
  const proxy = await startProxy(withPassword(url));
  onTestFinished(() => proxy.stop());
  const storage = open({ connectionString: proxy.url, poolSize: 2, operationTimeoutMs: 20_000 });
  await storage.migrate();
  proxy.intercept((chunk) => {
    if (chunk.includes("agent_checkpoints")) proxy.dropAll();
    return "forward";
  });
  await Promise.all(everyCall(storage).map((call) => expectNoSecret(call, "UNAVAILABLE")));

  proxy.intercept();
  const hurried = open({ connectionString: proxy.url, operationTimeoutMs: 500 });
  await untilDone(() => hurried.listAgents());
  proxy.blackhole(true);
  await expectNoSecret(hurried.storeCheckpoint(telling()), "TIMEOUT");
  proxy.blackhole(false);
});

it("prints no secret and rejects nothing unhandled while all connections are lost again and again", async () => {
  const { url } = await emptyDatabase();
  const proxy = await startProxy(withPassword(url));
  onTestFinished(() => proxy.stop());
  const child = startNode(
    `process.on("unhandledRejection", (error) => console.log("unhandled", error));
     process.on("uncaughtException", (error) => console.log("uncaught", error));
     const patient = createPostgresStorage({ connectionString: args[0] });
     await patient.migrate();
     await patient.close();
     const storage = createPostgresStorage({ connectionString: args[0], operationTimeoutMs: 2000 });
     console.log("ready");
     for (let round = 0; round < 5; round++) {
       const stores = Array.from({ length: 20 }, () => storage.storeCheckpoint(args[1]));
       for (const { reason } of await Promise.allSettled(stores)) if (reason !== undefined) console.log(reason);
     }
     await storage.close().catch((error) => {
       if (!error.retryable) throw error;
     });
     console.log("done");`,
    proxy.url,
    telling(),
  );
  expect(await child.line()).toBe("ready");
  let seen = 0;
  proxy.intercept((chunk, direction) => {
    if (direction === "to-server" && chunk.includes("agent_checkpoints") && ++seen % 3 === 0) proxy.dropAll();
    return "forward";
  });
  const { code, output } = await child.exit;
  expect(output).toMatch(/done\n$/);
  expect(output).not.toMatch(/unhandled|uncaught/);
  expect(secrets.filter((secret) => output.includes(secret))).toEqual([]);
  expect(code).toBe(0);
});

describe.runIf(process.platform === "linux")("with a server that asks for passwords", () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer("postgres", { from: killable });
  });
  afterAll(() => server.stop());

  it("shows no secret when the password is wrong, and works when it is right", async () => {
    const database = await emptyDatabase(server.url);
    const admin = connect(server.url);
    await admin.unsafe(`create role asked login password 'right' in role pg_read_all_data`);
    await admin.unsafe(`grant create on database ${database.name} to asked`);
    const [file] = await admin`select current_setting('hba_file') as path`;
    for (const line of ["host all asked all scram-sha-256", "host all all all trust"]) {
      await admin.unsafe(`copy (select '${line}') to program 'cat >> ${String(file?.["path"])}.new'`);
    }
    await admin.unsafe(`copy (select '') to program 'mv ${String(file?.["path"])}.new ${String(file?.["path"])}'`);
    await admin`select pg_reload_conf()`;
    onTestFinished(async () => void (await connect(database.url).unsafe("drop owned by asked cascade")));

    const wrong = new URL(withPassword(database.url));
    wrong.username = "asked";
    await Promise.all(
      everyCall(open({ connectionString: wrong.href })).map((call) => expectNoSecret(call, "ACCESS_DENIED")),
    );
    const right = new URL(wrong);
    right.password = "right";
    expect(await open({ connectionString: right.href, schema: "asked" }).listCheckpoints()).toEqual([]);
  });
});
