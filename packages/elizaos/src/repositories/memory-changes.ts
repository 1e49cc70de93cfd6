import {
  CheckpointError,
  insertRecords,
  type Records,
  removeRecords,
  type Step,
  updateRecords,
} from "@waymark/core/records";
import { checkObject, checkUuid } from "../checks.ts";
import type { MemoryChange } from "../contract.ts";
import type { Database } from "../database.ts";
import { MEMORIES, type MemoryRow } from "../tables.ts";
import { type StoredVector, storedVector } from "../vectors.ts";
import { jsonText, type MetadataColumns, metadataText } from "./memory-rows.ts";

/** Updates of memories. */

const OPERATION = "update memory";

/** How often a memory is read again that another client has changed meanwhile. */
const MAX_ATTEMPTS = 20;

/** What an update sets. `null`: it stays as it is. */
interface Update {
  readonly id: string;
  readonly content: { readonly content: string } | null;
  readonly metadata: MetadataColumns | null;
  readonly vector: StoredVector | null;
}

/** Checks an update, and takes a copy of its values. */
export function checkUpdate(memory: MemoryChange): Update {
  const { id, content, metadata, embedding } = checkObject("memory", memory);
  return {
    id: checkUuid("memory.id", id),
    content: content ? { content: jsonText("memory.content", content) } : null,
    metadata: metadata ? metadataText("memory.metadata", metadata) : null,
    vector: embedding === undefined || embedding === null ? null : storedVector("memory.embedding", embedding),
  };
}

/**
 * Replaces content, metadata and vector, as far as they are given. A vector of another length stays beside the new one, for searches in its
 * length. Returns `false` if there is no such memory and a vector is given for it, else `true`, as ElizaOS has it.
 */
export async function updateMemory(database: Database, update: Update): Promise<boolean> {
  const { vector } = update;
  return await database.run(OPERATION, async (records, signal) => {
    if (vector === null) {
      const steps = stepsOf(update);
      if (steps.length > 0) await records.change(steps, signal);
      return true;
    }
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const [row] = await records.find(MEMORIES, { where: { id: update.id, part: 0 }, limit: 1 }, signal);
      if (row === undefined) return false;
      if (await exchange(records, update, row, vector, signal)) return true;
    }
    throw new CheckpointError("CONTENTION", `${OPERATION}: other clients keep changing the same memory`);
  });
}

/** Applies an update with a vector to a memory as it was read; `false`: it is another meanwhile. */
async function exchange(
  records: Records,
  update: Update,
  row: MemoryRow,
  vector: StoredVector,
  signal: AbortSignal,
): Promise<boolean> {
  const { id, dimensions, signature, document } = row;
  const before = { id, part: 0, dimensions, signature, document };
  const { length } = vector.vector;
  const steps: Step[] = [updateRecords(MEMORIES, before, { ...vector, ...update.content, ...update.metadata }, 1)];
  if (row.vector !== null && row.vector.length !== length) {
    const bare = { type: null, content: null, metadata: null };
    steps.push(
      insertRecords(MEMORIES, [{ ...row, ...bare, part: row.vector.length }], "update"),
      removeRecords(MEMORIES, { id, part: length }),
    );
  }
  if (update.metadata !== null) steps.push(documentStep(id, update.metadata));
  return (await records.change(steps, signal)) !== null;
}

/** Returns the steps of an update without a vector. */
function stepsOf({ id, content, metadata }: Update): Step[] {
  if (content === null && metadata === null) return [];
  const steps: Step[] = [updateRecords(MEMORIES, { id, part: 0 }, { ...content, ...metadata })];
  if (metadata !== null) steps.push(documentStep(id, metadata));
  return steps;
}

/** Sets the document in rows that have a vector alone: they go with it. */
function documentStep(id: string, { document }: MetadataColumns): Step {
  return updateRecords(MEMORIES, { id, part: { not: 0 } }, { document });
}
