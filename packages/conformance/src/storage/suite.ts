import { afterAll, beforeAll, describe } from "vitest";
import { Bench } from "./bench.ts";
import { TEST_ALL } from "./scale.ts";
import { describeAncestors } from "./specs/ancestors.ts";
import { describeArguments } from "./specs/arguments.ts";
import { describeDelete } from "./specs/delete.ts";
import { describeDeleteAgent } from "./specs/delete-agent.ts";
import { describeErrors } from "./specs/errors.ts";
import { describeFidelity } from "./specs/fidelity.ts";
import { describeFreeze } from "./specs/freeze.ts";
import { describeIdentity } from "./specs/identity.ts";
import { describeIfLatest } from "./specs/if-latest.ts";
import { describeInjection } from "./specs/injection.ts";
import { describeIntegrity } from "./specs/integrity.ts";
import { describeIntegrityChains } from "./specs/integrity-chains.ts";
import { describeInterruption } from "./specs/interruption.ts";
import { describeIterate } from "./specs/iterate.ts";
import { describeLabels } from "./specs/labels.ts";
import { describeLifecycle } from "./specs/lifecycle.ts";
import { describeList } from "./specs/list.ts";
import { describeListAgents } from "./specs/list-agents.ts";
import { describeMetadata } from "./specs/metadata.ts";
import { describeMigrate } from "./specs/migrate.ts";
import { describeModel } from "./specs/model.ts";
import { describeOrder } from "./specs/order.ts";
import { describeProcesses } from "./specs/processes.ts";
import { describeProcessesKilled } from "./specs/processes-killed.ts";
import { describeProcessesPrune } from "./specs/processes-prune.ts";
import { describePrune } from "./specs/prune.ts";
import { describeRestore } from "./specs/restore.ts";
import { describeRetention } from "./specs/retention.ts";
import { describeRetrieve } from "./specs/retrieve.ts";
import { describeRetrieveLatest } from "./specs/retrieve-latest.ts";
import { describeSameObject } from "./specs/same-object.ts";
import { describeSignal } from "./specs/signal.ts";
import { describeSize } from "./specs/size.ts";
import { describeStats } from "./specs/stats.ts";
import { describeStore } from "./specs/store.ts";
import { describeStoredForm } from "./specs/stored-form.ts";
import { describeWriteValues } from "./specs/write-values.ts";
import { describeWrites } from "./specs/writes.ts";
import type { ConformancePart, ConformanceTarget } from "./target.ts";

/** Timeout that suffices for the slowest tests on a slow machine. */
const TEST_TIMEOUT_MS = 300_000;

type Topic = (bench: Bench) => void;

/** The topics of each part, in the order in which they run. */
const PARTS: Readonly<Record<ConformancePart, readonly Topic[]>> = {
  database: [
    describeStore,
    describeRetrieve,
    describeRetrieveLatest,
    describeList,
    describeIterate,
    describeAncestors,
    describeListAgents,
    describeDelete,
    describeDeleteAgent,
    describePrune,
    describeStats,
    describeWrites,
    describeMigrate,
    describeIfLatest,
    describeRestore,
    describeOrder,
    describeIdentity,
    describeMetadata,
    describeLabels,
    describeInjection,
    describeInterruption,
  ],
  scale: [describeSize, describeRetention, describeModel],
  codec: [describeFidelity, describeWriteValues, describeFreeze, describeSameObject],
  damage: [describeStoredForm, describeIntegrity, describeIntegrityChains],
  facade: [describeArguments, describeErrors, describeSignal, describeLifecycle],
  processes: [describeProcesses, describeProcessesPrune, describeProcessesKilled],
};

/**
 * Registers the suite with vitest for one kind of store. Call it at the top level of a test file that has a database of its
 * own. With `WAYMARK_TEST_ALL` set in the environment every part runs, whichever the target lists, at full numbers.
 */
export function describeCheckpointStorage(target: ConformanceTarget): void {
  const all = Object.keys(PARTS) as ConformancePart[];
  const parts = TEST_ALL ? all : (target.parts ?? all);
  describe(`${target.name}: a checkpoint storage`, { timeout: TEST_TIMEOUT_MS }, () => {
    const bench = new Bench(target);
    beforeAll(() => bench.setUp(), TEST_TIMEOUT_MS);
    afterAll(() => bench.tearDown(), TEST_TIMEOUT_MS);
    for (const part of parts) for (const describeTopic of PARTS[part]) describeTopic(bench);
  });
}
