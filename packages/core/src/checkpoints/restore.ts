import { idClock } from "../database/ids.ts";
import type { CheckedStoreOptions } from "./arguments.ts";
import type { Engine } from "./engine.ts";
import { noCheckpoint } from "./failures.ts";
import { type FoundCheckpoint, findCheckpoint } from "./read.ts";
import { type PreparedCheckpoint, prepareSnapshot } from "./store.ts";

/** Going back: an earlier state is stored once more, as the latest. It is not decoded: its chunks are its delta. */

/** Finds a checkpoint to restore. The new one will sort after the latest, whatever the machine's clock says. */
export async function findToRestore(
  engine: Engine,
  id: string | null,
  signal: AbortSignal | undefined,
): Promise<FoundCheckpoint | null> {
  return await engine.session.run("restore checkpoint", signal, async (deadline) => {
    const found = await findCheckpoint(engine, "restore checkpoint", id, deadline);
    if (found === null) return null;
    const { agentId, namespace } = found.head;
    const [latest] = await engine.dialect.list({ agentId, namespace, limit: 1 }, deadline);
    if (latest !== undefined) idClock.observe(latest.id);
    return found;
  });
}

/** Prepares the copy of a checkpoint. @throws CheckpointError `NOT_FOUND`, also if it is of another agent */
export function prepareRestored(
  found: FoundCheckpoint | null,
  { agentId: wantedAgentId, ...options }: CheckedStoreOptions & { readonly agentId: string | null },
): PreparedCheckpoint {
  // One message for both, so that ids of other agents cannot be probed.
  if (found === null || (wantedAgentId !== null && found.head.agentId !== wantedAgentId)) {
    throw noCheckpoint("restore checkpoint", wantedAgentId === null ? "with this id" : "with this id, of this agent");
  }
  const { head, state } = found;
  const { agentId, namespace, name, metadata, id: parentId } = head;
  const copy = { id: null, agentId, namespace, name, parentId, createdAt: Date.now(), metadata };
  return prepareSnapshot(copy, state.snapshot, state, options);
}
