import type { KeptBy, PruneResult } from "../contract/status.ts";
import { firstIdAt, idTime } from "../database/ids.ts";
import type { CheckedPrunePolicy } from "./arguments.ts";
import type { RowHead } from "./dialect.ts";

/** A rule that keeps checkpoints. */
type KeepRule = keyof KeptBy;

/** The counts of a pruning so far. */
export type PruneProgress = {
  -readonly [Name in keyof PruneResult]: PruneResult[Name] extends number
    ? number
    : { -readonly [Reason in keyof PruneResult[Name]]: number };
};

export function newProgress(): PruneProgress {
  return {
    examined: 0,
    removed: 0,
    droppedAgents: 0,
    removedBy: { idleAgent: 0, noRule: 0 },
    keptBy: { latest: 0, keepLast: 0, keepWithinMs: 0, keepEvery: 0, keepMetadata: 0 },
  };
}

export function toResult({ removedBy, keptBy, ...counts }: PruneProgress): PruneResult {
  return { ...counts, removedBy: { ...removedBy }, keptBy: { ...keptBy } };
}

/**
 * Makes a function that returns the rule by which a row is kept, the first one, or `null`. It is called with the rows of one
 * timeline, newest first.
 */
export function keepFilter(policy: CheckedPrunePolicy, nowMs: number): (row: RowHead) => KeepRule | null {
  let count = 0;
  const keptPeriods = policy.keepEvery.map(() => new Set<number>());
  return (row) => {
    count += 1;
    const time = idTime(row.id);
    const ageMs = nowMs - time;
    let isFirstOfPeriod = false;
    policy.keepEvery.forEach(({ everyMs, forMs }, rule) => {
      if (ageMs > forMs) return;
      const period = Math.floor(time / everyMs);
      const kept = keptPeriods[rule] as Set<number>;
      if (kept.has(period)) return;
      kept.add(period);
      isFirstOfPeriod = true;
    });
    if (count === 1) return "latest";
    if (count <= policy.keepLast) return "keepLast";
    if (policy.keepWithinMs > 0 && ageMs <= policy.keepWithinMs) return "keepWithinMs";
    if (isFirstOfPeriod) return "keepEvery";
    return isPinned(policy, row) ? "keepMetadata" : null;
  };
}

/** Returns whether `keepMetadata` keeps this row. */
export function isPinned({ keepLabels }: CheckedPrunePolicy, { metadata }: RowHead): boolean {
  return keepLabels?.every((label) => metadata?.includes(label)) ?? false;
}

/** Returns the id above which a checkpoint, or a task write, is a sign of life of its agent. */
export function idleSince(dropAgentsIdleForMs: number, nowMs: number): string {
  return firstIdAt(nowMs - dropAgentsIdleForMs);
}
