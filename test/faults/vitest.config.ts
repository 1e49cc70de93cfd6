import { configDefaults, defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";
import { full } from "./src/scale.ts";

// PostgreSQL as main and SQLite as backup are in other pairs too, so this pair is for `test:all` and `faults`.
const leftOut = full || process.env["WAYMARK_TEST_ALL"] ? [] : ["test/postgres-sqlite.test.ts"];

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
