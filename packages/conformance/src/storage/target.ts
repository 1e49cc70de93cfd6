import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";

/**
 * Part of the suite.
 * - `database`: behaviour that depends on the database: order, identity, filters, hostile text, task writes, deletes, prunes and
 *   interrupted calls.
 * - `scale`: large states, agents with many of them, and random sequences of operations. They depend on the database too, and
 *   take as long as the rest.
 * - `codec`: every kind of state and of a write's value comes back as it was stored.
 * - `damage`: the form of stored rows, and the detection of damaged ones.
 * - `facade`: argument checks, errors, abort signals and the life cycle of a storage.
 * - `processes`: several processes on one store. They need {@link ConformanceStore.remote}.
 *
 * `codec`, `damage` and `facade` test code of `@waymark/core` that is the same for every dialect.
 */
export type ConformancePart = "database" | "scale" | "codec" | "damage" | "facade" | "processes";

/** A backend under test: how to make an empty store, and how to read and damage its rows without the storage. */
export interface ConformanceTarget {
  /** Name for the test report. */
  readonly name: string;
  /**
   * Makes a new store without checkpoints and without a schema. Called once for the suite, and again for each test that needs
   * a store of its own.
   */
  create(): Promise<ConformanceStore>;
  /**
   * Parts to run. A backend made with `createStorage` of `@waymark/core/kit` needs `database` and `scale`, and `processes` if
   * several processes can open its store; the others test core itself. With `WAYMARK_TEST_ALL` in the environment all parts run,
   * whichever are listed here. Default: all.
   */
  readonly parts?: readonly ConformancePart[] | undefined;
  /**
   * `true`: the id of a deleted checkpoint stays taken, so storing it again is a `CONFLICT`. So it is with a backup, which may
   * deliver a late copy of the deleted checkpoint. Default `false`.
   */
  readonly keepsTombstones?: boolean | undefined;
  /** `false`: the dialect has no index of labels. Default `true`. */
  readonly labels?: boolean | undefined;
  /** `true`: the storages that `open` makes have the option `encryption`, so rows hold encrypted states. Default `false`. */
  readonly encrypted?: boolean | undefined;
  /** Settings of the test with random sequences of operations. Default: the defaults of each. */
  readonly model?: ModelOptions | undefined;
}

/** Settings of the test that compares random sequences of operations with the same ones on a `Map`. */
export interface ModelOptions {
  /**
   * Number of short sequences; a fortieth as many long ones run too. Default: 50, or 400 with `WAYMARK_TEST_ALL` in the
   * environment.
   */
  readonly runs?: number;
  /** Seed that a failure reported, to repeat its sequences. Default: a new seed for each run. */
  readonly seed?: number;
  /** Path that a failure reported with its seed, to start with the failed sequence. Default: start with the first. */
  readonly path?: string;
}

/**
 * One store, with access to its rows by the driver itself. A mistake that a storage makes both when it writes and when it
 * reads is visible only this way.
 */
export interface ConformanceStore {
  /** Opens a new storage on this store. Called many times; several are open at once. The suite closes them. */
  open(options?: CommonStorageOptions): CheckpointStorage;
  /** Reads the row of the checkpoint with this id (in lower case), or `null` if there is none. */
  readRow(id: string): Promise<StoredRow | null>;
  /** Overwrites the given columns of the checkpoint with this id. */
  damageRow(id: string, damage: RowDamage): Promise<void>;
  /** Counts the checkpoints of all agents, without tombstones. */
  countRows(): Promise<number>;
  /** Overwrites the given columns of all writes of a checkpoint. */
  damageWrites(checkpointId: string, damage: RowDamage): Promise<void>;
  /** Counts the writes of all checkpoints. */
  countWrites(): Promise<number>;
  /** Access for other processes. Absent: only this process can open the store, and the tests of `processes` are skipped. */
  readonly remote?: Remote | undefined;
  /** Releases the store and removes its files or database. Called last, when all storages are closed. */
  dispose(): Promise<void>;
}

/** Columns of a checkpoint's row. */
export interface StoredRow {
  readonly agentId: string;
  /** `""`: the default namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly encoding: string;
  /** The state as stored. */
  readonly state: Uint8Array;
  /** Length of the state as text, in bytes of UTF-8. */
  readonly stateBytes: number;
  /** Digest of the state: 32 bytes. */
  readonly digest: Uint8Array;
}

/** Columns to overwrite, with their new values. Absent ones stay. */
export type RowDamage = Partial<Pick<StoredRow, "encoding" | "state" | "stateBytes" | "digest">>;

/** A module by which another process opens the store. */
export interface Remote {
  /** URL of a module that plain Node can import (built JavaScript) and that exports `createCheckpointStorage`. */
  readonly module: string;
  /** Argument of `createCheckpointStorage`: JSON. */
  readonly options: Readonly<Record<string, unknown>>;
}
