import { type PackedChain, packDifference, packWhole, readChain, type StoredChain, UnreadableRow } from "./chains.ts";
import type { Change, Dialect, Rewrite, Row } from "./dialect.ts";

/** What one commit rewrites, in bytes, about: a removal that takes more is planned in parts. */
const MAX_REWRITTEN_BYTES = 16_000_000;

export interface RemovalRequest {
  /** Highest first. */
  readonly ids: readonly string[];
  /** Whether a row is to go, now or later: no row that stays is made a difference to it. */
  isDoomed(id: string): boolean;
  readonly maxRowBytes: number;
}

export interface Removal {
  /** The first ones of those that were asked for, or all. */
  readonly ids: readonly string[];
  /** Removes what of these can be. A row that stays needs the others: it is damaged, or too large to be sent whole. */
  readonly change: Change & { readonly remove: readonly string[] };
}

/**
 * Plans the removal of rows. The rows that are differences to them, and stay, become differences to the nearest of their
 * bases that stays, or whole. Other clients may change the rows meanwhile: the commit is guarded against that.
 */
export async function planRemoval(dialect: Dialect, request: RemovalRequest, signal: AbortSignal): Promise<Removal> {
  const { ids, isDoomed, maxRowBytes } = request;
  const removing = new Set(ids);
  const dependents = (await dialect.dependents(ids, signal)).map(({ id }) => id).filter((id) => !removing.has(id));
  const left = new Set(dependents.sort().reverse());
  const needed = new Set<string>();
  const rewrite: Rewrite[] = [];
  const bases = new Map<string, Uint8Array>();
  let bytes = 0;
  let whole: StoredChain | null = null;
  for (const id of left) {
    // The newest one's chain most often holds the others.
    const rows = await dialect.readChain(id, signal);
    const states = await readStates(rows, left, isDoomed);
    if (states === null) for (const row of rows) needed.add(row.id);
    for (const { row, state, base } of states ?? []) {
      left.delete(row.id);
      // Without a base that stays: the first one that was made whole is much like it.
      const like: StoredChain | null = base ?? whole;
      const difference: PackedChain | null =
        like === null ? null : await packDifference(row.id, state.snapshot, like, false);
      const next: PackedChain = difference ?? (await packWhole(row.id, state.snapshot));
      const { packed } = next;
      const baseId = next.base?.id ?? null;
      if (packed.state.byteLength > maxRowBytes) {
        for (const { id: kept } of rows.slice(rows.indexOf(row))) needed.add(kept);
        continue;
      }
      if (baseId === null) whole ??= next.chain;
      rewrite.push({ id: row.id, fromBaseId: row.baseId, baseId, ...packed });
      for (const { id, snapshot } of [state, next.base ?? state]) bases.set(id, snapshot.digest);
      bytes += packed.state.byteLength;
      if (bytes > MAX_REWRITTEN_BYTES && ids.length > 1) {
        const half = ids.slice(0, Math.ceil(ids.length / 2));
        return await planRemoval(dialect, { ...request, ids: half }, signal);
      }
    }
  }
  const remove = ids.filter((id) => !needed.has(id));
  return { ids, change: { bases: [...bases].map(([id, digest]) => ({ id, digest })), rewrite, remove } };
}

/** The states of a chain's rows that are wanted, oldest first, and what they may be differences to. `null`: damaged. */
async function readStates(
  rows: readonly Row[],
  wanted: ReadonlySet<string>,
  isDoomed: (id: string) => boolean,
): Promise<{ row: Row; state: StoredChain; base: StoredChain | null }[] | null> {
  const found = rows.flatMap((row, index) => {
    if (!wanted.has(row.id)) return [];
    return [{ row, baseId: rows.slice(index + 1).find(({ id }) => !isDoomed(id))?.id }];
  });
  const needed = new Set(found.flatMap(({ row, baseId }) => [row.id, baseId]));
  try {
    const states = new Map((await readChain(rows, ({ id }) => needed.has(id))).map((state) => [state.id, state]));
    return found.reverse().map(({ row, baseId }) => {
      return { row, state: states.get(row.id) as StoredChain, base: states.get(baseId ?? "") ?? null };
    });
  } catch (error) {
    if (error instanceof UnreadableRow) return null;
    throw error;
  }
}
