import type { ServerKind } from "waymark-test-servers";

/** Whether this machine is to have these servers. `npm test` tells which ones it has; without it, all are needed. */
export function isNeeded(...kinds: readonly ServerKind[]): boolean {
  const had = process.env["WAYMARK_TEST_SERVERS"]?.split(",") ?? [];
  return had.join("") === "" || kinds.every((kind) => had.includes(kind));
}
