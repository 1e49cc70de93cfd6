import { inspect } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { startProxy, type TestDatabase } from "waymark-test-servers";
import { untilDone } from "../../core/test/until-done.ts";
import { type CheckpointStorage, createMySQLStorage } from "../src/index.ts";
import { startNode } from "./node.ts";
import { checkpoint, emptyDatabase, open, plainUser, rejection, run, servers } from "./on-server.ts";

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

it.each([
  "mysql://user:hunter2%@localhost/db",
  "mysql://user:hun/ter2canary@localhost:canary/db",
  "mysql://user:hunter2 canary@local host/db",
  "mysql://hunter2:canary@[::1/db",
  "hunter2:canary@localhost/db",
  "postgres://user:hunter2@localhost/db",
])("shows no secret of the URL that cannot be used: %s", async (connectionString) => {
  const storing = (async () => {
    const storage = createMySQLStorage({ connectionString, operationTimeoutMs: 3_000 });
    onTestFinished(async () => void (await storage.close()));
    await storage.storeCheckpoint(telling());
  })();
  const error = await rejection(storing);
  expect(error.name).toBe("CheckpointError");
  expect(secrets.filter((secret) => shown(error).includes(secret))).toEqual([]);
});

describe.each(servers)("$title", ({ url: serverUrl }) => {
  /** The database's URL for a user whose password is the one that must not be shown. */
  async function withPassword(database: TestDatabase): Promise<string> {
    const user = await plainUser(database);
    await run(database.url, `alter user ${user.name} identified by '${PASSWORD}'`);
    await run(database.url, `grant all on ${database.name}.* to ${user.name}`);
    const url = new URL(user.url);
    url.password = PASSWORD;
    return url.href;
  }

  it("shows no secret when the connection is refused", async () => {
    const database = await emptyDatabase(serverUrl);
    const proxy = await startProxy(await withPassword(database));
    await proxy.stop();
    const storage = open({ connectionString: proxy.url, operationTimeoutMs: 20_000 });
    await Promise.all(everyCall(storage).map((call) => expectNoSecret(call, "UNAVAILABLE")));
    await expectNoSecret(
      storage.health().then(({ error }) => Promise.reject(error)),
      "UNAVAILABLE",
    );
  });

  it("shows no secret when the password is wrong, or the user or the database not known", async () => {
    const database = await emptyDatabase(serverUrl);
    const user = await plainUser(database);
    const wrong = new URL(user.url);
    wrong.password = PASSWORD;
    const stranger = new URL(wrong);
    stranger.username = "canary";
    const elsewhere = new URL(database.url);
    elsewhere.pathname = "/canary";
    for (const { href } of [wrong, stranger, elsewhere]) {
      await Promise.all(
        everyCall(open({ connectionString: href })).map((call) => expectNoSecret(call, "ACCESS_DENIED")),
      );
    }
  });

  it("shows no secret when rows conflict", async () => {
    const database = await emptyDatabase(serverUrl);
    const storage = open({ connectionString: await withPassword(database) });
    const id = await storage.storeCheckpoint(telling());
    await expectNoSecret(storage.storeCheckpoint(telling({ id, state: [CANARY] })), "CONFLICT");
    await expectNoSecret(storage.storeCheckpoint(telling(), { ifLatest: null }), "CONFLICT");

    await storage.storeCheckpoint(telling());
    const bytes = `x'${id.replaceAll("-", "")}'`;
    await run(database.url, `update agent_checkpoints set base_id = ${bytes} where id <> ${bytes}`);
    await expectNoSecret(storage.deleteCheckpoint(id), "CORRUPT_CHECKPOINT");
  });

  it("shows no secret when the database itself objects to a value", async () => {
    const database = await emptyDatabase(serverUrl);
    const storage = open({ connectionString: await withPassword(database) });
    await storage.migrate();
    await run(database.url, "alter table agent_checkpoints add constraint no_canary check (name not like '%canary%')");
    await expectNoSecret(storage.storeCheckpoint(telling()), "DATABASE_ERROR");
    await run(database.url, "alter table agent_checkpoints drop constraint no_canary");
    await run(database.url, "alter table agent_checkpoints modify name varbinary(3) not null");
    await expectNoSecret(storage.storeCheckpoint(telling()), "STATE_TOO_LARGE");
  });

  it("shows no secret when connections are lost with statements under way, or nothing answers", async () => {
    const database = await emptyDatabase(serverUrl);
    const proxy = await startProxy(await withPassword(database));
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
    const database = await emptyDatabase(serverUrl);
    const proxy = await startProxy(await withPassword(database));
    onTestFinished(() => proxy.stop());
    const child = startNode(
      `process.on("unhandledRejection", (error) => console.log("unhandled", error));
     process.on("uncaughtException", (error) => console.log("uncaught", error));
     const patient = createMySQLStorage({ connectionString: args[0] });
     await patient.migrate();
     await patient.close();
     const storage = createMySQLStorage({ connectionString: args[0], operationTimeoutMs: 2000 });
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
});
