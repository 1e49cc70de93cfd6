import { expect, inject, it, onTestFinished } from "vitest";
import { startPgbouncer, startProxy } from "waymark-test-servers";
import { migrations } from "../src/checkpoints/migrations.ts";
import { startNode } from "./node.ts";
import { checkpoint, connect, emptyDatabase, open, plainRole, recorded, rejection, sharedServer } from "./on-server.ts";

const NAMES = migrations.map(({ name }) => name);

const withoutTimes = (statements: readonly string[]) => statements.map((text) => text.replace(/\b\d{13}\b/g, "TIME"));

it("migrates at first use, and says which migrations that were if it is asked to", async () => {
  const { url } = await emptyDatabase();
  const storage = open({ connectionString: url });
  expect(await storage.migrate()).toEqual(NAMES);
  expect(await storage.migrate()).toEqual([]);
  expect(await storage.migrate("sql")).toEqual([]);
  expect(await storage.migrate("verify")).toEqual([]);
  expect(await recorded(url)).toEqual(NAMES);
});

const OPENER = `
  const storage = createPostgresStorage(args[0]);
  console.log("ready");
  await line();
  await storage.storeCheckpoint({ agentId: "agent", name: "turn", state: null, createdAt: 0 });
  await storage.close();`;

/** Starts a process for each of the options, and lets all of them open their storage at once. */
async function openInProcesses(all: readonly object[]) {
  const children = all.map((options) => startNode(OPENER, options));
  await Promise.all(children.map((child) => child.line()));
  for (const child of children) child.send("go");
  const exits = await Promise.all(children.map((child) => child.exit));
  expect(exits).toEqual(all.map(() => ({ code: 0, signal: null, output: "ready\n" })));
}

it.each(["read committed", "serializable"])(
  "records each migration once when 16 processes open an empty database at once, where %s is the default",
  async (isolation) => {
    const { url, name } = await emptyDatabase();
    await connect(url).unsafe(`alter database ${name} set default_transaction_isolation = '${isolation}'`);
    await openInProcesses(Array.from({ length: 16 }, () => ({ connectionString: url })));
    expect(await recorded(url)).toEqual(NAMES);
    expect(await open({ connectionString: url }).listCheckpoints()).toHaveLength(16);
  },
);

it("records each migration once when 16 processes open an empty database at once, through pgbouncer in transaction mode", async () => {
  const { url, name } = await emptyDatabase();
  const pooler = await startPgbouncer(sharedServer());
  onTestFinished(() => pooler.stop());
  await openInProcesses(Array.from({ length: 16 }, () => ({ connectionString: pooler.url(name) })));
  expect(await recorded(url)).toEqual(NAMES);
  expect(await open({ connectionString: url }).listCheckpoints()).toHaveLength(16);
});

it("makes a schema for several processes at once that differ in tablePrefix", async () => {
  const { url } = await emptyDatabase();
  const prefixes = Array.from({ length: 8 }, (_, index) => `p${index}_`);
  await openInProcesses(prefixes.map((tablePrefix) => ({ connectionString: url, schema: "agents", tablePrefix })));
  for (const prefix of prefixes) expect(await recorded(url, `agents.${prefix}waymark_migrations`)).toEqual(NAMES);
});

it("opens for a role without rights on the schema's tables but to use them, by migrate: verify", async () => {
  const database = await emptyDatabase();
  const role = await plainRole(database);
  const storage = open({ connectionString: role.url, migrate: "verify" });

  const missing = await rejection(storage.storeCheckpoint(checkpoint()));
  expect(missing).toMatchObject({ name: "CheckpointError", code: "SCHEMA_OUTDATED", retryable: false });
  const script = missing["sql"] as string[];
  expect(script.length).toBeGreaterThan(0);
  expect(withoutTimes(script)).toEqual(withoutTimes(await storage.migrate("sql")));
  await expect(storage.migrate("verify")).rejects.toMatchObject({ code: "SCHEMA_OUTDATED" });

  const admin = connect(database.url);
  for (const statement of script) await admin.unsafe(statement);
  await admin.unsafe(`grant select, insert, update, delete on agent_checkpoints to ${role.name}`);
  await admin.unsafe(`grant select on waymark_migrations to ${role.name}`);

  const id = await storage.storeCheckpoint(checkpoint());
  expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
  expect(await storage.deleteCheckpoint(id)).toBe(true);
  expect(await recorded(database.url)).toEqual(NAMES);
  expect(await open({ connectionString: database.url }).migrate()).toEqual([]);
});

