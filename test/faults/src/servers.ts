import type { ServerKind } from "waymark-test-servers";

/**
 * True if these servers must be available. `npm test` sets the list of servers that it has started; without a list, all must be.
 */
export function isNeeded(...kinds: readonly ServerKind[]): boolean {
  const started = process.env["WAYMARK_TEST_SERVERS"]?.split(",") ?? [];
  return started.join("") === "" || kinds.every((kind) => started.includes(kind));
}
