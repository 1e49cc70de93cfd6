import { inspect } from "node:util";
import type { CheckpointErrorCode, CheckpointStorage, NamedAgentCheckpoint } from "@waymark/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { expectCheckpointError, refusal } from "../storage/errors.ts";
import { newCheckpoint, ServerBench } from "./bench.ts";
import { rejection } from "./rejection.ts";
import type { ServerDatabase, ServerTarget } from "./target.ts";
import { untilDone } from "./until-done.ts";

/** Describes storages and their server to the suite of secrets. */
export interface SecretTarget extends ServerTarget {
  /** Returns a URL that works for all that a storage does in a database, and has this password in it. */
  withPassword(database: ServerDatabase, password: string): Promise<string>;
  /**
   * Makes an empty database on a server that asks for passwords. Its URL names a user who may do everything in the database, and
   * has the right password. Absent: no such server can be had here, and the test is skipped.
   */
  readonly createDatabaseWithPassword?: () => Promise<ServerDatabase>;
  /** Writes an id in the SQL of this engine. */
  literal(id: string): string;
  /** Statement that makes the column `name` of `agent_checkpoints` three characters or bytes long. */
  readonly shortenNames: string;
  /** Code of the error of a value that is too long for its column. */
  readonly tooLongCode: CheckpointErrorCode;
}

const PASSWORD = "hunter2:canary";
const CANARY = "canary in the cage";
/** The secrets, and the ways in which they may be written. */
const SECRETS = [PASSWORD, encodeURIComponent(PASSWORD), CANARY, "hunter2", "canary"].flatMap((text) => [
  text,
  Buffer.from(text).toString("hex"),
  Buffer.from(text).toString("base64").slice(0, -4),
]);

/** Makes a checkpoint that has the canary wherever a user's words may be. */
function newSecretCheckpoint(members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return newCheckpoint({
    agentId: `agent, ${CANARY}`,
    name: CANARY,
    namespace: CANARY,
    state: CANARY,
    metadata: { [CANARY]: CANARY },
    ...members,
  });
}

