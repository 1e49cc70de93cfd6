import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newId, ODD_TEXT } from "./bench.ts";

export function describeAgents(bench: Bench): void {
  describe("agents", () => {
    it("are counted, and deleted all at once", async () => {
      const { adapter, agentId, roomId } = await bench.newHome();
      await bench.newHome();
      expect(await adapter.countAgents()).toBe((await adapter.getAgents()).length);
      expect(await adapter.countAgents()).toBeGreaterThanOrEqual(2);
      await adapter.cleanupAgents();
      expect(await adapter.countAgents()).toBe(0);
      expect(await adapter.getAgents()).toEqual([]);
      expect(await adapter.getAgent(agentId)).toBeNull();
      expect(await adapter.getRoomsByIds([roomId])).toEqual([]);
    });

    it("come back with every member", async () => {
      const id = newId();
      const adapter = bench.adapterOf(id);
      const agent = {
        ...{ id, name: "Ada", username: "ada", system: "You are Ada.", bio: ["one", "two"], enabled: false },
        ...{ topics: ["a"], adjectives: ["b"], plugins: ["@x/y"], postExamples: ["p"], style: { all: ["c"] } },
        ...{ messageExamples: [[{ name: "{{user1}}", content: { text: "hi" } }]], knowledge: ["k", { path: "p" }] },
        ...{ settings: { a: 1, secrets: { key: "v" } }, createdAt: 1_000, updatedAt: 2_000 },
      };
      expect(await adapter.createAgent(agent)).toBe(true);
      expect(await adapter.getAgent(id)).toEqual({ ...agent, server_id: null });
    });

    it("have defaults for what is not given", async () => {
      const id = newId();
      const adapter = bench.adapterOf(id);
      const before = Date.now();
      await adapter.createAgent({ id, name: "Ada" });
      const agent = await adapter.getAgent(id);
      expect(agent).toMatchObject({ username: "", bio: [], enabled: true, topics: [], style: {}, settings: {} });
      expect(agent?.system).toBeUndefined();
      expect(agent?.createdAt).toBeGreaterThanOrEqual(before);
      expect(agent?.updatedAt).toBeGreaterThanOrEqual(before);
    });

    it("are found by ids in upper case", async () => {
      const id = newId();
      const adapter = bench.adapterOf(id.toUpperCase() as typeof id);
      await adapter.createAgent({ id: id.toUpperCase() as typeof id, name: "Ada" });
      expect(await adapter.getAgent(id)).toMatchObject({ id });
      expect(await adapter.getAgent(id.toUpperCase() as typeof id)).toMatchObject({ id });
      expect(await adapter.updateAgent(id.toUpperCase() as typeof id, { name: "Eva" })).toBe(true);
      expect(await adapter.getAgent(id)).toMatchObject({ name: "Eva" });
      expect(await adapter.deleteAgent(id.toUpperCase() as typeof id)).toBe(true);
      expect(await adapter.getAgent(id)).toBeNull();
    });

    it("may share a name, and not an id", async () => {
      const { adapter, agentId } = await bench.newHome();
      const other = newId();
      expect(await adapter.createAgent({ id: other, name: "Ada", bio: "x" })).toBe(true);
      expect(await adapter.createAgent({ id: agentId, name: "Eva" })).toBe(false);
      expect(await adapter.getAgent(agentId)).toMatchObject({ name: "Ada" });
      const agents = await adapter.getAgents();
      expect(agents).toContainEqual({ id: other, name: "Ada", bio: "x" });
      expect(agents).toContainEqual({ id: agentId, name: "Ada", bio: [] });
    });

    it("get an id where none is given", async () => {
      const { adapter } = await bench.newHome();
      const name = `agent ${newId()}`;
      expect(await adapter.createAgent({ name })).toBe(true);
      const [{ id } = {}] = (await adapter.getAgents()).filter((agent) => agent.name === name);
      expect(await adapter.getAgent(id as typeof id & string)).toMatchObject({ id, name });
    });

    it("are created once, by one of many that do so at once", async () => {
      const id = newId();
      const created = await Promise.all(
        Array.from({ length: 8 }, (_, at) => bench.adapterOf(id).createAgent({ id, name: `Ada ${at}` })),
      );
      expect(created.filter(Boolean)).toHaveLength(1);
    });

    it("keep the members that an update does not give", async () => {
      const id = newId();
      const adapter = bench.adapterOf(id);
      await adapter.createAgent({ id, name: "Ada", bio: "x", topics: ["a"], style: { all: ["c"] }, updatedAt: 5 });
      expect(await adapter.updateAgent(id, { name: "Eva", style: { chat: ["d"] }, enabled: false })).toBe(true);
      const agent = await adapter.getAgent(id);
      expect(agent).toMatchObject({ name: "Eva", bio: "x", topics: ["a"], enabled: false });
      expect(agent?.style).toEqual({ chat: ["d"] });
      expect(agent?.updatedAt).toBeGreaterThan(5);
    });

    it("merge settings member by member, and lose those that are null", async () => {
      const id = newId();
      const adapter = bench.adapterOf(id);
      const settings = { gone: 1, deep: { kept: 1, gone: 2, list: [1, 2] }, secrets: { changed: "x", kept: "y" } };
      await adapter.createAgent({ id, name: "Ada", settings });
      const given = {
        gone: null,
        deep: { gone: null, added: [3], list: [3] },
        secrets: { changed: "z" },
        no: { a: null },
      };
      await adapter.updateAgent(id, { settings: given });
      expect((await adapter.getAgent(id))?.settings).toEqual({
        deep: { kept: 1, added: [3], list: [3] },
        secrets: { changed: "z", kept: "y" },
      });
      await adapter.updateAgent(id, { name: "Eva" });
      expect((await adapter.getAgent(id))?.settings).toMatchObject({ secrets: { kept: "y" } });
    });

    it("keep all settings of updates that are made at once", async () => {
      const { adapter, agentId } = await bench.newHome();
      const names = Array.from({ length: 8 }, (_, at) => `setting${at}`);
      await Promise.all(names.map((name) => adapter.updateAgent(agentId, { settings: { deep: { [name]: name } } })));
      expect((await adapter.getAgent(agentId))?.settings).toEqual({
        deep: Object.fromEntries(names.map((name) => [name, name])),
      });
    });

    it("have texts of any characters", async () => {
      const id = newId();
      const adapter = bench.adapterOf(id);
      const members = { name: ODD_TEXT, username: ODD_TEXT, system: ODD_TEXT, bio: [ODD_TEXT], topics: [ODD_TEXT] };
      const settings = { [ODD_TEXT]: ODD_TEXT };
      await adapter.createAgent({ id, ...members, settings });
      expect(await adapter.getAgent(id)).toMatchObject({ ...members, settings });
      await adapter.updateAgent(id, { settings: { other: ODD_TEXT } });
      expect((await adapter.getAgent(id))?.settings).toEqual({ ...settings, other: ODD_TEXT });
    });

    it("that are unknown are null, and are neither changed nor deleted", async () => {
      const { adapter } = await bench.newHome();
      expect(await adapter.getAgent(newId())).toBeNull();
      expect(await adapter.updateAgent(newId(), { name: "Eva" })).toBe(true);
      expect(await adapter.deleteAgent(newId())).toBe(false);
    });

    it("are refused without a name", async () => {
      const { adapter, agentId } = await bench.newHome();
      await expectRefusal(adapter.createAgent({ id: newId() }), "INVALID_ARGUMENT", "agent.name");
      await expectRefusal(adapter.updateAgent(agentId, { name: 7 as never }), "INVALID_ARGUMENT", "agent.name");
      await expectRefusal(
        adapter.updateAgent(agentId, { settings: [] as never }),
        "INVALID_ARGUMENT",
        "agent.settings",
      );
    });
  });
}
