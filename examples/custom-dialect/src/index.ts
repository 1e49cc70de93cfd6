import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";
import { createStorage, objectWithKeys, resolveStorageOptions, STORAGE_OPTIONS } from "@waymark/core/kit";
import { createMapDialect, type Rows } from "./map-dialect.ts";

export { createMapDialect, type Rows };

export interface MapStorageOptions extends CommonStorageOptions {
  /** The Map that keeps the checkpoints. Storages with the same Map share them. Default: a new one. */
  readonly rows?: Rows;
}

/** Creates a storage that keeps checkpoints in memory, for as long as the Map exists. */
export function createMapStorage(options: MapStorageOptions = {}): CheckpointStorage {
  const { rows = new Map() } = objectWithKeys("options", options, [...STORAGE_OPTIONS, "rows"]) as MapStorageOptions;
  return createStorage(createMapDialect(rows), resolveStorageOptions(options));
}

/** The name under which `openCheckpointStorage` finds the factory of every dialect's package. */
export const createCheckpointStorage = createMapStorage;
