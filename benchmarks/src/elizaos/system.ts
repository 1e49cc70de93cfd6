import type { Memory, UUID, WaymarkAdapter, WaymarkOptions } from "@waymark/elizaos";
import type { Database, DatabaseName } from "../databases.ts";

/** Where an adapter keeps its rows. It is sent to child processes as JSON. */
export type Target = Pick<WaymarkOptions, "url" | "pgliteDataDir" | "database">;

/** An empty database for an adapter. */
export interface Home {
  readonly target: Target;
  drop(): Promise<void>;
}

/** The methods of an adapter that are measured, or make what others are measured with. */
export type Adapter = Pick<
  WaymarkAdapter,
  | "init"
  | "close"
  | "createAgent"
  | "createWorld"
  | "createEntities"
  | "createRooms"
  | "addParticipantsRoom"
  | "ensureEmbeddingDimension"
  | "createMemory"
  | "getMemories"
  | "countMemories"
  | "searchMemories"
  | "deleteAllMemories"
>;

/** A memory with its id, and all that names others. */
export interface StoredMemory extends Memory {
  readonly id: UUID;
  readonly worldId: UUID;
  readonly embedding: number[];
}

/** A package with an adapter. */
export interface Product {
  readonly name: "waymark" | "plugin-sql";
  readonly package: "@waymark/elizaos" | "@elizaos/plugin-sql";
  /** Imports the package. */
  load(): Promise<unknown>;
  /** Makes what an agent needs to keep its rows there: the plugin, and settings of the character. */
  pluginFor(target: Target): Promise<{ readonly plugin: object; readonly settings: Readonly<Record<string, string>> }>;
  /** Opens the adapter of an agent, and makes its tables if they are not there. */
  open(target: Target, agentId: UUID): Promise<Adapter>;
  /** Makes the tables as ElizaOS's server does before it starts agents. Absent: the adapter makes them when it is opened. */
  migrate?(target: Target, agentId: UUID): Promise<void>;
  /** Stores memories in larger commits than one for each. */
  addMany(adapter: Adapter, memories: readonly StoredMemory[], tableName: string): Promise<void>;
  /** Gives the planner its statistics on PGlite, which has nobody who does so by itself. */
  analyze(adapter: Adapter): Promise<void>;
}

/** A product on a kind of database. */
export interface ElizaSystem {
  readonly id: string;
  /** As the tables say it. */
  readonly title: string;
  readonly product: Product;
  /** The engine, as in "PGlite". */
  readonly engine: string;
  /** The system that this one is compared with: plugin-sql on the same database, or on the embedded one that it has. */
  readonly peer?: string;
  createHome(database: Database): Promise<Home>;
}

/** What is known of a system before the database is. */
export interface KnownSystem extends Omit<ElizaSystem, "title" | "engine"> {
  readonly engine: string | null;
  /** A remark of the tables: how it differs from the others. */
  readonly remark?: string;
  runsOn(database: DatabaseName): boolean;
}
