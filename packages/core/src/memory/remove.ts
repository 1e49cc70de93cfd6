import { newRevision } from "../database/ids.ts";
import { Addition, removeRecords, type Step, updateRecords } from "../records/records.ts";
import type { CheckedFilter } from "./arguments.ts";
import type { RowFilter } from "./dialect.ts";
import { MAX_ATTEMPTS, type MemoryEngine, REMOVED_AT_ONCE, TERMS_REMOVED_AT_ONCE } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { rowsOfOwner } from "./list.ts";
import { Analyses, removePostings } from "./postings.ts";
import { inPieces, spacesByNumber, spacesOf } from "./spaces.ts";
import { ITEMS, type ItemRow, SPACES, type SpaceRow } from "./tables.ts";
import { ThreadCounts } from "./thread-counts.ts";

/** Removing items: with their vectors and postings, a page of them in one commit. */

/** What a page of items is chosen by, before their texts are read. */
const HEAD = ["space", "id", "length"] as const;

type ItemHead = Pick<ItemRow, (typeof HEAD)[number]>;

/** Returns the first of at most {@link REMOVED_AT_ONCE} items: as many as have {@link TERMS_REMOVED_AT_ONCE}, and at least one. */
function pageOf(heads: readonly ItemHead[]): readonly ItemHead[] {
  let terms = 0;
  const end = heads.findIndex(({ length }, at) => {
    terms += length;
    return at > 0 && terms > TERMS_REMOVED_AT_ONCE;
  });
  return end === -1 ? heads : heads.slice(0, end);
}

/** Removes items, and returns how many there still were. If one changes meanwhile, they are read again, as far as `where` selects them. */
async function removeItems(
  engine: MemoryEngine,
  operation: string,
  heads: readonly ItemHead[],
  where: RowFilter,
  analyses: Analyses,
  signal: AbortSignal,
): Promise<number> {
  const { records } = engine.dialect;
  const own = { ...where, id: { in: heads.map(({ id }) => id) } };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const rows = heads.length === 0 ? [] : await records.find(ITEMS, { where: own, limit: heads.length }, signal);
    if (rows.length === 0) return 0;
    if ((await records.change(await removalOf(engine, rows, analyses, signal), signal)) !== null) return rows.length;
  }
  throw changedTooOften(operation);
}

/** A page of items that was removed. */
interface RemovedPage {
  /** Number of the items that were found, at most {@link REMOVED_AT_ONCE}. */
  readonly found: number;
  readonly removed: number;
  readonly isLast: boolean;
}

/** Removes items that a filter selects, as many as one commit removes. */
export async function removePage(
  engine: MemoryEngine,
  operation: string,
  where: RowFilter,
  analyses: Analyses,
  signal: AbortSignal,
): Promise<RemovedPage> {
  const heads = await engine.dialect.records.find(ITEMS, { where, columns: HEAD, limit: REMOVED_AT_ONCE }, signal);
  const page = pageOf(heads);
  const removed = await removeItems(engine, operation, page, where, analyses, signal);
  return { found: heads.length, removed, isLast: page.length < REMOVED_AT_ONCE && page.length === heads.length };
}

async function removalOf(
  engine: MemoryEngine,
  rows: readonly ItemRow[],
  analyses: Analyses,
  signal: AbortSignal,
): Promise<Step[]> {
  const spaces = await spacesByNumber(
    engine,
    rows.map(({ space }) => space),
    signal,
  );
  const steps: { counts: Step[]; removals: Step[] } = { counts: [], removals: [] };
  const threads = new ThreadCounts();
  for (const space of [...spaces.values()].sort((one, other) => one.number - other.number)) {
    const own = rows.filter((row) => row.space === space.number);
    const tokens = own.reduce((sum, { length }) => sum + length, 0);
    const { number, owner, removal } = space;
    const set = { items: new Addition(-own.length), tokens: new Addition(-tokens), revision: newRevision() };
    steps.counts.push(updateRecords(SPACES, { number, removal }, set, 1));
    for (const { thread } of own) threads.add(owner, thread, -1);
    steps.removals.push(...(await removeFound(space, own, analyses)));
  }
  // Items without a space have no counts either.
  const others = rows.filter(({ space }) => !spaces.has(space));
  for (const { space, number } of others) steps.removals.push(removeRecords(ITEMS, { space, number }, 1));
  return [...steps.counts, ...threads.steps(), ...steps.removals];
}

/** Removes items of a space with their postings; with them go their vectors. Guard: they are as they were read. */
export async function removeFound(space: SpaceRow, items: readonly ItemRow[], analyses: Analyses): Promise<Step[]> {
  if (items.length === 0) return [];
  const number = { in: items.map((row) => row.number) };
  const revision = { in: items.map((row) => row.revision) };
  return [
    removeRecords(ITEMS, { space: space.number, number, revision }, items.length),
    ...(await removePostings(space, items, analyses)),
  ];
}

/** Deletes an owner's items by their ids. */
export async function deleteItems(
  engine: MemoryEngine,
  owner: string,
  ids: readonly string[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const operation = "delete items";
  let removed = 0;
  for (let at = 0; at < ids.length; at += REMOVED_AT_ONCE) {
    const some = ids.slice(at, at + REMOVED_AT_ONCE);
    // Items whose time has come are deleted too; those that are being removed with their collection are gone.
    const found = await engine.session.run(operation, signal, (deadline) =>
      rowsOfOwner(engine, owner, some, {}, deadline, HEAD),
    );
    for (let left: readonly ItemHead[] = found.map(({ row }) => row); left.length > 0; ) {
      const page = pageOf(left);
      const analyses = new Analyses();
      removed += await engine.session.run(operation, signal, (deadline) =>
        removeItems(engine, operation, page, { owner }, analyses, deadline),
      );
      left = left.slice(page.length);
    }
  }
  return removed;
}

/** Deletes the items that a filter selects. */
export async function deleteItemsWhere(engine: MemoryEngine, filter: CheckedFilter): Promise<number> {
  const { owner, collection, rows, signal } = filter;
  const spaces = await engine.session.run("delete items", signal, (deadline) =>
    spacesOf(engine, owner, collection, deadline),
  );
  let removed = 0;
  for (const space of inPieces(spaces)) {
    removed += await removeWhere(engine, "delete items", { ...rows, space }, signal);
  }
  return removed;
}

/** Removes the items that a filter of rows selects, a commit at a time. */
export async function removeWhere(
  engine: MemoryEngine,
  operation: string,
  where: RowFilter,
  signal: AbortSignal | undefined,
): Promise<number> {
  let removed = 0;
  for (;;) {
    const analyses = new Analyses();
    const page = await engine.session.run(operation, signal, (deadline) =>
      removePage(engine, operation, where, analyses, deadline),
    );
    removed += page.removed;
    if (page.isLast) return removed;
  }
}
