import { describe, expect, it, onTestFinished } from "vitest";
import { OPENERS } from "../storage/scale.ts";
import { newCheckpoint, ServerBench } from "./bench.ts";
import { startNode } from "./node.ts";
import { rejection } from "./rejection.ts";
import type { ServerDatabase, ServerTarget } from "./target.ts";

/** Describes storages and their server to the suite of migrations on servers. */
export interface MigrationTarget extends ServerTarget {
  /** Names of the migrations, in their order. */
  readonly migrations: readonly string[];
  /** Lists the tables of a database. */
  listTables(url: string): Promise<readonly string[]>;
  /** Makes a user who may use the tables of a database as soon as they are granted, and may never create one. */
  createLimitedUser(database: ServerDatabase): Promise<LimitedUser>;
  /** Statements that make something of somebody else's under one of our names, each with this name. */
  readonly foreignObjects: readonly (readonly [statement: string, name: string])[];
}

export interface LimitedUser {
  /** URL of the database for this user. */
  readonly url: string;
  /** Lets the user read and write checkpoints and read the history, once the tables are there. */
  grant(): Promise<void>;
  drop(): Promise<void>;
}

/** Program of a process that opens its storage when it is told to. */
const OPEN_WHEN_TOLD = `
  const storage = createCheckpointStorage(args[0]);
  console.log("ready");
  await nextLine();
  await storage.storeCheckpoint({ agentId: "agent", name: "turn", state: null, createdAt: 0 });
  await storage.close();`;

/** Starts a process for each of these options, lets all of them open their storage at once, and expects that all succeed. */
export async function openInProcesses(module: string, options: readonly object[]): Promise<void> {
  const children = options.map((one) => startNode(module, OPEN_WHEN_TOLD, one));
  await Promise.all(children.map((child) => child.nextLine()));
  for (const child of children) child.send("go");
  const exits = await Promise.all(children.map((child) => child.exit));
  expect(exits).toEqual(options.map(() => ({ code: 0, signal: null, output: "ready\n" })));
}

