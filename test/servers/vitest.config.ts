import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "src/global-setup.ts",
    provide: { waymarkServerKinds: ["postgres", "mysql", "mariadb", "postgres-vector", "mariadb-vector"] },
    // The very first run fetches what is missing.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
