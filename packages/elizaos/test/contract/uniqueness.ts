import { describe, expect, it } from "vitest";
import type { UUID } from "../../src/index.ts";
import { type Bench, newEntity, newId, newRoom } from "./bench.ts";
import { addMemories, idsOf, memoryOf } from "./new-memories.ts";
import { atAngle } from "./vectors.ts";

export function describeUniqueness(bench: Bench): void {
  describe("a memory", () => {
    it("is unique, if none of the same table, room and entity has about its vector", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const [room, eve] = [await newRoom(home), await newEntity(home)];
      const add = async (members: object, table = "facts") => {
        const id = await adapter.createMemory(memoryOf(home, { embedding: atAngle(0), ...members }), table);
        return (await adapter.getMemoryById(id))?.unique;
      };
      expect(await add({})).toBe(true);
      expect(await add({})).toBe(false);
      expect(await add({ embedding: atAngle(17) })).toBe(false); // 0.956
      expect(await add({ embedding: atAngle(40) })).toBe(true);
      expect(await add({ embedding: atAngle(64) })).toBe(true); // 0.914
      expect(await add({ roomId: room })).toBe(true);
      expect(await add({ entityId: eve })).toBe(true);
      expect(await add({}, "documents")).toBe(true);
      expect(await add({ unique: true })).toBe(true);
      expect(await add({ embedding: atAngle(200), unique: false })).toBe(false);
      expect(await add({ embedding: undefined })).toBe(true);
      expect(await add({ embedding: atAngle(0, 768) })).toBe(true); // of another length, nothing is like it
      // The runtime hands over a third argument, which ElizaOS' own adapter ignores.
      const create = adapter.createMemory as (...given: unknown[]) => Promise<UUID>;
      const id = await create(memoryOf(home, { embedding: atAngle(0) }), "facts", true);
      expect(await adapter.getMemoryById(id)).toMatchObject({ unique: false });
    });

    it("of a world is compared with those of that world", async () => {
      const home = await bench.newHome();
      const { adapter, worldId } = home;
      const add = async (members: object) => {
        const id = await adapter.createMemory(memoryOf(home, { embedding: atAngle(0), ...members }), "facts");
        return (await adapter.getMemoryById(id))?.unique;
      };
      expect(await add({ worldId })).toBe(true);
      expect(await add({ worldId: newId() })).toBe(true);
      expect(await add({ worldId })).toBe(false);
    });

    it.each([
      ["of zeros", (length: number) => new Array(length).fill(0), (length: number) => new Array(length).fill(0)],
      [
        "with a number that is not finite",
        (length: number) => [Number.NaN, Infinity, 3, ...new Array(length - 3).fill(0)],
        (length: number) => [0, 0, 3, ...new Array(length - 3).fill(0)],
      ],
      [
        "with a number beyond single precision",
        (length: number) => [1e39, 2, ...new Array(length - 2).fill(0)],
        (length: number) => [0, 2, ...new Array(length - 2).fill(0)],
      ],
      [
        "with what is no number",
        (length: number) => [null, "2", ...new Array(length - 2).fill(0)],
        (length: number) => new Array(length).fill(0),
      ],
      [
        "too small to have a direction",
        (length: number) => new Array(length).fill(1e-30),
        (length: number) => new Array(length).fill(1e-30),
      ],
    ])("with a vector %s comes back, is never found, and makes no other less unique", async (_, given, returned) => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const inert = memoryOf(home, { embedding: given(384) as number[] });
      await adapter.createMemory(inert, "facts");
      const stored = await adapter.getMemoryById(inert.id);
      expect(stored).toMatchObject({ unique: true, embedding: returned(384) });
      const [one, other] = await addMemories(home, "facts", [{ embedding: atAngle(0) }, { embedding: atAngle(90) }]);
      await adapter.createMemory(memoryOf(home, { embedding: given(384) as number[] }), "facts");
      expect(await adapter.getMemories({ tableName: "facts", roomId, unique: true })).toHaveLength(4);
      for (const match_threshold of [undefined, 0.1, -1]) {
        const search = {
          tableName: "facts",
          embedding: atAngle(10),
          ...(match_threshold !== undefined && { match_threshold }),
        };
        expect(idsOf(await adapter.searchMemories({ ...search, count: 1 }))).toEqual([one?.id]);
        expect(idsOf(await adapter.searchMemories(search))).toEqual([one?.id, other?.id]);
      }
      expect(await adapter.searchMemories({ tableName: "facts", embedding: given(384) as number[] })).toEqual([]);
      expect(await adapter.vectorStats()).toEqual([{ dimensions: 384, vectors: 2 }]);
      expect(await adapter.updateMemory({ id: one?.id as typeof roomId, embedding: given(384) as number[] })).toBe(
        true,
      );
      expect(idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(10) }))).toEqual([other?.id]);
      expect(await adapter.updateMemory({ id: inert.id, embedding: atAngle(10) })).toBe(true);
      expect(idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(10) }))).toEqual([
        inert.id,
        other?.id,
      ]);
    });
  });
}
