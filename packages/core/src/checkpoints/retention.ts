import type { CheckedPrunePolicy } from "./arguments.ts";
import type { RowHead } from "./dialect.ts";
import { idTime } from "./ids.ts";

/**
 * Says of each checkpoint of one agent and namespace, shown newest first, whether the policy keeps it.
 */
export function keeper(policy: CheckedPrunePolicy, nowMs: number): (row: RowHead) => boolean {
  let shown = 0;
  const keptPeriods = policy.keepEvery.map(() => new Set<number>());
  return (row) => {
    shown += 1;
    const time = idTime(row.id);
    const ageMs = nowMs - time;
    let keep = shown === 1 || shown <= policy.keepLast || (policy.keepWithinMs > 0 && ageMs <= policy.keepWithinMs);
    policy.keepEvery.forEach(({ everyMs, forMs }, rule) => {
      if (ageMs > forMs) return;
      const period = Math.floor(time / everyMs);
      const kept = keptPeriods[rule] as Set<number>;
      if (kept.has(period)) return;
      kept.add(period);
      keep = true;
    });
    const labels = policy.keepMetadataLines;
    return keep || (labels?.every((line) => row.metadata?.includes(line)) ?? false);
  };
}
