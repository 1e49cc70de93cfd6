import { afterAll, beforeAll, describe } from "vitest";
import { TEST_ALL } from "../../storage/scale.ts";
import { StorageBench } from "./bench.ts";
import { describeCollections } from "./specs/collections.ts";
import { describeConcurrency } from "./specs/concurrency.ts";
import { describeEmbedding } from "./specs/embedding.ts";
import { describeFacade } from "./specs/facade.ts";
import { describeFilters } from "./specs/filters.ts";
import { describeInjectionIntoMemory } from "./specs/injection.ts";
import { describeItems } from "./specs/items.ts";
import { describeOwners } from "./specs/owners.ts";
import { describeReembedding } from "./specs/reembedding.ts";
import { describeRetention } from "./specs/retention.ts";
import { describeSecretsOfMemory } from "./specs/secrets.ts";
import { describeTextSearch } from "./specs/text-search.ts";
import { describeThreads } from "./specs/threads.ts";
import { describeUpdating } from "./specs/updating.ts";
import { describeVectorSearch } from "./specs/vector-search.ts";
import type { MemoryPart, MemoryStorageTarget } from "./target.ts";

/** Timeout that suffices for the slowest tests on a slow machine. */
const TEST_TIMEOUT_MS = 300_000;

type Topic = (bench: StorageBench) => void;

/** The topics of each part, in the order in which they run. */
const PARTS: Readonly<Record<MemoryPart, readonly Topic[]>> = {
  database: [
    describeItems,
    describeUpdating,
    describeThreads,
    describeTextSearch,
    describeFilters,
    describeOwners,
    describeCollections,
    describeRetention,
    describeConcurrency,
    describeInjectionIntoMemory,
    describeSecretsOfMemory,
  ],
  vectors: [describeVectorSearch, describeReembedding],
  facade: [describeEmbedding, describeFacade],
};

/**
 * Registers the suite of a memory with vitest. Call it at the top level of a test file. It uses the contract alone: what a search finds
 * is compared with what core's pure functions compute from the same items. With `WAYMARK_TEST_ALL` set in the environment every part
 * runs, whichever the target lists.
 */
export function describeMemory(target: MemoryStorageTarget): void {
  const all = Object.keys(PARTS) as MemoryPart[];
  const parts = TEST_ALL ? all : (target.parts ?? all);
  describe(`${target.name}: a memory`, { timeout: TEST_TIMEOUT_MS }, () => {
    const bench = new StorageBench(target);
    beforeAll(() => bench.setUp(), TEST_TIMEOUT_MS);
    afterAll(() => bench.tearDown(), TEST_TIMEOUT_MS);
    for (const part of parts) for (const describeTopic of PARTS[part]) describeTopic(bench);
  });
}
