import { CheckpointError, checkText, invalidArgument } from "@waymark/core/records";
import { checkObject, checkTime, optionalUuid } from "../checks.ts";
import type { Memory, Metadata, UUID } from "../contract.ts";
import { newId } from "../ids.ts";
import { fromJson, toJson } from "../json.ts";
import { spaceOf } from "../space.ts";
import type { MemoryRow } from "../tables.ts";
import { type StoredVector, storedVector } from "../vectors.ts";

/** Memories as rows, and rows as memories. */

/** The place of memories without a room. */
const NO_ROOM = "00000000-0000-0000-0000-000000000000";

/** Bytes of the longest `tableName`. */
const MAX_TYPE_BYTES = 255;

const UUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Columns of a memory, without its vector. */
export const MEMORY_COLUMNS = [
  "id",
  "agent",
  "room",
  "entity",
  "world",
  "type",
  "createdAt",
  "isUnique",
  "content",
  "metadata",
] as const;

export type MemoryColumns = Pick<MemoryRow, (typeof MEMORY_COLUMNS)[number]>;

/** Checks the name of a table, which is the type of memories in it. */
export function checkTable(value: unknown): string {
  if (value === undefined || value === null || value === "") {
    throw new CheckpointError("INVALID_ARGUMENT", "tableName is required");
  }
  return checkText("tableName", value, 1, MAX_TYPE_BYTES);
}

export interface NewMemory {
  /** The row, as that of a unique memory. */
  readonly row: MemoryRow;
  /** Whether the memory is unique; `null`: it does not say. */
  readonly isUnique: boolean | null;
}

/** Returns the row of a memory that is to be stored, in the table of this name. */
export function newMemory(memory: Memory, tableName: string, owner: UUID): NewMemory {
  const type = checkTable(tableName);
  const agent = optionalUuid("memory.agentId", checkObject("memory", memory).agentId) ?? owner;
  const room = optionalUuid("memory.roomId", memory.roomId);
  const { metadata, document } = metadataText("memory.metadata", memory.metadata);
  const row = {
    id: optionalUuid("memory.id", memory.id) ?? newId(),
    part: 0,
    agent,
    room,
    entity: optionalUuid("memory.entityId", memory.entityId),
    world: optionalUuid("memory.worldId", memory.worldId),
    type,
    createdAt: memory.createdAt ? checkTime("memory.createdAt", memory.createdAt) : Date.now(),
    isUnique: 1,
    document,
    space: spaceOf(agent, type),
    place: room ?? NO_ROOM,
    content: jsonText("memory.content", memory.content),
    metadata,
    ...vectorColumns("memory.embedding", memory.embedding),
  };
  return { row, isUnique: checkUnique(memory.unique) };
}

function checkUnique(value: unknown): boolean | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "boolean") throw invalidArgument("memory.unique", "a boolean", value);
  return value;
}

/** Columns of a memory's vector, or of none. */
export type VectorColumns = Pick<MemoryRow, keyof StoredVector>;

function vectorColumns(field: string, embedding: unknown): VectorColumns {
  if (embedding === undefined || embedding === null) return { vector: null, dimensions: null, signature: null };
  return storedVector(field, embedding);
}

/** Columns of a memory's metadata. */
export type MetadataColumns = Pick<MemoryRow, "document"> & { readonly metadata: string };

/** Returns metadata as JSON, and the document that they name. Those of fragments and documents have members that they must have. */
export function metadataText(field: string, value: unknown): MetadataColumns {
  const metadata = jsonText(field, value);
  const parsed = fromJson<Metadata | null>(metadata);
  const required = REQUIRED[String(parsed?.["type"])] ?? [];
  for (const name of required) {
    if (parsed !== null && !Object.hasOwn(parsed, name)) {
      throw invalidArgument(`${field}.${name}`, `given where type is ${JSON.stringify(parsed["type"])}`, undefined);
    }
  }
  const document = parsed?.["documentId"];
  const isUuid = typeof document === "string" && UUID_TEXT.test(document);
  return { metadata, document: isUuid ? document.toLowerCase() : null };
}

/** Members that metadata of a type must have. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  __proto__: null as never,
  fragment: ["documentId", "position"],
  document: ["timestamp"],
};

/** Returns a value as JSON, `null` as an empty object. A text is JSON already, as ElizaOS has it. */
export function jsonText(field: string, value: unknown): string {
  if (typeof value !== "string") return toJson(field, value ?? {});
  try {
    return JSON.stringify(JSON.parse(value));
  } catch {
    throw invalidArgument(field, "an object, or JSON", value); // the engine's own words quote the text
  }
}

/** Returns a row as a memory, with the members that all lists have. */
export function memoryOf(row: MemoryColumns): Memory & { id: UUID; agentId: UUID } {
  return {
    id: row.id as UUID,
    createdAt: row.createdAt,
    content: fromJson(row.content ?? "{}"),
    entityId: row.entity as UUID,
    agentId: row.agent as UUID,
    roomId: row.room as UUID,
    unique: row.isUnique === 1,
    metadata: fromJson(row.metadata ?? "{}"),
  };
}
