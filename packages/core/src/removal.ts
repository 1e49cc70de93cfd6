import { type PackedChain, packDifference, packWhole, readChain, type StoredChain, UnreadableRow } from "./chains.ts";
import type { Snapshot } from "./codec/snapshots.ts";
import type { Change, Dialect, Rewrite, Row } from "./dialect.ts";

/** What one commit rewrites, and the states that are needed for it, in bytes, about: else it is planned in parts. */
const MAX_REWRITTEN_BYTES = 16_000_000;
const MAX_STATES_BYTES = 128_000_000;

/** How far back a row that stays is looked for. */
const MAX_LOOKED_BACK = 1_000;

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
  /** Why some are not removed; `null`: all are. */
  readonly kept: "damaged" | "too large" | null;
}

/**
 * Plans the removal of rows. The rows that are differences to them, and stay, become differences to the nearest older row
 * of their line that stays: one of their own bases, or the one that was rewritten before. If there is none they become
 * whole. Other clients may change the rows meanwhile: the commit is guarded against that.
 */
export async function planRemoval(dialect: Dialect, request: RemovalRequest, signal: AbortSignal): Promise<Removal> {
  const { ids, isDoomed, maxRowBytes } = request;
  const inParts = () => planRemoval(dialect, { ...request, ids: ids.slice(0, Math.ceil(ids.length / 2)) }, signal);
  const removing = new Set(ids);
  const dependents = (await dialect.dependents(ids, signal)).map(({ id }) => id).filter((id) => !removing.has(id));
  const { survivors, needed } = await readSurvivors(dialect, dependents, isDoomed, signal);
  if (survivors === null) return await inParts();

  const rewrite: Rewrite[] = [];
  const bases = new Map<string, Uint8Array>();
  const before = new Map<string, StoredChain | null>(); // the last one of each line
  let kept: Removal["kept"] = needed.size > 0 ? "damaged" : null;
  let bytes = 0;
  for (const { rows, state, base } of survivors) {
    const row = rows[0] as Row;
    const line = `${row.agentId}\0${row.namespace}`;
    if (!before.has(line)) before.set(line, (await readOlder(dialect, row, base?.id ?? "", isDoomed, signal)) ?? base);
    const next = await packAfter(row.id, state.snapshot, later(base, before.get(line) ?? null));
    if (next.packed.state.byteLength > maxRowBytes) {
      for (const { id } of rows) needed.add(id);
      kept = "too large";
      continue;
    }
    before.set(line, next.chain);
    rewrite.push({ id: row.id, fromBaseId: row.baseId, baseId: next.base?.id ?? null, ...next.packed });
    for (const { id, snapshot } of [state, next.base ?? state]) bases.set(id, snapshot.digest);
    bytes += next.packed.state.byteLength;
    if (bytes > MAX_REWRITTEN_BYTES && ids.length > 1) return await inParts();
  }
  const remove = ids.filter((id) => !needed.has(id));
  const change = { bases: [...bases].map(([id, digest]) => ({ id, digest })), rewrite, remove };
  return { ids, change, kept: remove.length === ids.length ? null : kept };
}

function later(one: StoredChain | null, other: StoredChain | null): StoredChain | null {
  return (one?.id ?? "") > (other?.id ?? "") ? one : other;
}

async function packAfter(id: string, snapshot: Snapshot, base: StoredChain | null): Promise<PackedChain> {
  const difference = base === null ? null : await packDifference(id, snapshot, base, false);
  return difference ?? (await packWhole(id, snapshot));
}

/** A row that stays, with its bases; its state, and that of the nearest of these which stays. */
interface Survivor {
  readonly rows: readonly Row[];
  readonly state: StoredChain;
  readonly base: StoredChain | null;
}

/** Those that can be read, oldest first (`null`: they are too much), and the rows that the others need. */
async function readSurvivors(
  dialect: Dialect,
  ids: readonly string[],
  isDoomed: (id: string) => boolean,
  signal: AbortSignal,
): Promise<{ survivors: Survivor[] | null; needed: Set<string> }> {
  const left = new Set([...ids].sort().reverse());
  const needed = new Set<string>();
  const survivors: Survivor[] = [];
  let bytes = 0;
  for (const id of left) {
    // The newest one's chain most often holds others.
    const rows = await dialect.readChain(id, signal);
    const found = await readStates(rows, left, isDoomed);
    if (found === null) for (const row of rows) needed.add(row.id);
    for (const survivor of found ?? []) {
      left.delete(survivor.state.id);
      survivors.push(survivor);
    }
    bytes += found?.at(-1)?.state.snapshot.memoryBytes ?? 0;
    if (bytes > MAX_STATES_BYTES && left.size > 1) return { survivors: null, needed };
  }
  return { survivors: survivors.sort((one, other) => (one.state.id < other.state.id ? -1 : 1)), needed };
}

/** Of a chain's rows those that are wanted. `null`: the first one cannot be read. */
async function readStates(
  rows: readonly Row[],
  wanted: ReadonlySet<string>,
  isDoomed: (id: string) => boolean,
): Promise<Survivor[] | null> {
  const found = rows.flatMap((row, index) => {
    if (!wanted.has(row.id)) return [];
    return [{ rows: rows.slice(index), baseId: rows.slice(index + 1).find(({ id }) => !isDoomed(id))?.id ?? null }];
  });
  const read = new Set(found.flatMap(({ rows: [row], baseId }) => [row?.id, baseId]));
  try {
    const states = new Map((await readChain(rows, ({ id }) => read.has(id))).map((state) => [state.id, state]));
    return found.map(({ rows: chain, baseId }) => {
      const state = states.get((chain[0] as Row).id) as StoredChain;
      return { rows: chain, state, base: baseId === null ? null : (states.get(baseId) ?? null) };
    });
  } catch (error) {
    if (error instanceof UnreadableRow) return null;
    throw error;
  }
}

/** The nearest older row of the line that stays, if it is above `since`, near, and can be read. */
async function readOlder(
  dialect: Dialect,
  { agentId, namespace, id }: Row,
  since: string,
  isDoomed: (id: string) => boolean,
  signal: AbortSignal,
): Promise<StoredChain | null> {
  const older = await dialect.list({ agentId, namespace, before: id, limit: MAX_LOOKED_BACK }, signal);
  const nearest = older.find((row) => !isDoomed(row.id));
  if (nearest === undefined || nearest.id <= since) return null;
  try {
    return (await readChain(await dialect.readChain(nearest.id, signal)))[0] ?? null;
  } catch (error) {
    if (error instanceof UnreadableRow) return null;
    throw error;
  }
}
