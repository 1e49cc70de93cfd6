import { setImmediate } from "node:timers/promises";
import {
  digestSpace,
  type IdRange,
  NO_AGENT,
  type RowHead,
  type RowQuery,
  type WriteKey,
} from "../checkpoints/dialect.ts";
import { firstIdAt, idTime, predecessor, successor } from "../checkpoints/ids.ts";
import { chunks } from "../checkpoints/paging.ts";
import { type DialectStorage, haveSameHead } from "../checkpoints/storage.ts";
import type { ReconcileResult } from "../contract/checkpoints.ts";
import { acknowledge, deliver, readForDelivery } from "./delivery.ts";

/**
 * Makes two databases have the same checkpoints: compares what ids they have, copies what one lacks, verified, and
 * deletes in one what was deleted in the other. A checkpoint is in at most one of three states for ever after it was
 * made: not here, here, deleted; and each step goes one way. So it may be ended, repeated, and run beside stores,
 * deletes and itself.
 */

/** Ids of one comparison. */
const RANGE_ROWS = 1_000;
/** Rows that are read together, to be copied. */
const COPIED_AT_ONCE = 64;
/** Below this, ids are compared rather than counted. */
const COUNTED_FROM_ROWS = 2_000;

type Counts = { -readonly [name in keyof ReconcileResult]: ReconcileResult[name] };

export interface Reconciliation {
  readonly main: DialectStorage;
  readonly backup: DialectStorage;
  readonly signal?: AbortSignal | undefined;
  /** Whether states are read where nothing else tells whether they are the same. */
  readonly thorough?: boolean;
  onProgress?(progress: ReconcileResult): void;
  onConflict?(id: string): void;
  /** Told once, before anything is copied to main. */
  onMainLacks?(): void;
}

/**
 * Compares all ids of both.
 * @throws CheckpointError if one is out of reach; what was done until then need not be done again
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
  return await mendAll(sides, differing.reverse(), counts);
}

/**
 * Compares the newest ids of both, and of all that is older how many there are, and ids only where these numbers differ:
 * cheap enough for every start of a process. What one lacks and what only it has may cancel out, far back.
 */
export async function reconcileByCounts(sides: Reconciliation): Promise<ReconcileResult> {
  const counts = newCounts();
  const newest = await nextRange(sides, undefined);
  counts.compared = new Set([...newest.main, ...newest.backup].map(({ id }) => id)).size;
  const older: IdRange[] = [];
  if (newest.ids.since !== undefined) await findByCounts(sides, 0, idTime(newest.ids.since) + 1, older);
  const differing = (await differ(sides, newest)) ? [...older, newest.ids] : older;
  return await mendAll(sides, differing, counts);
}

async function findByCounts(sides: Reconciliation, from: number, until: number, found: IdRange[]): Promise<void> {
  const range = { since: predecessor(firstIdAt(from)), before: firstIdAt(until) };
  const [main, backup] = await Promise.all([count(sides.main, range, sides), count(sides.backup, range, sides)]);
  if (main === backup) return;
  if (Math.max(main, backup) <= COUNTED_FROM_ROWS || until - from <= 1) {
    found.push(range);
    return;
  }
  // Where the rows are, not where time is: ids of a year may be followed by none for ten.
  const middle = await middleOf(main > backup ? sides.main : sides.backup, from, until, Math.max(main, backup), sides);
  await findByCounts(sides, from, middle, found);
  await findByCounts(sides, middle, until, found);
}

async function middleOf(
  storage: DialectStorage,
  from: number,
  until: number,
  rows: number,
  sides: Reconciliation,
): Promise<number> {
  let [low, high] = [from, until];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const below = await count(storage, { since: predecessor(firstIdAt(from)), before: firstIdAt(middle) }, sides);
    if (below < rows / 4) low = middle;
    else if (below > (rows * 3) / 4) high = middle;
    else return middle;
  }
  return Math.max(from + 1, Math.min(high, until - 1));
}

async function count(storage: DialectStorage, range: IdRange, { signal }: Reconciliation): Promise<number> {
  return await storage.session.run("count checkpoints", signal, (limit) => storage.dialect.count(range, limit));
}

interface Compared {
  readonly ids: IdRange;
  readonly main: readonly RowHead[];
  readonly backup: readonly RowHead[];
}

