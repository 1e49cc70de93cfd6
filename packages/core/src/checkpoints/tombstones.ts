import { NO_AGENT, type Row, type RowHead } from "./dialect.ts";

/**
 * What is left of a checkpoint that was deleted, where there is a backup: its id, so that no late copy of it is stored
 * again. It goes to the other provider as a checkpoint does, by `pending`.
 */

const NOTHING = new Uint8Array(0);
const NO_DIGEST = new Uint8Array(32);

export function tombstoneOf(id: string, deletedAt: number, pending: number | null): Row {
  const nothing = { namespace: "", name: "", parentId: null, baseId: null, metadata: null, afterId: null };
  const state = { encoding: "tombstone", stateBytes: 0, digest: NO_DIGEST, state: NOTHING };
  return { id, agentId: NO_AGENT, ...nothing, createdAt: deletedAt, ...state, pending };
}

export function isTombstone({ agentId }: Pick<RowHead, "agentId">): boolean {
  return agentId === NO_AGENT;
}
