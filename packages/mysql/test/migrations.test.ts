import { describe, expect, it } from "vitest";
import { startProxy } from "waymark-test-servers";
import { migrations } from "../src/checkpoints/migrations.ts";
import { startNode } from "./node.ts";
import { checkpoint, connect, emptyDatabase, open, plainUser, recorded, rejection, run, servers } from "./on-server.ts";

const NAMES = migrations.map(({ name }) => name);

const withoutTimes = (statements: readonly string[]) => statements.map((text) => text.replace(/\b\d{13}\b/g, "TIME"));

describe.each(servers)("$title", ({ url: serverUrl }) => {
  it("migrates at first use, and says which migrations that were if it is asked to", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const storage = open({ connectionString: url });
    expect(await storage.migrate()).toEqual(NAMES);
    expect(await storage.migrate()).toEqual([]);
    expect(await storage.migrate("sql")).toEqual([]);
    expect(await storage.migrate("verify")).toEqual([]);
    expect(await recorded(url)).toEqual(NAMES);
  });

  it("records each migration once when 16 processes open an empty database at once", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const program = `
      const storage = createMySQLStorage({ connectionString: args[0] });
      console.log("ready");
      await line();
      await storage.storeCheckpoint({ agentId: "agent", name: "turn", state: null, createdAt: 0 });
      await storage.close();`;
    const children = Array.from({ length: 16 }, () => startNode(program, url));
    await Promise.all(children.map((child) => child.line()));
    for (const child of children) child.send("go");
    const exits = await Promise.all(children.map((child) => child.exit));
    expect(exits).toEqual(children.map(() => ({ code: 0, signal: null, output: "ready\n" })));
    expect(await recorded(url)).toEqual(NAMES);
    expect(await open({ connectionString: url }).listCheckpoints()).toHaveLength(16);
  });

  it("opens for a user without rights on the tables but to use them, by migrate: verify", async () => {
    const database = await emptyDatabase(serverUrl);
    const user = await plainUser(database);
    const admin = await connect(database.url);
    // The least that lets MySQL select the database at all.
    await admin.query(`grant select, insert, update, delete on ${database.name}.* to ${user.name}`);
    const storage = open({ connectionString: user.url, migrate: "verify" });

    const missing = await rejection(storage.storeCheckpoint(checkpoint()));
    expect(missing).toMatchObject({ name: "CheckpointError", code: "SCHEMA_OUTDATED", retryable: false });
    const script = missing["sql"] as string[];
    expect(script.length).toBeGreaterThan(0);
    expect(withoutTimes(script)).toEqual(withoutTimes(await storage.migrate("sql")));
    await expect(storage.migrate("verify")).rejects.toMatchObject({ code: "SCHEMA_OUTDATED" });
    await expect(storage.migrate("apply")).rejects.toMatchObject({ code: "ACCESS_DENIED" });

    for (const statement of script) await admin.query(statement);

    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(await recorded(database.url)).toEqual(NAMES);
    expect(await open({ connectionString: database.url }).migrate()).toEqual([]);
  });

  it("says what is missing of a schema whose history is empty, and brings it up to date", async () => {
    const { url } = await emptyDatabase(serverUrl);
    await open({ connectionString: url }).migrate();
    await run(url, "drop table agent_checkpoint_writes, agent_checkpoints");
    await run(url, "delete from waymark_migrations");
    await expect(open({ connectionString: url, migrate: "verify" }).listCheckpoints()).rejects.toMatchObject({
      code: "SCHEMA_OUTDATED",
      message: expect.stringContaining(NAMES.join(", ")),
    });
    expect(await open({ connectionString: url }).listCheckpoints()).toEqual([]);
    expect(await recorded(url)).toEqual(NAMES);
  });

  it("uses a schema that a newer version has changed, as long as that one allows it", async () => {
    const { url } = await emptyDatabase(serverUrl);
    await open({ connectionString: url }).migrate();
    const later = (name: string, minimumReader: number) =>
      run(url, `insert into waymark_migrations values ('${name}', 'digest', ${minimumReader}, 0)`);

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
    const { url } = await emptyDatabase(serverUrl);
    await run(url, "create table agent_checkpoints (id integer, words text)");
    await run(url, "insert into agent_checkpoints values (1, 'somebody else''s')");
    const refused = await rejection(open({ connectionString: url }).listCheckpoints());
    expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
    expect(refused.message).toContain("tablePrefix");
    expect(await run(url, "select * from agent_checkpoints")).toEqual([{ id: 1, words: "somebody else's" }]);
    expect(await run(url, "show tables")).toHaveLength(1);
    expect(await open({ connectionString: url, tablePrefix: "other_" }).listCheckpoints()).toEqual([]);
  });

  it("refuses a history that was edited", async () => {
    const { url } = await emptyDatabase(serverUrl);
    await open({ connectionString: url }).migrate();
    await run(url, "update waymark_migrations set digest = 'edited'");
    for (const migrate of ["auto", "verify"] as const) {
      const refused = await rejection(open({ connectionString: url, migrate }).listCheckpoints());
      expect(refused).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
      expect(refused.message).toContain(NAMES[0]);
    }
  });

  it("makes tables that check foreign keys, whatever engine is the default", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const admin = await connect(url);
    for (const statement of [
      "set session default_storage_engine = MyISAM",
      ...(await open({ connectionString: url }).migrate("sql")),
    ]) {
      await admin.query(statement);
    }
    const engines = await run(
      url,
      "select engine as engine from information_schema.tables where table_schema = database()",
    );
    expect(engines).toEqual([{ engine: "InnoDB" }, { engine: "InnoDB" }, { engine: "InnoDB" }]);
  });

  /** How every schema that was made is made, in the server's own words. */
  async function shape(url: string): Promise<unknown[]> {
    const tables = ["agent_checkpoints", "waymark_migrations"];
    const shown = await Promise.all(tables.map((table) => run(url, `show create table ${table}`)));
    return shown.map(([row]) => String(row?.["Create Table"]).split(",\n").sort());
  }

  describe.each([
    ["before the server got", "to-server"],
    ["after the server had run, and before it heard so,", "to-client"],
  ] as const)("after its process was killed", (when, side) => {
    it(`goes on where it was, ${when} any of the statements`, async () => {
      const whole = await emptyDatabase(serverUrl);
      const steps = await open({ connectionString: whole.url }).migrate("sql");
      await open({ connectionString: whole.url }).migrate();
      expect(steps.length).toBeGreaterThanOrEqual(8);

      const killAt = async (step: string) => {
        const database = await emptyDatabase(serverUrl);
        const proxy = await startProxy(database.url);
        const child = startNode(
          `await createMySQLStorage({ connectionString: args[0] }).migrate();
           console.log("migrated");`,
          proxy.url,
        );
        const beginning = step.replaceAll(/\s+/g, " ").slice(0, 70);
        let arrived = false;
        await new Promise<void>((resolve) => {
          proxy.intercept((chunk, direction) => {
            if (direction === "to-server" && chunk.toString("latin1").replaceAll(/\s+/g, " ").includes(beginning))
              arrived = true;
            if (!arrived || direction !== side) return "forward";
            resolve();
            return "hold";
          });
        });
        child.kill();
        expect(await child.exit).toEqual({ code: null, signal: "SIGKILL", output: "" });
        await proxy.stop();

        const storage = open({ connectionString: database.url });
        const id = await storage.storeCheckpoint(checkpoint());
        expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
        expect(await recorded(database.url)).toEqual(NAMES);
        expect(await shape(database.url)).toEqual(await shape(whole.url));
      };
      await Promise.all(steps.map(killAt));
    });
  });

  it("goes on when all statements were run and not recorded", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const storage = open({ connectionString: url });
    const id = await storage.storeCheckpoint(checkpoint());
    const before = await shape(url);
    await run(url, "delete from waymark_migrations");
    const next = open({ connectionString: url });
    expect(await next.migrate()).toEqual(NAMES);
    expect(await next.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
    expect(await recorded(url)).toEqual(NAMES);
    expect(await shape(url)).toEqual(before);
  });
});
