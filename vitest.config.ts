import { defineConfig } from "vitest/config";

// All tests in one run: `npm test` starts the servers for it. A package's own are run by `vitest run` in its folder.
export default defineConfig({
  test: {
    projects: [
      "packages/*/vitest.config.ts",
      "examples/*/vitest.config.ts",
      "test/*/vitest.config.ts",
      "scripts/vitest.config.ts",
      "benchmarks/vitest.config.ts",
    ],
    pool: "forks",
    maxWorkers: 3, // on two cores: they wait for databases half of the time
  },
});
