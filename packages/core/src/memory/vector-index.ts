import { CheckpointError } from "../contract/errors.ts";
import type { CheckedVectorIndex } from "./arguments.ts";
import type { VectorIndex } from "./dialect.ts";
import type { MemoryEngine } from "./engine.ts";

/** Indexes of vectors of the database's own. */

export async function createVectorIndex(engine: MemoryEngine, request: CheckedVectorIndex): Promise<string> {
  const operation = "create vector index";
  const index = indexOf(engine, operation);
  const { dimensions, signal, timeoutMs } = request;
  const work = (deadline: AbortSignal) => index.create(dimensions, deadline);
  return await engine.session.run(operation, signal, work, undefined, timeoutMs);
}

export async function dropVectorIndex(engine: MemoryEngine, request: CheckedVectorIndex): Promise<boolean> {
  const operation = "drop vector index";
  const index = indexOf(engine, operation);
  const { dimensions, signal, timeoutMs } = request;
  const work = (deadline: AbortSignal) => index.drop(dimensions, deadline);
  return await engine.session.run(operation, signal, work, undefined, timeoutMs);
}

function indexOf({ dialect }: MemoryEngine, operation: string): VectorIndex {
  if (dialect.vectorIndex !== undefined) return dialect.vectorIndex;
  throw new CheckpointError(
    "INVALID_CONFIG",
    `${operation}: ${dialect.name} has no index of vectors: searches do without`,
  );
}
