import "../quiet.mjs";
import { createHash } from "node:crypto";
import { type SQL, sql } from "drizzle-orm";
import type { UUID, WaymarkAdapter } from "../../src/index.ts";

/** Databases that ElizaOS' own plugin has made and written, to import. */

/** plugin-sql's database, as far as it is used here. */
interface Drizzle {
  execute(query: SQL): Promise<{ rows: Record<string, unknown>[] }>;
  transaction(work: (transaction: Drizzle) => Promise<void>): Promise<void>;
}

/** plugin-sql's adapter: its methods are those of ours. */
export type PluginSqlAdapter = Omit<WaymarkAdapter, "db"> & { readonly db: Drizzle };

/** A part of plugin-sql. */
interface PluginSql {
  readonly default: { readonly name: string; readonly schema: Record<string, unknown> };
  createDatabaseAdapter(place: object, agentId: UUID): PluginSqlAdapter;
}

/** Returns the UUID that stands for a name. */
export function id(name: string): UUID {
  const digest = createHash("sha1").update(name).digest("hex");
  return digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-5$3-8$4-$5") as UUID;
}

/** The agents: the first has nearly all rows. */
export const AGENTS = [id("agent"), id("other agent")] as const;

/** Makes the adapter of the first agent, and plugin-sql's tables. Only one database of PGlite is possible in a process. */
export async function openPluginSql(place: { postgresUrl: string } | { dataDir: string }): Promise<PluginSqlAdapter> {
  const name: string = "@elizaos/plugin-sql"; // its declarations are not where it says
  const { default: plugin, createDatabaseAdapter } = (await import(name)) as PluginSql;
  const adapter = createDatabaseAdapter(place, AGENTS[0]);
  Object.assign(adapter, { maxRetries: 1 }); // else it takes seconds to fail
  await adapter.init();
  await adapter.runPluginMigrations([plugin], {});
  return adapter;
}

/** Texts that break out of what they are written into. */
export const TEXTS = [
  "plain",
  "back\\slash \\\\ \\n \\u0041",
  "quo\"te and ' and `",
  "{a,b}, NULL",
  "line\nbreak\r\n\ttab",
  "'); drop table memories; --",
  "%s $1 ? :x @y #{z}",
  "Ümläut 😀 e\u0301 \u202e ﷽",
  "null",
  " ",
];

/** Part of the contents of all rows that cannot be imported. */
export const CANARY = "hunter2-canary";

/** Lengths of vectors that plugin-sql has columns for. */
export const DIMENSIONS = [384, 512, 768, 1024, 1536, 3072] as const;

export function vectorOf(dimensions: number, seed: number): number[] {
  return Array.from({ length: dimensions }, (_, at) => Math.fround(Math.sin(at * 0.7 + seed)));
}

/** Writes rows of every kind. */
export async function fill(adapter: PluginSqlAdapter): Promise<void> {
  const [agentId, otherId] = AGENTS;
  const text = (at: number) => TEXTS[at % TEXTS.length] as string;
  await adapter.createAgent({
    ...{ id: agentId, name: text(2), username: "ada", system: text(1), bio: ["one", text(3)], enabled: true },
    ...{ topics: [text(4)], adjectives: [], knowledge: [], plugins: ["a"], postExamples: [text(5)] },
    ...{ messageExamples: [[{ name: "u", content: { text: text(6) } }]], style: { all: [text(7)] } },
    ...{ settings: { secrets: { KEY: text(1) }, deep: [1, { none: null }] }, createdAt: 1, updatedAt: 2 },
  } as never);
  await adapter.createAgent({ id: otherId, name: "Other", bio: "text" } as never);
  const world = {
    id: id("world"),
    name: text(1),
    agentId,
    messageServerId: id("server"),
    metadata: { roles: { a: "B" } },
  };
  await adapter.createWorld(world);
  await adapter.createEntities(
    TEXTS.map((name, at) => ({ id: id(`entity ${at}`), names: [`${at}`, name], metadata: { at, name }, agentId })),
  );
  await adapter.createRooms(
    [0, 1, 2, 3].map((at) => ({
      ...{ id: id(`room ${at}`), agentId, source: text(at), type: "GROUP" },
      ...(at > 0 && { name: text(at + 4), channelId: text(at), worldId: id("world"), messageServerId: id("server") }),
      ...(at > 1 && { metadata: { at, name: text(at) } }),
    })),
  );
  for (const at of TEXTS.keys()) await adapter.addParticipantsRoom([id(`entity ${at}`)], id(`room ${at % 4}`));
  // plugin-sql has no key for participants.
  for (let again = 0; again < 3; again++) await adapter.addParticipantsRoom([id("entity 0")], id("room 0"));
  await adapter.setParticipantUserState(id("room 0"), id("entity 0"), "MUTED");
  await adapter.addParticipantsRoom([id("entity 0")], id("room 0"));
  const place = { agentId, roomId: id("room 1"), worldId: id("world") };
  await adapter.createComponent({
    ...{ ...place, id: id("component"), entityId: id("entity 1"), sourceEntityId: id("entity 2") },
    ...{ type: text(2), data: { text: text(1) }, createdAt: 5 },
  });
  await fillMemories(adapter);
  await adapter.createRelationship({
    ...{ sourceEntityId: id("entity 1"), targetEntityId: id("entity 2"), tags: TEXTS, metadata: { text: text(1) } },
  });
  await adapter.createRelationship({ sourceEntityId: id("entity 2"), targetEntityId: id("entity 1") });
  await adapter.createTask({
    ...{ id: id("task"), name: text(1), description: text(2), roomId: id("room 1"), worldId: id("world") },
    ...{ tags: ["queue", text(3)], metadata: { updatedAt: 5, updateInterval: 1_000 }, entityId: id("entity 1") },
  } as never);
  for (const [at, value] of [{ a: [text(1)] }, 0, "", false, "123", [1, null], '"quoted"'].entries()) {
    await adapter.setCache(`${at} ${text(at)}`, value);
  }
  for (let at = 0; at < 8; at++) {
    await adapter.log({
      ...{ entityId: id(`entity ${at}`), roomId: id(`room ${at % 4}`), type: at % 2 ? "run_event" : "action" },
      body: { runId: id(`run ${at % 3}`), status: at % 2 ? "completed" : "started", text: text(at), at },
    });
  }
}

