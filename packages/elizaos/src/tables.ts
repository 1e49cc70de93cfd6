import type { RecordOf, TableDefinition } from "@waymark/core/records";

/**
 * The tables of ElizaOS, for all dialects. JSON is text, exact to the character; what is asked of it when rows are read is a column of its
 * own. Lists of names and tags are JSON strings, one on a line, so that a label is found as a part of the text (`labels.ts`).
 */

const id = { name: "id", kind: "uuid" } as const;
const agent = { name: "agent_id", kind: "uuid" } as const;
const createdAt = { name: "created_at", kind: "integer" } as const;
const metadata = { name: "metadata", kind: "text", nullable: true } as const;

export const AGENTS = {
  name: "eliza_agents",
  columns: {
    id,
    createdAt,
    updatedAt: { name: "updated_at", kind: "integer" },
    /** Name, biography and the other members but `settings`, as JSON. */
    data: { name: "data", kind: "text" },
    settings: { name: "settings", kind: "text" },
  },
  key: ["id"],
} as const satisfies TableDefinition;

export const ENTITIES = {
  name: "eliza_entities",
  columns: {
    id,
    agent,
    createdAt,
    names: { name: "names", kind: "text" },
    /** Names in lower case, as JavaScript has it: databases do not agree on that. */
    foldedNames: { name: "folded_names", kind: "text" },
    metadata: { name: "metadata", kind: "text" },
  },
  key: ["id"],
  indexes: { by_agent: ["agent", "createdAt", "id"] },
  partOf: [{ columns: ["agent"], table: AGENTS }],
} as const satisfies TableDefinition;

export const WORLDS = {
  name: "eliza_worlds",
  columns: {
    id,
    agent,
    createdAt,
    messageServer: { name: "message_server_id", kind: "uuid", nullable: true },
    name: { name: "name", kind: "text" },
    metadata,
  },
  key: ["id"],
  indexes: { by_agent: ["agent", "createdAt", "id"] },
  partOf: [{ columns: ["agent"], table: AGENTS }],
} as const satisfies TableDefinition;

export const ROOMS = {
  name: "eliza_rooms",
  columns: {
    id,
    agent,
    createdAt,
    /** A world need not exist. */
    world: { name: "world_id", kind: "uuid", nullable: true },
    messageServer: { name: "message_server_id", kind: "uuid", nullable: true },
    source: { name: "source", kind: "text" },
    type: { name: "type", kind: "text" },
    name: { name: "name", kind: "text", nullable: true },
    channel: { name: "channel_id", kind: "text", nullable: true },
    metadata,
  },
  key: ["id"],
  indexes: { by_agent: ["agent"], by_world: ["world", "createdAt", "id"] },
  partOf: [{ columns: ["agent"], table: AGENTS }],
} as const satisfies TableDefinition;

export const COMPONENTS = {
  name: "eliza_components",
  columns: {
    id,
    entity: { name: "entity_id", kind: "uuid" },
    agent,
    room: { name: "room_id", kind: "uuid" },
    world: { name: "world_id", kind: "uuid", nullable: true },
    sourceEntity: { name: "source_entity_id", kind: "uuid", nullable: true },
    createdAt,
    type: { name: "type", kind: "text" },
    data: { name: "data", kind: "text" },
  },
  key: ["id"],
  indexes: {
    by_entity: ["entity", "createdAt", "id"],
    by_agent: ["agent"],
    by_room: ["room"],
    by_world: ["world"],
    by_source: ["sourceEntity"],
  },
  partOf: [
    { columns: ["entity"], table: ENTITIES },
    { columns: ["agent"], table: AGENTS },
    { columns: ["room"], table: ROOMS },
    { columns: ["world"], table: WORLDS },
    { columns: ["sourceEntity"], table: ENTITIES },
  ],
} as const satisfies TableDefinition;

/** Vectors of several lengths, of one memory, have a row each: so `createMemory` is one insert, and a search one statement. */
export const MEMORIES = {
  name: "eliza_memories",
  columns: {
    id,
    /** 0: the memory, with the vector that it was given last. Else a vector of it that is so long, and no more. */
    part: { name: "part", kind: "integer" },
    agent,
    room: { name: "room_id", kind: "uuid", nullable: true },
    entity: { name: "entity_id", kind: "uuid", nullable: true },
    world: { name: "world_id", kind: "uuid", nullable: true },
    /** `tableName` in the API; `null` in rows that have a vector alone, which no list has. */
    type: { name: "type", kind: "text", maxBytes: 255, nullable: true },
    createdAt,
    /** 0 or 1. */
    isUnique: { name: "is_unique", kind: "integer" },
    /** The document that a fragment is a part of, if its name is a UUID. */
    document: { name: "document_id", kind: "uuid", nullable: true },
    /** Stands for the agent and the type: what is searched together (`space.ts`). */
    space: { name: "space", kind: "integer" },
    /** Length of a vector that can be found; `null`: there is none, or it is all zeros. */
    dimensions: { name: "dimensions", kind: "integer", nullable: true },
    /** The room, or the nil UUID: the index goes through it. */
    place: { name: "place", kind: "uuid" },
    signature: { name: "signature", kind: "bits", maxBytes: 512, nullable: true },
    content: { name: "content", kind: "text", nullable: true },
    metadata,
    vector: { name: "vector", kind: "vector", nullable: true },
  },
  key: ["id", "part"],
  indexes: {
    by_room: ["room", "type", "createdAt", "id"],
    by_agent: ["agent", "type", "createdAt", "id"],
    by_world: ["world", "type", "createdAt", "id"],
    by_entity: ["entity", "type", "createdAt", "id"],
    by_document: ["document"],
    by_vector: ["space", "dimensions", "place", "id", "part", "entity", "world", "isUnique", "signature"],
  },
  partOf: [
    { columns: ["agent"], table: AGENTS },
    { columns: ["room"], table: ROOMS },
    { columns: ["entity"], table: ENTITIES },
  ],
} as const satisfies TableDefinition;