/** Registers the tests of migrations that are alike on all servers. */
export function describeServerMigrations(target: MigrationTarget): void {
  const bench = new ServerBench(target);
  const { migrations, run } = target;

  const readHistory = async (url: string) =>
    (await run(url, "select name from waymark_migrations order by name")).map(({ name }) => String(name));
  const withoutTimes = (statements: readonly string[]) => statements.map((text) => text.replace(/\b\d{13}\b/g, "TIME"));

  describe(`${target.name}: the schema of checkpoints`, () => {
    it("is migrated at first use, and the names of its migrations are returned on request", async () => {
      const { url } = await bench.createDatabase();
      const storage = bench.open({ connectionString: url });
      expect(await storage.migrate()).toEqual(migrations);
      expect(await storage.migrate()).toEqual([]);
      expect(await storage.migrate("sql")).toEqual([]);
      expect(await storage.migrate("verify")).toEqual([]);
      expect(await readHistory(url)).toEqual(migrations);
    });

    it(`has each migration recorded once when ${OPENERS} processes open an empty database at once`, async () => {
      const { url } = await bench.createDatabase();
      await openInProcesses(
        target.module,
        Array.from({ length: OPENERS }, () => ({ connectionString: url })),
      );
      expect(await readHistory(url)).toEqual(migrations);
      expect(await bench.open({ connectionString: url }).listCheckpoints()).toHaveLength(OPENERS);
    });

    it("is verified by a user who may not create tables, and used once somebody else has made it", async () => {
      const database = await bench.createDatabase();
      const user = await target.createLimitedUser(database);
      onTestFinished(() => user.drop());
      const storage = bench.open({ connectionString: user.url, migrate: "verify" });

      const missing = await rejection(storage.storeCheckpoint(newCheckpoint()));
      expect(missing).toMatchObject({ name: "CheckpointError", code: "SCHEMA_OUTDATED", retryable: false });
      const script = missing["sql"] as string[];
      expect(script.length).toBeGreaterThan(0);
      expect(withoutTimes(script)).toEqual(withoutTimes(await storage.migrate("sql")));
      await expect(storage.migrate("verify")).rejects.toMatchObject({ code: "SCHEMA_OUTDATED" });
      await expect(storage.migrate("apply")).rejects.toMatchObject({
        code: "ACCESS_DENIED",
        message: expect.stringContaining('migrate: "verify"'),
      });

      await run(database.url, ...script);
      await user.grant();

      const id = await storage.storeCheckpoint(newCheckpoint());
      expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...newCheckpoint() });
      expect(await storage.deleteCheckpoint(id)).toBe(true);
      expect(await readHistory(database.url)).toEqual(migrations);
      expect(await bench.open({ connectionString: database.url }).migrate()).toEqual([]);
    });

    it("is migrated from the start where its history is empty, and `verify` names what is missing", async () => {
      const { url } = await bench.createDatabase();
      await bench.open({ connectionString: url }).migrate();
      await run(
        url,
        "drop table agent_checkpoint_labels, agent_checkpoint_settings, agent_checkpoint_writes, agent_checkpoints",
      );
      await run(url, "delete from waymark_migrations");
      const verifying = bench.open({ connectionString: url, migrate: "verify" });
      await expect(verifying.listCheckpoints()).rejects.toMatchObject({
        code: "SCHEMA_OUTDATED",
        message: expect.stringContaining(migrations.join(", ")),
      });
      expect(await bench.open({ connectionString: url }).listCheckpoints()).toEqual([]);
      expect(await readHistory(url)).toEqual(migrations);
    });

    it("is used after a newer version has changed it, as long as that one allows it", async () => {
      const { url } = await bench.createDatabase();
      await bench.open({ connectionString: url }).migrate();
      const addMigration = (name: string, minimumReader: number) =>
        run(url, `insert into waymark_migrations values ('${name}', 'digest', ${minimumReader}, 0)`);

      await addMigration("9998_allows_us", migrations.length);
      for (const migrate of ["auto", "verify"] as const) {
        const storage = bench.open({ connectionString: url, migrate });
        expect(await storage.storeCheckpoint(newCheckpoint())).toEqual(expect.any(String));
      }

      await addMigration("9999_does_not", migrations.length + 1);
      for (const migrate of ["auto", "verify"] as const) {
        const storage = bench.open({ connectionString: url, migrate });
        const refused = await rejection(storage.storeCheckpoint(newCheckpoint()));
        expect(refused).toMatchObject({ code: "SCHEMA_TOO_NEW", retryable: false });
        expect(refused.message).toContain("9999_does_not");
      }
      expect(await bench.open({ connectionString: url, migrate: "off" }).listCheckpoints()).toHaveLength(2);
      expect(await readHistory(url)).toEqual([...migrations, "9998_allows_us", "9999_does_not"]);
    });

    it("leaves alone a table of its name that it has not made, and is refused there", async () => {
      const { url } = await bench.createDatabase();
      await run(url, "create table agent_checkpoints (id integer, words text)");
      await run(url, "insert into agent_checkpoints values (1, 'somebody else''s')");
      const refused = await rejection(bench.open({ connectionString: url }).listCheckpoints());
      expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
      expect(refused.message).toContain("tablePrefix");
      expect(await run(url, "select * from agent_checkpoints")).toEqual([{ id: 1, words: "somebody else's" }]);
      expect(await target.listTables(url)).toEqual(["agent_checkpoints"]);
      expect(await bench.open({ connectionString: url, tablePrefix: "other_" }).listCheckpoints()).toEqual([]);
    });

    it("names what has a name of ours, and leaves nothing behind", async () => {
      for (const [statement, name] of target.foreignObjects) {
        const database = await bench.createDatabase();
        for (const one of statement.split("; ")) await run(database.url, one);
        const before = await target.listTables(database.url);
        const refused = await rejection(bench.open({ connectionString: database.url }).listCheckpoints());
        expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
        expect(refused.message).toMatch(new RegExp(`[ "]${name}"? that`));
        expect(await target.listTables(database.url)).toEqual(before);
      }
    });

    it("is refused where its history was edited", async () => {
      const { url } = await bench.createDatabase();
      await bench.open({ connectionString: url }).migrate();
      await run(url, "update waymark_migrations set digest = 'edited'");
      for (const migrate of ["auto", "verify"] as const) {
        const refused = await rejection(bench.open({ connectionString: url, migrate }).listCheckpoints());
        expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
        expect(refused.message).toContain(migrations[0]);
      }
    });
  });
}
