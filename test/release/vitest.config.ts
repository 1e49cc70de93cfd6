import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// Each runs programs that compile, bundle or test: as long as one of them may take, see test/commands.ts.
export default mergeConfig(
  project({ servers: ["postgres", "mysql", "mariadb"] }),
  defineConfig({ test: { testTimeout: 300_000, hookTimeout: 300_000 } }),
);
