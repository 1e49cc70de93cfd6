import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { UUID, WaymarkAdapter } from "../../src/index.ts";
import { ELIZA_TABLES } from "../../src/tables.ts";
import { type Bench, collectWarnings, newId } from "./bench.ts";
import { CALLS } from "./calls.ts";
import { query } from "./raw-rows.ts";

const CANARY = "canary in the cage";
const CANARY_ID: UUID = "ca4a41e5-beef-4ca6-8e11-ca4a41e5beef";

/** The secrets, in the ways in which a message may have them. */
const SECRETS = [CANARY, CANARY_ID, CANARY_ID.replaceAll("-", "")].flatMap((text) => [
  text,
  Buffer.from(text).toString("hex"),
  Buffer.from(text).toString("base64").slice(0, -4),
]);

/** Returns all that an error can show, in every way of printing it. */
function printed(value: unknown): string {
  const texts: string[] = [];
  for (let one = value; one instanceof Error; one = one.cause) {
    const own = Object.getOwnPropertyNames(one).map((name) => [name, Reflect.get(one as Error, name)]);
    texts.push(String(one), one.message, String(one.stack), JSON.stringify(Object.fromEntries(own)));
  }
  texts.push(inspect(value, { showHidden: true, depth: Number.POSITIVE_INFINITY }));
  return texts.join("\n");
}

function secretsIn(value: unknown): string[] {
  const text = printed(value).toLowerCase();
  return SECRETS.filter((secret) => text.includes(secret.toLowerCase()));
}

/** Returns the error of a call. */
async function errorOf(what: string, call: Promise<unknown>): Promise<unknown> {
  const error = await call.then(
    (value) => `resolved: ${inspect(value)}`,
    (reason: unknown) => reason,
  );
  expect(error, what).toMatchObject({ name: "CheckpointError" });
  expect(secretsIn(error), printed(error)).toEqual([]);
  return error;
}

/** Drops the tables under an adapter. */
async function dropTables(adapter: WaymarkAdapter, bench: Bench, prefix: string): Promise<void> {
  for (const { name } of [...ELIZA_TABLES].reverse())
    await query(adapter, bench.options, `drop table ${prefix}${name}`);
}

