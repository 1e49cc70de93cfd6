import { setImmediate } from "node:timers/promises";
import type { DeleteAgentsResult } from "../contract/checkpoints.ts";
import { CheckpointError } from "../contract/errors.ts";
import { type checkDeleteAgentsQuery, MAX_LIMIT } from "./arguments.ts";
import type { RowQuery } from "./dialect.ts";
import { commitPlan, type Engine } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { iterateAgents, listHeads } from "./read.ts";
import { MAX_PLANS, planRebasing, planRemoval, type Removal, type RemovalRequest } from "./rebase.ts";
import { commitRemoval } from "./replicated.ts";
import { isTombstone } from "./tombstones.ts";

/** Removing: one checkpoint, an agent, and rows in general. In bounded steps; rows that stay are made independent first. */

/** Rows that stay and are rewritten by one commit. */
const REBASED_AT_ONCE = 64;

/** Deletes a checkpoint. `false`: there is none; `id` is `null` for a text that is no id of ours. */
export async function deleteCheckpoint(
  engine: Engine,
  id: string | null,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { dialect, session } = engine;
  return await session.run("delete checkpoint", signal, async (deadline, { maxStatementBytes }) => {
    if (id === null) return false;
    const [row] = await dialect.list({ id, limit: 1 }, deadline);
    if (row === undefined || isTombstone(row)) return false;
    const request = { ids: [id], willBeRemoved: (one: string) => one === id, maxRowBytes: maxStatementBytes };
    const { blockedBy } = await removeSome(engine, request, deadline);
    if (blockedBy === "damaged") {
      const message = `delete checkpoint: a later one that cannot be read builds on ${id}: delete that first`;
      throw new CheckpointError("CORRUPT_CHECKPOINT", message);
    }
    if (blockedBy === "too large") {
      const message = `delete checkpoint: a later one builds on ${id}, and is too large to be written without it`;
      throw new CheckpointError("STATE_TOO_LARGE", message);
    }
    await dialect.vacuum(deadline);
    return true;
  });
}

/** Deletes all checkpoints of an agent, in all namespaces or in one. Returns their number. */
export async function deleteAgent(
  engine: Engine,
  query: Pick<RowQuery, "agentId" | "namespace">,
  signal: AbortSignal | undefined,
): Promise<number> {
  let removed = 0;
  for await (const rows of listHeads(engine, "delete agent", query, signal)) {
    const ids = rows.map((row) => row.id);
    removed += await removeRows(engine, "delete agent", ids, () => true, signal);
  }
  await vacuumAll(engine, "delete agent", signal);
  return removed;
}

/**
 * Deletes whole agents that have a checkpoint with a label, and adds to the counts. `deleteOne` deletes one, and returns the
 * number of its checkpoints.
 */
export async function deleteAgents(
  engine: Engine,
  { lines, dryRun, signal, onProgress }: ReturnType<typeof checkDeleteAgentsQuery>,
  deleteOne: (agentId: string) => Promise<number>,
  before: DeleteAgentsResult = { agents: 0, checkpoints: 0 },
): Promise<DeleteAgentsResult> {
  const operation = "delete agents";
  await engine.labels.index({ isErasing: true, ...(signal === undefined ? {} : { signal }) });
  const counts = { ...before };
  for await (const agentId of iterateAgents(engine, operation, { lines, isStaleAllowed: false }, signal)) {
    const checkpoints = dryRun ? await countRows(engine, operation, agentId, signal) : await deleteOne(agentId);
    if (checkpoints === 0) continue; // it is deleted already
    counts.checkpoints += checkpoints;
    counts.agents += 1;
    onProgress?.({ ...counts });
  }
  return counts;
}

async function countRows(engine: Engine, operation: string, agentId: string, signal: AbortSignal | undefined) {
  let count = 0;
  for await (const rows of listHeads(engine, operation, { agentId }, signal)) count += rows.length;
  return count;
}

/**
 * Removes rows, highest first, in bounded steps. Returns how many: a row that another one needs and cannot do without stays.
 * `unwrittenSince`: ends before a step whose rows have a write from after this id.
 */
export async function removeRows(
  engine: Engine,
  operation: string,
  ids: readonly string[],
  willBeRemoved: (id: string) => boolean,
  signal: AbortSignal | undefined,
  unwrittenSince?: string,
): Promise<number> {
  let removed = 0;
  for (let left = ids; left.length > 0; ) {
    const some = left.slice(0, MAX_LIMIT);
    const step = await engine.session.run(operation, signal, (deadline, { maxStatementBytes: maxRowBytes }) =>
      removeSome(engine, { ids: some, willBeRemoved, maxRowBytes }, deadline, unwrittenSince),
    );
    if (step.done === 0) return removed;
    removed += step.removed;
    left = left.slice(step.done);
    await setImmediate(); // a synchronous driver would otherwise block the event loop
  }
  return removed;
}

/** Removes as many of these rows as one step takes, from the first on. `done`: how many that are; 0 if one was written since. */
async function removeSome(
  engine: Engine,
  request: RemovalRequest,
  signal: AbortSignal,
  unwrittenSince?: string,
): Promise<{ done: number; removed: number; blockedBy: Removal["blockedBy"] }> {
  for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
    const { ids, change, blockedBy } = await planRemoval(engine.dialect, request, signal);
    const guarded = unwrittenSince === undefined ? change : { ...change, unwrittenSince };
    if (change.remove.length === 0 || (await commitRemoval(engine, guarded, signal))) {
      for (const id of change.remove) engine.cache.forget(id);
      return { done: ids.length, removed: change.remove.length, blockedBy };
    }
    const isWritten =
      unwrittenSince !== undefined && (await engine.dialect.areWrittenSince(change.remove, unwrittenSince, signal));
    if (isWritten) return { done: 0, removed: 0, blockedBy: null };
  }
  throw changedTooOften();
}

/**
 * Makes rows that stay independent of rows that will be removed, lowest first: so each builds on rows that are rewritten
 * already, and no chain gets long. A row that cannot be rewritten keeps its bases: the removal leaves them.
 */
export async function rebaseRows(
  engine: Engine,
  operation: string,
  ids: readonly string[],
  willBeRemoved: (id: string) => boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let left = ids; left.length > 0; ) {
    const some = left.slice(0, REBASED_AT_ONCE);
    const done = await engine.session.run(operation, signal, async (deadline, { maxStatementBytes: maxRowBytes }) => {
      const rebasing = await planRebasing(engine.dialect, { ids: some, willBeRemoved, maxRowBytes }, deadline);
      await commitPlan(engine, rebasing.change, deadline); // if other clients interfered, the removal plans it again
      return rebasing.ids.length;
    });
    left = left.slice(done);
    await setImmediate();
  }
}

/** Vacuums step by step, until there is no more to return. */
export async function vacuumAll(
  { dialect, session }: Engine,
  operation: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  while (await session.run(operation, signal, (deadline) => dialect.vacuum(deadline))) await setImmediate();
}
