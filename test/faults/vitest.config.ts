import { defineConfig, mergeConfig } from "vitest/config";
import { project } from "../../vitest.project.ts";
import { full } from "./src/scale.ts";

// One pair remains, with PostgreSQL as main and MySQL as backup. These take two minutes each, and are for `test:all` and `faults`.
// `packages/mysql` tests the faults of its servers by itself. That the checker finds every defect is shown before a release.
const others = ["postgres-sqlite", "mysql-sqlite", "mariadb-sqlite", "checker"].map((name) => `test/${name}.test.ts`);
const onlyInAll = full ? [] : others;

// Each file starts its own servers, since it kills them.
export default mergeConfig(
  project({ onlyInAll }),
  defineConfig({
    test: {
      testTimeout: full ? 900_000 : 300_000,
      hookTimeout: 240_000,
    },
  }),
);
