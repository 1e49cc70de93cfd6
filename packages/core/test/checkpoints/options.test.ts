import { describe, expect, test } from "vitest";
import { resolveCheckpointOptions } from "../../src/checkpoints/options.ts";

describe("the options of checkpoints", () => {
  test("have defaults", () => {
    expect(resolveCheckpointOptions({})).toEqual({
      cacheBytes: 64_000_000,
      freeze: false,
      indexedLabels: [],
      indexedNames: [],
      parse: null,
    });
  });

  test.each([[-1], [1.5], ["1"], [null]])("refuse %j as cacheBytes", (cacheBytes) => {
    expect(() => resolveCheckpointOptions({ cacheBytes })).toThrow(/^expected options\.cacheBytes to be /);
  });

  test.each([
    [{ indexedLabels: "user" }, "indexedLabels to be an array of names of labels"],
    [{ indexedLabels: [""] }, "indexedLabels[0] to be "],
    [{ indexedNames: "waits" }, "indexedNames to be an array of names of checkpoints"],
    [{ indexedNames: ["waits", 1] }, "indexedNames[1] to be "],
    [{ indexedNames: Array.from({ length: 9 }, String) }, "indexedNames to be at most 8 names"],
    [
      { indexedLabels: ["a", "b", "c", "d", "e"], indexedNames: ["f", "g", "h", "i"] },
      "indexedLabels and options.indexedNames to be at most 8 names together, got 9",
    ],
  ])("refuse %j", (options, message) => {
    expect(() => resolveCheckpointOptions(options)).toThrow(`expected options.${message}`);
  });

  test("may be 8 labels and names together, some of them twice", () => {
    const indexedLabels = ["a", "b", "c", "d", "a"];
    const indexedNames = ["a", "b", "c", "d", "d"];
    expect(resolveCheckpointOptions({ indexedLabels, indexedNames })).toMatchObject({ indexedLabels, indexedNames });
  });

  test.each([[1], ["true"], [null]])("refuse %j as freeze", (freeze) => {
    expect(() => resolveCheckpointOptions({ freeze })).toThrow(/^expected options\.freeze to be a boolean/);
  });
});
