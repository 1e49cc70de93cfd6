import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// The timeout is long because a test reads a whole store, checkpoint by checkpoint, several times.
export default mergeConfig(
  project({ servers: ["postgres", "mysql", "mariadb"] }),
  defineConfig({ test: { testTimeout: 300_000 } }),
);
