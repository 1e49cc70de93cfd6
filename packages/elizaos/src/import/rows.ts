import { checkText, invalidArgument } from "@waymark/core/records";
import type { Memory, NewLog, UUID } from "../contract.ts";
import { optionalJson, optionalText, textToJson, toJson } from "../json.ts";
import { labelsText } from "../labels.ts";
import { nameColumns } from "../names.ts";
import { cacheDigest } from "../repositories/cache.ts";
import { newLogRow } from "../repositories/log-rows.ts";
import { newMemory } from "../repositories/memory-rows.ts";
import {
  type AgentRow,
  type CacheRow,
  type ComponentRow,
  type EntityRow,
  type LogRow,
  type MemoryRow,
  PARTICIPANTS,
  type ParticipantRow,
  type RelationshipRow,
  type RoomRow,
  TASKS,
  type TaskRow,
  type WorldRow,
} from "../tables.ts";
import { storedVector } from "../vectors.ts";
import { type SourceRow, VECTOR_COLUMNS } from "./source-tables.ts";

/** Rows of plugin-sql as rows of this package. Each function throws `INVALID_ARGUMENT` for a row that cannot be kept. */

export function agentRow({ id, createdAt, updatedAt, settings, ...data }: SourceRow<"agents">): AgentRow {
  return {
    id,
    createdAt: timeOf(createdAt),
    updatedAt: timeOf(updatedAt),
    data: toJson("data", data),
    settings: toJson("settings", settings ?? {}),
  };
}

export function entityRow({ id, agentId, createdAt, names, metadata }: SourceRow<"entities">): EntityRow {
  return {
    id,
    agent: agentId,
    createdAt: timeOf(createdAt),
    ...nameColumns(names ?? []),
    metadata: toJson("metadata", metadata ?? {}),
  };
}

export function worldRow(row: SourceRow<"worlds">): WorldRow {
  return {
    id: row.id,
    agent: row.agentId,
    createdAt: timeOf(row.createdAt),
    messageServer: row.messageServerId,
    name: textToJson(row.name),
    metadata: optionalJson("metadata", row.metadata),
  };
}

/** @param agent the room's own agent, or the one that it must be */
export function roomRow(row: SourceRow<"rooms">, agent: string): RoomRow {
  return {
    id: row.id,
    agent,
    createdAt: timeOf(row.createdAt),
    world: row.worldId,
    messageServer: row.messageServerId,
    source: textToJson(row.source),
    type: textToJson(row.type),
    name: optionalText("name", row.name),
    channel: optionalText("channelId", row.channelId),
    metadata: optionalJson("metadata", row.metadata),
  };
}

export function componentRow(row: SourceRow<"components">): ComponentRow {
  return {
    id: row.id,
    entity: row.entityId,
    agent: row.agentId,
    room: row.roomId,
    world: row.worldId,
    sourceEntity: row.sourceEntityId,
    createdAt: timeOf(row.createdAt),
    type: textToJson(row.type),
    data: toJson("data", row.data),
  };
}

/** Returns the row of a memory, and those of its other vectors. `embeddings`: the oldest first; of two as long the newer one stays. */
export function memoryRows(
  { createdAt, unique, ...memory }: SourceRow<"memories">,
  embeddings: readonly SourceRow<"embeddings">[],
): MemoryRow[] {
  const vectors = new Map<number, number[]>();
  for (const embedding of embeddings) {
    for (const vector of VECTOR_COLUMNS.map((column) => embedding[column])) {
      if (vector === null) continue;
      vectors.delete(vector.length); // the last one is the memory's own
      vectors.set(vector.length, vector);
    }
  }
  const [last, ...others] = [...vectors.values()].reverse();
  const given = { ...memory, content: memory.content ?? {}, embedding: last } as unknown as Memory;
  const { row } = newMemory(given, memory.type, memory.agentId as UUID);
  const main = { ...row, createdAt: timeOf(createdAt), isUnique: Number(unique) };
  const bare = { type: null, content: null, metadata: null };
  return [
    main,
    ...others.map((vector) => ({ ...main, ...bare, part: vector.length, ...storedVector("embedding", vector) })),
  ];
}

/** Merges the rows of one participant: the oldest one's id and time, and a state that any has. */
export function participantRow(rows: readonly SourceRow<"participants">[], agent: string): ParticipantRow {
  const [first] = [...rows].sort((one, other) => timeOf(one.createdAt) - timeOf(other.createdAt));
  const { id, createdAt, roomId, entityId } = first as SourceRow<"participants">;
  const state = rows.map((row) => row.roomState).find((one) => one !== null) ?? null;
  return {
    room: roomId as string,
    entity: entityId as string,
    agent,
    id,
    createdAt: timeOf(createdAt),
    state: state === null ? null : checkText("roomState", state, 1, PARTICIPANTS.columns.state.maxBytes),
  };
}

export function relationshipRow(row: SourceRow<"relationships">): RelationshipRow {
  return {
    id: row.id,
    source: row.sourceEntityId,
    target: row.targetEntityId,
    agent: row.agentId,
    createdAt: timeOf(row.createdAt),
    tags: labelsText(row.tags ?? []),
    metadata: toJson("metadata", row.metadata ?? {}),
  };
}

export function taskRow(row: SourceRow<"tasks">): TaskRow {
  const createdAt = timeOf(row.createdAt ?? row.updatedAt ?? new Date(0));
  return {
    id: row.id,
    agent: row.agentId,
    room: row.roomId,
    world: row.worldId,
    name: checkText("name", row.name, 1, TASKS.columns.name.maxBytes),
    createdAt,
    updatedAt: row.updatedAt === null ? createdAt : timeOf(row.updatedAt),
    description: optionalText("description", row.description),
    tags: labelsText(row.tags ?? []),
    metadata: toJson("metadata", row.metadata ?? {}),
  };
}

export function cacheRow({ key: text, agentId, value, createdAt }: SourceRow<"cache">): CacheRow {
  const key = textToJson(text);
  return {
    agent: agentId,
    digest: cacheDigest(key),
    createdAt: timeOf(createdAt),
    key,
    value: toJson("value", value),
  };
}

/** @param agent the agent of the log's room: plugin-sql's logs have none */
export function logRow({ id, createdAt, ...log }: SourceRow<"logs">, agent: string): LogRow {
  return { ...newLogRow(log as unknown as NewLog, agent as UUID), id, createdAt: timeOf(createdAt) };
}

function timeOf(time: Date | null): number {
  const value = time?.getTime() ?? Number.NaN;
  if (!Number.isInteger(value)) throw invalidArgument("createdAt", "a time", time);
  return value;
}
