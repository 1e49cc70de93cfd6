import { insertRecords, type Step } from "@waymark/core/records";
import { describe, expect, it } from "vitest";
import type { UUID } from "../../src/index.ts";
import { spaceOf } from "../../src/space.ts";
import { ELIZA_TABLES, LOGS, type LogRow, MEMORIES, type MemoryRow } from "../../src/tables.ts";
import { type Bench, type Home, newEntity, newId, newRoom } from "./bench.ts";
import { Recording } from "./recording.ts";
import { atAngle } from "./vectors.ts";

/** More rows than one commit removes, by ten and more. */
const MANY = 5_020;
const MOST_OF_A_COMMIT = 5_000;

/** Stores a row of each kind that belongs to a home. */
async function fill(home: Home): Promise<void> {
  const { adapter, agentId, worldId, roomId, entityId } = home;
  const component = { id: newId(), entityId, agentId, roomId, worldId, sourceEntityId: entityId, type: "t", data: {} };
  await adapter.createComponent({ ...component, createdAt: 0 });
  const id = await adapter.createMemory({ entityId, roomId, content: {}, embedding: atAngle(0) }, "facts");
  await adapter.updateMemory({ id, embedding: atAngle(0, 7) });
  await adapter.addParticipant(entityId, roomId);
  await adapter.createRelationship({ sourceEntityId: entityId, targetEntityId: entityId });
  await adapter.createTask({ name: "t", description: "", roomId, worldId, tags: [] });
  await adapter.setCache("key", 1);
  await adapter.log({ body: {}, entityId, roomId, type: "action" });
  await adapter.getLogs({ count: 1 });
}

/** Stores many memories and logs around the adapter. */
async function fillWithMany(bench: Bench, { agentId: agent, roomId: room, entityId: entity }: Home): Promise<UUID[]> {
  const rows = Array.from(
    { length: MANY },
    (): MemoryRow => ({
      ...{
        id: newId(),
        part: 0,
        agent,
        room,
        entity,
        world: null,
        type: "facts",
        createdAt: 1,
        isUnique: 1,
        document: null,
      },
      ...{
        space: spaceOf(agent, "facts"),
        dimensions: null,
        place: room,
        signature: null,
        content: "{}",
        metadata: "{}",
        vector: null,
      },
    }),
  );
  const logs = Array.from(
    { length: MANY },
    (): LogRow => ({
      ...{
        id: newId(),
        agent,
        entity,
        room,
        type: "action",
        run: null,
        status: null,
        failed: 0,
        prompts: 0,
        createdAt: 1,
        body: "{}",
      },
    }),
  );
  const store = await bench.store();
  await store.run("fill", (records, signal) =>
    records.change([insertRecords(MEMORIES, rows), insertRecords(LOGS, logs)], signal),
  );
  return rows.map(({ id }) => id as UUID);
}

/** Number of rows that a step names to be removed. */
function removedBy(step: Step): number {
  if (step.verb === "remove keys") return step.keys.length;
  const named = Object.values("where" in step ? step.where : {}).map(
    (one) => (one as { in?: unknown[] } | null)?.in?.length ?? 0,
  );
  return Math.max(0, ...named);
}

function expectSmallCommits({ changes }: Recording, commits: number): void {
  expect(changes).toHaveLength(commits);
  for (const steps of changes) {
    for (const step of steps) expect(removedBy(step)).toBeLessThanOrEqual(MOST_OF_A_COMMIT);
  }
}

const ALL_TABLES = Object.fromEntries(ELIZA_TABLES.map(({ name }) => [name, name === "eliza_memories" ? 2 : 1]));

