import type { CheckedPrunePolicy } from "./arguments.ts";
import type { RowHead } from "./dialect.ts";
import { idTime } from "./ids.ts";

/** Makes a filter that keeps what the policy keeps. It is called with the rows of one timeline, newest first. */
export function retentionFilter(policy: CheckedPrunePolicy, nowMs: number): (row: RowHead) => boolean {
  let count = 0;
  const keptPeriods = policy.keepEvery.map(() => new Set<number>());
  return (row) => {
    count += 1;
    const time = idTime(row.id);
    const ageMs = nowMs - time;
    let keep = count === 1 || count <= policy.keepLast || (policy.keepWithinMs > 0 && ageMs <= policy.keepWithinMs);
    policy.keepEvery.forEach(({ everyMs, forMs }, rule) => {
      if (ageMs > forMs) return;
      const period = Math.floor(time / everyMs);
      const kept = keptPeriods[rule] as Set<number>;
      if (kept.has(period)) return;
      kept.add(period);
      keep = true;
    });
    return keep || (policy.keepLabels?.every((label) => row.metadata?.includes(label)) ?? false);
  };
}
