/** Lists that are too long to be had at once: the same for one storage, and for a main and its backup. */

/** What is asked for at once. */
export const PAGE = 1_000;

/** A list in parts of this size, the last of which may be smaller. */
export function* chunks<Item>(items: readonly Item[], size: number): IterableIterator<Item[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

/** As many as there are, `total` at most, newest first. What is stored meanwhile is neither repeated nor skipped. */
export async function* eachOf<Item extends { readonly id: string }>(
  total: number,
  page: (before: string | undefined, limit: number) => Promise<readonly Item[]>,
): AsyncIterableIterator<Item> {
  let before: string | undefined;
  for (let left = total; left > 0; ) {
    const limit = Math.min(PAGE, left);
    const items = await page(before, limit);
    yield* items;
    if (items.length < limit) return;
    left -= items.length;
    before = items.at(-1)?.id;
  }
}

/** A checkpoint, its parent, and so on. `withOlder` gives one and those before it, among which the next ones are looked for. */
export async function* lineage<Item extends { readonly id: string; readonly parentId?: string }>(
  from: string | null,
  withOlder: (id: string) => Promise<readonly Item[]>,
): AsyncIterableIterator<Item> {
  const shown = new Set<string>(); // ids that callers bring may name each other as parents
  let items = new Map<string, Item>();
  for (let id = from; id !== null && !shown.has(id); ) {
    if (!items.has(id)) items = new Map((await withOlder(id)).map((item) => [item.id, item]));
    const item = items.get(id);
    if (item === undefined) return;
    yield item;
    shown.add(id);
    id = item.parentId ?? null;
  }
}