export function describeDeleting(bench: Bench): void {
  describe("deleting", () => {
    it("an agent removes all that is its, and nothing else", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      for (const one of [home, other]) await fill(one);
      expect(await bench.rowsOf(home.agentId)).toEqual(ALL_TABLES);
      expect(await home.adapter.deleteAgent(home.agentId)).toBe(true);
      expect(Object.values(await bench.rowsOf(home.agentId)).every((count) => count === 0)).toBe(true);
      expect(await bench.rowsOf(other.agentId)).toEqual(ALL_TABLES);
      expect(await home.adapter.deleteAgent(home.agentId)).toBe(false);
    });

    it("an entity removes what it is in, has and has said", async () => {
      const home = await bench.newHome();
      await fill(home);
      const eve = await newEntity(home);
      await home.adapter.createMemory({ entityId: eve, roomId: home.roomId, content: {} }, "facts");
      await home.adapter.deleteEntity(home.entityId);
      expect(await bench.rowsOf(home.agentId)).toEqual({
        ...ALL_TABLES,
        ...{ eliza_components: 0, eliza_memories: 1, eliza_participants: 0, eliza_relationships: 0, eliza_logs: 0 },
      });
      expect(await home.adapter.getEntitiesByIds([eve, home.entityId])).toMatchObject([{ id: eve }]);
      await home.adapter.deleteEntity(home.entityId);
    });

    it("a room removes what is in it, but for tasks", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      await fill(home);
      const room = await newRoom(home);
      await home.adapter.createMemory({ entityId: home.entityId, roomId: room, content: {} }, "facts");
      await other.adapter.createMemory({ entityId: other.entityId, roomId: home.roomId, content: {} }, "facts");
      await home.adapter.deleteRoom(home.roomId.toUpperCase() as UUID);
      expect(await bench.rowsOf(home.agentId)).toEqual({
        ...ALL_TABLES,
        ...{ eliza_components: 0, eliza_memories: 1, eliza_participants: 0, eliza_logs: 0 },
      });
      expect((await home.adapter.getRoomsByWorld(home.worldId)).map(({ id }) => id)).toEqual([room]);
      expect(await bench.rowsOf(other.agentId)).toMatchObject({ eliza_memories: 0 });
      await home.adapter.deleteRoom(home.roomId);
    });

    it("the rooms of a world removes this agent's, with all that is in them", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      await fill(home);
      const elsewhere = await newRoom(home, { worldId: newId() });
      await newRoom(home);
      const foreign = await newRoom({ ...other, worldId: home.worldId });
      await home.adapter.createMemory({ entityId: home.entityId, roomId: elsewhere, content: {} }, "facts");
      await home.adapter.deleteRoomsByWorldId(home.worldId.toUpperCase() as UUID);
      expect(await bench.rowsOf(home.agentId)).toEqual({
        ...ALL_TABLES,
        ...{ eliza_components: 0, eliza_memories: 1, eliza_participants: 0, eliza_logs: 0 },
      });
      expect((await home.adapter.getRoomsByWorld(home.worldId)).map(({ id }) => id)).toEqual([foreign]);
      expect(await home.adapter.getRoomsByIds([elsewhere])).toHaveLength(1);
      expect(await home.adapter.getWorld(home.worldId)).toMatchObject({ id: home.worldId });
      await home.adapter.deleteRoomsByWorldId(newId());
    });

    it("an agent, an entity, a room or the rooms of a world removes memories and logs first, by their keys", async () => {
      const ways = [
        ({ agentId }: Home, { adapter }: Recording) => adapter.deleteAgent(agentId),
        ({ entityId }: Home, { adapter }: Recording) => adapter.deleteEntity(entityId),
        ({ roomId }: Home, { adapter }: Recording) => adapter.deleteRoom(roomId),
        ({ worldId }: Home, { adapter }: Recording) => adapter.deleteRoomsByWorldId(worldId),
      ];
      for (const remove of ways) {
        const home = await bench.newHome();
        await fill(home);
        const recording = new Recording(bench, home.agentId);
        expect(await recording.statementsOf(async () => await remove(home, recording))).toBeLessThanOrEqual(7);
        expect(recording.changes.map(([step]) => step?.table.name)).toEqual([
          "eliza_memories",
          "eliza_logs",
          expect.any(String),
        ]);
        expect(recording.changes.map(([step]) => step && removedBy(step)).slice(0, 2)).toEqual([2, 1]);
      }
    });

    it("thousands of memories or logs takes several commits of few statements each", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, entityId, roomId } = home;
      const recording = new Recording(bench, agentId);
      const ids = await fillWithMany(bench, home);
      const fragment = { type: "fragment", documentId: ids.at(-1), position: 0 } as never;
      await adapter.createMemory({ entityId, roomId, content: {}, metadata: fragment }, "knowledge");

      const some = [...ids.slice(0, 10), ...Array.from({ length: MANY }, newId)];
      expect(await recording.statementsOf(() => recording.adapter.deleteManyMemories([...some, ...some]))).toBe(4);
      expectSmallCommits(recording, 2);
      expect(await bench.count(MEMORIES, { agent: agentId })).toBe(MANY - 10 + 1);

      expect(await recording.statementsOf(() => recording.adapter.deleteAllMemories(roomId, "facts"))).toBe(6);
      expectSmallCommits(recording, 2);
      expect(await bench.count(MEMORIES, { agent: agentId })).toBe(0);

      expect(await recording.statementsOf(() => recording.adapter.deleteAgent(agentId))).toBe(7);
      expectSmallCommits(recording, 3);
      expect(await bench.count(LOGS, { agent: agentId })).toBe(0);
      expect(await adapter.getAgent(agentId)).toBeNull();
    });
  });
}
