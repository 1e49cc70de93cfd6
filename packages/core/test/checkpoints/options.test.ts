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
  ])("refuse %j", (options, message) => {
    expect(() => resolveCheckpointOptions(options)).toThrow(`expected options.${message}`);
  });

  test.each([[1], ["true"], [null]])("refuse %j as freeze", (freeze) => {
    expect(() => resolveCheckpointOptions({ freeze })).toThrow(/^expected options\.freeze to be a boolean/);
  });
});
