import { expect, it } from "vitest";
import { slicesOfBytes } from "../../src/records/slices.ts";

it("splits a list by bytes, in its order; one item that has too many is alone", () => {
  const slice = (sizes: readonly number[]) => slicesOfBytes(sizes, (bytes) => bytes, 10);
  expect(slice([])).toEqual([]);
  expect(slice([0])).toEqual([[0]]);
  expect(slice([4, 6, 1])).toEqual([[4, 6], [1]]);
  expect(slice([11, 1, 25, 9, 1, 1])).toEqual([[11], [1], [25], [9, 1], [1]]);
});
