/** Lists that are too long for one statement. */

/** Rows of one page, where a list is read to its end. */
export const PAGE = 1_000;

/** Splits a list into slices of this size; the last one may be smaller. */
export function* slices<Item>(items: readonly Item[], size: number): IterableIterator<Item[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

/** Iterates over all items, newest first, at most `total`. Items stored meanwhile are neither repeated nor skipped. */
export async function* iteratePages<Item extends { readonly id: string }>(
  total: number,
  readPage: (before: string | undefined, limit: number) => Promise<readonly Item[]>,
): AsyncIterableIterator<Item> {
  let before: string | undefined;
  for (let left = total; left > 0; ) {
    const limit = Math.min(PAGE, left);
    const items = await readPage(before, limit);
    yield* items;
    if (items.length < limit) return;
    left -= items.length;
    before = items.at(-1)?.id;
  }
}

/**
 * Iterates over a checkpoint, its parent, and so on. `readWithOlder` returns a checkpoint and some before it, among which the
 * next ancestors are looked for.
 */
export async function* iterateLineage<Item extends { readonly id: string; readonly parentId?: string }>(
  from: string | null,
  readWithOlder: (id: string) => Promise<readonly Item[]>,
): AsyncIterableIterator<Item> {
  const visited = new Set<string>(); // ids that callers choose may name each other as parents
  let items = new Map<string, Item>();
  for (let id = from; id !== null && !visited.has(id); ) {
    if (!items.has(id)) items = new Map((await readWithOlder(id)).map((item) => [item.id, item]));
    const item = items.get(id);
    if (item === undefined) return;
    yield item;
    visited.add(id);
    id = item.parentId ?? null;
  }
}
