import { describe, expect, it } from "vitest";
import { describeAgents } from "./contract/agents.ts";
import { Bench, newId } from "./contract/bench.ts";
import { describeCache } from "./contract/cache.ts";
import { describeCachedEmbeddings } from "./contract/cached-embeddings.ts";
import { describeComponents } from "./contract/components.ts";
import { describeDeleting } from "./contract/deleting.ts";
import { describeDimensions } from "./contract/dimensions.ts";
import { describeEntities } from "./contract/entities.ts";
import { describeInjection } from "./contract/injection.ts";
import { describeLifeCycle } from "./contract/life-cycle.ts";
import { describeLogs } from "./contract/logs.ts";
import { describeMemories } from "./contract/memories.ts";
import { describeMemoryChanges } from "./contract/memory-changes.ts";
import { describeMemoryLists } from "./contract/memory-lists.ts";
import { METHODS } from "./contract/methods.ts";
import { describeParticipants } from "./contract/participants.ts";
import { describeRelationships } from "./contract/relationships.ts";
import { describeRooms } from "./contract/rooms.ts";
import { describeRuns } from "./contract/runs.ts";
import { describeSearch } from "./contract/search.ts";
import { describeSecrets } from "./contract/secrets.ts";
import { describeTasks } from "./contract/tasks.ts";
import { describeTransaction } from "./contract/transaction.ts";
import { describeUniqueness } from "./contract/uniqueness.ts";
import { describeWorlds } from "./contract/worlds.ts";
import { databases } from "./databases.ts";

const SUBJECTS: readonly ((bench: Bench) => void)[] = [
  describeLifeCycle,
  describeAgents,
  describeEntities,
  describeComponents,
  describeWorlds,
  describeRooms,
  describeParticipants,
  describeRelationships,
  describeTasks,
  describeCache,
  describeMemories,
  describeMemoryLists,
  describeMemoryChanges,
  describeSearch,
  describeUniqueness,
  describeCachedEmbeddings,
  describeDimensions,
  describeLogs,
  describeRuns,
  describeDeleting,
  describeTransaction,
  describeInjection,
  describeSecrets,
];

describe.each(databases)("the adapter on $name", (kind) => {
  const bench = new Bench(kind);
  for (const describeSubject of SUBJECTS) describeSubject(bench);

  it("has no other methods, and these tests call each of them", () => {
    expect(METHODS).toHaveLength(73 + 13);
    expect(Object.keys(bench.adapterOf(newId())).sort()).toEqual([...METHODS, "db"].sort());
    expect(METHODS.filter((name) => !bench.called.has(name))).toEqual([]);
  });
});
