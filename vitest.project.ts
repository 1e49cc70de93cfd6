import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

export interface ProjectOptions {
  /**
   * The servers that the tests need. A test file gets them by `inject("waymarkServers").postgres?.url`, whether vitest runs
   * over the repository or in the package's folder; one that `npm test` could not get, or left out by `--only`, is missing there.
   * Default: none.
   */
  readonly servers?: readonly ("postgres" | "mysql" | "mariadb")[];
}

/** The vitest configuration of a package: its tests, and the workspace packages that they import, run from the sources. */
export function project({ servers = [] }: ProjectOptions = {}): ViteUserConfig {
  return defineConfig({
    ssr: { resolve: { conditions: ["waymark-source", "node", "development|production"] } },
    test: {
      pool: "forks",
      maxWorkers: 2,
      // Generous, for small machines and for the first run, which fetches what is missing.
      testTimeout: 120_000,
      hookTimeout: 240_000,
      ...(servers.length > 0 && {
        globalSetup: fileURLToPath(new URL("test/servers/src/global-setup.ts", import.meta.url)),
        provide: { waymarkServerKinds: [...servers] },
      }),
    },
  });
}
