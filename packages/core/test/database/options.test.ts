import { afterEach, describe, expect, test, vi } from "vitest";
import { defaultPoolSize, resolveDatabaseOptions } from "../../src/database/options.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("the options of a database", () => {
  test("have defaults", () => {
    expect(resolveDatabaseOptions({})).toEqual({
      operationTimeoutMs: 30_000,
      migrate: "auto",
      tablePrefix: "",
      retry: { maxRetries: 3, baseDelayMs: 1_000, maxDelayMs: 10_000, jitterMaxMs: 1_000 },
      circuit: { failureThreshold: 5, resetTimeoutMs: 60_000, halfOpenMaxAttempts: 3 },
    });
  });

  test.each([0, -1, 1.5, "30", null, 2 ** 31])("refuse %j as operationTimeoutMs", (operationTimeoutMs) => {
    expect(() => resolveDatabaseOptions({ operationTimeoutMs })).toThrow(
      /^expected options\.operationTimeoutMs to be /,
    );
  });
});

describe("the default size of a pool", () => {
  test.each([
    [{ NODE_ENV: "production", VITEST: undefined }, 20],
    [{ NODE_ENV: undefined, VITEST: undefined }, 20],
    [{ NODE_ENV: "test", VITEST: undefined }, 2],
    [{ NODE_ENV: "development", VITEST: "true" }, 2],
    [{ NODE_ENV: "development", VITEST: "" }, 20],
  ])("is small where tests run: %j", (environment, expected) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    expect(defaultPoolSize(20)).toBe(expected);
  });

  test("stays as it is where tests run if it is smaller", () => {
    vi.stubEnv("NODE_ENV", "test");
    expect(defaultPoolSize(1)).toBe(1);
  });
});
