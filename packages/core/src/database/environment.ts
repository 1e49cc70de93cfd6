/** What the process's environment says of where it runs. */

/** Many test processes at once would otherwise have all of a server's connections. */
const POOL_SIZE_IN_TESTS = 2;

/** How many connections a pool has where nobody says: `usual`, or few where tests run (`NODE_ENV=test`, Vitest). */
export function defaultPoolSize(usual: number): number {
  const { NODE_ENV, VITEST } = process.env;
  const inTests = NODE_ENV === "test" || (VITEST !== undefined && VITEST !== "");
  return inTests ? Math.min(usual, POOL_SIZE_IN_TESTS) : usual;
}
