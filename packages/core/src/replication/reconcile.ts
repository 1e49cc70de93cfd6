import { setImmediate } from "node:timers/promises";
import { type IdRange, NO_AGENT, type RowHead, type RowQuery, type TaskWriteKey } from "../checkpoints/dialect.ts";
import type { ReplicableEngine } from "../checkpoints/engine.ts";
import { sameHead, sameRow } from "../checkpoints/equality.ts";
import { slices } from "../checkpoints/paging.ts";
import { listHeads } from "../checkpoints/read.ts";
import { writeTombstones } from "../checkpoints/tombstones.ts";
import type { ReconcileResult } from "../contract/status.ts";
import { firstIdAt, idTime, predecessor, successor } from "../database/ids.ts";
import { acknowledge, deliver, readForDelivery } from "./delivery.ts";

/**
 * Reconciliation: makes two databases have the same checkpoints. It compares their ids, copies what one lacks, verified, and
 * deletes in one what was deleted in the other. In each database a checkpoint is absent, then present, then deleted, and
 * never goes back. So reconciliation may be ended, repeated, and run beside stores, deletes and itself.
 */

/** Ids of one comparison. */
const RANGE_ROWS = 1_000;
/** Rows that are read together, to be copied. */
const COPIED_AT_ONCE = 64;
/** In ranges with fewer rows ids are compared, in others rows are counted. */
const COUNTED_FROM_ROWS = 2_000;

type Counts = { -readonly [name in keyof ReconcileResult]: ReconcileResult[name] };

export interface Reconciliation {
  readonly main: ReplicableEngine;
  readonly backup: ReplicableEngine;
  readonly signal?: AbortSignal | undefined;
  /** `true`: states are read where digests cannot tell whether two checkpoints are equal. */
  readonly thorough?: boolean;
  onProgress?(progress: ReconcileResult): void;
  onConflict?(id: string): void;
  /** Called once, before anything is copied to main. */
  onMainLacks?(): void;
}

/**
 * Compares all ids of both databases, and repairs what differs.
 * @throws CheckpointError if one is unreachable; what was done until then need not be done again
 */
export async function reconcile(sides: Reconciliation): Promise<ReconcileResult> {
  const differing: IdRange[] = [];
  const counts = newCounts();
  for (let before: string | undefined; ; ) {
    const range = await nextRange(sides, before);
    counts.compared += new Set([...range.main, ...range.backup].map(({ id }) => id)).size;
    if (await differ(sides, range)) differing.push(range.ids);
    sides.onProgress?.({ ...counts });
    if (range.ids.since === undefined) break;
    before = successor(range.ids.since);
  }
  return await repairAll(sides, differing.reverse(), counts);
}

/**
 * Compares the newest ids of both databases; of older ones it counts the rows, and compares ids only where the counts differ:
 * cheap enough for every start of a process. Far back, rows that one lacks and rows that only it has may cancel out.
 */
export async function reconcileByCounts(sides: Reconciliation): Promise<ReconcileResult> {
  const counts = newCounts();
  const newest = await nextRange(sides, undefined);
  counts.compared = new Set([...newest.main, ...newest.backup].map(({ id }) => id)).size;
  const older: IdRange[] = [];
  if (newest.ids.since !== undefined) await findByCounts(sides, 0, idTime(newest.ids.since) + 1, older);
  const differing = (await differ(sides, newest)) ? [...older, newest.ids] : older;
  return await repairAll(sides, differing, counts);
}

/** Finds the ranges of time whose counts differ. */
async function findByCounts(sides: Reconciliation, from: number, until: number, found: IdRange[]): Promise<void> {
  const range = { since: predecessor(firstIdAt(from)), before: firstIdAt(until) };
  const [main, backup] = await Promise.all([count(sides.main, range, sides), count(sides.backup, range, sides)]);
  if (main === backup) return;
  if (Math.max(main, backup) <= COUNTED_FROM_ROWS || until - from <= 1) {
    found.push(range);
    return;
  }
  // Split where the rows are, not in the middle of the time: the ids of a year may be followed by none for ten.
  const middle = await middleOf(main > backup ? sides.main : sides.backup, from, until, Math.max(main, backup), sides);
  await findByCounts(sides, from, middle, found);
  await findByCounts(sides, middle, until, found);
}

/** Finds a time with a quarter of the rows at least on either side. */
async function middleOf(
  engine: ReplicableEngine,
  from: number,
  until: number,
  rows: number,
  sides: Reconciliation,
): Promise<number> {
  let [low, high] = [from, until];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const below = await count(engine, { since: predecessor(firstIdAt(from)), before: firstIdAt(middle) }, sides);
    if (below < rows / 4) low = middle;
    else if (below > (rows * 3) / 4) high = middle;
    else return middle;
  }
  return Math.max(from + 1, Math.min(high, until - 1));
}

