import { defineConfig } from "vitest/config";

export default defineConfig({
  // Vitest resolves a test's imports by the conditions of `ssr`; ours leads to the sources, so that nothing need be built.
  ssr: { resolve: { conditions: ["waymark-source", "node", "development|production"] } },
  // Thousands of runs of a property take seconds, on a machine that is busy otherwise many.
  test: { testTimeout: 120_000, hookTimeout: 60_000 },
});