/** The next ids below `before`: as far as both have been read. */
async function nextRange(sides: Reconciliation, before: string | undefined): Promise<Compared> {
  const query = { ...(before === undefined ? {} : { before }), limit: RANGE_ROWS };
  // Main first: what is stored in between is in the backup only if it was in main.
  const main = await list(sides.main, query, sides);
  const backup = await list(sides.backup, query, sides);
  const ends = [main, backup].flatMap((rows) => (rows.length < RANGE_ROWS ? [] : [(rows.at(-1) as RowHead).id]));
  const lowest = ends.sort().at(-1);
  if (lowest === undefined) return { ids: before === undefined ? {} : { before }, main, backup };
  const ids = { since: predecessor(lowest), ...(before === undefined ? {} : { before }) };
  const inRange = ({ id }: RowHead) => id >= lowest;
  return { ids, main: main.filter(inRange), backup: backup.filter(inRange) };
}

async function list(storage: DialectStorage, query: RowQuery, { signal }: Reconciliation): Promise<RowHead[]> {
  return await storage.session.run("compare checkpoints", signal, (limit) => storage.dialect.list(query, limit));
}

/** All of a range; with the agent's id, tombstones. */
async function listAll(storage: DialectStorage, range: IdRange, { signal }: Reconciliation, agentId?: string) {
  const all: RowHead[] = [];
  const query = agentId === undefined ? range : { ...range, agentId };
  for await (const page of storage.heads("compare checkpoints", query, signal)) all.push(...page);
  return all;
}

async function differ(sides: Reconciliation, { ids, main, backup }: Compared): Promise<boolean> {
  if (main.length !== backup.length) return true;
  if (main.some((row, index) => !isSameRow(sides, row, backup[index] as RowHead))) return true;
  if ((await withOtherWrites(sides, ids)).length > 0) return true;
  if (sides.thorough !== true) return false; // deletions travel by themselves
  const [buriedInMain, buriedInBackup] = await tombstones(sides, ids);
  return (
    buriedInMain.length !== buriedInBackup.length ||
    buriedInMain.some(({ id }, index) => id !== buriedInBackup[index]?.id)
  );
}

/** By their heads. Where each side names contents with a key of its own, only what is read tells, which is not for each start. */
function isSameRow({ main, backup, thorough = false }: Reconciliation, row: RowHead, other: RowHead): boolean {
  if (row.id !== other.id || !haveSameHead(row, other)) return false;
  if (digestSpace(main.dialect, row) !== digestSpace(backup.dialect, other)) {
    return !thorough;
  }
  return Buffer.compare(row.digest, other.digest) === 0;
}

async function tombstones(sides: Reconciliation, ids: IdRange): Promise<[RowHead[], RowHead[]]> {
  return [await listAll(sides.main, ids, sides, NO_AGENT), await listAll(sides.backup, ids, sides, NO_AGENT)];
}

/** Oldest first, so that what others build on is there before them. */
async function mendAll(sides: Reconciliation, ranges: readonly IdRange[], counts: Counts): Promise<ReconcileResult> {
  for (const range of ranges) {
    await mend(sides, range, counts);
    sides.onProgress?.({ ...counts });
    await setImmediate();
  }
  return { ...counts };
}

async function mend(sides: Reconciliation, range: IdRange, counts: Counts): Promise<void> {
  const { main, backup, signal } = sides;
  const inMain = new Map((await listAll(main, range, sides)).map((row) => [row.id, row]));
  const inBackup = new Map((await listAll(backup, range, sides)).map((row) => [row.id, row]));
  // Read last: what was deleted until now has left one.
  const [buriedInMain, buriedInBackup] = await tombstones(sides, range);
  const buried = new Set([...buriedInMain, ...buriedInBackup].map(({ id }) => id));
  for (const [storage, rows, own] of [
    [main, inMain, buriedInMain],
    [backup, inBackup, buriedInBackup],
  ] as const) {
    const known = new Set(own.map(({ id }) => id));
    const unknown = [...buried].filter((id) => !known.has(id));
    await storage.bury(unknown, null, signal);
    counts.deleted += unknown.filter((id) => rows.has(id)).length;
  }
  const lacking = (here: ReadonlyMap<string, RowHead>, there: ReadonlyMap<string, RowHead>) =>
    [...here.keys()].filter((id) => !there.has(id) && !buried.has(id)).sort();
  counts.copiedToBackup += await copy(main, backup, lacking(inMain, inBackup), sides, counts);
  const mainLacks = lacking(inBackup, inMain);
  if (mainLacks.length > 0) sides.onMainLacks?.();
  counts.copiedToMain += await copy(backup, main, mainLacks, sides, counts);
  const inDoubt = [...inMain].flatMap(([id, row]) => {
    const other = inBackup.get(id);
    return other === undefined || buried.has(id) || isSameRow(sides, row, other) ? [] : [id];
  });
  await settleDoubts(inDoubt, sides, counts);
  await exchangeWrites(
    (await withOtherWrites(sides, range)).filter((id) => !buried.has(id)),
    sides,
  );
}