async function count(
  { dialect, session }: ReplicableEngine,
  range: IdRange,
  { signal }: Reconciliation,
): Promise<number> {
  return await session.run("count checkpoints", signal, (deadline) => dialect.outbox.count(range, deadline));
}

/** The heads of both databases in a range of ids. */
interface ComparedRange {
  readonly ids: IdRange;
  readonly main: readonly RowHead[];
  readonly backup: readonly RowHead[];
}

/** Reads the next ids below `before`, as far down as both databases were read. */
async function nextRange(sides: Reconciliation, before: string | undefined): Promise<ComparedRange> {
  const query = { ...(before === undefined ? {} : { before }), limit: RANGE_ROWS };
  // Main first: a checkpoint stored in between is in the backup only if it was in main.
  const main = await list(sides.main, query, sides);
  const backup = await list(sides.backup, query, sides);
  const ends = [main, backup].flatMap((rows) => (rows.length < RANGE_ROWS ? [] : [(rows.at(-1) as RowHead).id]));
  const lowest = ends.sort().at(-1);
  if (lowest === undefined) return { ids: before === undefined ? {} : { before }, main, backup };
  const ids = { since: predecessor(lowest), ...(before === undefined ? {} : { before }) };
  const inRange = ({ id }: RowHead) => id >= lowest;
  return { ids, main: main.filter(inRange), backup: backup.filter(inRange) };
}

async function list(
  { dialect, session }: ReplicableEngine,
  query: RowQuery,
  { signal }: Reconciliation,
): Promise<RowHead[]> {
  return await session.run("compare checkpoints", signal, (deadline) => dialect.list(query, deadline));
}

/** Lists all heads of a range; with the agent's id, tombstones. */
async function listAll(engine: ReplicableEngine, range: IdRange, { signal }: Reconciliation, agentId?: string) {
  const all: RowHead[] = [];
  const query = agentId === undefined ? range : { ...range, agentId };
  for await (const page of listHeads(engine, "compare checkpoints", query, signal)) all.push(...page);
  return all;
}

async function differ(sides: Reconciliation, { ids, main, backup }: ComparedRange): Promise<boolean> {
  if (main.length !== backup.length) return true;
  if (main.some((row, index) => !seemsSame(sides, row, backup[index] as RowHead))) return true;
  if ((await withDifferentWrites(sides, ids)).length > 0) return true;
  if (sides.thorough !== true) return false; // tombstones are delivered by the outbox
  const [inMain, inBackup] = await tombstones(sides, ids);
  return inMain.length !== inBackup.length || inMain.some(({ id }, index) => id !== inBackup[index]?.id);
}

/**
 * Compares two heads. Where the databases have digests of different keys, only the states can tell: with `thorough` such heads
 * count as different, so that the states are read.
 */
function seemsSame({ main, backup, thorough = false }: Reconciliation, row: RowHead, other: RowHead): boolean {
  if (row.id !== other.id) return false;
  const sameKey = main.digests.keyId(row.encoding) === backup.digests.keyId(other.encoding);
  return sameKey ? sameRow(row, other) : !thorough && sameHead(row, other);
}

async function tombstones(sides: Reconciliation, ids: IdRange): Promise<[RowHead[], RowHead[]]> {
  return [await listAll(sides.main, ids, sides, NO_AGENT), await listAll(sides.backup, ids, sides, NO_AGENT)];
}

/** Repairs ranges, oldest first, so that bases are copied before the rows that build on them. */
async function repairAll(sides: Reconciliation, ranges: readonly IdRange[], counts: Counts): Promise<ReconcileResult> {
  for (const range of ranges) {
    await repair(sides, range, counts);
    sides.onProgress?.({ ...counts });
    await setImmediate();
  }
  return { ...counts };
}

async function repair(sides: Reconciliation, range: IdRange, counts: Counts): Promise<void> {
  const { main, backup, signal } = sides;
  const inMain = new Map((await listAll(main, range, sides)).map((row) => [row.id, row]));
  const inBackup = new Map((await listAll(backup, range, sides)).map((row) => [row.id, row]));
  // Read last: every deletion until now has left its tombstone.
  const [mainTombstones, backupTombstones] = await tombstones(sides, range);
  const deleted = new Set([...mainTombstones, ...backupTombstones].map(({ id }) => id));
  for (const [engine, rows, own] of [
    [main, inMain, mainTombstones],
    [backup, inBackup, backupTombstones],
  ] as const) {
    const received = new Set(own.map(({ id }) => id));
    const missing = [...deleted].filter((id) => !received.has(id));
    await writeTombstones(engine, missing, null, signal);
    counts.deleted += missing.filter((id) => rows.has(id)).length;
  }
  const lacking = (here: ReadonlyMap<string, RowHead>, there: ReadonlyMap<string, RowHead>) =>
    [...here.keys()].filter((id) => !there.has(id) && !deleted.has(id)).sort();
  counts.copiedToBackup += await copy(main, backup, lacking(inMain, inBackup), sides, counts);
  const mainLacks = lacking(inBackup, inMain);
  if (mainLacks.length > 0) sides.onMainLacks?.();
  counts.copiedToMain += await copy(backup, main, mainLacks, sides, counts);
  const doubtful = [...inMain].flatMap(([id, row]) => {
    const other = inBackup.get(id);
    return other === undefined || deleted.has(id) || seemsSame(sides, row, other) ? [] : [id];
  });
  await resolveDoubts(doubtful, sides, counts);
  const different = await withDifferentWrites(sides, range);
  await exchangeWrites(
    different.filter((id) => !deleted.has(id)),
    sides,
  );
}

