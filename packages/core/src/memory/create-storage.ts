import { invalidArgument, property } from "../contract/errors.ts";
import type { MemoryStorage } from "./contract.ts";
import type { MemoryDialect } from "./dialect.ts";
import { createMemoryEngine } from "./engine.ts";
import { type ResolvedMemoryOptions, resolveMemoryOptions } from "./options.ts";
import { EngineMemory } from "./storage.ts";

/**
 * Makes a memory of a dialect. For authors of backends; users call the factory of a dialect's package.
 * @param options made by {@link resolveMemoryOptions}. Default: the defaults.
 * @throws CheckpointError `INVALID_ARGUMENT` if the dialect is of another `apiVersion`
 */
export function createMemoryStorage(
  dialect: MemoryDialect,
  options: ResolvedMemoryOptions = resolveMemoryOptions(),
): MemoryStorage {
  if (property(dialect, "apiVersion") !== 1) {
    throw invalidArgument("dialect.apiVersion", "1", property(dialect, "apiVersion"));
  }
  return new EngineMemory(createMemoryEngine(dialect, options));
}
