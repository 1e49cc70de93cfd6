import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newEntity, newId, newRoom, ODD_TEXT } from "./bench.ts";

export function describeEntities(bench: Bench): void {
  describe("entities", () => {
    it("come back in the order of the ids, once each, with their components", async () => {
      const { adapter, agentId, roomId, worldId } = await bench.newHome();
      const [one, other] = [newId(), newId()];
      const entities = [one, other].map((id) => ({
        id,
        names: ["x", "y"],
        metadata: { id, deep: { a: [1] } },
        agentId,
      }));
      expect(await adapter.createEntities(entities)).toBe(true);
      const component = {
        id: newId(),
        entityId: one,
        agentId,
        roomId,
        worldId,
        sourceEntityId: other,
        type: "t",
        data: { a: 1 },
      };
      await adapter.createComponent({ ...component, createdAt: 0 });
      const [first, second] = entities.map((entity) => ({ ...entity, createdAt: expect.any(Date) }));
      expect(await adapter.getEntitiesByIds([other, newId(), one, other])).toEqual([
        { ...second, components: [] },
        { ...first, components: [{ ...component, createdAt: expect.any(Date) }] },
      ]);
      expect(await adapter.getEntitiesByIds([])).toEqual([]);
      expect(await adapter.getEntitiesByIds([newId()])).toEqual([]);
    });

    it("are found by ids in upper case", async () => {
      const { adapter, agentId, roomId } = await bench.newHome();
      const id = newId();
      const upper = id.toUpperCase() as typeof id;
      await adapter.createEntities([
        { id: upper, names: ["x"], metadata: {}, agentId: agentId.toUpperCase() as typeof id },
      ]);
      await adapter.addParticipant(upper, roomId.toUpperCase() as typeof id);
      await adapter.updateEntity({ id: upper, names: ["y"], metadata: {}, agentId });
      expect(await adapter.getEntitiesByIds([upper])).toMatchObject([{ id, agentId, names: ["y"] }]);
      expect(await adapter.getEntitiesForRoom(roomId.toUpperCase() as typeof id)).toMatchObject([{ id }]);
      await adapter.deleteEntity(upper);
      expect(await adapter.getEntitiesByIds([id])).toEqual([]);
    });

    it("make lists of names of what is given as such", async () => {
      const { adapter, agentId } = await bench.newHome();
      const given: [unknown, string[]][] = [
        [
          ["a", "b"],
          ["a", "b"],
        ],
        ["one text", ["one text"]],
        [new Set(["a", "b"]), ["a", "b"]],
        [7, ["7"]],
        [null, []],
        [
          [1, true],
          ["1", "true"],
        ],
        [[], []],
      ];
      const entities = given.map(([names]) => ({ id: newId(), names: names as string[], metadata: {}, agentId }));
      expect(await adapter.createEntities(entities)).toBe(true);
      const found = await adapter.getEntitiesByIds(entities.map(({ id }) => id));
      expect(found.map(({ names }) => names)).toEqual(given.map(([, names]) => names));
    });

    it("that are there already stay as they are, those of another agent too", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      const taken = { id: one.entityId, names: ["Mallory"], metadata: { new: true }, agentId: other.agentId };
      const fresh = { ...taken, id: newId() };
      expect(await other.adapter.createEntities([taken, fresh, fresh])).toBe(true);
      const found = await other.adapter.getEntitiesByIds([one.entityId, fresh.id]);
      expect(found).toMatchObject([
        { names: ["Bob"], metadata: {}, agentId: one.agentId },
        { names: ["Mallory"], agentId: other.agentId },
      ]);
      await other.adapter.updateEntity({ id: one.entityId, names: ["Rob"], metadata: {}, agentId: one.agentId });
      expect(await one.adapter.getEntitiesByIds([one.entityId])).toMatchObject([{ names: ["Rob"] }]);
    });

    it("are all created, or none", async () => {
      const { adapter, agentId } = await bench.newHome();
      const [one, other] = [newId(), newId()];
      const entities = [agentId, newId()].map((agent, at) => ({
        ...{ id: [one, other][at] as typeof one, names: [], metadata: {}, agentId: agent },
      }));
      await expectRefusal(adapter.createEntities(entities), "NOT_FOUND", "create entities: there is no such agent");
      expect(await adapter.getEntitiesByIds([one, other])).toEqual([]);
      expect(await adapter.createEntities([])).toBe(true);
    });

    it("lose their names and metadata in an update that gives none", async () => {
      const { adapter, agentId, entityId } = await bench.newHome();
      await adapter.updateEntity({ id: entityId, names: ["a"], metadata: { a: 1, b: 2 }, agentId });
      await adapter.updateEntity({ id: entityId, names: ["b", "c"], metadata: { b: 3 }, agentId });
      expect(await adapter.getEntitiesByIds([entityId])).toMatchObject([{ names: ["b", "c"], metadata: { b: 3 } }]);
      await adapter.updateEntity({ id: entityId, agentId } as never);
      const [entity] = await adapter.getEntitiesByIds([entityId]);
      expect([entity?.names, entity?.metadata]).toEqual([[], {}]);
      await adapter.updateEntity({ id: newId(), names: ["x"], metadata: {}, agentId }); // nothing is created
    });

    it("of a room are this agent's, by when they joined it", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, agentId, roomId, worldId, entityId } = home;
      const eve = await newEntity(home);
      const elsewhere = await newRoom(home);
      await adapter.addParticipantsRoom([eve, entityId], roomId);
      await adapter.addParticipant(eve, elsewhere);
      await other.adapter.addParticipantsRoom([other.entityId, eve], roomId);
      const component = {
        id: newId(),
        entityId: eve,
        agentId,
        roomId,
        worldId,
        sourceEntityId: eve,
        type: "t",
        data: {},
      };
      await adapter.createComponent({ ...component, createdAt: 0 });
      const bare = await adapter.getEntitiesForRoom(roomId);
      expect(bare.map(({ id }) => id)).toEqual([eve, entityId]);
      expect(bare.map(({ components }) => components)).toEqual([undefined, undefined]);
      expect((await adapter.getEntitiesForRoom(roomId, true)).map(({ components }) => components)).toEqual([
        [{ ...component, createdAt: expect.any(Date) }],
        [],
      ]);
      expect(await adapter.getEntitiesForRoom(newId())).toEqual([]);
    });

    it("are found by one of their names, in its case", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, agentId } = home;
      const [one, two] = [await newEntity(home, ["Ann", "Anna"]), await newEntity(home, ["Anna"])];
      await newEntity(home, ["anna", "An", "nna", "Ann\nAnna"]);
      await newEntity(other, ["Anna"]);
      const idsOf = async (names: string[]) =>
        (await adapter.getEntitiesByNames({ names, agentId })).map(({ id }) => id).sort();
      expect(await idsOf(["Anna"])).toEqual([one, two].sort());
      expect(await idsOf(["Ann"])).toEqual([one]);
      expect(await idsOf(["Ann", "Anna", "Zoe"])).toEqual([one, two].sort());
      expect(await idsOf(["A%", "An_a", ""])).toEqual([]);
      expect(await idsOf([])).toEqual([]);
    });

    it("are searched by a part of a name, in capitals or not", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, entityId } = home;
      const zoe = await newEntity(home, ["x", "ZOË Ångström"]);
      const odd = await newEntity(home, ['100% "sure"_\\']);
      const idsOf = async (query: string, limit?: number) =>
        (await adapter.searchEntitiesByName({ query, agentId, ...(limit !== undefined && { limit }) })).map(
          ({ id }) => id,
        );
      expect(await idsOf("zoë å")).toEqual([zoe]);
      expect(await idsOf("ÅNG")).toEqual([zoe]);
      for (const part of ["100%", '"SURE"', "_", "\\", "_\\"]) expect(await idsOf(part)).toEqual([odd]);
      expect(await idsOf("%o%")).toEqual([]);
      expect(await idsOf("o")).toEqual([entityId, zoe]);
      expect(await idsOf("", 2)).toEqual([entityId, zoe]);
      expect(await idsOf("  ")).toEqual([entityId, zoe, odd]);
      expect(await idsOf("o", 0)).toEqual([]);
    });

    it("are searched for 10 at a time, if no limit is given", async () => {
      const { adapter, agentId } = await bench.newHome();
      const entities = Array.from({ length: 12 }, (_, at) => ({
        id: newId(),
        names: [`N${at}`],
        metadata: {},
        agentId,
      }));
      await adapter.createEntities(entities);
      expect(await adapter.searchEntitiesByName({ query: "n", agentId })).toHaveLength(10);
      expect(await adapter.searchEntitiesByName({ query: "n", agentId, limit: 20 })).toHaveLength(12);
    });

    it("have names and metadata of any characters", async () => {
      const home = await bench.newHome();
      const { adapter, agentId } = home;
      const id = newId();
      await adapter.createEntities([{ id, names: [ODD_TEXT, "b"], metadata: { [ODD_TEXT]: ODD_TEXT }, agentId }]);
      const stored = { id, names: [ODD_TEXT, "b"], metadata: { [ODD_TEXT]: ODD_TEXT } };
      expect(await adapter.getEntitiesByIds([id])).toMatchObject([stored]);
      expect(await adapter.getEntitiesByNames({ names: [ODD_TEXT], agentId })).toMatchObject([stored]);
      expect(await adapter.searchEntitiesByName({ query: "LONE \ud800", agentId })).toMatchObject([stored]);
      expect(await adapter.searchEntitiesByName({ query: "nul \0", agentId })).toMatchObject([stored]);
    });
  });
}
