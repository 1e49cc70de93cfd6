/**
 * What ElizaOS 1.7 asks of a database adapter, as far as this package reads or writes it: types of our own, which `@elizaos/core`'s are
 * compared with in a test. Its own declarations cannot be imported under `nodenext`.
 */

export type UUID = `${string}-${string}-${string}-${string}-${string}`;

export type Metadata = Record<string, unknown>;

/** What is stored as JSON and comes back so: ElizaOS has types of its own for it, with enumerations. */
export type Json = ReturnType<typeof JSON.parse>;

/** A character as it is stored. Members that are not here are not stored. */
export interface Agent {
  id?: UUID;
  name: string;
  username?: string;
  system?: string;
  bio: string | string[];
  messageExamples?: Json;
  postExamples?: string[];
  topics?: string[];
  adjectives?: string[];
  knowledge?: Json;
  plugins?: string[];
  settings?: Json;
  style?: Json;
  enabled?: boolean;
  createdAt: number;
  updatedAt: number;
}

export interface Entity {
  id?: UUID;
  names: string[];
  metadata: Metadata;
  agentId: UUID;
  components?: Component[];
}

export interface Component {
  id: UUID;
  entityId: UUID;
  agentId: UUID;
  roomId: UUID;
  worldId: UUID;
  sourceEntityId: UUID;
  type: string;
  createdAt: number;
  data: Metadata;
}

export interface World {
  id: UUID;
  name?: string;
  agentId: UUID;
  messageServerId?: UUID;
  serverId?: UUID;
  metadata?: Json;
}

export interface Room {
  id: UUID;
  name?: string;
  agentId?: UUID;
  source: string;
  /** One of core's `ChannelType`. */
  type: Json;
  channelId?: string;
  messageServerId?: UUID;
  serverId?: UUID;
  worldId?: UUID;
  metadata?: Metadata;
}

export interface Participant {
  id: UUID;
  entity: Entity;
}

export interface Relationship {
  id: UUID;
  sourceEntityId: UUID;
  targetEntityId: UUID;
  agentId: UUID;
  tags: string[];
  metadata: Metadata;
  createdAt?: string;
}

export interface Memory {
  id?: UUID;
  /** The table it is in: only some of the methods say. */
  type?: string;
  entityId: UUID;
  agentId?: UUID;
  /** Milliseconds since 1970-01-01 UTC. */
  createdAt?: number;
  content: Json;
  embedding?: number[];
  roomId: UUID;
  worldId?: UUID;
  unique?: boolean;
  /** Cosine of the angle between both vectors. */
  similarity?: number;
  metadata?: Json;
}

export type MemoryChange = Partial<Memory> & { id: UUID };

export interface MemoryQuery {
  entityId?: UUID;
  agentId?: UUID;
  count?: number;
  offset?: number;
  unique?: boolean;
  tableName: string;
  start?: number;
  end?: number;
  roomId?: UUID;
  worldId?: UUID;
}

export interface MemorySearch {
  embedding: number[];
  match_threshold?: number;
  count?: number;
  unique?: boolean;
  tableName: string;
  query?: string;
  roomId?: UUID;
  worldId?: UUID;
  entityId?: UUID;
}

export interface CachedEmbeddingQuery {
  query_table_name: string;
  query_threshold: number;
  query_input: string;
  query_field_name: string;
  query_field_sub_name: string;
  query_match_count: number;
}

export interface CachedEmbedding {
  embedding: number[];
  levenshtein_score: number;
}

export interface NewLog {
  body: Record<string, unknown>;
  entityId: UUID;
  roomId: UUID;
  type: string;
}

export interface Log {
  id: UUID;
  entityId: UUID;
  roomId: UUID;
  body: Json;
  type: string;
  createdAt: Date;
}

export interface LogQuery {
  entityId?: UUID;
  roomId?: UUID;
  type?: string;
  count?: number;
  offset?: number;
}

export type RunStatus = "started" | "completed" | "timeout" | "error";

export interface RunQuery {
  limit?: number;
  roomId?: UUID;
  status?: RunStatus | "all";
  from?: number;
  to?: number;
  entityId?: UUID;
}

export interface RunSummary {
  runId: string;
  status: RunStatus;
  startedAt: number | null;
  endedAt: number | null;
  durationMs: number | null;
  messageId?: UUID;
  roomId?: UUID;
  entityId?: UUID;
  metadata?: Record<string, unknown>;
  counts?: { actions: number; modelCalls: number; errors: number; evaluators: number };
}

export interface RunSummaries {
  runs: RunSummary[];
  total: number;
  hasMore: boolean;
}

export type ParticipantState = "FOLLOWED" | "MUTED" | null;

export interface Task {
  id?: UUID;
  name: string;
  description: string;
  roomId?: UUID;
  worldId?: UUID;
  entityId?: UUID;
  tags: string[];
  metadata?: Metadata;
}

export interface PluginSchema {
  name: string;
  schema?: Record<string, unknown>;
}

export interface PluginMigrationOptions {
  verbose?: boolean;
  force?: boolean;
  dryRun?: boolean;
}

/** The parts of a runtime that the plugin uses. */
export interface Runtime {
  readonly agentId: UUID;
  getSetting(name: string): unknown;
  registerDatabaseAdapter(adapter: never): void;
}
