import { expect, it } from "vitest";
import { LruCache } from "../../src/database/lru-cache.ts";

it("makes a value once, and evicts the one that was used the longest time ago", () => {
  const cache = new LruCache<string, string>(2);
  const made: string[] = [];
  const get = (key: string) =>
    cache.get(key, () => {
      made.push(key);
      return `value of ${key}`;
    });
  expect(get("a")).toBe("value of a");
  get("b");
  get("a");
  expect(made).toEqual(["a", "b"]);
  get("c");
  get("a");
  expect(made, "a was used after b").toEqual(["a", "b", "c"]);
  get("b");
  expect(made).toEqual(["a", "b", "c", "b"]);
});

it("keeps nothing of a value whose making failed", () => {
  const cache = new LruCache<string, string>(2);
  const fail = () => {
    throw new TypeError("no value");
  };
  expect(() => cache.get("a", fail)).toThrow("no value");
  expect(cache.get("a", () => "made")).toBe("made");
});
