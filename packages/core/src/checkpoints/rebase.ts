import {
  type ChainState,
  nextBase,
  type PackedNext,
  packDelta,
  packFull,
  readState,
  timelineOf,
  UnreadableRow,
  unpackChain,
} from "./chain.ts";
import type { Change, Dialect, Rewrite, Row } from "./dialect.ts";

/**
 * Rebasing (as of disk images, qcow2): before rows are removed, the rows that stay and build on them are rewritten on other
 * bases. A plan is made of rows that were read; its commit is guarded against changes by other clients since.
 */

/** Bytes that one commit rewrites: a larger plan is made in parts. */
const MAX_REWRITTEN_BYTES = 16_000_000;
/** Estimated memory of the states that one plan reads. */
const MAX_STATES_BYTES = 128_000_000;

/** Rows among which an older row that stays is looked for. */
const MAX_LOOKED_BACK = 1_000;

/** Plans of one removal: after each that other clients have outdated another one is made. */
export const MAX_PLANS = 20;

export interface RemovalRequest {
  /** Rows to remove, highest first; or rows to rebase, lowest first. */
  readonly ids: readonly string[];
  /** Returns whether a row will be removed, now or later: it becomes no base of a row that stays. */
  willBeRemoved(id: string): boolean;
  readonly maxRowBytes: number;
}

export interface Removal {
  /** The requested rows that this plan covers: all, or those up to one of them. */
  readonly ids: readonly string[];
  /** Removes those that no row needs any more. Others stay, see `blockedBy`. */
  readonly change: Change & { readonly remove: readonly string[] };
  /** Reason why a row that stays cannot be rewritten, so that its bases stay too; `null`: all are removed. */
  readonly blockedBy: "damaged" | "too large" | null;
}

/** Plans the removal of rows, and the rebasing of the rows that stay and build on them. */
export async function planRemoval(dialect: Dialect, request: RemovalRequest, signal: AbortSignal): Promise<Removal> {
  const { ids } = request;
  const removing = new Set(ids);
  const dependents = (await dialect.dependents(ids, signal)).map(({ id }) => id).filter((id) => !removing.has(id));
  const rebasing = await planRebasing(dialect, { ...request, ids: dependents.sort() }, signal);
  if (rebasing.ids.length < dependents.length && ids.length > 1) {
    return await planRemoval(dialect, { ...request, ids: ids.slice(0, Math.ceil(ids.length / 2)) }, signal);
  }
  const { change, needed, blockedBy } = rebasing;
  const remove = ids.filter((id) => !needed.has(id));
  return { ids, change: { ...change, remove }, blockedBy: remove.length === ids.length ? null : blockedBy };
}

export interface Rebasing {
  /** The requested rows that this plan covers: all, or those up to one of them, and one at least. */
  readonly ids: readonly string[];
  readonly change: Change;
  /** Rows that cannot be removed, since a row that stays needs them, and the reason. */
  readonly needed: ReadonlySet<string>;
  readonly blockedBy: Removal["blockedBy"];
}

/**
 * Plans to rebase rows: each becomes a delta to the nearest older row of its timeline that stays (one of its own bases, or
 * the row that was rebased before it). If there is none, or the chain would get longer, the row becomes full.
 */
export async function planRebasing(dialect: Dialect, request: RemovalRequest, signal: AbortSignal): Promise<Rebasing> {
  const { willBeRemoved, maxRowBytes } = request;
  const { ids, survivors, needed } = await readSurvivors(dialect, request.ids, willBeRemoved, signal);
  const rewrite: Rewrite[] = [];
  const expected = new Map<string, Uint8Array>();
  const rewritten = new Map<string, ChainState>();
  const before = new Map<string, ChainState | null>(); // the last of each timeline
  let blockedBy: Removal["blockedBy"] = needed.size > 0 ? "damaged" : null;
  let planned = ids;
  let bytes = 0;
  for (const [index, { rows, state, base: ownBase }] of survivors.entries()) {
    const row = rows[0] as Row;
    const timeline = timelineOf(row);
    const own = rewritten.get(ownBase?.id ?? "") ?? ownBase;
    if (!before.has(timeline)) before.set(timeline, await readOlder(dialect, row, own, willBeRemoved, signal));
    const { base, packed, next } = await packAfter(state, own, before.get(timeline) ?? null, willBeRemoved);
    if (packed.state.byteLength > maxRowBytes) {
      for (const { id } of rows) needed.add(id);
      blockedBy = "too large";
      continue;
    }
    before.set(timeline, next);
    rewritten.set(row.id, next);
    rewrite.push({ id: row.id, fromBaseId: row.baseId, baseId: base?.id ?? null, ...packed });
    for (const { id, snapshot } of [state, base ?? state]) expected.set(id, snapshot.digest);
    bytes += packed.state.byteLength;
    if (bytes > MAX_REWRITTEN_BYTES && index < survivors.length - 1) {
      planned = ids.filter((id) => id <= row.id);
      break;
    }
  }
  const change = { expected: [...expected].map(([id, digest]) => ({ id, digest })), rewrite };
  return { ids: planned, change, needed, blockedBy };
}

