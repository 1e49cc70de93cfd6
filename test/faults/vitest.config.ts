import { configDefaults, defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";
import { full } from "./src/scale.ts";

// One pair remains, with PostgreSQL as main and MySQL as backup. These take two minutes each, and are for `test:all` and `faults`.
// `packages/mysql` tests the faults of its servers by itself.
const others = ["test/postgres-sqlite.test.ts", "test/mysql-sqlite.test.ts", "test/mariadb-sqlite.test.ts"];
const leftOut = full || process.env["WAYMARK_TEST_ALL"] ? [] : others;

// Each file starts its own servers, since it kills them.
export default mergeConfig(
  project(),
  defineConfig({
    test: {
      testTimeout: full ? 900_000 : 300_000,
      hookTimeout: 240_000,
      exclude: [...configDefaults.exclude, ...leftOut],
    },
  }),
);
