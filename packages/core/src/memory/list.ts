import type { ColumnOf } from "../records/tables.ts";
import type { CheckedFilter, checkItemQuery } from "./arguments.ts";
import type { Item } from "./contract.ts";
import type { RowFilter } from "./dialect.ts";
import type { MemoryEngine } from "./engine.ts";
import { itemOf } from "./items.ts";
import { inPieces, spacesByNumber, spacesOf } from "./spaces.ts";
import { ITEMS, type ItemRow, type SpaceRow } from "./tables.ts";

/** Reading items without a search. Items whose time has come are not there. */

/** Items of a space that is read together with others. */
const FEW_ITEMS = 100;

/** An item's row, and its space. */
export interface FoundItem<Name extends ColumnOf<typeof ITEMS> = ColumnOf<typeof ITEMS>> {
  readonly space: SpaceRow;
  readonly row: Pick<ItemRow, Name>;
}

/** Narrows a filter to items whose time has not come. */
export function notExpired(filter: RowFilter): RowFilter {
  return { ...filter, expiresAt: { above: Date.now() } };
}

/** Finds those of an owner's items by their ids that a filter selects. Other owners may have items with the same ids. */
export async function rowsOfOwner<Name extends ColumnOf<typeof ITEMS> = ColumnOf<typeof ITEMS>>(
  engine: MemoryEngine,
  owner: string,
  ids: readonly string[],
  filter: RowFilter,
  signal: AbortSignal,
  columns?: readonly (Name | "space")[],
): Promise<FoundItem<Name | "space">[]> {
  if (ids.length === 0) return [];
  const where = { ...filter, id: { in: ids }, owner };
  const rows = await engine.dialect.records.find(
    ITEMS,
    { where, ...(columns && { columns }), limit: ids.length },
    signal,
  );
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
    for (const space of inPieces(spaces)) {
      count += await engine.dialect.records.count(ITEMS, notExpired({ space, ...rows }), deadline);
    }
    return count;
  });
}

export async function listItems(engine: MemoryEngine, query: ReturnType<typeof checkItemQuery>): Promise<Item[]> {
  const { filter, isNewestFirst, after, limit } = query;
  const direction = isNewestFirst ? "desc" : "asc";
  return await engine.session.run("list items", filter.signal, async (deadline) => {
    const spaces = await spacesOf(engine, filter.owner, filter.collection, deadline);
    const bySpace = new Map(spaces.map((space) => [space.number, space]));
    const sign = isNewestFirst ? -1 : 1;
    let page: ItemRow[] = [];
    for (const space of listedTogether(spaces)) {
      const rows = await engine.dialect.records.find(
        ITEMS,
        {
          where: notExpired({ space, ...filter.rows }),
          order: [["number", direction], ...(typeof space === "number" ? [] : ([["space", direction]] as const))],
          ...(after !== null && { after: [after] }),
          limit,
        },
        deadline,
      );
      page.push(...rows);
      page.sort((one, other) => sign * (one.number - other.number || one.space - other.space));
      page = page.slice(0, limit);
    }
    return await Promise.all(page.map((row) => itemOf("list items", bySpace.get(row.space) as SpaceRow, row)));
  });
}

/**
 * Returns conditions on the space of items for the statements of a list. Spaces of few items are read together, and their rows sorted. One
 * of many is read alone, where an index has the order, and the statement ends with the page.
 */
function listedTogether(spaces: readonly SpaceRow[]): (number | { readonly in: readonly number[] })[] {
  const [only, another] = spaces;
  if (only !== undefined && another === undefined) return [only.number];
  const small = spaces.filter(({ items }) => items <= FEW_ITEMS);
  const large = spaces.filter(({ items }) => items > FEW_ITEMS);
  return [...inPieces(small), ...large.map(({ number }) => number)];
}
