import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newEntity, newId, ODD_TEXT } from "./bench.ts";

export function describeRelationships(bench: Bench): void {
  describe("relationships", () => {
    it("come back as they are stored", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, entityId: sourceEntityId } = home;
      const targetEntityId = await newEntity(home);
      const relationship = { sourceEntityId, targetEntityId, tags: ["friend", "a b"], metadata: { strength: 0.5 } };
      expect(await adapter.createRelationship(relationship)).toBe(true);
      const found = await adapter.getRelationship({ sourceEntityId, targetEntityId });
      expect(found).toEqual({ ...relationship, id: expect.any(String), agentId, createdAt: expect.any(String) });
      expect(Date.parse(found?.createdAt ?? "")).toBeGreaterThan(Date.now() - 60_000);
      expect(
        await adapter.getRelationship({ sourceEntityId: targetEntityId, targetEntityId: sourceEntityId }),
      ).toBeNull();
      const [source, target] = [sourceEntityId.toUpperCase(), targetEntityId.toUpperCase()] as [never, never];
      expect(await adapter.getRelationship({ sourceEntityId: source, targetEntityId: target })).toEqual(found);
    });

    it("are there once for each agent: a second one is refused with false", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, entityId: sourceEntityId } = home;
      const pair = { sourceEntityId, targetEntityId: await newEntity(home) };
      expect(await adapter.createRelationship({ ...pair, tags: ["first"] })).toBe(true);
      expect(await adapter.createRelationship({ ...pair, tags: ["second"] })).toBe(false);
      expect(await adapter.getRelationship(pair)).toMatchObject({ tags: ["first"], metadata: {} });
      expect(await other.adapter.createRelationship({ ...pair, tags: ["other"] })).toBe(true);
      const found = await adapter.getRelationships({ entityId: sourceEntityId });
      expect(found.map(({ tags }) => tags)).toEqual([["first"], ["other"]]);
    });

    it("are created once, by one of many that do so at once", async () => {
      const home = await bench.newHome();
      const pair = { sourceEntityId: home.entityId, targetEntityId: await newEntity(home) };
      const created = await Promise.all(Array.from({ length: 6 }, () => home.adapter.createRelationship(pair)));
      expect(created.filter(Boolean)).toHaveLength(1);
    });

    it("replace their tags and metadata", async () => {
      const home = await bench.newHome();
      const { adapter, entityId: sourceEntityId } = home;
      const pair = { sourceEntityId, targetEntityId: await newEntity(home) };
      await adapter.createRelationship({ ...pair, tags: ["a"], metadata: { a: 1 } });
      const found = await adapter.getRelationship(pair);
      await adapter.updateRelationship({ ...found, tags: ["b", "c"], metadata: { b: 2 } } as never);
      expect(await adapter.getRelationship(pair)).toEqual({ ...found, tags: ["b", "c"], metadata: { b: 2 } });
      await adapter.updateRelationship({ ...found, id: newId(), tags: [] } as never); // nothing is created
      expect(await adapter.getRelationships({ entityId: sourceEntityId })).toHaveLength(1);
    });

    it("of an entity are those on either end, with any of the tags", async () => {
      const home = await bench.newHome();
      const { adapter, entityId } = home;
      const [eve, zoe] = [await newEntity(home), await newEntity(home)];
      const pairs: [typeof eve, typeof eve, string[]][] = [
        [entityId, eve, ["friend", "boss"]],
        [zoe, entityId, ["enemy"]],
        [eve, zoe, ["friend"]],
        [entityId, entityId, ["self", "friend\nboss"]],
      ];
      for (const [sourceEntityId, targetEntityId, tags] of pairs) {
        await adapter.createRelationship({ sourceEntityId, targetEntityId, tags });
      }
      const tagsOf = async (tags?: string[]) =>
        (await adapter.getRelationships({ entityId, ...(tags && { tags }) })).map((one) => one.tags[0]);
      expect(await tagsOf()).toEqual(["friend", "enemy", "self"]);
      expect(await tagsOf([])).toEqual(["friend", "enemy", "self"]);
      expect(await tagsOf(["boss"])).toEqual(["friend"]);
      expect(await tagsOf(["enemy", "friend"])).toEqual(["friend", "enemy"]);
      expect(await tagsOf(["Friend", "frien", "%"])).toEqual([]);
      expect(await tagsOf(["friend\nboss"])).toEqual(["self"]);
      expect(await adapter.getRelationships({ entityId: newId() })).toEqual([]);
    });

    it("are refused between entities that are not there", async () => {
      const { adapter, entityId } = await bench.newHome();
      for (const pair of [{ sourceEntityId: newId() }, { targetEntityId: newId() }]) {
        const call = adapter.createRelationship({ sourceEntityId: entityId, targetEntityId: entityId, ...pair });
        await expectRefusal(call, "NOT_FOUND", "create relationship: there is no such entity or agent");
      }
    });

    it("have tags and metadata of any characters", async () => {
      const { adapter, entityId } = await bench.newHome();
      const pair = { sourceEntityId: entityId, targetEntityId: entityId };
      await adapter.createRelationship({ ...pair, tags: [ODD_TEXT, ""], metadata: { [ODD_TEXT]: ODD_TEXT } });
      const [found] = await adapter.getRelationships({ entityId, tags: [ODD_TEXT] });
      expect(found).toMatchObject({ tags: [ODD_TEXT, ""], metadata: { [ODD_TEXT]: ODD_TEXT } });
      expect(await adapter.getRelationships({ entityId, tags: [""] })).toHaveLength(1);
    });
  });
}