export const PARTICIPANTS = {
  name: "eliza_participants",
  columns: {
    room: { name: "room_id", kind: "uuid" },
    entity: { name: "entity_id", kind: "uuid" },
    agent,
    id,
    createdAt,
    /** `FOLLOWED`, `MUTED`. */
    state: { name: "room_state", kind: "text", maxBytes: 64, nullable: true },
  },
  key: ["room", "entity", "agent"],
  indexes: { by_entity: ["entity"], by_agent: ["agent"] },
  partOf: [
    { columns: ["room"], table: ROOMS },
    { columns: ["entity"], table: ENTITIES },
    { columns: ["agent"], table: AGENTS },
  ],
} as const satisfies TableDefinition;

export const RELATIONSHIPS = {
  name: "eliza_relationships",
  columns: {
    id,
    source: { name: "source_entity_id", kind: "uuid" },
    target: { name: "target_entity_id", kind: "uuid" },
    agent,
    createdAt,
    tags: { name: "tags", kind: "text" },
    metadata: { name: "metadata", kind: "text" },
  },
  key: ["id"],
  unique: { by_pair: ["source", "target", "agent"] },
  indexes: { by_target: ["target"], by_agent: ["agent"] },
  partOf: [
    { columns: ["source"], table: ENTITIES },
    { columns: ["target"], table: ENTITIES },
    { columns: ["agent"], table: AGENTS },
  ],
} as const satisfies TableDefinition;

export const TASKS = {
  name: "eliza_tasks",
  columns: {
    id,
    agent,
    room: { name: "room_id", kind: "uuid", nullable: true },
    world: { name: "world_id", kind: "uuid", nullable: true },
    name: { name: "name", kind: "text", maxBytes: 1_024 },
    createdAt,
    updatedAt: { name: "updated_at", kind: "integer" },
    description: { name: "description", kind: "text", nullable: true },
    tags: { name: "tags", kind: "text" },
    metadata: { name: "metadata", kind: "text" },
  },
  key: ["id"],
  indexes: { by_name: ["agent", "name", "id"] },
  partOf: [{ columns: ["agent"], table: AGENTS }],
} as const satisfies TableDefinition;

export const CACHE = {
  name: "eliza_cache",
  columns: {
    agent,
    /** SHA-256 of the key, which may have any length. */
    digest: { name: "key_digest", kind: "bytes", maxBytes: 32 },
    createdAt,
    /** The key, as JSON. */
    key: { name: "key", kind: "text" },
    value: { name: "value", kind: "text" },
  },
  key: ["agent", "digest"],
  partOf: [{ columns: ["agent"], table: AGENTS }],
} as const satisfies TableDefinition;

export const LOGS = {
  name: "eliza_logs",
  columns: {
    /** A UUIDv7: logs of the same millisecond stay in order. */
    id,
    agent,
    entity: { name: "entity_id", kind: "uuid" },
    room: { name: "room_id", kind: "uuid" },
    type: { name: "type", kind: "text", maxBytes: 255 },
    /** `body.runId`, if it is a text that fits. */
    run: { name: "run_id", kind: "text", maxBytes: 255, nullable: true },
    /** `body.status`, if it is a text that fits. */
    status: { name: "status", kind: "text", maxBytes: 64, nullable: true },
    /** 1: the body tells of a failure of an action. */
    failed: { name: "failed", kind: "integer" },
    /** Number of prompts that the body says an action has sent. */
    prompts: { name: "prompts", kind: "integer" },
    createdAt,
    body: { name: "body", kind: "text" },
  },
  key: ["id"],
  indexes: {
    by_agent: ["agent", "type", "createdAt", "id"],
    by_time: ["createdAt", "id"],
    by_room: ["room", "createdAt", "id"],
    by_entity: ["entity", "createdAt", "id"],
    by_run: ["run"],
  },
  partOf: [
    { columns: ["agent"], table: AGENTS },
    { columns: ["entity"], table: ENTITIES },
    { columns: ["room"], table: ROOMS },
  ],
} as const satisfies TableDefinition;

/** Parents before their parts. */
export const ELIZA_TABLES = [
  AGENTS,
  ENTITIES,
  WORLDS,
  ROOMS,
  COMPONENTS,
  MEMORIES,
  PARTICIPANTS,
  RELATIONSHIPS,
  TASKS,
  CACHE,
  LOGS,
] as const;

export type AgentRow = RecordOf<typeof AGENTS>;
export type EntityRow = RecordOf<typeof ENTITIES>;
export type WorldRow = RecordOf<typeof WORLDS>;
export type RoomRow = RecordOf<typeof ROOMS>;
export type ComponentRow = RecordOf<typeof COMPONENTS>;
export type MemoryRow = RecordOf<typeof MEMORIES>;
export type ParticipantRow = RecordOf<typeof PARTICIPANTS>;
export type RelationshipRow = RecordOf<typeof RELATIONSHIPS>;
export type TaskRow = RecordOf<typeof TASKS>;
export type CacheRow = RecordOf<typeof CACHE>;
export type LogRow = RecordOf<typeof LOGS>;
