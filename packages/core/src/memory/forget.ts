import { newRevision } from "../database/ids.ts";
import { expectRecords, removeKeys, removeRecords, updateRecords } from "../records/records.ts";
import type { ForgetResult } from "./contract.ts";
import { MAX_ATTEMPTS, type MemoryEngine, REMOVED_AT_ONCE } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { SPACES_AT_ONCE, spacesOf } from "./spaces.ts";
import { ITEMS, SPACES, type SpaceRow, TERMS, THREADS } from "./tables.ts";
import { ThreadCounts } from "./thread-counts.ts";

/**
 * Removing whole spaces. The first commit removes their names: from then on no call finds anything in them, and the names may be used
 * anew. Their rows follow in bounded commits; what an interrupted call has left is removed by the next one for the same owner.
 */

/** Postings of one commit. */
const POSTINGS_AT_ONCE = 5_000;

/** Deletes all that an owner has. */
export async function forgetOwner(
  engine: MemoryEngine,
  owner: string,
  signal: AbortSignal | undefined,
): Promise<ForgetResult> {
  const operation = "forget owner";
  await unname(engine, operation, (deadline) => spacesOf(engine, owner, null, deadline), signal);
  const items = await clearUnnamed(engine, operation, owner, signal);
  return { threads: await removeThreads(engine, operation, owner, signal), items };
}

/** Deletes a collection. Its threads stay. `false`: there was none. */
export async function deleteCollection(
  engine: MemoryEngine,
  owner: string,
  collection: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const operation = "delete collection";
  const wasThere = await unname(engine, operation, (deadline) => spacesOf(engine, owner, collection, deadline), signal);
  await clearUnnamed(engine, operation, owner, signal);
  return wasThere;
}

/** Removes the names of spaces, in as few commits as possible, and returns whether there were any. */
async function unname(
  { dialect, session }: MemoryEngine,
  operation: string,
  find: (signal: AbortSignal) => Promise<SpaceRow[]>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  let wereThere = false; // also where a connection was lost after the commit, and the retry finds none
  return await session.run(operation, signal, async (deadline) => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const spaces = await find(deadline);
      if (spaces.length === 0) return wereThere;
      wereThere = true;
      const some = spaces.slice(0, SPACES_AT_ONCE).sort((one, other) => one.number - other.number);
      const steps = some.map(({ number }) =>
        updateRecords(SPACES, { number, removal: 0 }, { removal: number, revision: newRevision() }, 1),
      );
      if ((await dialect.records.change(steps, deadline)) !== null) attempt = 0;
    }
    throw changedTooOften(operation);
  });
}

/** Removes the rows of an owner's spaces that have no name any more, and returns how many items they had. */
export async function clearUnnamed(
  { dialect, session }: MemoryEngine,
  operation: string,
  owner: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { records } = dialect;
  let items = 0;
  for (;;) {
    const [space] = await session.run(operation, signal, (deadline) =>
      records.find(SPACES, { where: { owner, removal: { above: 0 } }, columns: ["number"], limit: 1 }, deadline),
    );
    if (space === undefined) return items;
    const isOfSpace = { space: space.number };
    for (let isLast = false; !isLast; ) {
      isLast = await session.run(operation, signal, async (deadline) => {
        const rows = await records.find(
          ITEMS,
          { where: isOfSpace, columns: ["space", "number", "thread"], limit: REMOVED_AT_ONCE },
          deadline,
        );
        const threads = new ThreadCounts();
        for (const { thread } of rows) threads.add(owner, thread, -1);
        const isRow = { space: space.number, number: { in: rows.map(({ number }) => number) } };
        // With them go their vectors. Guard: another call removes them too, and has counted them.
        const steps = [...threads.steps(), removeRecords(ITEMS, isRow, rows.length)];
        if (rows.length === 0) return true;
        if ((await records.change(steps, deadline)) === null) return false;
        items += rows.length;
        return rows.length < REMOVED_AT_ONCE;
      });
    }
    for (let isLast = false; !isLast; ) {
      isLast = await session.run(operation, signal, async (deadline) => {
        const keys = await records.find(
          TERMS,
          { where: isOfSpace, columns: ["space", "term", "number"], limit: POSTINGS_AT_ONCE },
          deadline,
        );
        if (keys.length > 0) await records.change([removeKeys(TERMS, keys)], deadline);
        return keys.length < POSTINGS_AT_ONCE;
      });
    }
    // Guard: it has no items left. If it has, it is met again.
    const steps = [
      expectRecords(ITEMS, isOfSpace, 0),
      removeRecords(SPACES, { number: space.number, removal: { above: 0 } }),
    ];
    await session.run(operation, signal, (deadline) => records.change(steps, deadline));
  }
}

/** Removes the threads of an owner that have no items, and returns how many. One that is in use anew stays. */
async function removeThreads(
  { dialect, session }: MemoryEngine,
  operation: string,
  owner: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  let removed = 0;
  for (;;) {
    const { found, gone } = await session.run(operation, signal, async (deadline) => {
      const rows = await dialect.records.find(
        THREADS,
        { where: { owner, items: { to: 0 } }, columns: ["id"], limit: REMOVED_AT_ONCE },
        deadline,
      );
      const where = { owner, id: { in: rows.map(({ id }) => id) }, items: { to: 0 } };
      const [count = 0] =
        rows.length === 0 ? [] : ((await dialect.records.change([removeRecords(THREADS, where)], deadline)) ?? []);
      return { found: rows.length, gone: count };
    });
    removed += gone;
    if (found < REMOVED_AT_ONCE) return removed;
  }
}
