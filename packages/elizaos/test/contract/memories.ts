import { describe, expect, it } from "vitest";
import { waymark } from "../../src/index.ts";
import { type Bench, expectRefusal, newId, ODD_TEXT } from "./bench.ts";
import { idsOf, memoryOf } from "./new-memories.ts";
import { query } from "./raw-rows.ts";
import { Recording } from "./recording.ts";
import { atAngle, rounded } from "./vectors.ts";

export function describeMemories(bench: Bench): void {
  describe("memories", () => {
    it("come back as they are stored", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, worldId } = home;
      const memory = memoryOf(home, {
        ...{ worldId, createdAt: 1_234_567_890_123, embedding: atAngle(30), unique: false },
        content: { text: "hi", attachments: [{ url: "u" }], n: 1.5, deep: { nothing: null, yes: true } },
        metadata: { type: "custom", tags: ["a"] },
      });
      expect(await adapter.createMemory(memory, "messages")).toBe(memory.id);
      const { worldId: _, ...returned } = { ...memory, agentId, embedding: rounded(atAngle(30)) };
      expect(await adapter.getMemoryById(memory.id)).toEqual(returned);
      expect(await adapter.getMemoriesByIds([memory.id])).toEqual([returned]);
      expect(await adapter.getMemories({ tableName: "messages", agentId })).toEqual([
        { ...returned, type: "messages" },
      ]);
    });

    it("are rows that anybody can read", async () => {
      const home = await bench.newHome();
      const memory = memoryOf(home, {
        createdAt: 1_111_111_111_111,
        content: { text: 'a "b"' },
        embedding: atAngle(9, 7),
      });
      await home.adapter.createMemory(memory, "messages");
      const isPostgres = home.adapter.getConnectionInfo().dialect === "postgres";
      const columns = `${isPostgres ? "id" : "lower(hex(id))"} as id, type, content, metadata, created_at, is_unique, dimensions`;
      const [row] = await query(
        home.adapter,
        bench.options,
        `select ${columns} from eliza_memories where created_at = 1111111111111`,
      );
      expect(String(row?.["id"]).replaceAll("-", "")).toBe(memory.id.replaceAll("-", ""));
      expect([row?.["type"], row?.["metadata"]].map(String)).toEqual(["messages", "{}"]);
      expect(["created_at", "is_unique", "dimensions"].map((name) => Number(row?.[name]))).toEqual([
        1_111_111_111_111, 1, 7,
      ]);
      expect(JSON.parse(String(row?.["content"]))).toEqual(memory.content);
    });

    it("get an id, and the time, where none is given", async () => {
      const home = await bench.newHome();
      const before = Date.now();
      const { id: _, ...given } = memoryOf(home, { createdAt: 0 });
      const id = await home.adapter.createMemory(given, "messages");
      const memory = await home.adapter.getMemoryById(id);
      expect(memory).toMatchObject({ id, unique: true, metadata: {}, content: { text: "hello" } });
      expect(memory?.embedding).toBeUndefined();
      expect(memory?.createdAt).toBeGreaterThanOrEqual(before);
      expect(await home.adapter.getMemoryById(newId())).toBeNull();
    });

    it("are what they were when the call was made, and are not changed by it", async () => {
      const home = await bench.newHome();
      const adapter = waymark.adapter(bench.options, home.agentId);
      const memory = memoryOf(home, { embedding: atAngle(0), metadata: { a: 1 } });
      const copy = structuredClone(memory);
      const creating = adapter.createMemory(memory, "messages");
      expect(memory).toEqual(copy);
      memory.content["text"] = "changed";
      (memory.metadata as Record<string, unknown>)["a"] = 2;
      (memory.embedding as number[])[0] = 9;
      await creating;
      expect(await adapter.getMemoryById(memory.id)).toMatchObject({ ...copy, unique: true });
      const update = { id: memory.id, content: { text: "first" } };
      const updating = adapter.updateMemory(update);
      update.content.text = "second";
      await updating;
      expect(await adapter.getMemoryById(memory.id)).toMatchObject({ content: { text: "first" } });
      await adapter.close();
    });

    it("whose id is taken are not stored, and their id is returned all the same", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const memory = memoryOf(home);
      await home.adapter.createMemory(memory, "messages");
      for (const again of [home, other]) {
        const second = memoryOf(again, { id: memory.id, content: { text: "second" }, embedding: atAngle(0) });
        expect(await again.adapter.createMemory(second, "facts")).toBe(memory.id);
      }
      expect(await home.adapter.getMemoryById(memory.id)).toMatchObject({
        content: { text: "hello" },
        agentId: home.agentId,
      });
      expect(await other.adapter.getMemories({ tableName: "facts", agentId: other.agentId })).toEqual([]);
    });

    it("are refused, in one attempt, for an agent, a room or an entity that is not there", async () => {
      const home = await bench.newHome();
      const recording = new Recording(bench, home.agentId);
      for (const member of ["agentId", "roomId", "entityId"]) {
        const memory = memoryOf(home, { [member]: newId(), embedding: atAngle(0) });
        const words = "create memory: there is no such agent or room or entity";
        const call = () => expectRefusal(recording.adapter.createMemory(memory, "messages"), "NOT_FOUND", words);
        expect(await recording.statementsOf(call)).toBe(2);
        expect(recording.changes).toHaveLength(1);
        expect(await home.adapter.getMemoryById(memory.id)).toBeNull();
      }
    });

    it("take two statements to store with a vector, one without, and three to delete all of a room", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const recording = new Recording(bench, home.agentId);
      for (const [members, most] of [
        [{ embedding: atAngle(0) }, 2],
        [{ embedding: atAngle(0), unique: true }, 1],
        [{}, 1],
      ] as const) {
        const call = () => recording.adapter.createMemory(memoryOf(home, members as never), "facts");
        expect(await recording.statementsOf(call)).toBeLessThanOrEqual(most);
      }
      for (let at = 0; at < 50; at++) await adapter.createMemory(memoryOf(home), "facts");
      expect(
        await recording.statementsOf(() => recording.adapter.deleteAllMemories(home.roomId, "facts")),
      ).toBeLessThanOrEqual(3);
      expect(await adapter.countMemories(home.roomId, false, "facts")).toBe(0);
    });

    it("that are fragments or documents are refused without what these must have", async () => {
      const home = await bench.newHome();
      const cases = [
        [{ type: "fragment", position: 0 }, "documentId"],
        [{ type: "fragment", documentId: newId() }, "position"],
        [{ type: "document" }, "timestamp"],
      ] as const;
      for (const [metadata, missing] of cases) {
        const call = home.adapter.createMemory(memoryOf(home, { metadata: metadata as never }), "documents");
        await expectRefusal(call, "INVALID_ARGUMENT", `memory.metadata.${missing}`);
      }
      expect(await home.adapter.countMemories(home.roomId, false, "documents")).toBe(0);
    });

    it("have content and metadata of any characters, and tables with well-formed names", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const odd = { content: { text: ODD_TEXT, [ODD_TEXT]: [ODD_TEXT] }, metadata: { [ODD_TEXT]: ODD_TEXT } as never };
      const memory = memoryOf(home, odd);
      const table = "t\u{1f600} e\u0301 ' \" \\ %_";
      await adapter.createMemory(memory, table);
      expect(await adapter.getMemories({ tableName: table, roomId })).toMatchObject([odd]);
      expect(await adapter.getMemories({ tableName: table.normalize("NFC"), roomId })).toEqual([]);
      await adapter.updateMemory({ id: memory.id, content: { again: ODD_TEXT } });
      expect(await adapter.getMemoryById(memory.id)).toMatchObject({ content: { again: ODD_TEXT } });
      for (const refused of ["nul \0", "lone \udc00", "x".repeat(256), 7]) {
        await expectRefusal(adapter.createMemory(memoryOf(home), refused as never), "INVALID_ARGUMENT", "tableName");
      }
    });

    it("may be large", async () => {
      const home = await bench.newHome();
      const content = { text: "é".repeat(500_000), list: Array.from({ length: 1_000 }, (_, at) => ({ at })) };
      const memory = memoryOf(home, { content });
      await home.adapter.createMemory(memory, "messages");
      expect(await home.adapter.getMemoryById(memory.id)).toMatchObject({ content });
    });

    it("need neither a room nor an entity", async () => {
      const { adapter, agentId } = await bench.newHome();
      const id = await adapter.createMemory({ content: { a: 1 }, embedding: atAngle(0) } as never, "facts");
      expect(await adapter.getMemories({ tableName: "facts", agentId })).toMatchObject([
        { id, roomId: null, entityId: null },
      ]);
      expect(idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(0) }))).toEqual([id]);
    });
  });
}
