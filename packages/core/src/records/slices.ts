/**
 * Splits a list for several statements, each of at most this many bytes; one item that has more is alone. A statement's text is made at
 * once, and blocks this thread meanwhile.
 */
export function slicesOfBytes<Item>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  maxBytes: number,
): Item[][] {
  const slices: Item[][] = [];
  let left = 0;
  for (const item of items) {
    const bytes = bytesOf(item);
    if (bytes > left || slices.length === 0) {
      slices.push([]);
      left = maxBytes;
    }
    slices.at(-1)?.push(item);
    left -= bytes;
  }
  return slices;
}
