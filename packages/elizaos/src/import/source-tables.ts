import type * as PgCore from "drizzle-orm/pg-core";

/** Tables of plugin-sql 1.7, as far as they are read: PostgreSQL tables in the schema `public`. */

export const VECTOR_COLUMNS = ["dim384", "dim512", "dim768", "dim1024", "dim1536", "dim3072"] as const;

/** Defines the tables with the builders of an installed Drizzle. */
export function sourceTables({ boolean, customType, pgTable, text, timestamp, uuid }: typeof PgCore) {
  /** JSON as the driver has parsed it. Drizzle's own type parses texts in it once more. */
  const json = customType<{ data: unknown }>({ dataType: () => "jsonb" });
  const vector = customType<{ data: number[]; driverData: unknown }>({
    dataType: () => "vector",
    fromDriver: (value) => (typeof value === "string" ? (JSON.parse(value) as number[]) : (value as number[])),
  });
  /** Drizzle's own type drops backslashes. */
  const texts = customType<{ data: string[]; driverData: unknown }>({ dataType: () => "text[]", fromDriver: textsOf });
  const local = () => timestamp("created_at");
  const zoned = () => timestamp("created_at", { withTimezone: true });
  return {
    agents: pgTable("agents", {
      id: uuid("id").notNull(),
      enabled: boolean("enabled").notNull(),
      server_id: uuid("server_id"),
      createdAt: zoned(),
      updatedAt: timestamp("updated_at", { withTimezone: true }),
      name: text("name").notNull(),
      username: text("username"),
      system: text("system"),
      bio: json("bio"),
      messageExamples: json("message_examples"),
      postExamples: json("post_examples"),
      topics: json("topics"),
      adjectives: json("adjectives"),
      knowledge: json("knowledge"),
      plugins: json("plugins"),
      settings: json("settings"),
      style: json("style"),
    }),
    entities: pgTable("entities", {
      id: uuid("id").notNull(),
      agentId: uuid("agent_id").notNull(),
      createdAt: local(),
      names: texts("names"),
      metadata: json("metadata"),
    }),
    worlds: pgTable("worlds", {
      id: uuid("id").notNull(),
      agentId: uuid("agent_id").notNull(),
      createdAt: local(),
      name: text("name").notNull(),
      metadata: json("metadata"),
      messageServerId: uuid("message_server_id"),
    }),
    rooms: pgTable("rooms", {
      id: uuid("id").notNull(),
      agentId: uuid("agent_id"),
      createdAt: local(),
      source: text("source").notNull(),
      type: text("type").notNull(),
      messageServerId: uuid("message_server_id"),
      worldId: uuid("world_id"),
      name: text("name"),
      metadata: json("metadata"),
      channelId: text("channel_id"),
    }),
    components: pgTable("components", {
      id: uuid("id").notNull(),
      entityId: uuid("entity_id").notNull(),
      agentId: uuid("agent_id").notNull(),
      roomId: uuid("room_id").notNull(),
      worldId: uuid("world_id"),
      sourceEntityId: uuid("source_entity_id"),
      createdAt: local(),
      type: text("type").notNull(),
      data: json("data"),
    }),
    memories: pgTable("memories", {
      id: uuid("id").notNull(),
      type: text("type").notNull(),
      createdAt: local(),
      content: json("content"),
      entityId: uuid("entity_id"),
      agentId: uuid("agent_id").notNull(),
      roomId: uuid("room_id"),
      worldId: uuid("world_id"),
      unique: boolean("unique").notNull(),
      metadata: json("metadata"),
    }),
    embeddings: pgTable("embeddings", {
      id: uuid("id").notNull(),
      memoryId: uuid("memory_id"),
      createdAt: local(),
      dim384: vector("dim_384"),
      dim512: vector("dim_512"),
      dim768: vector("dim_768"),
      dim1024: vector("dim_1024"),
      dim1536: vector("dim_1536"),
      dim3072: vector("dim_3072"),
    }),
    participants: pgTable("participants", {
      id: uuid("id").notNull(),
      createdAt: zoned(),
      entityId: uuid("entity_id"),
      roomId: uuid("room_id"),
      agentId: uuid("agent_id"),
      roomState: text("room_state"),
    }),
    relationships: pgTable("relationships", {
      id: uuid("id").notNull(),
      createdAt: zoned(),
      sourceEntityId: uuid("source_entity_id").notNull(),
      targetEntityId: uuid("target_entity_id").notNull(),
      agentId: uuid("agent_id").notNull(),
      tags: texts("tags"),
      metadata: json("metadata"),
    }),
    tasks: pgTable("tasks", {
      id: uuid("id").notNull(),
      name: text("name").notNull(),
      description: text("description"),
      roomId: uuid("room_id"),
      worldId: uuid("world_id"),
      agentId: uuid("agent_id").notNull(),
      tags: texts("tags"),
      metadata: json("metadata"),
      createdAt: zoned(),
      updatedAt: timestamp("updated_at", { withTimezone: true }),
    }),
    cache: pgTable("cache", {
      key: text("key").notNull(),
      agentId: uuid("agent_id").notNull(),
      value: json("value"),
      createdAt: zoned(),
    }),
    logs: pgTable("logs", {
      id: uuid("id").notNull(),
      createdAt: zoned(),
      entityId: uuid("entity_id").notNull(),
      body: json("body"),
      type: text("type").notNull(),
      roomId: uuid("room_id").notNull(),
    }),
  };
}

export type SourceTables = ReturnType<typeof sourceTables>;

export type SourceTable = keyof SourceTables;

/** A row of a table, as Drizzle returns it. */
export type SourceRow<Name extends SourceTable> = SourceTables[Name]["$inferSelect"];

/** Reads an array of texts, which the driver has parsed, or returns as PostgreSQL's text. An element that is `null` is left out. */
function textsOf(value: unknown): string[] {
  if (typeof value !== "string") return (value as unknown[]).filter((one) => typeof one === "string");
  const elements = value.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|[^,]+/gs);
  return [...elements].flatMap(([text, quoted]) => {
    if (quoted !== undefined) return [quoted.replace(/\\(.)/gs, "$1")];
    return text === "NULL" ? [] : [text];
  });
}
