import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// The tests run programs that compile, bundle or test. The limit is that of one program, see test/commands.ts.
export default mergeConfig(
  project({ servers: ["postgres", "mysql", "mariadb"] }),
  defineConfig({ test: { testTimeout: 300_000, hookTimeout: 300_000 } }),
);
