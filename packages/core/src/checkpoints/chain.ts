import type { ChunkList } from "../codec/delta.ts";
import {
  DamagedState,
  type PackedState,
  packSnapshot,
  SKIP_DELTA_SUFFIX,
  UnknownEncoding,
  type UnpackedState,
  unpackState,
  verifySnapshot,
} from "../codec/format.ts";
import type { Snapshot } from "../codec/snapshot.ts";
import type { Dialect, Row, RowHead } from "./dialect.ts";

/**
 * How states are stored: whole, or as the difference to an earlier one of the same line, which may be a difference itself.
 * A chain is a row and its bases.
 *
 * A line of thousands of turns is one whole state, then differences. So that no chain grows long, every 32nd row is an
 * anchor: the difference to the anchor before, not to the row before. Together the anchors hold the history once more, so
 * a line takes about twice the bytes of its changes; and a chain is the anchors, and the rows since the last one. With
 * many anchors they come less often, so that there are about as many rows of either kind.
 *
 * A state is whole again when reading it would take more than twice the bytes of a whole one (a state that is rewritten
 * rather than added to), or when there are too many anchors.
 */

/** What an agent's namespace is called where lines are told apart. */
export function lineOf({ agentId, namespace }: Pick<RowHead, "agentId" | "namespace">): string {
  return `${agentId}\0${namespace}`;
}

/** A state, and what it takes to read it. */
export interface StoredChain {
  readonly id: string;
  readonly snapshot: Snapshot;
  /** The rows of its chain. */
  readonly rows: number;
  /** How many of them came after the last anchor; a whole one is an anchor too. */
  readonly sinceAnchor: number;
  /** The last anchor before it; `null`: it is one itself. */
  readonly anchor: StoredChain | null;
  /** The bytes of all of them as stored. */
  readonly storedBytes: number;
  /** Of the whole one at its end: how many stored bytes a byte of text takes. */
  readonly compression: number;
}

export interface PackedChain {
  /** `null`: it is whole. */
  readonly base: StoredChain | null;
  readonly packed: PackedState;
  /** As it will be when stored. */
  readonly chain: StoredChain;
}

/** Rows from one anchor to the next, at least. */
const STRIDE = 32;
/** MariaDB silently ends a recursion after 1,000 steps, MySQL with an error. */
const MAX_ROWS = 256;
/** A whole state is smaller than its difference's overhead, and quicker to read than two rows. */
const WHOLE_UP_TO_BYTES = 4_096;
/** What a chain may take beyond twice the bytes of a whole state: less than a page. */
const SLACK_BYTES = 4_096;

/** What the next state is to be a difference to: this one, or its last anchor. */
export function nextBase(chain: StoredChain): { base: StoredChain; anchor: boolean } {
  const anchors = chain.rows - chain.sinceAnchor;
  const due = chain.sinceAnchor + 1 >= Math.max(STRIDE, anchors);
  return due ? { base: chain.anchor ?? chain, anchor: true } : { base: chain, anchor: false };
}

function isAnchor({ baseId, encoding }: Row): boolean {
  return baseId === null || encoding.endsWith(SKIP_DELTA_SUFFIX); // also of an encoding that is not known
}

/** Whether a difference is worth it at all. */
export function isSmall({ stateBytes }: Snapshot): boolean {
  return stateBytes <= WHOLE_UP_TO_BYTES;
}

/** Packs a state as a difference to `after` or its anchor; whole if there is none, or if that is better. */
export async function packNext(id: string, snapshot: Snapshot, after: StoredChain | null): Promise<PackedChain> {
  if (after === null || isSmall(snapshot)) return await packWhole(id, snapshot);
  const { base, anchor } = nextBase(after);
  return (await packDifference(id, snapshot, base, anchor)) ?? (await packWhole(id, snapshot));
}

export async function packWhole(id: string, snapshot: Snapshot): Promise<PackedChain> {
  const packed = await packSnapshot(snapshot, null);
  const storedBytes = packed.state.byteLength;
  const compression = storedBytes / Math.max(1, snapshot.stateBytes);
  return {
    base: null,
    packed,
    chain: { id, snapshot, rows: 1, sinceAnchor: 0, anchor: null, storedBytes, compression },
  };
}

