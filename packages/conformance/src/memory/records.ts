import { describe } from "vitest";
import { MemoryBench } from "./bench.ts";
import { describeAborting } from "./specs/aborting.ts";
import { describeChanging } from "./specs/changing.ts";
import { describeContention } from "./specs/contention.ts";
import { describeFinding } from "./specs/finding.ts";
import { describeGuards } from "./specs/guards.ts";
import { describeHostileTexts } from "./specs/hostile-texts.ts";
import { describeModifying } from "./specs/modifying.ts";
import { describeParts } from "./specs/parts.ts";
import { describeValues } from "./specs/values.ts";
import type { MemoryTarget } from "./target.ts";

/** For the slowest tests on a slow machine with a database server beside them. */
export const TEST_TIMEOUT_MS = 120_000;

/**
 * Registers with vitest what the verbs over tables that are data (`Records`) have to do, whatever the engine is. They are tried on the
 * tables of memory. Call it at the top of a test file.
 */
export function describeRecords(target: MemoryTarget): void {
  describe(`${target.name}: records`, { timeout: TEST_TIMEOUT_MS }, () => {
    const bench = new MemoryBench(target);
    for (const describeTopic of TOPICS) describeTopic(bench);
  });
}

const TOPICS: readonly ((bench: MemoryBench) => void)[] = [
  describeFinding,
  describeValues,
  describeHostileTexts,
  describeChanging,
  describeGuards,
  describeModifying,
  describeParts,
  describeContention,
  describeAborting,
];
