import type { WaymarkAdapter } from "../../src/index.ts";
import { AGENTS, DIMENSIONS, id, TEXTS, vectorOf } from "./plugin-sql.ts";

/** What an adapter answers to all of its methods that read. */

/** Answers by the calls. */
export type Answers = Readonly<Record<string, unknown>>;

export type Reader = Omit<WaymarkAdapter, "db">;

/** Asks an adapter of the first agent for all rows, and returns the answers, so that those of two adapters compare. */
export async function answersOf(adapter: Reader): Promise<Answers> {
  const entities = TEXTS.map((_, at) => id(`entity ${at}`));
  const rooms = [...["0", "1", "2", "3"].map((at) => id(`room ${at}`)), id("of world")];
  const answers: Record<string, unknown> = {};
  const note = async (name: string, call: Promise<unknown>) => {
    answers[name] = comparable(await call);
  };
  await note("agents", adapter.getAgents());
  for (const agent of AGENTS) await note(`agent ${agent}`, adapter.getAgent(agent));
  await note("entities", adapter.getEntitiesByIds(entities));
  await note("components", adapter.getComponents(id("entity 1")));
  await note("worlds", adapter.getAllWorlds());
  await note("rooms", adapter.getRoomsByIds(rooms));
  for (const [at, room] of rooms.entries()) {
    // plugin-sql lists a participant as often as it has it.
    await note(
      `participants of room ${at}`,
      adapter.getParticipantsForRoom(room).then((all) => [...new Set(all)]),
    );
    for (const [one, entity] of entities.entries()) {
      await note(`state of ${one} in room ${at}`, adapter.getParticipantUserState(room, entity));
    }
  }
  for (const at of [1, 2]) {
    const found = await adapter.getRelationships({ entityId: id(`entity ${at}`) });
    // plugin-sql's have the columns by their names in SQL too.
    const named = found.map((one) => Object.fromEntries(Object.entries(one).filter(([name]) => !name.includes("_"))));
    await note(`relationships of ${at}`, Promise.resolve(named));
  }
  await note("task", adapter.getTask(id("task")));
  await note("tasks", adapter.getTasks({ tags: ["queue"] } as never));
  // plugin-sql returns what a text is the JSON of.
  for (const at of [0, 1, 2, 3, 5]) await note(`cache ${at}`, adapter.getCache(`${at} ${TEXTS[at]}`));
  for (const dimensions of DIMENSIONS) {
    await adapter.ensureEmbeddingDimension(dimensions);
    for (const tableName of ["messages", "facts", "documents", "knowledge"]) {
      const query = { tableName, count: 100, agentId: AGENTS[0] };
      await note(`${tableName} with ${dimensions}`, adapter.getMemories(query));
    }
    const search = { tableName: "messages", embedding: vectorOf(dimensions, 3), match_threshold: 0.01, count: 50 };
    await note(`near with ${dimensions}`, adapter.searchMemories(search));
  }
  return answers;
}

/** The logs, which are imported by choice. */
export async function logsOf(adapter: Reader): Promise<unknown> {
  const summaries = await adapter.getAgentRunSummaries({});
  return [comparable(await adapter.getLogs({ count: 100 })), comparable(summaries)];
}

/** Makes a value of JSON without what adapters do not agree on: the order of lists and members, absent members, the form of times. */
function comparable(value: unknown, name = ""): unknown {
  if (value === undefined || value === null) return null;
  if (name === "createdAt") return new Date(value as string).getTime();
  if (value instanceof Date) return value.getTime();
  if (name === "similarity") return Number(Number(value).toFixed(4));
  if (name === "embedding") return (value as number[]).map((one) => Number(one.toFixed(6)));
  if (Array.isArray(value)) {
    const list = value.map((one) => comparable(one));
    const keyed = list.map((one) => [JSON.stringify(one), one] as const);
    return keyed.sort(([one], [other]) => (one < other ? -1 : 1)).map(([, one]) => one);
  }
  if (typeof value !== "object") return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined && member !== null);
  return Object.fromEntries(
    members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]) => [key, comparable(one, key)]),
  );
}
