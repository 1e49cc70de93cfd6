import type { Goal } from "../report.ts";
import type { Call, CallFigures } from "./calls.ts";
import { AGENT, createMemories, idOf, memoryOf, roomOf, TABLE } from "./ground.ts";
import { newMemories, ROOM } from "./stage.ts";
import type { ElizaSystem } from "./system.ts";

/** The calls that are measured. */

const READ = 20;
const PARTICIPANTS = 10;

const UNIQUE_GIVEN = "createMemory, `unique` given";
const UNIQUE_ASKED = "createMemory, `unique` not given";
const deletionOf = (count: number) => `deleteAllMemories of ${count.toLocaleString("en-US")}`;

/** @param deleted numbers of memories that are deleted at once */
export function adapterCalls(samples: number, deleted: readonly number[]): Call[] {
  const call = (title: string, begin: Call["begin"]): Call => ({ title, samples, begin });
  return [
    call(UNIQUE_GIVEN, async ({ adapter, next }) => {
      const memory = memoryOf(next(), ROOM);
      return () => adapter.createMemory(memory, TABLE);
    }),
    call(UNIQUE_ASKED, async ({ adapter, next }) => {
      const { unique, ...memory } = memoryOf(next(), ROOM);
      return () => adapter.createMemory(memory, TABLE);
    }),
    call(`getMemories of ${READ}`, async ({ adapter }) => async () => {
      const found = await adapter.getMemories({ tableName: TABLE, roomId: idOf("room", ROOM), count: READ });
      if (found.length !== READ) throw new Error(`getMemories returned ${found.length} memories`);
    }),
    call("createRooms of 1", async ({ adapter, next }) => {
      const room = roomOf(next());
      return () => adapter.createRooms([room]);
    }),
    call(`addParticipantsRoom of ${PARTICIPANTS}`, async ({ adapter, next }) => {
      const room = roomOf(next());
      const entities = Array.from({ length: PARTICIPANTS }, () => idOf("entity", next()));
      await adapter.createRooms([room]);
      await adapter.createEntities(entities.map((id) => ({ id, names: ["someone"], metadata: {}, agentId: AGENT })));
      return () => adapter.addParticipantsRoom(entities, room.id);
    }),
    ...deleted.map((count) => ({ ...deletion(count), samples: count > 100 ? Math.ceil(samples / 4) : samples })),
  ];
}

function deletion(count: number): Omit<Call, "samples"> {
  return {
    title: deletionOf(count),
    async begin(stage) {
      const { adapter, next } = stage;
      const room = next();
      const { id } = roomOf(room);
      await adapter.createRooms([roomOf(room)]);
      await createMemories(adapter, newMemories(stage, count, room));
      if ((await adapter.countMemories(id, false, TABLE)) !== count) throw new Error("not all memories were stored");
      return () => adapter.deleteAllMemories(id, TABLE);
    },
  };
}

export function messageCalls(samples: number): Call[] {
  return [
    {
      title: "ensureConnection of a known user in a known room",
      samples,
      hasAftermath: true,
      begin: async ({ conversation }) => conversation.connect,
    },
    {
      title: "handleMessage",
      samples,
      hasAftermath: true,
      async begin({ conversation }) {
        await conversation.connect();
        return async () => {
          const said = await conversation.say("I live in Lisbon");
          if (said !== "You said: I live in Lisbon") throw new Error(`expected an echo, got ${JSON.stringify(said)}`);
        };
      },
    },
  ];
}

export function goalsOfCalls(
  figures: readonly CallFigures[],
  systems: readonly ElizaSystem[],
  deleted: readonly number[],
): Goal[] {
  const limits = new Map([
    ...[UNIQUE_GIVEN, UNIQUE_ASKED].map((call) => [call, 2] as const),
    ...deleted.map((count) => [deletionOf(count), 3] as const),
  ]);
  return figures.flatMap(({ id, call, statements }): Goal[] => {
    const system = systems.find((one) => one.id === id);
    const goal = limits.get(call);
    if (system?.product.name !== "waymark" || statements === null || goal === undefined) return [];
    return [{ what: `${system.title}: statements of ${call}`, measured: statements, bound: "at most", goal }];
  });
}
