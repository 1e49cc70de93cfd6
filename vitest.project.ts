import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

export interface ProjectOptions {
  /**
   * Servers that the tests need. A test file gets them by `inject("waymarkServers").postgres?.url`, both in a run over the
   * repository and in the package's folder. A server is missing there if `npm test` could not start it, or if `--only` leaves
   * it out. Default: none.
   */
  readonly servers?: readonly ("postgres" | "mysql" | "mariadb" | "postgres-vector" | "mariadb-vector")[];
  /** `true`: the tests open SQLite files in their own process, whose handles must not become garbage. Default `false`. */
  readonly sqlite?: boolean;
  /** Test files, by their paths in the package, that only `npm run test:all` runs. Default: none. */
  readonly onlyInAll?: readonly string[];
}

/** `npm test` has built the packages, and sets this. */
const isBuilt = Boolean(process.env["WAYMARK_TEST_BUILT"]);

/**
 * The vitest configuration of a package. The tests, and the workspace packages that they import, run from the sources, so that nothing need
 * be built. In `npm test` only the package itself does, and the others as built: Node imports those three times as fast.
 */
export function project({ servers = [], sqlite = false, onlyInAll = [] }: ProjectOptions = {}): ViteUserConfig {
  return defineConfig({
    ...(isBuilt
      ? { plugins: [{ name: "own-sources", config: ({ root = "" }) => ({ resolve: { alias: ownSources(root) } }) }] }
      : { ssr: { resolve: { conditions: ["waymark-source", "node", "development|production"] } } }),
    test: {
      ...(isBuilt && { server: { deps: { external: [/\/dist\//] } } }),
      pool: "forks",
      maxWorkers: 3,
      ...(!process.env["WAYMARK_TEST_ALL"] && { exclude: [...configDefaults.exclude, ...onlyInAll] }),
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

/** Lists where a package's own names lead in its tests: to the sources, which the tests import by path too. */
function ownSources(folder: string): { find: RegExp; replacement: string }[] {
  const manifest = join(folder, "package.json");
  if (!existsSync(manifest)) return []; // scripts
  const { name, exports = {} } = JSON.parse(readFileSync(manifest, "utf8"));
  return Object.entries<{ "waymark-source"?: string }>(exports).flatMap(([place, { "waymark-source": source }]) =>
    source === undefined
      ? []
      : [{ find: new RegExp(`^${posix.join(name, place)}$`), replacement: join(folder, source) }],
  );
}

function testServers(file: string): string {
  return fileURLToPath(new URL(`test/servers/src/${file}`, import.meta.url));
}
