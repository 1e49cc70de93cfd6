import { describeDialect } from "@waymark/conformance";
import { createSQLiteStorage } from "@waymark/sqlite";
import { expect, it } from "vitest";
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { shareConnection } from "../src/database.ts";
import { resolveOptions } from "../src/options.ts";
import { newFile } from "./fixtures.ts";
import { drivers, openOwn } from "./runtime-drivers.ts";

// better-sqlite3 has the suite in dialect.test.ts.
for (const driver of drivers.filter((name) => name !== "better-sqlite3")) {
  describeDialect({
    name: `SQLite by ${driver}`,
    create: async () => {
      const options = resolveOptions({ databasePath: newFile(), driver });
      return {
        createDialect: () => createCheckpointDialect(shareConnection(options).share(), options),
        dispose: async () => {},
      };
    },
  });
}

/** States that each driver has to bind, keep and return in its own way. */
const STATE = {
  bytes: new Uint8Array([0, 1, 255]),
  text: "é 漢 \u0000",
  big: 2n ** 70n,
  count: 2 ** 53 - 1,
  when: new Date(5),
};

// `node scripts/test-on-runtimes.mjs` has one file for all runtimes.
it("has one form of file for all drivers: each reads what others have written, and goes on", async () => {
  const databasePath = process.env["WAYMARK_TEST_FILE"] ?? newFile();
  for (const driver of drivers) {
    await using storage = createSQLiteStorage({ databasePath, driver });
    const { bun, deno, node } = process.versions as Record<string, string | undefined>;
    const agentId = `${driver} ${bun ?? deno ?? node}`;
    await storage.storeCheckpoint({ agentId, name: "turn", state: STATE, createdAt: 1, metadata: { driver } });
    const status = await storage.status();
    expect(status.providers.main).toMatchObject({ driver, location: databasePath });
    for (const one of await storage.listAgents()) {
      const latest = await storage.retrieveLatestCheckpoint(one);
      expect(latest?.state).toEqual(STATE);
      // In the other's timeline too: a delta to a row that it has written.
      const next = await storage.storeCheckpoint({ agentId: one, name: "turn", state: STATE, createdAt: 2 });
      expect((await storage.retrieveLatestCheckpoint(one))?.id).toBe(next);
    }
  }
  expect(drivers.length).toBeGreaterThan(0);
});

it("names an error by SQLite's code, whatever the driver", async () => {
  for (const driver of drivers) {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath, driver, busyTimeoutMs: 0, operationTimeoutMs: 300 });
    await storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 1 });
    const options = resolveOptions({ databasePath, driver });
    const connection = shareConnection(options).share();
    const handle = await connection.get(new AbortController().signal);
    handle.exec("begin immediate");
    const store = storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 2, createdAt: 1 });
    await expect(store).rejects.toMatchObject({ code: "CONTENTION", cause: { code: "SQLITE_BUSY" } });
    handle.exec("rollback");
    expect(() => handle.prepare("select * from nowhere").get()).toThrow(
      expect.objectContaining({ code: "SQLITE_ERROR" }),
    );
    await connection.close();
    expect(handle.isOpen()).toBe(false);
  }
});

it("takes a database of the user's own of each driver, refuses stores within its transactions, and leaves it open", async () => {
  for (const driver of drivers) {
    const database = await openOwn(driver, newFile());
    const storage = createSQLiteStorage({ database });
    await storage.storeCheckpoint({ agentId: "agent", name: "turn", state: STATE, createdAt: 1 });
    expect((await storage.retrieveLatestCheckpoint("agent"))?.state).toEqual(STATE);
    database.exec("begin");
    const store = storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 2, createdAt: 1 });
    await expect(store).rejects.toMatchObject({ code: "CONTENTION" });
    database.exec("rollback");
    await storage.close();
    database.exec("select 1");
    await using open = createSQLiteStorage({ database });
    expect(await open.listAgents()).toEqual(["agent"]);
    database.close();
    const late = open.storeCheckpoint({ agentId: "agent", name: "turn", state: 3, createdAt: 1 });
    await expect(late).rejects.toMatchObject({ code: "DATABASE_ERROR" });
    await expect(createSQLiteStorage({ database }).listAgents()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  }
});
