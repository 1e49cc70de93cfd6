import { checkCallOptions } from "../checkpoints/arguments.ts";
import { NO_AGENT } from "../checkpoints/dialect.ts";
import { isReplicable } from "../checkpoints/engine.ts";
import { PAGE } from "../checkpoints/paging.ts";
import { listHeads } from "../checkpoints/read.ts";
import { unmarkReplicated } from "../checkpoints/replicated.ts";
import { engineOf } from "../checkpoints/storage.ts";
import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
import { invalidArgument } from "../contract/errors.ts";

const OPERATION = "end replication";

/**
 * Declares that the database of a storage has no backup any more, and is none: removes its tombstones, and deletes leave no
 * more of them. Returns how many were removed. Can be repeated if it was ended.
 *
 * Call it when no process has the backup in its config any more. If one still opens main with a backup, or opens this backup
 * again later, checkpoints that were deleted come back: empty such a backup first.
 * @param storage one that was opened alone, not one with a backup
 * @throws CheckpointError `INVALID_ARGUMENT` for a storage with a backup; and the codes of a database
 */
export async function endReplication(storage: CheckpointStorage, options: CallOptions = {}): Promise<number> {
  const { signal } = checkCallOptions(options);
  const engine = engineOf(storage);
  if (engine === null || engine.role !== null) {
    throw invalidArgument("storage", "a storage of one database, opened without a backup", storage);
  }
  if (!isReplicable(engine)) return 0;
  const { dialect, session } = engine;
  await unmarkReplicated(engine, signal);
  for (let isDone = false; !isDone; ) {
    isDone = await session.run(OPERATION, signal, async (deadline) => {
      const rows = await dialect.outbox.pending(Number.MAX_SAFE_INTEGER, PAGE, deadline);
      await dialect.outbox.commit({ acknowledge: rows }, deadline);
      return rows.length < PAGE;
    });
  }
  let removed = 0;
  for await (const tombstones of listHeads(engine, OPERATION, { agentId: NO_AGENT }, signal)) {
    const remove = tombstones.map(({ id }) => id);
    await session.run(OPERATION, signal, (deadline) => dialect.commit({ remove }, deadline));
    removed += remove.length;
  }
  return removed;
}
