import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newId, ODD_TEXT } from "./bench.ts";

export function describeTasks(bench: Bench): void {
  describe("tasks", () => {
    it("come back as they are stored, without times and without an entity", async () => {
      const { adapter, roomId, worldId, entityId } = await bench.newHome();
      const task = { id: newId(), name: "Clean", description: "Clean up", roomId, worldId, tags: ["queue", "repeat"] };
      const metadata = { updatedAt: 5, updateInterval: 1_000 };
      expect(await adapter.createTask({ ...task, metadata, entityId })).toBe(task.id);
      // A time of the row's own would be taken for that of the last run.
      expect(await adapter.getTask(task.id)).toEqual({ ...task, metadata });
      expect(await adapter.getTask(task.id.toUpperCase() as typeof task.id)).toEqual({ ...task, metadata });
      expect(await adapter.getTask(newId())).toBeNull();
    });

    it("get an id where none is given, and need a world", async () => {
      const { adapter, worldId } = await bench.newHome();
      const id = await adapter.createTask({ name: "t", worldId } as never);
      const bare = { id, name: "t", description: "", roomId: null, worldId, tags: [], metadata: {} };
      expect(await adapter.getTask(id)).toEqual(bare);
      await expectRefusal(adapter.createTask({ name: "t" } as never), "INVALID_ARGUMENT", "task.worldId");
      await expectRefusal(adapter.createTask({ id, name: "t", worldId } as never), "CONFLICT", "create task");
      const orphan = bench.adapterOf(newId()).createTask({ name: "t", worldId } as never);
      await expectRefusal(orphan, "NOT_FOUND", "create task: there is no such agent");
    });

    it("are found by room and by all of their tags, whatever the entity is", async () => {
      const { adapter, roomId, worldId } = await bench.newHome();
      const add = async (name: string, tags: string[], members = {}) =>
        await adapter.createTask({ name, description: "", worldId, tags, ...members });
      await add("one", ["queue", "repeat"], { roomId });
      await add("two", ["repeat", "more", "queue"]);
      await add("three", ["Queue", "queue\nrepeat", "que", "queu_", "%"]);
      const namesOf = async (query: object) => (await adapter.getTasks(query)).map(({ name }) => name);
      expect(await namesOf({})).toEqual(["one", "two", "three"]);
      expect(await namesOf({ tags: [] })).toEqual(["one", "two", "three"]);
      expect(await namesOf({ tags: ["queue"] })).toEqual(["one", "two"]);
      expect(await namesOf({ tags: ["queue", "repeat"] })).toEqual(["one", "two"]);
      expect(await namesOf({ tags: ["queue", "more"] })).toEqual(["two"]);
      expect(await namesOf({ tags: ["queue", "missing"] })).toEqual([]);
      expect(await namesOf({ tags: ["queue\nrepeat"] })).toEqual(["three"]);
      expect(await namesOf({ roomId })).toEqual(["one"]);
      expect(await namesOf({ roomId, tags: ["more"] })).toEqual([]);
      expect(await namesOf({ entityId: newId() })).toEqual(["one", "two", "three"]);
    });

    it("are those of their own agent alone", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      const id = await one.adapter.createTask({ name: "t", description: "", worldId: one.worldId, tags: ["queue"] });
      expect(await other.adapter.getTask(id)).toBeNull();
      expect(await other.adapter.getTasks({ tags: ["queue"] })).toEqual([]);
      expect(await other.adapter.getTasksByName("t")).toEqual([]);
      await other.adapter.updateTask(id, { name: "u" });
      await other.adapter.deleteTask(id);
      expect(await one.adapter.getTasksByName("t")).toMatchObject([{ id }]);
    });

    it("are found by their exact name", async () => {
      const { adapter, worldId } = await bench.newHome();
      for (const name of ["Clean", "clean", "Clean ", "Clean"]) {
        await adapter.createTask({ name, description: "", worldId, tags: [] });
      }
      expect(await adapter.getTasksByName("Clean")).toHaveLength(2);
      expect(await adapter.getTasksByName("clean")).toHaveLength(1);
      expect(await adapter.getTasksByName("CLEAN")).toEqual([]);
      expect(await adapter.getTasksByName("Clea%")).toEqual([]);
    });

    it("keep the members that an update does not give", async () => {
      const { adapter, roomId, worldId } = await bench.newHome();
      const id = await adapter.createTask({
        name: "t",
        description: "d",
        roomId,
        worldId,
        tags: ["a"],
        metadata: { a: 1 },
      });
      await adapter.updateTask(id, { metadata: { b: 2 } });
      const task = { id, name: "t", description: "d", roomId, worldId, tags: ["a"], metadata: { b: 2 } };
      expect(await adapter.getTask(id)).toEqual(task);
      const change = { name: "u", description: "e", tags: ["b"] };
      await adapter.updateTask(id.toUpperCase() as typeof id, change);
      expect(await adapter.getTask(id)).toEqual({ ...task, ...change });
      await adapter.updateTask(newId(), change); // nothing is created
      expect(await adapter.getTasks({})).toHaveLength(1);
    });

    it("are deleted one by one", async () => {
      const { adapter, worldId } = await bench.newHome();
      const [one, other] = [await adapter.createTask({ name: "t", worldId } as never), newId()];
      await adapter.createTask({ id: other, name: "t", worldId } as never);
      await adapter.deleteTask(one);
      await adapter.deleteTask(newId());
      expect(await adapter.getTasks({})).toMatchObject([{ id: other }]);
    });

    it("have descriptions, tags and metadata of any characters, and well-formed names", async () => {
      const { adapter, worldId } = await bench.newHome();
      const name = "é e\u0301 \u{1f600} \\ \" '".repeat(20);
      const odd = { description: ODD_TEXT, tags: [ODD_TEXT, ""], metadata: { [ODD_TEXT]: ODD_TEXT } };
      const id = await adapter.createTask({ name, worldId, ...odd });
      expect(await adapter.getTasksByName(name)).toMatchObject([{ id, name, ...odd }]);
      expect(await adapter.getTasks({ tags: [ODD_TEXT, ""] })).toHaveLength(1);
      for (const refused of ["nul \0", "lone \ud800", "", "x".repeat(1_025), 7]) {
        await expectRefusal(adapter.createTask({ name: refused, worldId } as never), "INVALID_ARGUMENT", "task.name");
      }
    });
  });
}