/** Writes memories with vectors of each length, with several, with none, and with one that no search finds. */
async function fillMemories(adapter: PluginSqlAdapter): Promise<void> {
  const agentId = AGENTS[0];
  let at = 0;
  const remember = async (
    tableName: string,
    more: object = {},
    metadata: object = { type: "message", source: "s" },
  ) => {
    at += 1;
    const content = { text: `${at} ${TEXTS[at % TEXTS.length]}`, number: 1.5, nested: { list: [null, true, "12"] } };
    const place = { agentId, entityId: id(`entity ${at % TEXTS.length}`), roomId: id(`room ${at % 4}`) };
    const memory = { id: id(`memory ${at}`), ...place, content, createdAt: 1_700_000_000_000 + at, metadata, ...more };
    await adapter.createMemory({ ...memory, unique: at % 2 === 0 }, tableName);
  };
  for (const dimensions of DIMENSIONS) {
    await adapter.ensureEmbeddingDimension(dimensions);
    for (let one = 0; one < 6; one++) {
      await remember(one % 3 ? "messages" : "facts", { embedding: vectorOf(dimensions, at + 1), worldId: id("world") });
    }
  }
  await adapter.ensureEmbeddingDimension(384);
  await remember("facts", { embedding: new Array(384).fill(0) });
  await remember("messages");
  await remember("documents", { id: id("document") }, { type: "document", timestamp: 5 });
  await remember("knowledge", {}, { type: "fragment", documentId: id("document"), position: 0 });
  for (const dimensions of [384, 512, 1536]) {
    await adapter.ensureEmbeddingDimension(dimensions);
    await adapter.updateMemory({ id: id("memory 30"), embedding: vectorOf(dimensions, 9) });
  }
}

/** Writes rows that cannot be imported, and some that can, around plugin-sql's adapter, and around the keys of its tables. */
export async function fillBroken({ db }: PluginSqlAdapter): Promise<void> {
  const [agentId, otherId] = AGENTS;
  const vector = (dimensions: number, seed: number) => sql`${JSON.stringify(vectorOf(dimensions, seed))}::vector`;
  const content = sql`${JSON.stringify({ text: CANARY })}::jsonb`;
  const statements = [
    // Rooms: the first one's agent follows from its world, the second one's from nothing.
    sql`insert into rooms (id, source, type, world_id) values (${id("of world")}, 's', 't', ${id("world")})`,
    sql`insert into rooms (id, source, type, name) values (${id("of nobody")}, 's', 't', ${CANARY})`,
    sql`insert into participants (id, room_id, entity_id) values (${id("of room")}, ${id("room 3")}, ${id("entity 9")})`,
    sql`insert into participants (id, room_id, entity_id) values (${id("no entity")}, ${id("room 0")}, null)`,
    sql`insert into participants (id, room_id, entity_id, agent_id)
        values (${id("no room")}, null, ${id("entity 1")}, ${agentId})`,
    // A second row of embeddings, and an older one than the first.
    sql`insert into embeddings (id, memory_id, created_at, dim_512, dim_384)
        values (${id("older")}, ${id("memory 1")}, '2020-01-01', ${vector(512, 2)}, ${vector(384, 2)})`,
    sql`insert into memories (id, type, content, agent_id) values (${id("without place")}, 'facts', ${content}, ${otherId})`,
    sql`insert into memories (id, type, content, agent_id, entity_id, room_id)
        values (${id("no such entity")}, 'facts', ${content}, ${agentId}, ${id("nobody")}, ${id("room 0")})`,
    sql`insert into memories (id, type, content, agent_id) values (${id("long type")}, ${"x".repeat(300)}, ${content}, ${agentId})`,
    sql`insert into components (id, entity_id, agent_id, room_id, world_id, type, data) values
        (${id("no such world")}, ${id("entity 1")}, ${agentId}, ${id("room 1")}, ${id("no world")}, ${CANARY}, ${content})`,
    sql`insert into tasks (id, name, description, agent_id, tags, metadata)
        values (${id("long name")}, ${"y".repeat(2_000)}, ${CANARY}, ${agentId}, '{}', '{}')`,
    sql`insert into cache (key, agent_id, value) values ('of nobody', ${id("no agent")}, ${content})`,
  ];
  await db.transaction(async (transaction) => {
    await transaction.execute(sql`set local session_replication_role = replica`); // checks no key of another table
    for (const statement of statements) await transaction.execute(statement);
  });
}

/** Returns a digest of all that plugin-sql's tables hold, and of which tables there are. */
export async function fingerprint({ db }: PluginSqlAdapter): Promise<unknown> {
  const tables = await db.execute(
    sql`select table_schema || '.' || table_name as name from information_schema.tables
        where table_schema not in ('pg_catalog', 'information_schema') and table_name !~ '^(waymark|eliza)_' order by 1`,
  );
  const digests: unknown[] = [];
  for (const { name } of tables.rows) {
    const rows = sql`select md5(string_agg(t::text, '|' order by t::text)) as digest, count(*)::int as rows from `;
    digests.push([name, (await db.execute(sql`${rows}${sql.raw(`${name} t`)}`)).rows[0]]);
  }
  return digests;
}
