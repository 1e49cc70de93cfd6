import { setImmediate } from "node:timers/promises";
import type { PruneResult } from "../contract/checkpoints.ts";
import { CheckpointError } from "../contract/errors.ts";
import { type CheckedPrunePolicy, MAX_LIMIT } from "./arguments.ts";
import type { RowHead, RowQuery } from "./dialect.ts";
import { commitPlan, type Engine } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { PAGE, slices } from "./paging.ts";
import { listAgents, listHeads } from "./read.ts";
import { MAX_PLANS, planRebasing, planRemoval, type Removal, type RemovalRequest } from "./rebase.ts";
import { retentionFilter } from "./retention.ts";
import { isTombstone, tombstoneOf } from "./tombstones.ts";

/** Removing: one checkpoint, an agent, and what a policy does not keep. In bounded steps; rows that stay are made independent first. */

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

export async function pruneCheckpoints(engine: Engine, policy: CheckedPrunePolicy): Promise<PruneResult> {
  const now = Date.now();
  const progress = { examined: 0, removed: 0 };
  for await (const agent of agentsOf(engine, policy)) await pruneAgent(engine, agent, policy, now, progress);
  if (!policy.dryRun) await vacuumAll(engine, "prune checkpoints", policy.signal);
  return { ...progress };
}

async function* agentsOf(engine: Engine, { agentId, signal }: CheckedPrunePolicy): AsyncIterableIterator<string> {
  if (agentId !== null) {
    yield agentId;
    return;
  }
  for (let after: string | null = null; ; ) {
    const page = await listAgents(engine, "prune checkpoints", { after, limit: PAGE }, signal);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1) ?? null;
  }
}

async function pruneAgent(
  engine: Engine,
  agentId: string,
  policy: CheckedPrunePolicy,
  nowMs: number,
  progress: { examined: number; removed: number },
): Promise<void> {
  const { namespace, signal } = policy;
  const query = namespace === null ? { agentId } : { agentId, namespace };
  const filters = new Map<string, (row: RowHead) => boolean>();
  // Both highest first.
  const doomed = new Set<string>();
  const kept: Pick<RowHead, "id" | "baseId">[] = [];
  for await (const rows of listHeads(engine, "prune checkpoints", query, signal)) {
    for (const row of rows) {
      const isKept = filters.get(row.namespace) ?? retentionFilter(policy, nowMs);
      filters.set(row.namespace, isKept);
      progress.examined += 1;
      if (isKept(row)) kept.push({ id: row.id, baseId: row.baseId });
      else doomed.add(row.id);
    }
  }
  const willBeRemoved = (id: string) => doomed.has(id);
  if (!policy.dryRun) {
    const dependent = kept.filter(({ baseId }) => baseId !== null && doomed.has(baseId)).map(({ id }) => id);
    await rebaseRows(engine, "prune checkpoints", dependent.reverse(), willBeRemoved, signal);
  }
  for (const batch of slices([...doomed], policy.batchSize)) {
    progress.removed += policy.dryRun
      ? batch.length
      : await removeRows(engine, "prune checkpoints", batch, willBeRemoved, signal);
    policy.onProgress?.({ ...progress });
  }
}

/** Removes rows, highest first, in bounded steps. Returns how many: a row that another one needs and cannot do without stays. */
async function removeRows(
  engine: Engine,
  operation: string,
  ids: readonly string[],
  willBeRemoved: (id: string) => boolean,
  signal: AbortSignal | undefined,
): Promise<number> {
  let removed = 0;
  for (let left = ids; left.length > 0; ) {
    const some = left.slice(0, MAX_LIMIT);
    const step = await engine.session.run(operation, signal, (deadline, { maxStatementBytes: maxRowBytes }) =>
      removeSome(engine, { ids: some, willBeRemoved, maxRowBytes }, deadline),
    );
    removed += step.removed;
    left = left.slice(step.done);
    await setImmediate(); // a synchronous driver would otherwise block the event loop
  }
  return removed;
}

/** Removes as many of these rows as one step takes, from the first on. `done`: how many that are. */
async function removeSome(
  engine: Engine,
  request: RemovalRequest,
  signal: AbortSignal,
): Promise<{ done: number; removed: number; blockedBy: Removal["blockedBy"] }> {
  for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
    const { ids, change, blockedBy } = await planRemoval(engine.dialect, request, signal);
    const now = Date.now();
    const insertTombstones = engine.leavesTombstones ? change.remove.map((id) => tombstoneOf(id, now, now)) : [];
    if (change.remove.length === 0 || (await commitPlan(engine, { ...change, insertTombstones }, signal))) {
      for (const id of change.remove) engine.cache.forget(id);
      return { done: ids.length, removed: change.remove.length, blockedBy };
    }
  }
  throw changedTooOften();
}

/**
 * Makes rows that stay independent of rows that will be removed, lowest first: so each builds on rows that are rewritten
 * already, and no chain gets long. A row that cannot be rewritten keeps its bases: the removal leaves them.
 */
async function rebaseRows(
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
async function vacuumAll(
  { dialect, session }: Engine,
  operation: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  while (await session.run(operation, signal, (deadline) => dialect.vacuum(deadline))) await setImmediate();
}
