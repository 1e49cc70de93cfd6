import {
  findState,
  lineOf,
  nextBase,
  type PackedChain,
  packDifference,
  packWhole,
  readChain,
  type StoredChain,
  UnreadableRow,
} from "./chain.ts";
import type { Change, Dialect, Rewrite, Row } from "./dialect.ts";

/** What one commit rewrites, and the states that are needed for it, in bytes, about: else it is planned in parts. */
const MAX_REWRITTEN_BYTES = 16_000_000;
const MAX_STATES_BYTES = 128_000_000;

/** How far back a row that stays is looked for. */
const MAX_LOOKED_BACK = 1_000;

export interface RemovalRequest {
  /** Rows to remove, highest first; or rows to make independent of what goes, lowest first. */
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

/** Plans the removal of rows: what of the rows that stay builds on them is rewritten, see {@link planRebasing}. */
export async function planRemoval(dialect: Dialect, request: RemovalRequest, signal: AbortSignal): Promise<Removal> {
  const { ids } = request;
  const removing = new Set(ids);
  const dependents = (await dialect.dependents(ids, signal)).map(({ id }) => id).filter((id) => !removing.has(id));
  const rebasing = await planRebasing(dialect, { ...request, ids: dependents.sort() }, signal);
  if (rebasing.ids.length < dependents.length && ids.length > 1) {
    return await planRemoval(dialect, { ...request, ids: ids.slice(0, Math.ceil(ids.length / 2)) }, signal);
  }
  const { change, needed, kept } = rebasing;
  const remove = ids.filter((id) => !needed.has(id));
  return { ids, change: { ...change, remove }, kept: remove.length === ids.length ? null : kept };
}

export interface Rebasing {
  /** The first ones of those that were asked for, at least one, or all. */
  readonly ids: readonly string[];
  readonly change: Change;
  /** What cannot be removed, since a row that stays needs it, and why. */
  readonly needed: ReadonlySet<string>;
  readonly kept: Removal["kept"];
}

/**
 * Plans to make rows that stay independent of rows that go: each becomes a difference to the nearest older row of its line
 * that stays, one of its own bases or the one that was rewritten before; if there is none, or its chain would be longer
 * than it was, it becomes whole. Other clients may change the rows meanwhile: the commit is guarded against that.
 */
export async function planRebasing(dialect: Dialect, request: RemovalRequest, signal: AbortSignal): Promise<Rebasing> {
  const { isDoomed, maxRowBytes } = request;
  const { ids, survivors, needed } = await readSurvivors(dialect, request.ids, isDoomed, signal);
  const rewrite: Rewrite[] = [];
  const bases = new Map<string, Uint8Array>();
  const rewritten = new Map<string, StoredChain>();
  const before = new Map<string, StoredChain | null>(); // the last one of each line
  let kept: Removal["kept"] = needed.size > 0 ? "damaged" : null;
  let planned = ids;
  let bytes = 0;
  for (const [index, { rows, state, base: ownBase }] of survivors.entries()) {
    const row = rows[0] as Row;
    const line = lineOf(row);
    const own = rewritten.get(ownBase?.id ?? "") ?? ownBase;
    if (!before.has(line)) before.set(line, await readOlder(dialect, row, own, isDoomed, signal));
    const next = await packAfter(state, own, before.get(line) ?? null, isDoomed);
    if (next.packed.state.byteLength > maxRowBytes) {
      for (const { id } of rows) needed.add(id);
      kept = "too large";
      continue;
    }
    before.set(line, next.chain);
    rewritten.set(row.id, next.chain);
    rewrite.push({ id: row.id, fromBaseId: row.baseId, baseId: next.base?.id ?? null, ...next.packed });
    for (const { id, snapshot } of [state, next.base ?? state]) bases.set(id, snapshot.digest);
    bytes += next.packed.state.byteLength;
    if (bytes > MAX_REWRITTEN_BYTES && index < survivors.length - 1) {
      planned = ids.filter((id) => id <= row.id);
      break;
    }
  }
  const change = { bases: [...bases].map(([id, digest]) => ({ id, digest })), rewrite };
  return { ids: planned, change, needed, kept };
}

/**
 * As the difference to the nearest row that leaves its chain no longer than it was: what builds on it would get longer too.
 * One of its own bases always does, another row where its chain is short enough, or that of its anchor.
 */
async function packAfter(
  { id, snapshot, rows }: StoredChain,
  own: StoredChain | null,
  other: StoredChain | null,
  isDoomed: (id: string) => boolean,
): Promise<PackedChain> {
  const candidates: { base: StoredChain; anchor: boolean }[] = [];
  if (other !== null) candidates.push(nextBase(other), { base: other.anchor ?? other, anchor: true });
  if (own !== null) candidates.push({ base: own, anchor: false });
  const allowed = candidates.filter(({ base }) => base.rows < rows && base.id < id && !isDoomed(base.id));
  for (const { base, anchor } of allowed.sort((one, two) => (one.base.id < two.base.id ? 1 : -1))) {
    const difference = await packDifference(id, snapshot, base, anchor);
    if (difference !== null) return difference;
  }
  return await packWhole(id, snapshot);
}

/** A row that stays, with its bases; its state, and that of the nearest of these which stays. */
interface Survivor {
  readonly rows: readonly Row[];
  readonly state: StoredChain;
  readonly base: StoredChain | null;
}

/** The first ones of these rows, at least one: those that can be read, oldest first, and what the others need. */
async function readSurvivors(
  dialect: Dialect,
  lowestFirst: readonly string[],
  isDoomed: (id: string) => boolean,
  signal: AbortSignal,
): Promise<{ ids: readonly string[]; survivors: Survivor[]; needed: Set<string> }> {
  const left = new Set([...lowestFirst].reverse());
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
    if (bytes > MAX_STATES_BYTES && lowestFirst.length > 1) {
      const half = lowestFirst.slice(0, Math.ceil(lowestFirst.length / 2));
      return await readSurvivors(dialect, half, isDoomed, signal);
    }
  }
  survivors.sort((one, other) => (one.state.id < other.state.id ? -1 : 1));
  return { ids: lowestFirst, survivors, needed };
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

/** The nearest older row of the line that stays, if it is nearer than `own`, near at all, and can be read. */
async function readOlder(
  dialect: Dialect,
  { agentId, namespace, id }: Row,
  own: StoredChain | null,
  isDoomed: (id: string) => boolean,
  signal: AbortSignal,
): Promise<StoredChain | null> {
  const since = own === null ? {} : { since: own.id };
  const older = await dialect.list({ agentId, namespace, before: id, ...since, limit: MAX_LOOKED_BACK }, signal);
  const nearest = older.find((row) => !isDoomed(row.id));
  return nearest === undefined ? null : await findState(dialect, nearest.id, signal);
}
