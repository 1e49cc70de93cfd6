import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";

/** What a backend's test says about its backend: how to make an empty store, and how to look around the storage. */
export interface ConformanceTarget {
  /** For the test report. */
  readonly name: string;
  /**
   * Makes a new store without any checkpoint, where nothing was ever opened: no schema yet. Called for the suite as a
   * whole, and again for each test that needs a store to itself.
   */
  create(): Promise<ConformanceStore>;
  /**
   * Whether the id of a checkpoint that was deleted stays taken, so that storing it anew is a `CONFLICT`: as it is where there
   * is a backup, from which a late copy might come. Default `false`.
   */
  readonly keepsTombstones?: boolean;
  /**
   * Whether the storages that `open` makes have the option `encryption`: what a row holds is then another thing, and what is
   * not encrypted is refused. Default `false`.
   */
  readonly encrypted?: boolean;
  /** How much is tried of what can be done in whatever order. Default: 400 sequences from a new seed. */
  readonly model?: ModelOptions;
}

export interface ModelOptions {
  /** How many sequences of operations: as many short ones, and a fortieth of it of long ones. Default 400. */
  readonly runs?: number;
  /** The seed that a failure told, to try the same sequences again. Default: a new one each time. */
  readonly seed?: number;
  /** The path that a failure told beside its seed, to begin with the sequence that failed. Default: from the first one. */
  readonly path?: string;
}

/** One store, and a way around the storages that are open on it: a mistake made twice, there and back, shows here. */
export interface ConformanceStore {
  /** A new storage on this store. Called many times; several are open at once. The suite closes them. */
  open(options?: CommonStorageOptions): CheckpointStorage;
  /** The row with this id (in lower case) as the database has it, or `null`. */
  readRow(id: string): Promise<StoredRow | null>;
  /** Writes over some columns of a row. */
  damageRow(id: string, damage: RowDamage): Promise<void>;
  /** How many checkpoints there are, of all agents. */
  countRows(): Promise<number>;
  /** Writes over some columns of all writes of a checkpoint. */
  damageWrites(checkpointId: string, damage: RowDamage): Promise<void>;
  /** How many writes there are, of all checkpoints. */
  countWrites(): Promise<number>;
  /** How another process opens this store. Absent where only this process can: the tests of processes are then skipped. */
  readonly remote?: Remote;
  /** Releases the store and what it is kept in. Called last, when all storages are closed. */
  dispose(): Promise<void>;
}

export interface StoredRow {
  readonly agentId: string;
  readonly namespace: string;
  readonly name: string;
  readonly encoding: string;
  readonly state: Uint8Array;
  readonly stateBytes: number;
  readonly digest: Uint8Array;
}

export type RowDamage = Partial<Pick<StoredRow, "encoding" | "state" | "stateBytes" | "digest">>;

export interface Remote {
  /** The URL of a module that plain Node can import (built JavaScript) and that exports `createCheckpointStorage`. */
  readonly module: string;
  /** What `createCheckpointStorage` is called with there: JSON. */
  readonly options: Readonly<Record<string, unknown>>;
}
