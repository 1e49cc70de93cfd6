import { DamagedState, UnknownEncoding } from "../codec/damage.ts";
import type { ChunkList } from "../codec/delta.ts";
import {
  type PackedState,
  packSnapshot,
  SKIP_DELTA_SUFFIX,
  type UnpackedState,
  unpackState,
  verifySnapshot,
} from "../codec/format.ts";
import type { Snapshot } from "../codec/snapshot.ts";
import type { Dialect, Row, RowHead } from "./dialect.ts";

/**
 * Delta chains: a state is stored full, or as a delta to an earlier state of the same timeline, its base, which may be a
 * delta itself. A chain is a row, its base, and so on down to a full one.
 *
 * A timeline of thousands of turns is one full state, then deltas. To keep chains short, every 32nd row or so is a skip
 * delta (as in Subversion's FSFS): its base is not the row before it, but the last skip delta or full state. So a chain is
 * the skip deltas, and the rows since the last of them; with many skip deltas they come less often, so that there are about
 * as many rows of either kind. The skip deltas together hold the history once more: a timeline takes about twice the bytes
 * of its changes.
 *
 * A state is full again when its chain would take more than twice the bytes of a full state (states that are rewritten
 * rather than added to), or would have too many rows.
 */

/** The key of a timeline: the history of an agent in one namespace. */
export function timelineOf({ agentId, namespace }: Pick<RowHead, "agentId" | "namespace">): string {
  return `${agentId}\0${namespace}`;
}

/** A stored state, and the facts about its chain. */
export interface ChainState {
  readonly id: string;
  readonly snapshot: Snapshot;
  /** Number of rows of the chain. */
  readonly chainLength: number;
  /** Number of rows since the last skip delta or full state; 0 for these. */
  readonly sinceSkip: number;
  /** The last skip delta or full state before this one; `null`: this is one itself. */
  readonly lastSkip: ChainState | null;
  /** Bytes of the chain's states as stored. */
  readonly storedBytes: number;
  /** Stored bytes per byte of text, of the full state at the end of the chain. */
  readonly compression: number;
}

/** A state that is packed, to be stored. */
export interface PackedNext {
  /** `null`: it is full. */
  readonly base: ChainState | null;
  readonly packed: PackedState;
  /** The state as it will be when it is stored. */
  readonly next: ChainState;
}

/** Fewest rows from one skip delta to the next. */
const SKIP_STRIDE = 32;
/** Most rows of a chain: far below the 1,000 steps after which MariaDB ends a recursion silently, and MySQL with an error. */
const MAX_ROWS = 256;
/** Up to this size a full state is smaller than a delta's overhead, and faster to read than two rows. */
const FULL_UP_TO_BYTES = 4_096;
/** Bytes that a chain may take beyond twice those of a full state: less than a page. */
const SLACK_BYTES = 4_096;

/** Returns the base of the next state: this state, or, if a skip delta is due, the last skip delta. */
export function nextBase(state: ChainState): { base: ChainState; isSkip: boolean } {
  const skips = state.chainLength - state.sinceSkip;
  const isDue = state.sinceSkip + 1 >= Math.max(SKIP_STRIDE, skips);
  return isDue ? { base: lastSkipOf(state), isSkip: true } : { base: state, isSkip: false };
}

function isSkipOrFull({ baseId, encoding }: Row): boolean {
  return baseId === null || encoding.endsWith(SKIP_DELTA_SUFFIX); // also with an unknown encoding
}

/** Returns whether a state is too small for a delta to pay. */
export function isAlwaysFull({ stateBytes }: Snapshot): boolean {
  return stateBytes <= FULL_UP_TO_BYTES;
}

/** Packs a state as a delta to `previous` or its last skip delta; full if there is none, or if that is better. */
export async function packNext(id: string, snapshot: Snapshot, previous: ChainState | null): Promise<PackedNext> {
  if (previous === null || isAlwaysFull(snapshot)) return await packFull(id, snapshot);
  const { base, isSkip } = nextBase(previous);
  return (await packDelta(id, snapshot, base, isSkip)) ?? (await packFull(id, snapshot));
}

export async function packFull(id: string, snapshot: Snapshot): Promise<PackedNext> {
  const packed = await packSnapshot(snapshot, null);
  const storedBytes = packed.state.byteLength;
  const compression = storedBytes / Math.max(1, snapshot.stateBytes);
  return {
    base: null,
    packed,
    next: { id, snapshot, chainLength: 1, sinceSkip: 0, lastSkip: null, storedBytes, compression },
  };
}

