import type { CheckedFilter, checkItemQuery } from "./arguments.ts";
import type { Item } from "./contract.ts";
import type { ItemFilter } from "./dialect.ts";
import type { MemoryEngine } from "./engine.ts";
import { itemOf } from "./items.ts";
import { SPACES_AT_ONCE, spacesByNumber, spacesOf } from "./spaces.ts";
import { ITEMS, type ItemRow, type SpaceRow } from "./tables.ts";

/** Reading items without a search. Items whose time has come are not there. */

/** An item's row, and its space. */
export interface FoundItem {
  readonly space: SpaceRow;
  readonly row: ItemRow;
}

/** Narrows a filter to items whose time has not come. */
export function notExpired(filter: ItemFilter): ItemFilter {
  return { ...filter, expiresAt: { above: Date.now() } };
}

/** Finds those of an owner's items by their ids that a filter selects. Other owners may have items with the same ids. */
export async function rowsOfOwner(
  engine: MemoryEngine,
  owner: string,
  ids: readonly string[],
  filter: ItemFilter,
  signal: AbortSignal,
): Promise<FoundItem[]> {
  if (ids.length === 0) return [];
  const where = { ...filter, id: { in: ids }, owner };
  const rows = await engine.dialect.records.find(ITEMS, { where, limit: ids.length }, signal);
  const numbers = rows.map(({ space }) => space);
  const spaces = await spacesByNumber(engine, numbers, signal);
  return rows.flatMap((row) => {
    const space = spaces.get(row.space);
    return space?.removal === 0 ? [{ space, row }] : []; // else it is being removed with its collection
  });
}

export async function getItem(
  engine: MemoryEngine,
  owner: string,
  id: string | null,
  signal: AbortSignal | undefined,
): Promise<Item | null> {
  return await engine.session.run("get item", signal, async (deadline) => {
    const [found] = await rowsOfOwner(engine, owner, id === null ? [] : [id], notExpired({}), deadline);
    return found === undefined ? null : await itemOf("get item", found.space, found.row);
  });
}

export async function countItems(engine: MemoryEngine, filter: CheckedFilter): Promise<number> {
  const { owner, collection, rows, signal } = filter;
  return await engine.session.run("count items", signal, async (deadline) => {
    const spaces = await spacesOf(engine, owner, collection, deadline);
    let count = 0;
    for (let at = 0; at < spaces.length; at += SPACES_AT_ONCE) {
      const numbers = spaces.slice(at, at + SPACES_AT_ONCE).map(({ number }) => number);
      const where = notExpired({ space: { in: numbers }, ...rows });
      count += await engine.dialect.records.count(ITEMS, where, deadline);
    }
    return count;
  });
}

export async function listItems(engine: MemoryEngine, query: ReturnType<typeof checkItemQuery>): Promise<Item[]> {
  const { filter, isNewestFirst, after, limit } = query;
  const direction = isNewestFirst ? "desc" : "asc";
  return await engine.session.run("list items", filter.signal, async (deadline) => {
    const spaces = await spacesOf(engine, filter.owner, filter.collection, deadline);
    const found: FoundItem[] = [];
    for (const space of spaces) {
      const rows = await engine.dialect.records.find(
        ITEMS,
        {
          where: notExpired({ space: space.number, ...filter.rows }),
          order: [["number", direction]],
          ...(after !== null && { after: [after] }),
          limit,
        },
        deadline,
      );
      for (const row of rows) found.push({ space, row });
    }
    const sign = isNewestFirst ? -1 : 1;
    found.sort((one, other) => sign * (one.row.number - other.row.number));
    const page = found.slice(0, limit);
    return await Promise.all(page.map(({ space, row }) => itemOf("list items", space, row)));
  });
}
