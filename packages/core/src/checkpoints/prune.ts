import type { PruneResult } from "../contract/status.ts";
import { type CheckedPrunePolicy, MAX_LIMIT } from "./arguments.ts";
import type { RowHead } from "./dialect.ts";
import type { Engine } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { isIdle, isPinned, newProgress, type PruneProgress, retentionFilter, toResult } from "./keep-rules.ts";
import { slices } from "./paging.ts";
import { iterateAgents, listHeads } from "./read.ts";
import { MAX_PLANS } from "./rebase.ts";
import { rebaseRows, removeRows, vacuumAll } from "./remove.ts";
import { commitRemoval } from "./replicated.ts";

/** Pruning: idle agents go whole; of the others goes what a policy does not keep. */

const OPERATION = "prune checkpoints";

/** A pruning under way. */
interface Pruning {
  readonly engine: Engine;
  readonly policy: CheckedPrunePolicy;
  readonly nowMs: number;
  readonly progress: PruneProgress;
}

export async function pruneCheckpoints(engine: Engine, policy: CheckedPrunePolicy): Promise<PruneResult> {
  const pruning: Pruning = { engine, policy, nowMs: Date.now(), progress: newProgress() };
  const agents = policy.agentId === null ? iterateAgents(engine, OPERATION, null, policy.signal) : [policy.agentId];
  for await (const agentId of agents) {
    if (policy.dropAgentsIdleForMs !== null && (await dropIfIdle(pruning, agentId))) continue;
    if (policy.hasKeepRule) await pruneAgent(pruning, agentId);
  }
  if (!policy.dryRun) await vacuumAll(engine, OPERATION, policy.signal);
  return toResult(pruning.progress);
}

async function pruneAgent({ engine, policy, nowMs, progress }: Pruning, agentId: string): Promise<void> {
  const { namespace, signal } = policy;
  const query = namespace === null ? { agentId } : { agentId, namespace };
  const filters = new Map<string, ReturnType<typeof retentionFilter>>();
  // Both highest first.
  const doomed = new Set<string>();
  const kept: Pick<RowHead, "id" | "baseId">[] = [];
  for await (const rows of listHeads(engine, OPERATION, query, signal)) {
    for (const row of rows) {
      const keptBy = filters.get(row.namespace) ?? retentionFilter(policy, nowMs);
      filters.set(row.namespace, keptBy);
      progress.examined += 1;
      const rule = keptBy(row);
      if (rule === null) doomed.add(row.id);
      else {
        progress.keptBy[rule] += 1;
        kept.push({ id: row.id, baseId: row.baseId });
      }
    }
  }
  const willBeRemoved = (id: string) => doomed.has(id);
  if (!policy.dryRun) {
    const dependent = kept.filter(({ baseId }) => baseId !== null && doomed.has(baseId)).map(({ id }) => id);
    await rebaseRows(engine, OPERATION, dependent.reverse(), willBeRemoved, signal);
  }
  for (const batch of slices([...doomed], policy.batchSize)) {
    const removed = policy.dryRun ? batch.length : await removeRows(engine, OPERATION, batch, willBeRemoved, signal);
    progress.removed += removed;
    progress.removedBy.noRule += removed;
    policy.onProgress?.(toResult(progress));
  }
}

/** Rows of an idle agent, highest first. */
type IdleRows = readonly Pick<RowHead, "id" | "namespace" | "baseId">[];

/**
 * Removes an agent whole if it is idle. `false`: it is not, and the rules about its checkpoints decide.
 *
 * The last commit is refused unless it leaves no row of the agent. So one that stores before it keeps all that the commit would
 * have removed, and one that stores after it begins anew.
 */
async function dropIfIdle(pruning: Pruning, agentId: string): Promise<boolean> {
  const { policy, progress } = pruning;
  for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
    const rows = await readIfIdle(pruning, agentId);
    if (rows === null) return false;
    if (!policy.dryRun) {
      if (rows.length > MAX_LIMIT && (await trimIdle(pruning, agentId, rows)) > 0) continue;
      if (!(await removeWhole(pruning, agentId, rows))) continue;
    }
    progress.examined += rows.length;
    progress.droppedAgents += 1;
    countIdle(pruning, rows.length);
    return true;
  }
  throw changedTooOften();
}

function countIdle({ policy, progress }: Pruning, removed: number): void {
  progress.removed += removed;
  progress.removedBy.idleAgent += removed;
  policy.onProgress?.(toResult(progress));
}

/** Reads the rows of an idle agent; `null`: it is not idle, or has none. */
async function readIfIdle(pruning: Pruning, agentId: string): Promise<IdleRows | null> {
  const { engine, policy, nowMs } = pruning;
  const newest = await readNewest(pruning, agentId);
  if (newest === undefined || !isIdle(policy, newest, nowMs)) return null;
  const idle: IdleRows[number][] = [];
  for await (const rows of listHeads(engine, OPERATION, { agentId }, policy.signal)) {
    for (const row of rows) {
      // One may have been stored since the newest was read.
      if (isPinned(policy, row) || !isIdle(policy, row, nowMs)) return null;
      idle.push({ id: row.id, namespace: row.namespace, baseId: row.baseId });
    }
  }
  return idle;
}

async function readNewest({ engine, policy }: Pruning, agentId: string): Promise<RowHead | undefined> {
  const [newest] = await engine.session.run(OPERATION, policy.signal, (deadline) =>
    engine.dialect.list({ agentId, limit: 1 }, deadline),
  );
  return newest;
}

/** Removes these rows in one commit, if the agent has no other ones. */
async function removeWhole({ engine, policy }: Pruning, agentId: string, rows: IdleRows): Promise<boolean> {
  const remove = rows.map(({ id }) => id);
  const isRemoved = await engine.session.run(OPERATION, policy.signal, async (deadline) => {
    return await commitRemoval(engine, { remove, emptiedAgent: agentId }, deadline);
  });
  if (isRemoved) for (const id of remove) engine.cache.forget(id);
  return isRemoved;
}

/**
 * Removes the history of an agent with more rows than one commit takes, in batches, while it stays idle: the latest row of each
 * namespace stays, and is made independent. Returns how many were removed.
 */
async function trimIdle(pruning: Pruning, agentId: string, rows: IdleRows): Promise<number> {
  const { engine, policy, progress } = pruning;
  const latest = new Map<string, IdleRows[number]>();
  for (const row of rows) {
    if (latest.size < MAX_LIMIT && !latest.has(row.namespace)) latest.set(row.namespace, row);
  }
  const kept = new Set(Array.from(latest.values(), ({ id }) => id));
  const doomed = new Set(rows.map(({ id }) => id).filter((id) => !kept.has(id)));
  const willBeRemoved = (id: string) => doomed.has(id);
  const dependent = [...latest.values()].filter(({ baseId }) => baseId !== null && doomed.has(baseId));
  const lowestFirst = dependent.map(({ id }) => id).sort();
  await rebaseRows(engine, OPERATION, lowestFirst, willBeRemoved, policy.signal);
  const newest = rows[0]?.id;
  let removed = 0;
  for (const batch of slices([...doomed], policy.batchSize)) {
    if ((await readNewest(pruning, agentId))?.id !== newest) break;
    const some = await removeRows(engine, OPERATION, batch, willBeRemoved, policy.signal);
    removed += some;
    progress.examined += some;
    countIdle(pruning, some);
  }
  return removed;
}