it("says what is missing of a schema whose history is empty, and brings it up to date", async () => {
  const { url } = await emptyDatabase();
  const storage = open({ connectionString: url });
  await storage.migrate();
  const admin = connect(url);
  await admin.unsafe("drop table agent_checkpoint_writes, agent_checkpoints");
  await admin.unsafe("delete from waymark_migrations");
  await expect(open({ connectionString: url, migrate: "verify" }).listCheckpoints()).rejects.toMatchObject({
    code: "SCHEMA_OUTDATED",
    message: expect.stringContaining(NAMES.join(", ")),
  });
  expect(await open({ connectionString: url }).listCheckpoints()).toEqual([]);
  expect(await recorded(url)).toEqual(NAMES);
});

it("leaves nothing behind of a migration that fails for want of rights, and says so", async () => {
  const database = await emptyDatabase();
  const role = await plainRole(database);
  const admin = connect(database.url);
  await admin.unsafe("revoke create on schema public from public");
  const denied = await rejection(open({ connectionString: role.url }).listCheckpoints());
  expect(denied).toMatchObject({ code: "ACCESS_DENIED", retryable: false, cause: { code: "42501" } });
  expect(await admin`select from pg_tables where schemaname = 'public'`).toHaveLength(0);
});

it("uses a schema that a newer version has changed, as long as that one allows it", async () => {
  const { url } = await emptyDatabase();
  await open({ connectionString: url }).migrate();
  const later = (name: string, minimumReader: number) =>
    connect(url).unsafe(`insert into waymark_migrations values ('${name}', 'digest', ${minimumReader}, 0)`);

  await later("9998_allows_us", migrations.length);
  for (const migrate of ["auto", "verify"] as const) {
    expect(await open({ connectionString: url, migrate }).storeCheckpoint(checkpoint())).toEqual(expect.any(String));
  }

  await later("9999_does_not", migrations.length + 1);
  for (const migrate of ["auto", "verify"] as const) {
    const refused = await rejection(open({ connectionString: url, migrate }).storeCheckpoint(checkpoint()));
    expect(refused).toMatchObject({ code: "SCHEMA_TOO_NEW", retryable: false });
    expect(refused.message).toContain("9999_does_not");
  }
  expect(await open({ connectionString: url, migrate: "off" }).listCheckpoints()).toHaveLength(2);
  expect(await recorded(url)).toEqual([...NAMES, "9998_allows_us", "9999_does_not"]);
});

it("refuses a table of its name that it has not made, and leaves it alone", async () => {
  const { url } = await emptyDatabase();
  const admin = connect(url);
  await admin.unsafe("create table agent_checkpoints (id integer, words text)");
  await admin.unsafe("insert into agent_checkpoints values (1, 'somebody else''s')");
  const refused = await rejection(open({ connectionString: url }).listCheckpoints());
  expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
  expect(refused.message).toContain("tablePrefix");
  expect([...(await admin`select * from agent_checkpoints`)]).toEqual([{ id: 1, words: "somebody else's" }]);
  expect(await admin`select from pg_tables where schemaname = 'public'`).toHaveLength(1);
  expect(await open({ connectionString: url, tablePrefix: "other_" }).listCheckpoints()).toEqual([]);
});

it("refuses a history that was edited", async () => {
  const { url } = await emptyDatabase();
  await open({ connectionString: url }).migrate();
  await connect(url).unsafe("update waymark_migrations set digest = 'edited'");
  for (const migrate of ["auto", "verify"] as const) {
    const refused = await rejection(open({ connectionString: url, migrate }).listCheckpoints());
    expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
    expect(refused.message).toContain(NAMES[0]);
  }
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

it("migrates from the start again after a process was killed at any of the statements", async () => {
  const sql = await open({ connectionString: (await emptyDatabase()).url }).migrate("sql");
  const steps = sql.map((statement) => statement.slice(0, 60));
  expect(steps.at(-1)).toBe("COMMIT");
  for (const step of steps.slice(1)) {
    const database = await emptyDatabase();
    const proxy = await startProxy(database.url);
    const child = startNode(
      `await createPostgresStorage({ connectionString: args[0] }).migrate();
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
    expect(await recorded(database.url)).toEqual(NAMES);
  }
});
