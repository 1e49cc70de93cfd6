import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

export interface ProjectOptions {
  /**
   * Servers that the tests need. A test file gets them by `inject("waymarkServers").postgres?.url`, both in a run over the
   * repository and in the package's folder. A server is missing there if `npm test` could not start it, or if `--only` leaves
   * it out. Default: none.
   */
  readonly servers?: readonly ("postgres" | "mysql" | "mariadb" | "postgres-vector" | "mariadb-vector")[];
  /** `true`: the tests open SQLite files in their own process, whose handles must not become garbage. Default `false`. */
  readonly sqlite?: boolean;
}

/** The vitest configuration of a package. The tests, and the workspace packages that they import, run from the sources. */
export function project({ servers = [], sqlite = false }: ProjectOptions = {}): ViteUserConfig {
  return defineConfig({
    ssr: { resolve: { conditions: ["waymark-source", "node", "development|production"] } },
    test: {
      pool: "forks",
      maxWorkers: 3,
      // Generous, for small machines and for the first run, which fetches servers.
      testTimeout: 120_000,
      hookTimeout: 240_000,
      ...(sqlite && { setupFiles: [testServers("keep-sqlite.ts")] }),
      ...(servers.length > 0 && {
        globalSetup: testServers("global-setup.ts"),
        provide: { waymarkServerKinds: [...servers] },
      }),
    },
  });
}

function testServers(file: string): string {
  return fileURLToPath(new URL(`test/servers/src/${file}`, import.meta.url));
}
