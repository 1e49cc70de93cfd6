import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, type Home, newEntity, newId, ODD_TEXT } from "./bench.ts";

function componentOf({ agentId, roomId, worldId, entityId }: Home, members: object = {}) {
  const ids = { id: newId(), entityId, agentId, roomId, worldId, sourceEntityId: entityId };
  return { ...ids, type: "profile", data: { a: 1, deep: { list: [1, "x", null] } }, createdAt: 0, ...members };
}

export function describeComponents(bench: Bench): void {
  describe("components", () => {
    it("come back as they are stored, with the time in milliseconds", async () => {
      const home = await bench.newHome();
      const component = componentOf(home);
      const before = Date.now();
      expect(await home.adapter.createComponent(component)).toBe(true);
      const found = await home.adapter.getComponent(home.entityId, "profile");
      expect(found).toEqual({ ...component, createdAt: expect.any(Number) });
      expect(found?.createdAt).toBeGreaterThanOrEqual(before);
      expect(await home.adapter.getComponents(home.entityId)).toEqual([found]);
    });

    it("are found by entity, type, world and source", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, entityId, worldId } = home;
      const [eve, elsewhere] = [await newEntity(home), newId()];
      await adapter.createWorld({ id: elsewhere, agentId, name: "Elsewhere" });
      const oldest = componentOf(home, { sourceEntityId: eve });
      const inOther = componentOf(home, { worldId: elsewhere });
      const ofType = componentOf(home, { type: "Profile" });
      const ofEve = componentOf(home, { entityId: eve });
      for (const component of [oldest, inOther, ofType, ofEve]) await adapter.createComponent(component);
      const idOf = async (...given: Parameters<typeof adapter.getComponent>) =>
        (await adapter.getComponent(...given))?.id;
      expect(await idOf(entityId, "profile")).toBe(oldest.id);
      expect(await idOf(entityId, "Profile")).toBe(ofType.id);
      expect(await idOf(entityId, "profile", elsewhere)).toBe(inOther.id);
      expect(await idOf(entityId, "profile", worldId, eve)).toBe(oldest.id);
      expect(await idOf(entityId, "profile", elsewhere, eve)).toBeUndefined();
      expect(await adapter.getComponent(entityId, "profil_")).toBeNull();
      expect(await adapter.getComponent(newId(), "profile")).toBeNull();
      const idsOf = async (...given: Parameters<typeof adapter.getComponents>) =>
        (await adapter.getComponents(...given)).map(({ id }) => id);
      expect(await idsOf(entityId)).toEqual([oldest.id, inOther.id, ofType.id]);
      expect(await idsOf(entityId, worldId)).toEqual([oldest.id, ofType.id]);
      expect(await idsOf(entityId, undefined, eve)).toEqual([oldest.id]);
      expect(await idsOf(entityId.toUpperCase() as typeof entityId)).toHaveLength(3);
    });

    it("need no world and no source", async () => {
      const home = await bench.newHome();
      const { worldId: _, sourceEntityId: __, ...bare } = componentOf(home);
      await home.adapter.createComponent(bare as never);
      expect(await home.adapter.getComponent(home.entityId, "profile")).toMatchObject({
        worldId: "",
        sourceEntityId: "",
      });
    });

    it("keep the members that an update does not give", async () => {
      const home = await bench.newHome();
      const { adapter, entityId } = home;
      const component = componentOf(home);
      await adapter.createComponent(component);
      await adapter.updateComponent({ id: component.id, data: { b: 2 } } as never);
      expect(await adapter.getComponent(entityId, "profile")).toEqual({
        ...component,
        data: { b: 2 },
        createdAt: expect.any(Number),
      });
      await adapter.updateComponent({ ...component, type: "other" });
      expect(await adapter.getComponents(entityId)).toMatchObject([{ type: "other", data: component.data }]);
      await adapter.updateComponent(componentOf(home)); // nothing is created
      expect(await adapter.getComponents(entityId)).toHaveLength(1);
    });

    it("are deleted one by one", async () => {
      const home = await bench.newHome();
      const [one, other] = [componentOf(home), componentOf(home)];
      for (const component of [one, other]) await home.adapter.createComponent(component);
      await home.adapter.deleteComponent(one.id.toUpperCase() as typeof one.id);
      await home.adapter.deleteComponent(newId());
      expect(await home.adapter.getComponents(home.entityId)).toMatchObject([{ id: other.id }]);
    });

    it("are refused if their id is taken, or if they name what is not there", async () => {
      const home = await bench.newHome();
      const component = componentOf(home);
      await home.adapter.createComponent(component);
      const again = { ...component, data: { other: true } };
      await expectRefusal(home.adapter.createComponent(again), "CONFLICT", "create component");
      for (const member of ["entityId", "agentId", "roomId", "worldId", "sourceEntityId"]) {
        const orphan = componentOf(home, { [member]: newId() });
        await expectRefusal(home.adapter.createComponent(orphan), "NOT_FOUND", "create component: there is no such");
        const moved = { ...component, [member]: newId() };
        await expectRefusal(home.adapter.updateComponent(moved), "NOT_FOUND", "update component: there is no such");
      }
      expect(await home.adapter.getComponents(home.entityId)).toMatchObject([{ data: component.data }]);
    });

    it("have types and data of any characters", async () => {
      const home = await bench.newHome();
      const component = componentOf(home, { type: ODD_TEXT, data: { [ODD_TEXT]: ODD_TEXT } });
      await home.adapter.createComponent(component);
      expect(await home.adapter.getComponent(home.entityId, ODD_TEXT)).toMatchObject({ data: component.data });
    });
  });
}
