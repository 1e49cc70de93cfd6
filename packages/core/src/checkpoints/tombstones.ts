import { NO_AGENT, type Row, type RowHead } from "./dialect.ts";
import { commitPlan, type Engine } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { PAGE, slices } from "./paging.ts";
import { MAX_PLANS, planRemoval } from "./rebase.ts";

/**
 * Tombstones: where there is a backup, a deleted checkpoint leaves its id, so that no late copy of it is inserted again. A
 * tombstone is a row of the same table, and is delivered to the other provider as a checkpoint is.
 */

const NOTHING = new Uint8Array(0);
/** Digest of a tombstone, which has no content. */
export const NO_DIGEST = new Uint8Array(32);

/** Tombstones of one commit. */
const TOMBSTONES_AT_ONCE = 100;
/** Heads that are read side by side. */
const HEADS_AT_ONCE = 8;

export function tombstoneOf(id: string, deletedAt: number, pending: number | null): Row {
  const nothing = { namespace: "", name: "", parentId: null, baseId: null, metadata: null, afterId: null };
  const state = { encoding: "tombstone", stateBytes: 0, digest: NO_DIGEST, state: NOTHING };
  return { id, agentId: NO_AGENT, ...nothing, createdAt: deletedAt, ...state, pending };
}

export function isTombstone({ agentId }: Pick<RowHead, "agentId">): boolean {
  return agentId === NO_AGENT;
}

/** Returns whether a checkpoint is known to be deleted. */
export async function isDeleted({ dialect, session }: Engine, id: string, signal?: AbortSignal): Promise<boolean> {
  return await session.run("look for a tombstone", signal, async (deadline) => {
    const [head] = await dialect.list({ id, limit: 1 }, deadline);
    return head !== undefined && isTombstone(head);
  });
}

/** Returns those of these checkpoints that are known to be deleted. */
export async function deletedAmong(
  { dialect, session }: Engine,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const deleted = new Set<string>();
  for (const some of slices(ids, PAGE)) {
    const rows = await session.run("look for tombstones", signal, (deadline) => dialect.readRows(some, deadline));
    for (const row of rows) if (isTombstone(row)) deleted.add(row.id);
  }
  return deleted;
}

/**
 * Writes tombstones for these checkpoints, and removes those that are here. `pending`: outbox flag of the tombstones, see
 * `RowHead`. Returns how many were here.
 */
export async function writeTombstones(
  engine: Engine,
  ids: readonly string[],
  pending: number | null,
  signal?: AbortSignal,
): Promise<number> {
  const all = new Set(ids);
  let removed = 0;
  for (let left = [...ids].sort().reverse(); left.length > 0; ) {
    const some = left.slice(0, TOMBSTONES_AT_ONCE);
    const step = await engine.session.run("delete checkpoint", signal, (deadline, { maxStatementBytes }) =>
      writeSome(
        engine,
        some,
        { willBeRemoved: (id) => all.has(id), maxRowBytes: maxStatementBytes },
        pending,
        deadline,
      ),
    );
    removed += step.removed;
    left = left.slice(step.done);
  }
  return removed;
}

/** Writes tombstones for the first of these rows, or for all. */
async function writeSome(
  engine: Engine,
  ids: readonly string[],
  plan: { willBeRemoved(id: string): boolean; readonly maxRowBytes: number },
  pending: number | null,
  signal: AbortSignal,
): Promise<{ done: number; removed: number }> {
  // A new backup has none of the rows: one commit is enough. If any of them is here, the commit is refused.
  const all = ids.map((id) => tombstoneOf(id, Date.now(), pending));
  if (await commitPlan(engine, { insertTombstones: all }, signal)) return { done: ids.length, removed: 0 };
  for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
    const heads = await headsOf(engine, ids, signal);
    const here = ids.filter((id) => heads.has(id) && !isTombstone(heads.get(id) as RowHead));
    const removal = await planRemoval(engine.dialect, { ids: here, ...plan }, signal);
    const done = removal.ids.length < here.length ? ids.indexOf(removal.ids.at(-1) as string) + 1 : ids.length;
    const { remove } = removal.change;
    const absent = ids.slice(0, done).filter((id) => !heads.has(id));
    const insertTombstones = [...remove, ...absent].map((id) => tombstoneOf(id, Date.now(), pending));
    const change = { ...removal.change, insertTombstones };
    if (insertTombstones.length === 0 || (await commitPlan(engine, change, signal))) {
      for (const id of remove) engine.cache.forget(id);
      return { done, removed: remove.length };
    }
  }
  throw changedTooOften();
}

async function headsOf(
  { dialect }: Engine,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, RowHead>> {
  const heads = new Map<string, RowHead>();
  for (const some of slices(ids, HEADS_AT_ONCE)) {
    const lists = some.map((id) => dialect.list({ id, limit: 1 }, signal));
    for (const head of (await Promise.all(lists)).flat()) heads.set(head.id, head);
  }
  return heads;
}
