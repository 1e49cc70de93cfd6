import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";
import { full } from "./src/scale.ts";

// Each test file starts servers of its own, since it kills them.
export default mergeConfig(
  project(),
  defineConfig({ test: { testTimeout: full ? 900_000 : 300_000, hookTimeout: 240_000 } }),
);
