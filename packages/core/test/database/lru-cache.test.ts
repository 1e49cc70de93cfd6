import { expect, it } from "vitest";
import { LruCache } from "../../src/database/lru-cache.ts";

/** A cache of so many entries, and what it was asked to make. */
function newCache(minEntries: number) {
  const cache = new LruCache<string, string>(minEntries);
  const made: string[] = [];
  const get = (key: string) =>
    cache.get(key, () => {
      made.push(key);
      return `value of ${key}`;
    });
  return { get, made };
}

it("makes a value once, as long as it is used", () => {
  const { get, made } = newCache(2);
  for (let at = 0; at < 10; at++) {
    expect(get("a")).toBe("value of a");
    expect(get(`other ${at}`)).toBe(`value of other ${at}`);
  }
  expect(made.filter((key) => key === "a")).toEqual(["a"]);
});

it("keeps so many of those that were used last, and at most twice as many", () => {
  const { get, made } = newCache(3);
  const keys = Array.from({ length: 20 }, (_, at) => `k${at}`);
  for (const key of keys) get(key);
  made.length = 0;
  for (const key of keys.slice(-3)) get(key);
  expect(made).toEqual([]);
  for (const key of keys.slice(0, -6)) get(key);
  expect(made).toEqual(keys.slice(0, -6));
});

it("keeps nothing of a value whose making failed", () => {
  const cache = new LruCache<string, string>(2);
  const fail = () => {
    throw new TypeError("no value");
  };
  expect(() => cache.get("a", fail)).toThrow("no value");
  expect(cache.get("a", () => "made")).toBe("made");
});
