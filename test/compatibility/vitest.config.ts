import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// A test reads a whole store, checkpoint by checkpoint, several times over: on a busy machine that takes a while.
export default mergeConfig(
  project({ servers: ["postgres", "mysql", "mariadb"] }),
  defineConfig({ test: { testTimeout: 300_000 } }),
);
