import { snapshotOf } from "../codec/failures.ts";
import { type StoredState, unpackState, verifySnapshot } from "../codec/format.ts";
import { decodeSnapshot, type Snapshot } from "../codec/snapshot.ts";
import type { CheckpointWrite } from "../contract/checkpoints.ts";
import { idClock } from "../database/ids.ts";
import type { CheckedWrite } from "./arguments.ts";
import { packFull } from "./chain.ts";
import { rankOf, type TaskWriteKey, type TaskWriteRow, writeBytes } from "./dialect.ts";
import { commitPlan, type Engine } from "./engine.ts";
import { noCheckpoint, tooLarge, unreadable } from "./failures.ts";
import { isTombstone } from "./tombstones.ts";

/**
 * Task writes: results of a step, as rows of a table of their own. A value is stored full: it is seldom like another one,
 * and is soon removed with its checkpoint.
 *
 * Of two writes with the same task and index, their ranks decide which one stays, in whatever order they arrive, and in main
 * and backup alike. The rank is made of the id of the call, whose time is that of the write.
 */

/** A write as it was when it was handed in. */
interface PreparedWrite extends CheckedWrite {
  readonly snapshot: Snapshot;
}

/** Writes as they were when they were handed in. `checkpointId`: `null` if it is no id of ours. */
export interface PreparedWrites {
  readonly checkpointId: string | null;
  readonly writes: readonly PreparedWrite[];
  readonly signal: AbortSignal | undefined;
}

/** A write that was read, and its rank. */
export interface RankedWrite {
  readonly write: CheckpointWrite;
  readonly rank: string;
}

/** Prepares writes synchronously: what the caller changes afterwards is not stored. `heads`: the writes, checked. */
export function prepareWrites(
  checkpointId: string | null,
  heads: readonly CheckedWrite[],
  writes: readonly CheckpointWrite[],
  signal: AbortSignal | undefined,
): PreparedWrites {
  const prepared = heads.map((head, at) => {
    const { value } = writes[at] as CheckpointWrite;
    return { ...head, snapshot: snapshotOf("append writes", `writes[${at}].value`, value) };
  });
  return { checkpointId, writes: dropRepeated(prepared), signal };
}

/** Appends prepared writes. `pending`: time from which on the checkpoint is pending again; `null`: it is not to be sent. */
export async function appendWrites(
  engine: Engine,
  { checkpointId: id, writes, signal }: PreparedWrites,
  pending: number | null,
): Promise<void> {
  const { dialect, session } = engine;
  await session.run("append writes", signal, async (deadline, { maxStatementBytes }) => {
    if (id === null) throw noCheckpoint("append writes", "with such an id");
    // Only those of the same tasks: a checkpoint may have thousands of tasks, whose writes come one by one.
    const taskIds = [...new Set(writes.map(({ taskId }) => taskId))];
    const stored = await dialect.writeKeysOfTasks(id, taskIds, deadline);
    // Stored writes came first, whatever the clocks of the processes that wrote them.
    for (const key of stored) idClock.observe(idFromRank(key));
    const rank = idClock.next();
    const append = await Promise.all(dropSuperseded(writes, stored).map((write) => packWrite(id, write, rank)));
    if (append.length === 0) {
      const [row] = await dialect.list({ id, limit: 1 }, deadline);
      if (row === undefined || isTombstone(row)) throw noCheckpoint("append writes", id);
      return;
    }
    const bytes = bytesOfWrites(append);
    if (bytes > maxStatementBytes) throw tooLarge("append writes", bytes, maxStatementBytes);
    const change = pending === null ? { append } : { append, markPending: [{ id, pending }] };
    if (!(await commitPlan(engine, change, deadline))) throw noCheckpoint("append writes", id);
  });
}

/** Lists the writes of a checkpoint, with their ranks. */
export async function listRankedWrites(
  { dialect, session }: Engine,
  id: string | null,
  signal: AbortSignal | undefined,
): Promise<RankedWrite[]> {
  return await session.run("list writes", signal, async (deadline) => {
    const rows = id === null ? [] : await dialect.readTaskWrites([id], deadline);
    for (const row of rows) idClock.observe(idFromRank(row));
    try {
      return mergeRanked(await Promise.all(rows.map(unpackWrite)));
    } catch (error) {
      throw unreadable("list writes", id as string, error);
    }
  });
}

/** The slot of a write within its checkpoint, which has room for one. */
function slotOf({ taskId, index }: Pick<TaskWriteKey, "taskId" | "index">): string {
  return `${index} ${taskId}`;
}

/** Returns the bytes that writes add to a statement. */
export function bytesOfWrites(writes: readonly TaskWriteRow[]): number {
  return writes.reduce((sum, write) => sum + writeBytes(write), 0);
}

/**
 * Drops writes of one checkpoint that lose to another one of the list, which is in the order of their calls: of those with one
 * task and index the first stays, or the last if the index is below 0.
 */
export function dropRepeated<Write extends Pick<TaskWriteKey, "taskId" | "index">>(writes: readonly Write[]): Write[] {
  const kept = new Map<string, Write>();
  for (const write of writes) {
    const slot = slotOf(write);
    if (write.index < 0 || !kept.has(slot)) kept.set(slot, write);
  }
  return [...kept.values()];
}

/** Drops writes that lose to one already stored: for index ≥ 0 the first stays. */
function dropSuperseded(writes: readonly PreparedWrite[], stored: readonly TaskWriteKey[]): PreparedWrite[] {
  const taken = new Set(stored.map(slotOf));
  return writes.filter((write) => write.index < 0 || !taken.has(slotOf(write)));
}

/** Packs a write. `id`: a new one, above all that this process has made or read. */
async function packWrite(checkpointId: string, write: PreparedWrite, id: string): Promise<TaskWriteRow> {
  const { snapshot, ...head } = write;
  const { packed } = await packFull(checkpointId, snapshot);
  const { stateBytes, digest } = snapshot;
  return { checkpointId, ...head, ...packed, stateBytes, digest, rank: rankOf(id, head.index) };
}

/** Returns the id that a rank was made of: the complement of a complement. */
function idFromRank({ index, rank }: Pick<TaskWriteKey, "index" | "rank">): string {
  return rankOf(rank, index);
}

/** Unpacks a write. @throws DamagedState, UnknownEncoding, EncryptionMismatch, MalformedText */
export async function unpackWrite(row: TaskWriteRow & Pick<StoredState, "unreadable">): Promise<RankedWrite> {
  const { taskId, index, channel, taskPath, rank } = row;
  const chunks = await (await unpackState(row, true)).applyTo(null);
  const value = decodeSnapshot(verifySnapshot(chunks, row));
  return { write: { taskId, index, channel, value, ...(taskPath === "" ? {} : { taskPath }) }, rank };
}

/** Merges the writes of one checkpoint in two databases, or sorts those of one: each slot once, the highest rank stays. */
export function mergeRanked(...sides: readonly (readonly RankedWrite[])[]): RankedWrite[] {
  const merged = new Map<string, RankedWrite>();
  for (const ranked of sides.flat()) {
    const slot = slotOf(ranked.write);
    const other = merged.get(slot);
    if (other === undefined || other.rank < ranked.rank) merged.set(slot, ranked);
  }
  return [...merged.values()].sort(byTaskAndIndex);
}

function byTaskAndIndex({ write: one }: RankedWrite, { write: other }: RankedWrite): number {
  return Buffer.compare(Buffer.from(one.taskId), Buffer.from(other.taskId)) || one.index - other.index;
}
