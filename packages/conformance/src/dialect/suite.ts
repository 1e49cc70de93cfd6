import { describe, expect, it } from "vitest";
import { DialectBench } from "./bench.ts";
import { signal } from "./rows.ts";
import { describeAcknowledgements } from "./specs/acknowledgements.ts";
import { describeBases } from "./specs/bases.ts";
import { describeBlocking } from "./specs/blocking.ts";
import { describeChains } from "./specs/chains.ts";
import { describeContention } from "./specs/contention.ts";
import { describeLabels } from "./specs/labels.ts";
import { describeLeases } from "./specs/leases.ts";
import { describePending } from "./specs/pending.ts";
import { describeReading } from "./specs/reading.ts";
import { describeRewriting } from "./specs/rewriting.ts";
import { describeRows } from "./specs/rows.ts";
import { describeSettings } from "./specs/settings.ts";
import { describeTombstones } from "./specs/tombstones.ts";
import { describeVacuum } from "./specs/vacuum.ts";
import { describeWrites } from "./specs/writes.ts";
import type { DialectTarget } from "./target.ts";

/** For the slowest tests on a slow machine with a database server beside them. */
const TEST_TIMEOUT_MS = 120_000;

/**
 * Registers with vitest what core expects of a dialect, whatever the engine is: that it moves rows unchanged, and keeps the
 * promises of `commit`. Call it at the top of a test file.
 */
export function describeDialect(target: DialectTarget): void {
  describe(`${target.name}: a dialect`, { timeout: TEST_TIMEOUT_MS }, () => {
    const bench = new DialectBench(target);
    it(bench.hasOutbox ? "has an outbox" : "has no outbox", async () => {
      expect((await bench.open()).outbox !== undefined).toBe(bench.hasOutbox);
    });
    it(bench.hasSettings ? "has settings" : "has no settings", async () => {
      expect((await bench.open()).settings !== undefined).toBe(bench.hasSettings);
    });
    it(bench.hasLabels ? "has an index of labels" : "has no index of labels", async () => {
      expect((await bench.open()).labels !== undefined).toBe(bench.hasLabels);
    });
    it("says that it is synchronous if its calls settle before the event loop turns", async () => {
      const dialect = await bench.open();
      let hasTurned = false;
      setImmediate(() => {
        hasTurned = true;
      });
      for (let call = 0; call < 10; call++) await dialect.list({ limit: 1 }, signal);
      expect(dialect.isSynchronous ?? false).toBe(!hasTurned);
    });
    for (const describeTopic of TOPICS) describeTopic(bench);
    if (bench.hasSettings) describeSettings(bench);
    if (bench.hasLabels) describeLabels(bench);
    if (bench.hasOutbox) for (const describeTopic of OUTBOX_TOPICS) describeTopic(bench);
    if (target.literal !== undefined) describeBlocking(bench, target.literal);
  });
}

const TOPICS: readonly ((bench: DialectBench) => void)[] = [
  describeRows,
  describeRewriting,
  describeReading,
  describeBases,
  describeChains,
  describeWrites,
  describeContention,
  describeVacuum,
];

const OUTBOX_TOPICS: readonly ((bench: DialectBench) => void)[] = [
  describePending,
  describeAcknowledgements,
  describeLeases,
  describeTombstones,
];