/** Makes calls of several kinds, all with secrets. */
function makeCalls(storage: CheckpointStorage): Promise<unknown>[] {
  return [
    storage.storeCheckpoint(newSecretCheckpoint()),
    storage.storeCheckpoint(newSecretCheckpoint(), { ifLatest: null }),
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

/** Returns all that a value can show, most often an error, in every way of printing it. */
function printed(value: unknown): string {
  const texts: string[] = [];
  for (let one = value; one instanceof Error; one = one.cause) {
    const own = Object.getOwnPropertyNames(one).map((name) => [name, Reflect.get(one as Error, name)]);
    texts.push(
      String(one),
      one.message,
      String(one.stack),
      JSON.stringify(one),
      JSON.stringify(Object.fromEntries(own)),
    );
  }
  texts.push(JSON.stringify(value), inspect(value, { showHidden: true, depth: Number.POSITIVE_INFINITY }));
  return texts.join("\n");
}

function secretsIn(text: string): string[] {
  return SECRETS.filter((secret) => text.toLowerCase().includes(secret.toLowerCase()));
}

async function expectNoSecret(call: Promise<unknown>, code: CheckpointErrorCode): Promise<void> {
  const text = printed(await refusal(call, code));
  expect(text).toContain(code);
  expect(secretsIn(text)).toEqual([]);
}

async function expectNoSecrets(calls: readonly Promise<unknown>[], code: CheckpointErrorCode): Promise<void> {
  await Promise.all(calls.map((call) => expectNoSecret(call, code)));
}

/** Program of a process whose connections are lost again and again. */
const STORE_IN_ROUNDS = `
  process.on("unhandledRejection", (error) => console.log("unhandled", error));
  process.on("uncaughtException", (error) => console.log("uncaught", error));
  const patient = createCheckpointStorage({ connectionString: args[0] });
  await patient.migrate();
  await patient.close();
  const storage = createCheckpointStorage({ connectionString: args[0], operationTimeoutMs: 2000 });
  console.log("ready");
  for (let round = 0; round < 5; round++) {
    const stores = Array.from({ length: 20 }, () => storage.storeCheckpoint(args[1]));
    for (const { reason } of await Promise.allSettled(stores)) if (reason !== undefined) console.log(reason);
  }
  await storage.close().catch((error) => {
    if (!error.retryable) throw error;
  });
  console.log("done");`;

/** Registers the tests that no error and no status shows a password, or a word of a checkpoint. */
export function describeSecrets(target: SecretTarget): void {
  const bench = new ServerBench(target);

  describe(`${target.name}: secrets in errors`, () => {
    it("are found by these tests, however deep they are", () => {
      const revealing = new TypeError("x", {
        cause: Object.assign(new TypeError("y"), { detail: { deep: CANARY } }),
      });
      expect(secretsIn(printed(revealing))).toContain(CANARY);
    });

    it("do not show when the connection is refused", async () => {
      const database = await bench.createDatabase();
      const proxy = await bench.startProxy(await target.withPassword(database, PASSWORD));
      await proxy.stop();
      const storage = bench.open({ connectionString: proxy.url });
      await expectNoSecrets(makeCalls(storage), "UNAVAILABLE");
      const { error } = await storage.health();
      await expectNoSecret(Promise.reject(error), "UNAVAILABLE");
    });

    it("do not show when the server does not know the user or the database", async () => {
      const database = await bench.createDatabase();
      const url = await target.withPassword(database, PASSWORD);
      const stranger = new URL(url);
      stranger.username = "canary";
      const [elsewhere, elsewhereAsAdmin] = [new URL(url), new URL(database.url)];
      for (const one of [elsewhere, elsewhereAsAdmin]) one.pathname = "/canary";
      for (const { href } of [stranger, elsewhere, elsewhereAsAdmin]) {
        await expectNoSecrets(makeCalls(bench.open({ connectionString: href })), "ACCESS_DENIED");
      }
    });

    it.skipIf(target.createDatabaseWithPassword === undefined)(
      "do not show when the password is wrong; the right one works",
      async () => {
        const database = await (target as Required<SecretTarget>).createDatabaseWithPassword();
        onTestFinished(() => database.drop());
        const wrong = new URL(database.url);
        wrong.password = PASSWORD;
        await expectNoSecrets(makeCalls(bench.open({ connectionString: wrong.href })), "ACCESS_DENIED");
        expect(await bench.open({ connectionString: database.url }).listCheckpoints()).toEqual([]);
      },
    );

    it("do not show when checkpoints conflict, or another one builds on a checkpoint", async () => {
      const database = await bench.createDatabase();
      const storage = bench.open({ connectionString: await target.withPassword(database, PASSWORD) });
      const id = await storage.storeCheckpoint(newSecretCheckpoint());
      await expectNoSecret(storage.storeCheckpoint(newSecretCheckpoint({ id, state: [CANARY] })), "CONFLICT");
      await expectNoSecret(storage.storeCheckpoint(newSecretCheckpoint(), { ifLatest: null }), "CONFLICT");

      await storage.storeCheckpoint(newSecretCheckpoint());
      const sqlId = target.literal(id);
      await target.run(database.url, `update agent_checkpoints set base_id = ${sqlId} where id <> ${sqlId}`);
      await expectNoSecret(storage.deleteCheckpoint(id), "CORRUPT_CHECKPOINT");
    });

    it("do not show when the database objects to a value", async () => {
      const database = await bench.createDatabase();
      const storage = bench.open({ connectionString: await target.withPassword(database, PASSWORD) });
      await storage.migrate();
      const alter = (change: string) => target.run(database.url, `alter table agent_checkpoints ${change}`);
      await alter("add constraint no_canary check (name not like '%canary%')");
      await expectNoSecret(storage.storeCheckpoint(newSecretCheckpoint()), "DATABASE_ERROR");
      await alter("drop constraint no_canary");
      await target.run(database.url, target.shortenNames);
      await expectNoSecret(storage.storeCheckpoint(newSecretCheckpoint()), target.tooLongCode);
    });

    it("do not show in the status, which says where the database is", async () => {
      const database = await bench.createDatabase();
      const url = await target.withPassword(database, PASSWORD);
      const storage = bench.open({ connectionString: url });
      await storage.storeCheckpoint(newSecretCheckpoint());
      const status = await storage.status();
      const driver = expect.any(String);
      expect(status.providers.main).toMatchObject({ location: `${new URL(url).host}/${database.name}`, driver });
      expect(secretsIn(printed(status))).toEqual([]);
    });

    it("do not show when connections are lost with statements under way, or nothing answers", async () => {
      const database = await bench.createDatabase();
      const proxy = await bench.startProxy(await target.withPassword(database, PASSWORD));
      const storage = bench.open({ connectionString: proxy.url, poolSize: 2 });
      await storage.migrate();
      proxy.intercept((chunk) => {
        if (Buffer.from(chunk).includes("agent_checkpoints")) proxy.dropAll();
        return "forward";
      });
      await expectNoSecrets(makeCalls(storage), "UNAVAILABLE");

      proxy.intercept();
      const hurried = bench.open({ connectionString: proxy.url, operationTimeoutMs: 500 });
      await untilDone(() => hurried.listAgents());
      proxy.blackhole(true);
      await expectNoSecret(hurried.storeCheckpoint(newSecretCheckpoint()), "TIMEOUT");
      proxy.blackhole(false);
    });

    it("do not show, and no rejection is unhandled, while all connections are lost again and again", async () => {
      const database = await bench.createDatabase();
      const proxy = await bench.startProxy(await target.withPassword(database, PASSWORD));
      const child = bench.startNode(STORE_IN_ROUNDS, proxy.url, newSecretCheckpoint());
      expect(await child.nextLine()).toBe("ready");
      let seen = 0;
      proxy.intercept((chunk, direction) => {
        if (direction === "to-server" && Buffer.from(chunk).includes("agent_checkpoints") && ++seen % 3 === 0)
          proxy.dropAll();
        return "forward";
      });
      const { code, output } = await child.exit;
      expect(output).toMatch(/done\n$/);
      expect(output).not.toMatch(/unhandled|uncaught/);
      expect(secretsIn(output)).toEqual([]);
      expect(code).toBe(0);
    });
  });
}

/** Registers the tests that an error about a URL shows nothing of it. Once for all servers whose URLs are alike. */
export function describeSecretsOfUrls(target: Pick<SecretTarget, "name" | "url" | "open">): void {
  const { protocol } = new URL(target.url);

  describe(`${target.name}: an error shows no secret of a URL that cannot be used`, () => {
    it.each([
      `${protocol}//user:hunter2%@localhost/db`,
      `${protocol}//user:hun/ter2canary@localhost:canary/db`,
      `${protocol}//user:hunter2 canary@local host/db`,
      `${protocol}//hunter2:canary@[::1/db`,
      "hunter2:canary@localhost/db",
      "other://user:hunter2@localhost/db",
    ])("%s", async (connectionString) => {
      const storing = (async () => {
        const storage = target.open({ connectionString, operationTimeoutMs: 3_000 });
        onTestFinished(async () => void (await storage.close()));
        await storage.storeCheckpoint(newSecretCheckpoint());
      })();
      const error = await rejection(storing);
      expectCheckpointError(error);
      expect(secretsIn(printed(error))).toEqual([]);
    });
  });
}
