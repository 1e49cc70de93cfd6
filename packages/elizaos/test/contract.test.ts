import { describe, expect, it } from "vitest";
import { describeAgents } from "./contract/agents.ts";
import { Bench, newId } from "./contract/bench.ts";
import { describeCache } from "./contract/cache.ts";
import { describeComponents } from "./contract/components.ts";
import { describeEntities } from "./contract/entities.ts";
import { METHODS } from "./contract/methods.ts";
import { describeParticipants } from "./contract/participants.ts";
import { describeRelationships } from "./contract/relationships.ts";
import { describeRooms } from "./contract/rooms.ts";
import { describeTasks } from "./contract/tasks.ts";
import { describeWorlds } from "./contract/worlds.ts";
import { databases } from "./databases.ts";

const SUBJECTS: readonly ((bench: Bench) => void)[] = [
  describeAgents,
  describeEntities,
  describeComponents,
  describeWorlds,
  describeRooms,
  describeParticipants,
  describeRelationships,
  describeTasks,
  describeCache,
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