/** `null`: a whole one is better. */
export async function packDifference(
  id: string,
  snapshot: Snapshot,
  base: StoredChain,
  anchor: boolean,
): Promise<PackedChain | null> {
  if (base.id >= id || base.rows >= MAX_ROWS) return null;
  const packed = await packSnapshot(snapshot, base.snapshot, anchor);
  const storedBytes = base.storedBytes + packed.state.byteLength;
  if (storedBytes > 2 * base.compression * snapshot.stateBytes + SLACK_BYTES) return null;
  const { rows, sinceAnchor, compression } = base;
  const since = anchor ? { sinceAnchor: 0, anchor: null } : { sinceAnchor: sinceAnchor + 1, anchor: anchorOf(base) };
  return { base, packed, chain: { id, snapshot, rows: rows + 1, ...since, storedBytes, compression } };
}

/** The anchor of what comes after this one; without its own, so that no line of them is held in memory. */
function anchorOf(chain: StoredChain): StoredChain {
  return chain.anchor ?? chain;
}

/** A row whose state cannot be read, of the chain of one that was asked for. */
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
 * The states of a chain's rows, the first of which they belong to: that one's, and those of `also`, if they are in it.
 * `rows` is the row, its base, and so on to a whole one.
 * @throws UnreadableRow that names the row which is damaged
 */
export async function readChain(
  rows: readonly Row[],
  also: (row: Row) => boolean = () => false,
): Promise<StoredChain[]> {
  try {
    return await readRows(rows, also);
  } catch (error) {
    // A row that is intact by its checksum, but another than it should be, shows only when each is verified.
    if (error instanceof UnreadableRow) await readRows(rows, () => true);
    throw error;
  }
}

/** The state of a row; `null` if it is not there, or cannot be read. */
export async function findState(
  dialect: Pick<Dialect, "readChain">,
  id: string,
  signal: AbortSignal,
): Promise<StoredChain | null> {
  try {
    return (await readChain(await dialect.readChain(id, signal)))[0] ?? null;
  } catch (error) {
    if (error instanceof UnreadableRow) return null;
    throw error;
  }
}

async function readRows(rows: readonly Row[], also: (row: Row) => boolean): Promise<StoredChain[]> {
  const found: StoredChain[] = [];
  const lastAnchor = rows.findIndex(isAnchor);
  let pieces: ChunkList | null = null;
  let chain = { rows: 0, sinceAnchor: 0, storedBytes: 0, compression: 1 };
  let anchor: StoredChain | null = null;
  const opening = rows.map((row) => unpackState(row, row.baseId === null));
  for (const one of opening) one.catch(() => {}); // told below, when it is its turn
  for (let index = rows.length - 1; index >= 0; index--) {
    const row = rows[index] as Row;
    const { id, baseId, state, stateBytes } = row;
    try {
      if (pieces === null && baseId !== null) throw new DamagedState("what it is a difference to is not there");
      const opened = (await opening[index]) as UnpackedState;
      pieces = await opened.applyTo(pieces);
      chain = {
        rows: chain.rows + 1,
        sinceAnchor: isAnchor(row) ? 0 : chain.sinceAnchor + 1,
        storedBytes: chain.storedBytes + state.byteLength,
        compression: baseId === null ? state.byteLength / Math.max(1, stateBytes) : chain.compression,
      };
      if (index !== 0 && index !== lastAnchor && !also(row)) continue;
      const read: StoredChain = {
        id,
        snapshot: verifySnapshot(pieces, row),
        ...chain,
        anchor: index < lastAnchor ? anchor : null,
      };
      if (index === lastAnchor) anchor = read;
      if (index === 0 || also(row)) found.push(read);
    } catch (error) {
      if (!(error instanceof DamagedState || error instanceof UnknownEncoding)) throw error;
      throw new UnreadableRow(id, error);
    }
  }
  return found.reverse();
}
