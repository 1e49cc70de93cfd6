import { configDefaults, defineConfig } from "vitest/config";

// What these start is started by other tests too; how they start and stop is for `npm run test:all`.
const others = ["abandoned", "disk", "galera", "standby"].map((name) => `test/${name}.test.ts`);
const leftOut = process.env["WAYMARK_TEST_ALL"] ? [] : others;

export default defineConfig({
  test: {
    globalSetup: "src/global-setup.ts",
    provide: { waymarkServerKinds: ["postgres", "mysql", "mariadb", "postgres-vector", "mariadb-vector"] },
    exclude: [...configDefaults.exclude, ...leftOut],
    // The very first run fetches what is missing.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