/** The checkpoints to which main has appended what the backup lacks, or the other way round. */
async function withOtherWrites({ main, backup, signal }: Reconciliation, range: IdRange): Promise<string[]> {
  const keysOf = async ({ session, dialect }: DialectStorage) => {
    const keys = await session.run("compare writes", signal, (limit) => dialect.writeKeys(range, limit));
    return new Map(keys.map((key) => [nameOf(key), key.checkpointId]));
  };
  const [inMain, inBackup] = await Promise.all([keysOf(main), keysOf(backup)]);
  const lacking = (here: ReadonlyMap<string, string>, there: ReadonlyMap<string, string>) =>
    [...here].flatMap(([name, id]) => (there.has(name) ? [] : [id]));
  return [...new Set([...lacking(inMain, inBackup), ...lacking(inBackup, inMain)])].sort();
}

function nameOf({ checkpointId, index, rank, taskId }: WriteKey): string {
  return `${checkpointId} ${index} ${rank} ${taskId}`;
}

/** Each side is told what the other has; which of two stays, each knows by itself. What one side lacks altogether is not here. */
async function exchangeWrites(ids: readonly string[], { main, backup, signal }: Reconciliation): Promise<void> {
  for (const some of chunks(ids, COPIED_AT_ONCE)) {
    for (const [from, to] of [
      [main, backup],
      [backup, main],
    ] as const) {
      const { rows } = await readForDelivery(from, some, signal);
      await deliver(from, to, rows, signal);
    }
  }
}

/** Both have these, by heads that differ: whether they say the same, their states tell. */
async function settleDoubts(ids: readonly string[], sides: Reconciliation, counts: Counts): Promise<void> {
  const { main, backup, signal } = sides;
  for (const some of chunks(ids, COPIED_AT_ONCE)) {
    const { rows, damaged } = await readForDelivery(main, some, signal);
    counts.damaged += damaged.length;
    // Brought again, each is compared with what is there.
    const { conflicts } = await deliver(main, backup, rows, signal);
    tell(conflicts, sides, counts);
  }
}

function tell(conflicts: readonly string[], { onConflict }: Reconciliation, counts: Counts): void {
  counts.conflicts += conflicts.length;
  for (const id of conflicts) onConflict?.(id);
}

async function copy(
  from: DialectStorage,
  to: DialectStorage,
  lowestFirst: readonly string[],
  sides: Reconciliation,
  counts: Counts,
): Promise<number> {
  const { signal } = sides;
  let copied = 0;
  for (const ids of chunks(lowestFirst, COPIED_AT_ONCE)) {
    const { rows, damaged } = await readForDelivery(from, ids, signal);
    const { done, refused, conflicts } = await deliver(from, to, rows, signal);
    // What is there now may have been pending: the other one has it.
    await acknowledge(from, done, signal);
    copied += done.length - conflicts.length;
    tell(conflicts, sides, counts);
    const unreadable = refused.filter(({ code }) => code === "CORRUPT_CHECKPOINT").length;
    counts.damaged += damaged.length + unreadable;
    counts.refused += refused.length - unreadable;
  }
  return copied;
}

/** Removes tombstones that are older than that and were sent. Until then they keep late copies from coming back. */
export async function removeOldTombstones(
  storage: DialectStorage,
  olderThan: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const page of storage.heads("look for tombstones", { agentId: NO_AGENT }, signal)) {
    const remove = page.filter((row) => row.pending === null && row.createdAt < olderThan).map(({ id }) => id);
    if (remove.length === 0) continue;
    await storage.session.run("remove tombstones", signal, (limit) => storage.dialect.commit({ remove }, limit));
  }
}

function newCounts(): Counts {
  return { compared: 0, copiedToBackup: 0, copiedToMain: 0, deleted: 0, conflicts: 0, damaged: 0, refused: 0 };
}
