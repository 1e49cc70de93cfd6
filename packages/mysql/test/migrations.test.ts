import { describeServerMigrations, sampled, startNode } from "@waymark/conformance";
import { describe, expect, it } from "vitest";
import { startProxy } from "waymark-test-servers";
import { checkpoint, emptyDatabase, open, readHistory, run, servers } from "./on-server.ts";

for (const { target } of servers) describeServerMigrations(target);

describe.each(servers)("the migrations of checkpoints in $title", ({ url: serverUrl, target }) => {
  const { migrations, module } = target;

  it("make tables that check foreign keys, whatever the default engine is", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const script = await open({ connectionString: url }).migrate("sql");
    await run(url, "set session default_storage_engine = MyISAM", ...script);
    const engines = await run(
      url,
      "select engine as engine from information_schema.tables where table_schema = database()",
    );
    expect(engines.map(({ engine }) => engine)).toEqual(Array(5).fill("InnoDB"));
  });

  /** Reads how the tables are made, in the server's own words. */
  async function readShape(url: string): Promise<unknown[]> {
    const tables = ["agent_checkpoints", "waymark_migrations"];
    const shown = await Promise.all(tables.map((table) => run(url, `show create table ${table}`)));
    return shown.map(([row]) => String(row?.["Create Table"]).split(",\n").sort());
  }

  describe.each([
    ["before the server got", "to-server"],
    ["before it heard that the server had run", "to-client"],
  ] as const)("after their process was killed", (when, side) => {
    it(`go on where they were, ${when} the statement`, async () => {
      const whole = await emptyDatabase(serverUrl);
      const steps = await open({ connectionString: whole.url }).migrate("sql");
      await open({ connectionString: whole.url }).migrate();
      expect(steps.length).toBeGreaterThanOrEqual(8);

      const killAt = async (step: string) => {
        const database = await emptyDatabase(serverUrl);
        const proxy = await startProxy(database.url);
        const child = startNode(
          module,
          `await createCheckpointStorage({ connectionString: args[0] }).migrate();
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
        expect(await readHistory(database.url)).toEqual(migrations);
        expect(await readShape(database.url)).toEqual(await readShape(whole.url));
      };
      await Promise.all(sampled(steps).map(killAt));
    });
  });

  it("go on where all statements were run and none was recorded", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const storage = open({ connectionString: url });
    const id = await storage.storeCheckpoint(checkpoint());
    const before = await readShape(url);
    await run(url, "delete from waymark_migrations");
    const next = open({ connectionString: url });
    expect(await next.migrate()).toEqual(migrations);
    expect(await next.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
    expect(await readHistory(url)).toEqual(migrations);
    expect(await readShape(url)).toEqual(before);
  });
});
