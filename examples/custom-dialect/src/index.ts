import { type CheckpointStorage, type CommonStorageOptions, createStorage } from "@waymark/core";
import { COMMON_OPTIONS, members, resolveCommonOptions } from "@waymark/core/kit";
import { createMapDialect, type Rows } from "./map-dialect.ts";

export { createMapDialect, type Rows };

export interface MapStorageOptions extends CommonStorageOptions {
  /** The Map to keep the checkpoints in; storages that are given the same one share them. Default: a new one. */
  readonly rows?: Rows;
}

/** Checkpoints in memory: they live as long as the Map. */
export function createMapStorage(options: MapStorageOptions = {}): CheckpointStorage {
  const { rows = new Map() } = members("options", options, [...COMMON_OPTIONS, "rows"]) as MapStorageOptions;
  return createStorage(createMapDialect(rows), resolveCommonOptions(options));
}

/** The name under which every dialect package offers its factory, so that programs can open any of them. */
export const createCheckpointStorage = createMapStorage;