/**
 * Packs a state as a delta to the nearest row that leaves its chain no longer than it was: chains that build on it would get
 * longer too. One of its own bases always does; another row does if its chain, or that of its last skip delta, is short
 * enough.
 */
async function packAfter(
  { id, snapshot, chainLength }: ChainState,
  own: ChainState | null,
  other: ChainState | null,
  willBeRemoved: (id: string) => boolean,
): Promise<PackedNext> {
  const candidates: { base: ChainState; isSkip: boolean }[] = [];
  if (other !== null) candidates.push(nextBase(other), { base: other.lastSkip ?? other, isSkip: true });
  if (own !== null) candidates.push({ base: own, isSkip: false });
  const allowed = candidates.filter(
    ({ base }) => base.chainLength < chainLength && base.id < id && !willBeRemoved(base.id),
  );
  for (const { base, isSkip } of allowed.sort((one, two) => (one.base.id < two.base.id ? 1 : -1))) {
    const delta = await packDelta(id, snapshot, base, isSkip);
    if (delta !== null) return delta;
  }
  return await packFull(id, snapshot);
}

/** A row that stays, with its chain; its state, and the state of its nearest base that stays. */
interface Survivor {
  readonly rows: readonly Row[];
  readonly state: ChainState;
  readonly base: ChainState | null;
}

/**
 * Reads the first of these rows, at least one: the survivors, oldest first. `needed`: the chains of those that cannot be
 * read.
 */
async function readSurvivors(
  dialect: Dialect,
  lowestFirst: readonly string[],
  willBeRemoved: (id: string) => boolean,
  signal: AbortSignal,
): Promise<{ ids: readonly string[]; survivors: Survivor[]; needed: Set<string> }> {
  const left = new Set([...lowestFirst].reverse());
  const needed = new Set<string>();
  const survivors: Survivor[] = [];
  let bytes = 0;
  for (const id of left) {
    // The chain of the newest one most often holds others of them.
    const rows = await dialect.readChain(id, signal);
    const found = await readStates(rows, left, willBeRemoved);
    if (found === null) for (const row of rows) needed.add(row.id);
    for (const survivor of found ?? []) {
      left.delete(survivor.state.id);
      survivors.push(survivor);
    }
    bytes += found?.at(-1)?.state.snapshot.memoryBytes ?? 0;
    if (bytes > MAX_STATES_BYTES && lowestFirst.length > 1) {
      const half = lowestFirst.slice(0, Math.ceil(lowestFirst.length / 2));
      return await readSurvivors(dialect, half, willBeRemoved, signal);
    }
  }
  survivors.sort((one, other) => (one.state.id < other.state.id ? -1 : 1));
  return { ids: lowestFirst, survivors, needed };
}

/** Reads the wanted rows of a chain. `null`: its first row cannot be read. */
async function readStates(
  rows: readonly Row[],
  wanted: ReadonlySet<string>,
  willBeRemoved: (id: string) => boolean,
): Promise<Survivor[] | null> {
  const found = rows.flatMap((row, index) => {
    if (!wanted.has(row.id)) return [];
    return [
      { rows: rows.slice(index), baseId: rows.slice(index + 1).find(({ id }) => !willBeRemoved(id))?.id ?? null },
    ];
  });
  const read = new Set(found.flatMap(({ rows: [row], baseId }) => [row?.id, baseId]));
  try {
    const states = new Map((await unpackChain(rows, ({ id }) => read.has(id))).map((state) => [state.id, state]));
    return found.map(({ rows: chain, baseId }) => {
      const state = states.get((chain[0] as Row).id) as ChainState;
      return { rows: chain, state, base: baseId === null ? null : (states.get(baseId) ?? null) };
    });
  } catch (error) {
    if (error instanceof UnreadableRow) return null;
    throw error;
  }
}

/** Reads the nearest older row of the timeline that stays; `null` if `own` is nearer, or it is too far, or cannot be read. */
async function readOlder(
  dialect: Dialect,
  { agentId, namespace, id }: Row,
  own: ChainState | null,
  willBeRemoved: (id: string) => boolean,
  signal: AbortSignal,
): Promise<ChainState | null> {
  const since = own === null ? {} : { since: own.id };
  const older = await dialect.list({ agentId, namespace, before: id, ...since, limit: MAX_LOOKED_BACK }, signal);
  const nearest = older.find((row) => !willBeRemoved(row.id));
  return nearest === undefined ? null : await readState(dialect, nearest.id, signal);
}
