import type { RowWithBase } from "../checkpoints/dialect.ts";
import { type PreparedCheckpoint, storeCheckpoint, storeElsewhere } from "../checkpoints/store.ts";
import { appendWrites, type PreparedWrites } from "../checkpoints/task-writes.ts";
import { isDeleted } from "../checkpoints/tombstones.ts";
import { CheckpointError, codeOf, factsOf } from "../contract/errors.ts";
import { acknowledge, deliver, readForDelivery } from "./delivery.ts";
import { OutboxRelay } from "./outbox-relay.ts";
import { bothFailed, isMainUnreachable, type Pair, withinDeadline } from "./pair.ts";
import { settlesBefore } from "./wait.ts";

/** Storing with a backup: in main first; in the backup if main does not take it. */

/** Stores a prepared checkpoint and returns its id. */
export async function storeInPair(pair: Pair, prepared: PreparedCheckpoint): Promise<string> {
  const { main, backup, options, failover, toBackup } = pair;
  const { head, signal } = prepared;
  if (head.afterId !== null) await failover.catchUp("store checkpoint", withinDeadline(pair, signal));
  let stored: RowWithBase | null;
  try {
    stored = await storeCheckpoint(main, prepared, OutboxRelay.leaseEnd());
  } catch (error) {
    if (!failsOver(pair, error) || head.afterId !== null) throw error;
    const store = () => storeElsewhere(backup, prepared, Date.now());
    await doInBackup(pair, "store checkpoint", error as CheckpointError, store);
    return head.id;
  }
  failover.recordMainHas(head.id);
  if (options.replication === "required") {
    const send = () => (stored === null ? deliverToBackup(pair, head.id, signal) : toBackup.deliver(stored));
    await requireBackup("store checkpoint", head.id, send, signal);
  } else if (stored !== null) {
    toBackup.enqueue(stored);
  }
  return head.id;
}

export async function appendInPair(pair: Pair, prepared: PreparedWrites): Promise<void> {
  const { main, backup, options, toBackup } = pair;
  const { checkpointId, signal } = prepared;
  const isRequired = options.replication === "required";
  try {
    // With "required" this call delivers the writes itself; if it does not, any process may at once.
    await appendWrites(main, prepared, isRequired ? Date.now() : OutboxRelay.leaseEnd());
  } catch (error) {
    if (!(await mayBeInBackup(pair, checkpointId, error, signal)) && !failsOver(pair, error)) throw error;
    const append = () => appendWrites(backup, prepared, Date.now());
    await doInBackup(pair, "append writes", error as CheckpointError, append);
    return;
  }
  const id = checkpointId as string;
  if (!isRequired) {
    toBackup.enqueueAppended(id);
    return;
  }
  try {
    await requireBackup("append writes", id, () => deliverToBackup(pair, id, signal), signal);
  } catch (error) {
    toBackup.wake();
    throw error;
  }
}

/** Waits until the backup has what main has stored. */
async function requireBackup(
  operation: string,
  id: string,
  send: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    if (!(await settlesBefore(signal, send(), 0))) {
      throw new CheckpointError("ABORTED", `${operation}: cancelled by the caller's signal`);
    }
  } catch (error) {
    if (factsOf(error)?.blame === "call") throw error;
    const message = `${operation}: main has ${id}, the required backup does not have it yet (${codeOf(error)})`;
    throw new CheckpointError("UNAVAILABLE", message, { cause: error });
  }
}

/** Delivers a checkpoint to this process's backup: each process may have another one, and delivers to that. */
async function deliverToBackup({ main, backup }: Pair, id: string, signal: AbortSignal | undefined): Promise<void> {
  const { rows } = await readForDelivery(main, [id], signal);
  const { done } = await deliver(main, backup, rows, signal);
  if (done.length === 0) throw new CheckpointError("UNAVAILABLE", `replicate: the backup refuses ${id}`);
  await acknowledge(main, done, signal);
}

/** Returns whether the backup takes a store that main has failed with this error. */
function failsOver(pair: Pair, error: unknown): boolean {
  if (pair.options.failover !== "automatic") return false;
  return factsOf(error)?.failover === "refused" || isMainUnreachable(pair, error);
}

/** Does in the backup what main did not do, for this reason. */
async function doInBackup(
  pair: Pair,
  operation: string,
  reason: CheckpointError,
  work: () => Promise<unknown>,
): Promise<void> {
  const { failover, toMain } = pair;
  const isNotFound = reason.code === "NOT_FOUND";
  const isUnreachable = isMainUnreachable(pair, reason);
  if (isUnreachable) failover.markMainUnreachable(); // first: a backup that is ahead of a reachable main is the mode `draining`
  try {
    failover.markBackupAhead();
    await work();
  } catch (error) {
    if (isNotFound && codeOf(error) === "NOT_FOUND") throw reason;
    throw bothFailed(operation, reason, error);
  } finally {
    failover.markBackupAhead();
  }
  if (!isNotFound) failover.recordFailover(operation, reason.code);
  const hasRecovered = isUnreachable && failover.mode !== "failover";
  // If main answers, and lacks what is here, nothing else says that there is something to send.
  if (isNotFound || hasRecovered) toMain.wake();
  else toMain.start();
}

/** Returns whether the backup may have a checkpoint that main lacks, since it took it while main was unreachable. */
async function mayBeInBackup(
  { main, failover }: Pair,
  id: string | null,
  error: unknown,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (id === null || codeOf(error) !== "NOT_FOUND") return false;
  await failover.refresh();
  const mayBe = failover.mayBackupBeAhead || failover.isBackupReachable;
  return mayBe && !(await isDeleted(main, id, signal));
}
