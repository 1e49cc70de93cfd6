import { afterEach, expect, test, vi } from "vitest";
import { defaultPoolSize } from "../../src/database/environment.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each([
  [{ NODE_ENV: "production", VITEST: undefined }, 20],
  [{ NODE_ENV: undefined, VITEST: undefined }, 20],
  [{ NODE_ENV: "test", VITEST: undefined }, 2],
  [{ NODE_ENV: "development", VITEST: "true" }, 2],
  [{ NODE_ENV: "development", VITEST: "" }, 20],
])("a pool is small where tests run: %j", (environment, expected) => {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  expect(defaultPoolSize(20)).toBe(expected);
});

test("a pool that is smaller still stays so", () => {
  vi.stubEnv("NODE_ENV", "test");
  expect(defaultPoolSize(1)).toBe(1);
});