/** Packs a state as a delta. `null`: a full state is better. */
export async function packDelta(
  id: string,
  snapshot: Snapshot,
  base: ChainState,
  isSkip: boolean,
): Promise<PackedNext | null> {
  if (base.id >= id || base.chainLength >= MAX_ROWS) return null;
  const packed = await packSnapshot(snapshot, base.snapshot, isSkip);
  const storedBytes = base.storedBytes + packed.state.byteLength;
  if (storedBytes > 2 * base.compression * snapshot.stateBytes + SLACK_BYTES) return null;
  const { chainLength, sinceSkip, compression } = base;
  const since = isSkip ? { sinceSkip: 0, lastSkip: null } : { sinceSkip: sinceSkip + 1, lastSkip: lastSkipOf(base) };
  return { base, packed, next: { id, snapshot, chainLength: chainLength + 1, ...since, storedBytes, compression } };
}

/**
 * The last skip delta for the next state. A skip delta has `lastSkip: null`, although there is one before it: else the cache
 * would hold all skip deltas of a chain.
 */
function lastSkipOf(state: ChainState): ChainState {
  return state.lastSkip ?? state;
}

/** A row of a chain whose state cannot be read. */
export class UnreadableRow extends Error {
  readonly id: string;
  override readonly cause: DamagedState | UnknownEncoding;

  constructor(id: string, cause: DamagedState | UnknownEncoding) {
    super(cause.message);
    this.id = id;
    this.cause = cause;
  }
}

/**
 * Unpacks the state of a chain's first row, and those of the other rows that `isWanted`. `rows`: the row, its base, and so
 * on down to a full one. The result has the same order.
 * @throws UnreadableRow that names the damaged row
 */
export async function unpackChain(
  rows: readonly Row[],
  isWanted: (row: Row) => boolean = () => false,
): Promise<ChainState[]> {
  try {
    return await applyDeltas(rows, isWanted);
  } catch (error) {
    // Read once more, and every state is verified: so the error names the row that is wrong, not one that builds on it. A
    // delta's checksum covers its own bytes alone.
    if (error instanceof UnreadableRow) await applyDeltas(rows, () => true);
    throw error;
  }
}

/** Reads the state of a row; `null` if it is not there, or cannot be read. */
export async function readState(
  dialect: Pick<Dialect, "readChain">,
  id: string,
  signal: AbortSignal,
): Promise<ChainState | null> {
  try {
    return (await unpackChain(await dialect.readChain(id, signal)))[0] ?? null;
  } catch (error) {
    if (error instanceof UnreadableRow) return null;
    throw error;
  }
}

async function applyDeltas(rows: readonly Row[], isWanted: (row: Row) => boolean): Promise<ChainState[]> {
  const found: ChainState[] = [];
  const lastSkipAt = rows.findIndex(isSkipOrFull);
  let chunks: ChunkList | null = null;
  let facts = { chainLength: 0, sinceSkip: 0, storedBytes: 0, compression: 1 };
  let lastSkip: ChainState | null = null;
  const unpacking = rows.map((row) => unpackState(row, row.baseId === null));
  for (const one of unpacking) one.catch(() => {}); // thrown below, when it is its turn
  for (let index = rows.length - 1; index >= 0; index--) {
    const row = rows[index] as Row;
    const { id, baseId, state, stateBytes } = row;
    try {
      if (chunks === null && baseId !== null) throw new DamagedState("its base is missing");
      const unpacked = (await unpacking[index]) as UnpackedState;
      chunks = await unpacked.applyTo(chunks);
      facts = {
        chainLength: facts.chainLength + 1,
        sinceSkip: isSkipOrFull(row) ? 0 : facts.sinceSkip + 1,
        storedBytes: facts.storedBytes + state.byteLength,
        compression: baseId === null ? state.byteLength / Math.max(1, stateBytes) : facts.compression,
      };
      if (index !== 0 && index !== lastSkipAt && !isWanted(row)) continue;
      const read: ChainState = {
        id,
        snapshot: verifySnapshot(chunks, row),
        ...facts,
        lastSkip: index < lastSkipAt ? lastSkip : null,
      };
      if (index === lastSkipAt) lastSkip = read;
      if (index === 0 || isWanted(row)) found.push(read);
    } catch (error) {
      if (!(error instanceof DamagedState || error instanceof UnknownEncoding)) throw error;
      throw new UnreadableRow(id, error);
    }
  }
  return found.reverse();
}
