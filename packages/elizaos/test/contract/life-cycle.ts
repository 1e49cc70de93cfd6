import { describe, expect, it } from "vitest";
import { type Bench, collectWarnings, expectRefusal, newId, settle } from "./bench.ts";
import { CALLS } from "./calls.ts";

export function describeLifeCycle(bench: Bench): void {
  describe("an adapter", () => {
    // The first test: the database is empty.
    it("has its tables at the first call, whatever it is, of several at once", async () => {
      const ids = Array.from({ length: 6 }, newId);
      const adapters = ids.map((id) => bench.adapterOf(id));
      expect(adapters[0]?.isConnected()).toBe(false);
      expect(await adapters[0]?.isReady()).toBe(false);
      expect(adapters[0]?.getConnectionInfo()).toEqual({
        dialect: null,
        driver: null,
        location: null,
        isConnected: false,
        droppedLogs: 0,
      });
      const calls = adapters.map((adapter, at) =>
        adapter.createAgent({ id: ids[at] as (typeof ids)[0], name: `Ada ${at}` }),
      );
      expect(await Promise.all(calls)).toEqual(ids.map(() => true));
      expect(await adapters[0]?.countAgents()).toBe(ids.length);
    });

    it("is ready once it is initialized, as often as one likes", async () => {
      const agentId = newId();
      const adapter = bench.adapterOf(agentId);
      await adapter.init();
      await adapter.initialize({ any: 1 });
      await adapter.init();
      await adapter.runMigrations();
      await adapter.runMigrations(["./migrations"]);
      expect(await adapter.isReady()).toBe(true);
      expect(adapter.isConnected()).toBe(true);
      await adapter.createAgent({ id: agentId, name: "Ada" });
      await settle(adapter, agentId);
    });

    it("is not ready before it is initialized, though another one has opened the database: its `db` is missing", async () => {
      await (await bench.newHome()).adapter.init();
      const adapter = bench.adapterOf(newId());
      expect(await adapter.isReady()).toBe(false);
      await adapter.init();
      expect(await adapter.isReady()).toBe(true);
    });

    it("says what it is connected to, and no password", async () => {
      const { adapter } = await bench.newHome();
      await adapter.init();
      const info = adapter.getConnectionInfo();
      expect(info).toEqual({
        ...{
          dialect: expect.stringMatching(/^(sqlite|postgres|mysql)$/),
          driver: expect.any(String),
          isConnected: true,
          droppedLogs: 0,
        },
        location: expect.any(String),
      });
      const { password, username } = new URL(bench.options.url ?? "none:");
      if (password !== "") expect(JSON.stringify(info)).not.toContain(password);
      if (username !== "") expect(JSON.stringify(info)).not.toContain(`${username}@`);
    });

    it("has a database of Drizzle's on PostgreSQL alone, whose answers have rows", async () => {
      const { adapter } = await bench.newHome();
      expect([adapter.db, adapter.getDatabase(), await adapter.getConnection()]).toEqual([null, null, null]);
      await adapter.init();
      expect(adapter.getDatabase()).toBe(adapter.db);
      expect(await adapter.getConnection()).toBe(adapter.db);
      if (adapter.getConnectionInfo().dialect !== "postgres") expect(adapter.db).toBeNull();
      else {
        const database = adapter.db as { execute(query: string): Promise<{ rows: unknown[] }> };
        expect((await database.execute("select 1 as one")).rows).toEqual([{ one: 1 }]);
      }
    });

    it("makes no tables for plugins without any, nor those of plugin-sql", async () => {
      const warnings = collectWarnings();
      const { adapter } = await bench.newHome();
      await adapter.runPluginMigrations([]);
      await adapter.runPluginMigrations([{ name: "a" }, { name: "b", schema: {} }], { verbose: true });
      await adapter.runPluginMigrations([{ name: "@elizaos/plugin-sql", schema: { agents: {} } }]);
      await adapter.init();
      if (adapter.getConnectionInfo().dialect === "postgres") return;
      const name = `plugin ${newId()}`;
      for (let round = 0; round < 2; round++) await adapter.runPluginMigrations([{ name, schema: { table: {} } }]);
      expect(warnings).toEqual([{ code: "WAYMARK_ELIZA_PLUGIN_TABLES", message: expect.stringContaining(name) }]);
    });

    it("runs work in the context of an entity as it is", async () => {
      const { adapter, agentId, entityId } = await bench.newHome();
      expect(await adapter.withEntityContext(entityId, () => adapter.getAgent(agentId))).toMatchObject({ name: "Ada" });
      expect(await adapter.withEntityContext(null, async () => 7)).toBe(7);
      const error = new TypeError("no");
      const throwing = adapter.withEntityContext(entityId, async () => await Promise.reject(error));
      await expect(throwing).rejects.toBe(error);
    });

    it("leaves others of the same database alone when it is closed", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      const sibling = bench.adapterOf(one.agentId);
      await sibling.init();
      const call = other.adapter.createTask({ name: "t", description: "", worldId: other.worldId, tags: [] });
      await Promise.all([one.adapter.close(), one.adapter.close()]);
      await call;
      await one.adapter.close();
      expect(await sibling.getAgent(one.agentId)).toMatchObject({ id: one.agentId });
      expect(await other.adapter.getTasks({})).toHaveLength(1);
      expect([one.adapter.isConnected(), sibling.isConnected()]).toEqual([false, true]);
      expect([await one.adapter.isReady(), await sibling.isReady()]).toEqual([false, true]);
      const again = bench.adapterOf(one.agentId);
      expect(await again.getAgent(one.agentId)).toMatchObject({ id: one.agentId });
    });

    it("refuses every call once it is closed", async () => {
      const { adapter, agentId } = await bench.newHome();
      await adapter.close();
      for (const { name, make } of CALLS) {
        await expect(make(adapter, agentId, "text"), name).rejects.toMatchObject({
          name: "CheckpointError",
          code: "CLOSED",
        });
      }
      for (const call of [adapter.init, adapter.initialize, adapter.runMigrations])
        await expectRefusal(call(), "CLOSED");
      expect(adapter.getConnectionInfo()).toMatchObject({ isConnected: false, dialect: null });
      expect(await bench.adapterOf(agentId).getAgent(agentId)).not.toBeNull();
    });
  });
}
