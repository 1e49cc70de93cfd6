import { configDefaults, defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";

// MariaDB is for `npm run test:all`: its rows and migrations are MySQL's.
const leftOut = process.env["WAYMARK_TEST_ALL"] ? [] : ["test/mariadb.test.ts"];

// The timeout is long because a test reads a whole store, checkpoint by checkpoint, several times.
export default mergeConfig(
  project({ servers: ["postgres", "mysql", "mariadb"] }),
  defineConfig({ test: { testTimeout: 300_000, exclude: [...configDefaults.exclude, ...leftOut] } }),
);
