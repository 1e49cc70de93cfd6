import type { PruneResult } from "../contract/status.ts";
import type { CheckedPrunePolicy } from "./arguments.ts";
import type { RowHead } from "./dialect.ts";
import type { Engine } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { idleSince, isPinned, keepFilter, newProgress, type PruneProgress, toResult } from "./keep-rules.ts";
import { slices } from "./paging.ts";
import { iterateAgents, listHeads } from "./read.ts";
import { MAX_PLANS } from "./rebase.ts";
import { rebaseRows, removeRows, vacuumAll } from "./remove.ts";
import { commitRemoval } from "./replicated.ts";

/** Pruning: idle agents go whole; of the others goes what a policy does not keep. */

const OPERATION = "prune checkpoints";

/** Rows of an idle agent that go in one commit, during which a synchronous driver blocks the event loop: for some 40 ms. */
const MAX_WHOLE = 1_000;

/** A pruning under way. */
interface Pruning {
  readonly engine: Engine;
  readonly policy: CheckedPrunePolicy;
  readonly nowMs: number;
  readonly progress: PruneProgress;
}

export async function pruneCheckpoints(engine: Engine, policy: CheckedPrunePolicy): Promise<PruneResult> {
  const nowMs = Date.now();
  const { dropAgentsIdleForMs: idleForMs } = policy;
  const since = idleForMs === null ? null : idleSince(idleForMs, nowMs);
  const pruning: Pruning = { engine, policy, nowMs, progress: newProgress() };
  const agents = policy.agentId === null ? iterateAgents(engine, OPERATION, null, policy.signal) : [policy.agentId];
  for await (const agentId of agents) {
    if (since !== null && (await dropIfIdle(pruning, agentId, since))) continue;
    if (policy.hasKeepRule) await pruneAgent(pruning, agentId);
  }
  if (!policy.dryRun) await vacuumAll(engine, OPERATION, policy.signal);
  return toResult(pruning.progress);
}

async function pruneAgent({ engine, policy, nowMs, progress }: Pruning, agentId: string): Promise<void> {
  const { namespace, signal } = policy;
  const query = namespace === null ? { agentId } : { agentId, namespace };
  const filters = new Map<string, ReturnType<typeof keepFilter>>();
  // Both highest first.
  const doomed = new Set<string>();
  const kept: Pick<RowHead, "id" | "baseId">[] = [];
  for await (const rows of listHeads(engine, OPERATION, query, signal)) {
    for (const row of rows) {
      const keptBy = filters.get(row.namespace) ?? keepFilter(policy, nowMs);
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

/** An agent whose rows, and their writes, were all made at this id's time or before. */
interface IdleAgent {
  readonly agentId: string;
  readonly since: string;
  /** Highest first. */
  readonly rows: readonly Pick<RowHead, "id" | "namespace" | "baseId">[];
}

/**
 * Removes an agent whole if it is idle. `false`: it is not, and the rules about its checkpoints decide.
 *
 * The last commit is refused unless it leaves no row of the agent, and takes no new write. So one that stores before it keeps
 * all that the commit would have removed, and one that stores after it begins anew.
 */
async function dropIfIdle(pruning: Pruning, agentId: string, since: string): Promise<boolean> {
  const { policy, progress } = pruning;
  let namespaces = MAX_WHOLE;
  for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
    const agent = await readIfIdle(pruning, agentId, since);
    if (agent === null) return false;
    const { rows } = agent;
    if (!policy.dryRun && rows.length > MAX_WHOLE) {
      // Rows that cannot be read hold the rows below them. The rows of one namespace are a chain, which is never that long.
      if ((await trimIdle(pruning, agent, namespaces)) === 0) namespaces = 1;
      continue;
    }
    if (!policy.dryRun && !(await removeWhole(pruning, agent))) continue;
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
async function readIfIdle(pruning: Pruning, agentId: string, since: string): Promise<IdleAgent | null> {
  const { engine, policy } = pruning;
  const newest = await readNewest(pruning, agentId);
  if (newest === undefined || newest.id > since) return null;
  const idle: IdleAgent["rows"][number][] = [];
  for await (const rows of listHeads(engine, OPERATION, { agentId }, policy.signal)) {
    for (const row of rows) {
      // One may have been stored since the newest was read.
      if (isPinned(policy, row) || row.id > since) return null;
      idle.push({ id: row.id, namespace: row.namespace, baseId: row.baseId });
    }
    if (await areWritten(pruning, rows, since)) return null;
  }
  return { agentId, since, rows: idle };
}

async function readNewest({ engine, policy }: Pruning, agentId: string): Promise<RowHead | undefined> {
  const [newest] = await engine.session.run(OPERATION, policy.signal, (deadline) =>
    engine.dialect.list({ agentId, limit: 1 }, deadline),
  );
  return newest;
}

/** Returns whether any of these rows has a write from after this id. */
async function areWritten(
  { engine, policy }: Pruning,
  rows: readonly Pick<RowHead, "id">[],
  since: string,
): Promise<boolean> {
  const ids = rows.map(({ id }) => id);
  return await engine.session.run(OPERATION, policy.signal, (deadline) =>
    engine.dialect.areWrittenSince(ids, since, deadline),
  );
}

/** Removes these rows in one commit, if the agent has no other ones, and has written nothing since. */
async function removeWhole({ engine, policy }: Pruning, { agentId, since, rows }: IdleAgent): Promise<boolean> {
  const remove = rows.map(({ id }) => id);
  const change = { remove, unwrittenSince: since, emptiedAgent: agentId };
  const isRemoved = await engine.session.run(OPERATION, policy.signal, (deadline) =>
    commitRemoval(engine, change, deadline),
  );
  if (isRemoved) for (const id of remove) engine.cache.forget(id);
  return isRemoved;
}

/**
 * Removes the history of an agent with more rows than one commit takes, in batches, while it stays idle: the latest row of so
 * many namespaces, of the newest ones, stays, and is made independent. Returns how many were removed.
 */
async function trimIdle(pruning: Pruning, { agentId, since, rows }: IdleAgent, namespaces: number): Promise<number> {
  const { engine, policy, progress } = pruning;
  const latest = new Map<string, IdleAgent["rows"][number]>();
  for (const row of rows) {
    if (latest.size < namespaces && !latest.has(row.namespace)) latest.set(row.namespace, row);
  }
  const kept = [...latest.values()];
  const keptIds = new Set(kept.map(({ id }) => id));
  const history = rows.filter(({ id }) => !keptIds.has(id));
  const doomed = new Set(history.map(({ id }) => id));
  const willBeRemoved = (id: string) => doomed.has(id);
  const dependent = kept.filter(({ baseId }) => baseId !== null && doomed.has(baseId));
  const lowestFirst = dependent.map(({ id }) => id).sort();
  await rebaseRows(engine, OPERATION, lowestFirst, willBeRemoved, policy.signal);
  const newest = rows[0]?.id;
  let removed = 0;
  for (const batch of slices(history, policy.batchSize)) {
    if ((await readNewest(pruning, agentId))?.id !== newest) break;
    if (await areWritten(pruning, [...kept, ...batch], since)) break;
    const ids = batch.map(({ id }) => id);
    const some = await removeRows(engine, OPERATION, ids, willBeRemoved, policy.signal, since);
    removed += some;
    progress.examined += some;
    countIdle(pruning, some);
    if (some < batch.length && (await areWritten(pruning, batch, since))) break;
  }
  return removed;
}
