import type { CheckedPrunePolicy, checkDeleteAgentsQuery } from "../checkpoints/arguments.ts";
import type { RowQuery } from "../checkpoints/dialect.ts";
import type { ReplicableEngine } from "../checkpoints/engine.ts";
import { pruneCheckpoints } from "../checkpoints/prune.ts";
import { listHeads, retrieveCheckpoint } from "../checkpoints/read.ts";
import { deleteAgent, deleteAgents, deleteCheckpoint } from "../checkpoints/remove.ts";
import { deletedAmong, isDeleted, writeTombstones } from "../checkpoints/tombstones.ts";
import type { DeleteAgentsResult } from "../contract/checkpoints.ts";
import { CheckpointError, factsOf } from "../contract/errors.ts";
import type { PruneResult } from "../contract/status.ts";
import { type Pair, withinDeadline } from "./pair.ts";
import { settled } from "./wait.ts";

/** Removing with a backup: main decides alone, once it has everything, and leaves tombstones. */

type AgentQuery = Pick<RowQuery, "agentId" | "namespace">;

/** `id`: `null` for a text that is no id of ours. */
export async function deleteInPair(pair: Pair, id: string | null, signal: AbortSignal | undefined): Promise<boolean> {
  const { main, failover } = pair;
  await failover.catchUp("delete checkpoint", withinDeadline(pair, signal));
  const isRemoved = await deleteCheckpoint(main, id, signal);
  if (id === null) return isRemoved;
  let isOnlyInBackup = false;
  if (!isRemoved && !(await isDeleted(main, id, signal))) {
    // If only the backup has it, or may have it, it would come back.
    const isInBackup = await findInBackup(pair, id, signal);
    if (isInBackup === false) return false;
    await writeTombstones(main, [id], Date.now(), signal);
    isOnlyInBackup = isInBackup === true;
  }
  await replicateDeletions(pair, "delete checkpoint", signal, () => [id]);
  return isRemoved || isOnlyInBackup;
}

/** `null`: the backup does not answer. */
async function findInBackup({ backup }: Pair, id: string, signal: AbortSignal | undefined): Promise<boolean | null> {
  if (backup.session.circuit !== "closed") return null;
  const found = await settled(retrieveCheckpoint(backup, id, signal));
  return found.ok ? found.value !== null : null;
}

export async function deleteAgentInPair(
  pair: Pair,
  query: AgentQuery,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { main, backup, failover } = pair;
  await failover.catchUp("delete agent", withinDeadline(pair, signal));
  // Another process may deliver them to main just after main has deleted the others.
  const inBackup = await settled(idsOf(backup, query, signal));
  const removed = await deleteAgent(main, query, signal);
  const onlyInBackup = await idsOnlyInBackup(pair, query, new Set(inBackup.ok ? inBackup.value : []), signal);
  await writeTombstones(main, onlyInBackup, Date.now(), signal);
  await replicateDeletions(pair, "delete agent", signal, async () => {
    return [...(await deletedAmong(main, await idsOf(backup, query, signal), signal))];
  });
  return removed + onlyInBackup.length;
}

/** Deletes whole agents that have a checkpoint with a label, in main or only in the backup. A dry run counts those in main. */
export async function deleteAgentsInPair(
  pair: Pair,
  query: ReturnType<typeof checkDeleteAgentsQuery>,
): Promise<DeleteAgentsResult> {
  const { main, backup, failover } = pair;
  const { signal } = query;
  const operation = "delete agents";
  await failover.catchUp(operation, withinDeadline(pair, signal));
  const done = new Set<string>();
  const deleteOne = async (agentId: string) => {
    if (done.has(agentId)) return 0; // its tombstones are on their way
    done.add(agentId);
    return await deleteAgentInPair(pair, { agentId }, signal);
  };
  const inMain = await deleteAgents(main, query, deleteOne);
  if (query.dryRun) return inMain;
  try {
    return await deleteAgents(backup, query, deleteOne, inMain);
  } catch (error) {
    if (factsOf(error)?.failover !== "unreachable") throw error;
    const message = `${operation}: deleted in main; it is unknown whether the backup has more, since it does not answer: try again`;
    throw new CheckpointError("UNAVAILABLE", message, { cause: error });
  }
}

/** Lists the checkpoints of a deleted agent that would come back: those that only the backup has, or that it `had` before. */
async function idsOnlyInBackup(
  { main, backup }: Pair,
  query: AgentQuery,
  had: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  let ids: string[];
  try {
    ids = await idsOf(backup, query, signal);
  } catch (error) {
    const message =
      "delete agent: deleted in main; it is unknown whether the backup has more, since it does not answer: try again";
    throw new CheckpointError("UNAVAILABLE", message, { cause: error });
  }
  const storedMeanwhile = new Set(await idsOf(main, query, signal));
  const deleted = await deletedAmong(main, ids, signal);
  return ids.filter((id) => (had.has(id) || !storedMeanwhile.has(id)) && !deleted.has(id));
}

async function idsOf(engine: ReplicableEngine, query: AgentQuery, signal: AbortSignal | undefined): Promise<string[]> {
  const ids: string[] = [];
  for await (const page of listHeads(engine, "iterate checkpoints", query, signal))
    ids.push(...page.map(({ id }) => id));
  return ids;
}

export async function pruneInPair(pair: Pair, policy: CheckedPrunePolicy): Promise<PruneResult> {
  await pair.failover.catchUp("prune checkpoints", withinDeadline(pair, policy.signal));
  const result = await pruneCheckpoints(pair.main, policy);
  if (!policy.dryRun) await replicateDeletions(pair, "prune checkpoints", policy.signal, () => []);
  return result;
}

/** Delivers deletions. `inOwnBackup`: ids to delete in this process's backup, even if another process has delivered them to its own. */
async function replicateDeletions(
  pair: Pair,
  operation: string,
  signal: AbortSignal | undefined,
  inOwnBackup: () => readonly string[] | Promise<readonly string[]>,
): Promise<void> {
  const { backup, options, toBackup } = pair;
  if (options.replication !== "required") {
    toBackup.wake();
    return;
  }
  try {
    if (await toBackup.drain(withinDeadline(pair, signal))) {
      await writeTombstones(backup, await inOwnBackup(), null, signal);
      return;
    }
  } catch {
    // the backup is unreachable: the relay delivers it later
  }
  throw new CheckpointError("UNAVAILABLE", `${operation}: done in main, the required backup does not have it yet`);
}
