import {
  describeServerMigrations,
  OPENERS,
  openInProcesses,
  rejection,
  sampled,
  startNode,
} from "@waymark/conformance";
import { expect, inject, it, onTestFinished } from "vitest";
import { startPgbouncer, startProxy } from "waymark-test-servers";
import { checkpoint, connect, emptyDatabase, open, plainRole, readHistory, sharedServer, target } from "./on-server.ts";

const { migrations, module } = target;

describeServerMigrations(target);

it(`records each migration once when ${OPENERS} processes open an empty database at once, where serializable is the default`, async () => {
  const { url, name } = await emptyDatabase();
  await connect(url).unsafe(`alter database ${name} set default_transaction_isolation = 'serializable'`);
  await openInProcesses(module, Array(OPENERS).fill({ connectionString: url }));
  expect(await readHistory(url)).toEqual(migrations);
  expect(await open({ connectionString: url }).listCheckpoints()).toHaveLength(OPENERS);
});

it(`records each migration once when ${OPENERS} processes open an empty database at once, through pgbouncer in transaction mode`, async () => {
  const { url, name } = await emptyDatabase();
  const pooler = await startPgbouncer(sharedServer());
  onTestFinished(() => pooler.stop());
  await openInProcesses(module, Array(OPENERS).fill({ connectionString: pooler.url(name) }));
  expect(await readHistory(url)).toEqual(migrations);
  expect(await open({ connectionString: url }).listCheckpoints()).toHaveLength(OPENERS);
});

it("makes one schema for several processes at once whose prefixes differ", async () => {
  const { url } = await emptyDatabase();
  const prefixes = Array.from({ length: OPENERS }, (_, index) => `p${index}_`);
  const options = prefixes.map((tablePrefix) => ({ connectionString: url, schema: "agents", tablePrefix }));
  await openInProcesses(module, options);
  for (const prefix of prefixes) {
    expect(await readHistory(url, `agents.${prefix}waymark_migrations`)).toEqual(migrations);
  }
});

it("leaves nothing behind of a migration that fails for lack of rights, and names the fault", async () => {
  const database = await emptyDatabase();
  const role = await plainRole(database);
  const admin = connect(database.url);
  await admin.unsafe("revoke create on schema public from public");
  const denied = await rejection(open({ connectionString: role.url }).listCheckpoints());
  expect(denied).toMatchObject({ code: "ACCESS_DENIED", retryable: false, cause: { code: "42501" } });
  expect(await admin`select from pg_tables where schemaname = 'public'`).toHaveLength(0);
});

it("refuses a database that is not in UTF-8", async () => {
  const database = await emptyDatabase();
  const name = `${database.name}_ascii`;
  const admin = connect(database.url);
  const provider =
    Number.parseInt(inject("waymarkServers").postgres?.version ?? "", 10) >= 15 ? "locale_provider libc" : "";
  await admin.unsafe(`create database ${name} template template0 encoding 'SQL_ASCII' locale 'C' ${provider}`);
  const url = database.url.replace(database.name, name);
  const storage = open({ connectionString: url });
  const refused = await rejection(storage.listCheckpoints());
  await storage.close();
  await admin.unsafe(`drop database ${name} with (force)`);
  expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH" });
  expect(refused.message).toContain("SQL_ASCII");
});

it("migrates from the start again after a process was killed at a statement", async () => {
  const sql = await open({ connectionString: (await emptyDatabase()).url }).migrate("sql");
  const steps = sql.map((statement) => statement.slice(0, 60));
  expect(steps.at(-1)).toBe("COMMIT");
  for (const step of sampled(steps.slice(1))) {
    const database = await emptyDatabase();
    const proxy = await startProxy(database.url);
    const child = startNode(
      module,
      `await createCheckpointStorage({ connectionString: args[0] }).migrate();
       console.log("migrated");`,
      proxy.url,
    );
    const stopped = new Promise<void>((resolve) => {
      proxy.intercept((chunk, direction) => {
        if (direction !== "to-server" || !chunk.toString("latin1").toUpperCase().includes(step.toUpperCase()))
          return "forward";
        resolve();
        return "hold";
      });
    });
    await stopped;
    child.kill();
    expect(await child.exit).toEqual({ code: null, signal: "SIGKILL", output: "" });
    await proxy.stop();
    const storage = open({ connectionString: database.url });
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
    expect(await readHistory(database.url)).toEqual(migrations);
  }
});
