import { newRevision } from "../database/ids.ts";
import { Addition, removeRecords, type Step, updateRecords } from "../records/records.ts";
import type { CheckedFilter } from "./arguments.ts";
import type { RowFilter } from "./dialect.ts";
import { MAX_ATTEMPTS, type MemoryEngine, REMOVED_AT_ONCE } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { rowsOfOwner } from "./list.ts";
import { removePostings } from "./postings.ts";
import { inPieces, spacesByNumber, spacesOf } from "./spaces.ts";
import { ITEMS, type ItemRow, SPACES, type SpaceRow } from "./tables.ts";
import { ThreadCounts } from "./thread-counts.ts";

/** Removing items: with their vectors and postings, in one commit for at most {@link REMOVED_AT_ONCE}. */

/**
 * Removes items that were read, and returns how many there still were. If one has changed meanwhile, they are read again, as far as
 * `where` still selects them.
 */
export async function removeItems(
  engine: MemoryEngine,
  operation: string,
  items: readonly ItemRow[],
  where: RowFilter,
  signal: AbortSignal,
): Promise<number> {
  const { dialect } = engine;
  let rows: readonly ItemRow[] = items;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (rows.length === 0) return 0;
    if ((await dialect.records.change(await removalOf(engine, rows, signal), signal)) !== null) return rows.length;
    rows = await readAgain(engine, rows, where, signal);
  }
  throw changedTooOften(operation);
}

async function removalOf(engine: MemoryEngine, rows: readonly ItemRow[], signal: AbortSignal): Promise<Step[]> {
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
    steps.removals.push(...(await removeFound(space, own)));
  }
  // Items without a space have no counts either.
  const others = rows.filter(({ space }) => !spaces.has(space));
  for (const { space, number } of others) steps.removals.push(removeRecords(ITEMS, { space, number }, 1));
  return [...steps.counts, ...threads.steps(), ...steps.removals];
}

/** Removes items of a space with their postings; with them go their vectors. Guard: they are as they were read. */
export async function removeFound(space: SpaceRow, items: readonly ItemRow[]): Promise<Step[]> {
  if (items.length === 0) return [];
  const number = { in: items.map((row) => row.number) };
  const revision = { in: items.map((row) => row.revision) };
  return [
    removeRecords(ITEMS, { space: space.number, number, revision }, items.length),
    ...(await removePostings(space, items)),
  ];
}

async function readAgain(
  { dialect }: MemoryEngine,
  rows: readonly ItemRow[],
  filter: RowFilter,
  signal: AbortSignal,
): Promise<ItemRow[]> {
  const found: ItemRow[] = [];
  for (const space of new Set(rows.map((row) => row.space))) {
    const numbers = rows.filter((row) => row.space === space).map(({ number }) => number);
    const where = { ...filter, space, number: { in: numbers } };
    found.push(...(await dialect.records.find(ITEMS, { where, limit: numbers.length }, signal)));
  }
  return found;
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
    removed += await engine.session.run(operation, signal, async (deadline) => {
      // Items whose time has come are deleted too.
      const rows = (await rowsOfOwner(engine, owner, some, {}, deadline)).map(({ row }) => row);
      return await removeItems(engine, operation, rows, { id: { in: some } }, deadline);
    });
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
    const { found, gone } = await engine.session.run(operation, signal, async (deadline) => {
      const rows = await engine.dialect.records.find(ITEMS, { where, limit: REMOVED_AT_ONCE }, deadline);
      return { found: rows.length, gone: await removeItems(engine, operation, rows, where, deadline) };
    });
    removed += gone;
    if (found < REMOVED_AT_ONCE) return removed;
  }
}