/** Lists the checkpoints to which one database has appended writes that the other lacks. */
async function withDifferentWrites({ main, backup, signal }: Reconciliation, range: IdRange): Promise<string[]> {
  const keysOf = async ({ session, dialect }: ReplicableEngine) => {
    const keys = await session.run("compare writes", signal, (deadline) => dialect.taskWriteKeys(range, deadline));
    return new Map(keys.map((key) => [keyText(key), key.checkpointId]));
  };
  const [inMain, inBackup] = await Promise.all([keysOf(main), keysOf(backup)]);
  const lacking = (here: ReadonlyMap<string, string>, there: ReadonlyMap<string, string>) =>
    [...here].flatMap(([key, id]) => (there.has(key) ? [] : [id]));
  return [...new Set([...lacking(inMain, inBackup), ...lacking(inBackup, inMain)])].sort();
}

function keyText({ checkpointId, index, rank, taskId }: TaskWriteKey): string {
  return `${checkpointId} ${index} ${rank} ${taskId}`;
}

/** Delivers writes both ways; of two in one slot the higher rank stays on either side. */
async function exchangeWrites(ids: readonly string[], { main, backup, signal }: Reconciliation): Promise<void> {
  for (const some of slices(ids, COPIED_AT_ONCE)) {
    for (const [from, to] of [
      [main, backup],
      [backup, main],
    ] as const) {
      const { rows } = await readForDelivery(from, some, signal);
      await deliver(from, to, rows, signal);
    }
  }
}

/** Resolves checkpoints that both databases have with different heads: delivered again, their states are compared. */
async function resolveDoubts(ids: readonly string[], sides: Reconciliation, counts: Counts): Promise<void> {
  const { main, backup, signal } = sides;
  for (const some of slices(ids, COPIED_AT_ONCE)) {
    const { rows, damaged } = await readForDelivery(main, some, signal);
    counts.damaged += damaged.length;
    const { conflicts } = await deliver(main, backup, rows, signal);
    reportConflicts(conflicts, sides, counts);
  }
}

function reportConflicts(conflicts: readonly string[], { onConflict }: Reconciliation, counts: Counts): void {
  counts.conflicts += conflicts.length;
  for (const id of conflicts) onConflict?.(id);
}

async function copy(
  from: ReplicableEngine,
  to: ReplicableEngine,
  lowestFirst: readonly string[],
  sides: Reconciliation,
  counts: Counts,
): Promise<number> {
  const { signal } = sides;
  let copied = 0;
  for (const ids of slices(lowestFirst, COPIED_AT_ONCE)) {
    const { rows, damaged } = await readForDelivery(from, ids, signal);
    const { done, refused, conflicts } = await deliver(from, to, rows, signal);
    // The copied rows may have been pending.
    await acknowledge(from, done, signal);
    copied += done.length - conflicts.length;
    reportConflicts(conflicts, sides, counts);
    const unreadable = refused.filter(({ code }) => code === "CORRUPT_CHECKPOINT").length;
    counts.damaged += damaged.length + unreadable;
    counts.refused += refused.length - unreadable;
  }
  return copied;
}

/** Removes acknowledged tombstones that are older than `olderThan`. Until then they keep late copies out. */
export async function removeOldTombstones(
  engine: ReplicableEngine,
  olderThan: number,
  signal: AbortSignal,
): Promise<void> {
  const { dialect, session } = engine;
  for await (const page of listHeads(engine, "look for tombstones", { agentId: NO_AGENT }, signal)) {
    const remove = page.filter((row) => row.pending === null && row.createdAt < olderThan).map(({ id }) => id);
    if (remove.length === 0) continue;
    await session.run("remove tombstones", signal, (deadline) => dialect.commit({ remove }, deadline));
  }
}

function newCounts(): Counts {
  return { compared: 0, copiedToBackup: 0, copiedToMain: 0, deleted: 0, conflicts: 0, damaged: 0, refused: 0 };
}
