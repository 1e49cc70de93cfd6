import { NO_AGENT } from "../checkpoints/dialect.ts";
import { isReplicable, type ReplicableEngine } from "../checkpoints/engine.ts";
import { PAGE } from "../checkpoints/paging.ts";
import { listHeads } from "../checkpoints/read.ts";
import { isUnmarked, unmarkReplicated } from "../checkpoints/replicated.ts";
import { mainEngineOf } from "../checkpoints/storage.ts";
import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
import { invalidArgument } from "../contract/errors.ts";
import { checkCallOptions } from "../database/arguments.ts";

const OPERATION = "end replication";

/**
 * Declares that the database of a storage has no backup any more, and is none: removes its tombstones, and deletes leave no
 * more of them. Returns how many were removed. Can be repeated if it was ended.
 *
 * Call it when no process has the backup in its config any more. If one still opens main with a backup, or opens this backup
 * again later, checkpoints that were deleted come back: empty such a backup first.
 * @param storage of a factory, or of `openCheckpointStorage`; not one with a backup
 * @throws CheckpointError `INVALID_ARGUMENT` for a storage with a backup; and the codes of a database
 */
export async function endReplication(storage: CheckpointStorage, options: CallOptions = {}): Promise<number> {
  const { signal } = checkCallOptions(options);
  const engine = mainEngineOf(storage);
  if (engine === null || engine.role !== null) {
    throw invalidArgument("storage", "a storage of one database, opened without a backup", storage);
  }
  if (!isReplicable(engine)) return 0;
  // Another process that removes meanwhile finds what is still there of the tombstones, and marks the database again.
  let removed = 0;
  do {
    await unmarkReplicated(engine, signal);
    await clearOutbox(engine, signal);
    removed += await removeTombstones(engine, signal);
  } while (!(await isUnmarked(engine, signal)));
  return removed;
}

async function clearOutbox({ dialect, session }: ReplicableEngine, signal: AbortSignal | undefined): Promise<void> {
  for (let isDone = false; !isDone; ) {
    isDone = await session.run(OPERATION, signal, async (deadline) => {
      const rows = await dialect.outbox.pending(Number.MAX_SAFE_INTEGER, PAGE, deadline);
      await dialect.outbox.commit({ acknowledge: rows }, deadline);
      return rows.length < PAGE;
    });
  }
}

async function removeTombstones(engine: ReplicableEngine, signal: AbortSignal | undefined): Promise<number> {
  const { dialect, session } = engine;
  let removed = 0;
  for await (const tombstones of listHeads(engine, OPERATION, { agentId: NO_AGENT }, signal)) {
    const remove = tombstones.map(({ id }) => id);
    await session.run(OPERATION, signal, (deadline) => dialect.commit({ remove }, deadline));
    removed += remove.length;
  }
  return removed;
}
