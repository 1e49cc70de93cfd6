import { describe, expect, it } from "vitest";
import { MEMORIES } from "../../src/tables.ts";
import { type Bench, newId, newRoom } from "./bench.ts";
import { addMemories, idsOf, memoryOf } from "./new-memories.ts";
import { atAngle, rounded } from "./vectors.ts";

export function describeMemoryChanges(bench: Bench): void {
  describe("memories", () => {
    it("have content, metadata and vector replaced by an update, as far as they are given", async () => {
      const home = await bench.newHome();
      const { adapter, agentId } = home;
      const [memory] = await addMemories(home, "facts", [
        { embedding: atAngle(0), content: { a: 1 }, metadata: { a: 1 } },
      ]);
      const id = memory?.id as typeof agentId;
      const stored = async () => await adapter.getMemoryById(id);
      const before = await stored();
      expect(await adapter.updateMemory({ id, content: { b: 2 } })).toBe(true);
      expect(await stored()).toEqual({ ...before, content: { b: 2 } });
      expect(await adapter.updateMemory({ id: id.toUpperCase() as typeof id, metadata: { c: 3 } as never })).toBe(true);
      expect(await stored()).toEqual({ ...before, content: { b: 2 }, metadata: { c: 3 } });
      expect(await adapter.updateMemory({ id, embedding: atAngle(90) })).toBe(true);
      expect(await stored()).toEqual({
        ...before,
        content: { b: 2 },
        metadata: { c: 3 },
        embedding: rounded(atAngle(90)),
      });
      const hits = await adapter.searchMemories({ tableName: "facts", embedding: atAngle(90) });
      expect(hits).toMatchObject([{ id, similarity: 1 }]);
      expect(await adapter.updateMemory({ id, roomId: newId(), unique: false, createdAt: 5 })).toBe(true); // stay
      expect(await stored()).toMatchObject({ roomId: home.roomId, unique: true, createdAt: 1_000 });
      expect(await adapter.updateMemory({ id: newId(), content: {} })).toBe(true);
    });

    it("of documents take along their fragments, this agent's", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter } = home;
      const document = () => ({ metadata: { type: "document", timestamp: 1 } as never });
      const fragmentOf = (documentId: unknown) => ({
        metadata: { type: "fragment", documentId, position: 0 } as never,
      });
      const [one, two, three] = await addMemories(home, "documents", [document(), document(), document()]);
      const [first, upper, ofTwo, ofThree] = await addMemories(home, "knowledge", [
        fragmentOf(one?.id),
        fragmentOf(one?.id.toUpperCase()),
        fragmentOf(two?.id),
        fragmentOf(three?.id),
        fragmentOf("no UUID"),
      ]);
      const foreign = memoryOf(home, fragmentOf(one?.id));
      await other.adapter.createMemory(foreign, "knowledge");
      const left = async () => idsOf(await adapter.getMemories({ tableName: "knowledge", roomId: home.roomId }));
      expect(await left()).toHaveLength(6);
      await adapter.deleteMemory(one?.id as typeof foreign.id);
      expect(await left()).not.toContain(first?.id);
      expect(await left()).not.toContain(upper?.id);
      expect(await left()).toContain(foreign.id);
      await adapter.deleteManyMemories([two?.id as typeof foreign.id, newId()]);
      expect(await left()).not.toContain(ofTwo?.id);
      await adapter.updateMemory({ id: ofThree?.id as typeof foreign.id, ...fragmentOf(two?.id) });
      await adapter.deleteAllMemories(home.roomId, "documents");
      expect(await left()).toContain(ofThree?.id); // its document is another by then
      expect(await left()).toHaveLength(3);
    });

    it("become fragments of a document in an update, with all their vectors", async () => {
      const home = await bench.newHome();
      const { adapter, agentId } = home;
      for (const more of [{}, { embedding: atAngle(9, 5) }, { embedding: atAngle(9) }]) {
        const [document, fragment] = await addMemories(home, "documents", [{}, { embedding: atAngle(0) }]);
        const id = fragment?.id as typeof agentId;
        await adapter.updateMemory({ id, embedding: atAngle(0, 7) });
        const metadata = { type: "fragment", documentId: document?.id, position: 0 } as never;
        await adapter.updateMemory({ id, metadata, ...more });
        await adapter.deleteMemory(document?.id as typeof agentId);
        expect(await adapter.getMemoryById(id)).toBeNull();
        expect(await bench.count(MEMORIES, { agent: agentId })).toBe(0);
      }
    });

    it("are deleted by their ids, or by room and table, with their vectors", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const room = await newRoom(home);
      const [one, two, three, elsewhere] = await addMemories(home, "messages", [
        { embedding: atAngle(0) },
        { embedding: atAngle(90) },
        {},
        { roomId: room },
      ]);
      const [fact] = await addMemories(home, "facts", [{ embedding: atAngle(0) }]);
      await adapter.deleteMemory(one?.id.toUpperCase() as typeof roomId);
      await adapter.deleteMemory(newId());
      const list = async () => idsOf(await adapter.getMemories({ tableName: "messages", agentId: home.agentId }));
      expect(await list()).toEqual([elsewhere?.id, three?.id, two?.id]);
      expect(idsOf(await adapter.searchMemories({ tableName: "messages", embedding: atAngle(0) }))).toEqual([two?.id]);
      await adapter.deleteManyMemories([]);
      await adapter.deleteAllMemories(roomId.toUpperCase() as typeof roomId, "messages");
      expect(await list()).toEqual([elsewhere?.id]);
      expect(idsOf(await adapter.getMemories({ tableName: "facts", roomId }))).toEqual([fact?.id]);
      expect(await bench.count(MEMORIES, { agent: home.agentId })).toBe(2);
    });
  });
}
