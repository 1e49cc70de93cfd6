import { type StoredState, unpackState, verifySnapshot } from "../codec/format.ts";
import { decodeSnapshot, type Snapshot } from "../codec/snapshot.ts";
import type { CheckpointWrite } from "../contract/checkpoints.ts";
import type { CheckedWrite } from "./arguments.ts";
import { packWhole } from "./chain.ts";
import { type WriteKey, type WriteRow, writeBytes } from "./dialect.ts";

/**
 * What tasks have produced since a checkpoint, as rows of a table of their own. A value is stored whole: it is seldom like
 * another one, and goes with its checkpoint soon.
 *
 * Which of two writes with the same task and index stays, their ranks tell, in whatever order they come, and in main and
 * backup alike: an id for those that are written over, and its complement for those that stay.
 */

/** A write that was handed in, as it was then. */
export interface PreparedWrite extends CheckedWrite {
  readonly snapshot: Snapshot;
}

/** A write that was read, and its rank. */
export interface RankedWrite {
  readonly write: CheckpointWrite;
  readonly rank: string;
}

/** Of one checkpoint: there is room for one write there. */
function placeOf({ taskId, index }: Pick<WriteKey, "taskId" | "index">): string {
  return `${index} ${taskId}`;
}

/** What they add to a statement together. */
export function bytesOfWrites(writes: readonly WriteRow[]): number {
  return writes.reduce((sum, write) => sum + writeBytes(write), 0);
}

/** Of several with the same task and index, the one that stays. */
export function withoutRepeated<Write extends Pick<WriteKey, "taskId" | "index">>(writes: readonly Write[]): Write[] {
  const kept = new Map<string, Write>();
  for (const write of writes) {
    const place = placeOf(write);
    if (write.index < 0 || !kept.has(place)) kept.set(place, write);
  }
  return [...kept.values()];
}

/** Without those that another has come before, and stays. */
export function withoutKnown(writes: readonly PreparedWrite[], known: readonly WriteKey[]): PreparedWrite[] {
  const taken = new Set(known.map(placeOf));
  return writes.filter((write) => write.index < 0 || !taken.has(placeOf(write)));
}

/** `id`: of now, above all that this process has made or read. */
export async function packWrite(checkpointId: string, write: PreparedWrite, id: string): Promise<WriteRow> {
  const { snapshot, ...head } = write;
  const { packed } = await packWhole(checkpointId, snapshot);
  const { stateBytes, digest } = snapshot;
  return { checkpointId, ...head, ...packed, stateBytes, digest, rank: head.index < 0 ? id : complement(id) };
}

/** The id that a rank was made of. */
export function idOfRank({ index, rank }: Pick<WriteKey, "index" | "rank">): string {
  return index < 0 ? rank : complement(rank);
}

function complement(id: string): string {
  return id.replace(/[0-9a-f]/g, (digit) => (15 - Number.parseInt(digit, 16)).toString(16));
}

/** @throws DamagedState, UnknownEncoding, EncryptionMismatch, MalformedText */
export async function readWrite(row: WriteRow & Pick<StoredState, "unreadable">): Promise<RankedWrite> {
  const { taskId, index, channel, taskPath, rank } = row;
  const pieces = await (await unpackState(row, true)).applyTo(null);
  const value = decodeSnapshot(verifySnapshot(pieces, row));
  return { write: { taskId, index, channel, value, ...(taskPath === "" ? {} : { taskPath }) }, rank };
}

/** The writes of one checkpoint in two databases, or of one: each once, in order. */
export function mergeWrites(...sides: readonly (readonly RankedWrite[])[]): RankedWrite[] {
  const merged = new Map<string, RankedWrite>();
  for (const ranked of sides.flat()) {
    const place = placeOf(ranked.write);
    const other = merged.get(place);
    if (other === undefined || other.rank < ranked.rank) merged.set(place, ranked);
  }
  return [...merged.values()].sort(inOrder);
}

function inOrder({ write: one }: RankedWrite, { write: other }: RankedWrite): number {
  return Buffer.compare(Buffer.from(one.taskId), Buffer.from(other.taskId)) || one.index - other.index;
}
