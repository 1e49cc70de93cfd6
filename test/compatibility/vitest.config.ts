import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// MariaDB is left to `npm run test:all`: its rows and migrations are MySQL's. The timeout is long because a test reads a whole store,
// checkpoint by checkpoint, several times.
export default mergeConfig(
  project({ servers: ["postgres", "mysql", "mariadb"], onlyInAll: ["test/mariadb.test.ts"] }),
  defineConfig({ test: { testTimeout: 300_000 } }),
);
