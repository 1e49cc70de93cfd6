import { describe, expect, test } from "vitest";
import { resolveCheckpointOptions } from "../../src/checkpoints/options.ts";

describe("the options of checkpoints", () => {
  test("have defaults", () => {
    expect(resolveCheckpointOptions({})).toEqual({
      cacheBytes: 64_000_000,
      freeze: false,
      indexedLabels: [],
      parse: null,
    });
  });

  test.each([[-1], [1.5], ["1"], [null]])("refuse %j as cacheBytes", (cacheBytes) => {
    expect(() => resolveCheckpointOptions({ cacheBytes })).toThrow(/^expected options\.cacheBytes to be /);
  });

  test.each([[1], ["true"], [null]])("refuse %j as freeze", (freeze) => {
    expect(() => resolveCheckpointOptions({ freeze })).toThrow(/^expected options\.freeze to be a boolean/);
  });
});