export function describeSecrets(bench: Bench): void {
  describe("errors", () => {
    it("are searched for secrets by these tests, however deep they are", () => {
      const error = new TypeError("x", { cause: Object.assign(new TypeError("y"), { detail: { deep: [CANARY_ID] } }) });
      expect(secretsIn(error)).toContain(CANARY_ID);
    });

    it("of a database that fails are thrown, by every method, without what the call was given", async () => {
      const prefix = "dropped_";
      const database = { ...bench.options.database, tablePrefix: prefix };
      const adapter = bench.adapterOf(CANARY_ID, { database });
      await adapter.createAgent({ id: CANARY_ID, name: CANARY });
      await dropTables(adapter, bench, prefix);
      for (const { name, make } of CALLS) await errorOf(name, make(adapter, CANARY_ID, CANARY));
      const warnings = collectWarnings();
      await adapter.log({ body: { [CANARY]: CANARY }, entityId: CANARY_ID, roomId: CANARY_ID, type: CANARY });
      await adapter.close();
      expect(adapter.getConnectionInfo().droppedLogs).toBe(1);
      expect(warnings).toHaveLength(1);
      expect(secretsIn(warnings)).toEqual([]);
    });

    it("of calls that are refused do not say what these were given", async () => {
      const { adapter, agentId, worldId, roomId, entityId } = await bench.newHome();
      const memory = { entityId, roomId, content: { [CANARY]: CANARY }, metadata: { [CANARY]: CANARY } as never };
      const cycle: Record<string, unknown> = { [CANARY]: CANARY };
      cycle[CANARY] = cycle;
      const taskId = await adapter.createTask({ name: CANARY, description: CANARY, worldId, tags: [CANARY] });
      const component = {
        id: newId(),
        entityId,
        agentId,
        roomId,
        worldId,
        sourceEntityId: entityId,
        type: CANARY,
        data: { [CANARY]: CANARY },
      };
      await adapter.createComponent({ ...component, createdAt: 0 });
      const notAnId = CANARY as UUID;
      const calls: (() => Promise<unknown>)[] = [
        // Of what is not there.
        () => adapter.createMemory({ ...memory, roomId: CANARY_ID }, CANARY),
        () => adapter.createMemory({ ...memory, entityId: CANARY_ID, embedding: [1, 2] }, CANARY),
        () => adapter.createMemory({ ...memory, agentId: CANARY_ID }, CANARY),
        () =>
          adapter.createEntities([
            { id: CANARY_ID, agentId: CANARY_ID, names: [CANARY], metadata: { [CANARY]: CANARY } },
          ]),
        () => adapter.createComponent({ ...component, id: CANARY_ID, roomId: CANARY_ID, createdAt: 0 }),
        () => adapter.updateComponent({ ...component, worldId: CANARY_ID, createdAt: 0 }),
        () => adapter.createWorld({ id: CANARY_ID, agentId: CANARY_ID, name: CANARY }),
        () => adapter.createRelationship({ sourceEntityId: CANARY_ID, targetEntityId: entityId, tags: [CANARY] }),
        () => bench.adapterOf(CANARY_ID).createRooms([{ id: CANARY_ID, source: CANARY, type: CANARY }]),
        () => bench.adapterOf(CANARY_ID).createTask({ name: CANARY, description: CANARY, worldId, tags: [CANARY] }),
        () => bench.adapterOf(CANARY_ID).setCache(CANARY, CANARY),
        () =>
          adapter.transaction(async (one) => {
            await one.createMemory({ ...memory, roomId: CANARY_ID }, CANARY);
          }),
        // Of keys that are taken.
        () => adapter.createTask({ id: taskId, name: CANARY, description: CANARY, worldId, tags: [CANARY] }),
        () => adapter.createComponent({ ...component, createdAt: 0 }),
        () =>
          adapter.transaction(async (one) => {
            await one.createAgent({ id: agentId, name: CANARY, settings: { [CANARY]: CANARY } });
          }),
        // Of arguments that are not as documented. (What was given for a number, or a word of a few, is shown: it can be no secret.)
        () => adapter.createMemory(memory, CANARY.repeat(20)),
        () => adapter.createMemory(memory, `${CANARY}\0`),
        () => adapter.createMemory({ ...memory, content: cycle }, CANARY),
        () => adapter.createMemory({ ...memory, content: `{${CANARY}` as never }, CANARY),
        () => adapter.createMemory({ ...memory, embedding: CANARY as never }, CANARY),
        () => adapter.createMemory({ ...memory, createdAt: CANARY as never }, CANARY),
        () => adapter.createMemory({ ...memory, unique: CANARY as never }, CANARY),
        () => adapter.createMemory(CANARY as never, CANARY),
        () => adapter.updateMemory({ id: notAnId, content: {} }),
        () => adapter.updateMemory({ id: newId(), content: cycle }),
        () => adapter.createAgent({ name: [CANARY] as never }),
        () => adapter.createAgent({ name: CANARY, settings: CANARY as never }),
        () => adapter.createAgent({ name: CANARY, settings: cycle }),
        () => adapter.updateAgent(agentId, { settings: { secrets: cycle } }),
        () => adapter.createEntities([{ id: newId(), agentId: notAnId, names: [], metadata: {} }]),
        () => adapter.createEntities(CANARY as never),
        () => adapter.createTask({ name: CANARY.repeat(100), description: CANARY, worldId, tags: [] }),
        () => adapter.createTask({ name: CANARY, description: CANARY, worldId, tags: CANARY as never }),
        () => adapter.createTask({ name: CANARY, description: CANARY, worldId, tags: [], metadata: cycle }),
        () => adapter.setCache(CANARY, cycle),
        () => adapter.setCache([CANARY] as never, 1),
        () => adapter.getMemories({ tableName: CANARY, start: CANARY as never }),
        () => adapter.searchMemories({ tableName: CANARY, embedding: [1], match_threshold: CANARY as never }),
        () => adapter.getCachedEmbeddings({ query_table_name: CANARY, query_threshold: CANARY } as never),
        () => adapter.memoriesWithoutVector({ dimension: 3, after: CANARY }),
        () => adapter.getLogs({ type: CANARY.repeat(20) }),
        ...CALLS.filter(({ takesId }) => takesId).map(
          ({ make }) =>
            () =>
              make(adapter, notAnId, CANARY),
        ),
      ];
      for (const [at, call] of calls.entries()) await errorOf(`call ${at}`, call());
      const warnings = collectWarnings();
      for (const log of [{ entityId: notAnId }, { entityId: CANARY_ID }, { type: CANARY.repeat(20) }]) {
        await adapter.log({ body: { [CANARY]: CANARY }, entityId, roomId, type: CANARY, ...log });
      }
      await adapter.getLogs({ count: 1 });
      expect(adapter.getConnectionInfo().droppedLogs).toBe(3);
      expect(secretsIn(warnings)).toEqual([]);
      await adapter.close();
      for (const { name, make } of CALLS) await errorOf(name, make(adapter, CANARY_ID, CANARY));
    });
  });
}
