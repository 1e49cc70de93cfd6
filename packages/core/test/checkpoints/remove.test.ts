import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { firstIdAt } from "../../src/database/ids.ts";
import type { ScriptedDialect } from "../scripted-dialect.ts";
import { checkpoint, type ScriptedStorageOptions, scriptedStorage } from "../scripted-storage.ts";

let storage: CheckpointStorage;
let dialect: ScriptedDialect;

function open(options: ScriptedStorageOptions = {}): void {
  ({ storage, dialect } = scriptedStorage(options));
}
beforeEach(() => open());
afterEach(() => storage.close());

async function fill(agent: string, namespaces: readonly string[], turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    for (const namespace of namespaces) {
      await storage.storeCheckpoint(checkpoint({ agentId: agent, namespace, metadata: { even: turn % 2 === 0 } }));
    }
  }
}

const count = async (agent: string) => (await storage.listCheckpoints({ agentId: agent, limit: 10_000 })).length;

describe("deleting", () => {
  test("returns whether there was a checkpoint", async () => {
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.deleteCheckpoint(id.toUpperCase())).toBe(true);
    expect(await storage.deleteCheckpoint(id)).toBe(false);
    expect(await storage.deleteCheckpoint("nonsense")).toBe(false);
  });

  test("deletes an agent, or one namespace of it, and no other", async () => {
    await fill("a", ["", "n"], 3);
    await fill("b", [""], 3);
    expect(await storage.deleteAgent("a", { namespace: "" })).toBe(3);
    expect(await storage.deleteAgent("a")).toBe(3);
    expect(await storage.deleteAgent("a")).toBe(0);
    expect([await count("a"), await count("b")]).toEqual([0, 3]);
    expect(await storage.listAgents()).toEqual(["b"]);
  });
});

describe("pruning", () => {
  test.each([
    [{}, "at least one of dropAgentsIdleForMs, keepLast"],
    [{ dropAgentsIdleForMs: 0 }, "policy.dropAgentsIdleForMs"],
    [
      { dropAgentsIdleForMs: 1, agentId: "a", namespace: "" },
      "expected policy.namespace to be absent beside policy.dropAgentsIdleForMs",
    ],
  ])("refuses the policy %j", async (policy, message) => {
    await expect(storage.pruneCheckpoints(policy)).rejects.toThrow(message);
  });

  test("keeps the given number of newest checkpoints of each agent and namespace", async () => {
    await fill("a", ["", "n"], 10);
    await fill("b", [""], 2);
    expect(await storage.pruneCheckpoints({ keepLast: 4, dryRun: true })).toMatchObject({ examined: 22, removed: 12 });
    expect(await count("a")).toBe(20);
    expect(await storage.pruneCheckpoints({ keepLast: 4 })).toMatchObject({ examined: 22, removed: 12 });
    expect([await count("a"), await count("b")]).toEqual([8, 2]);
  });

  test("keeps all that any rule keeps, and always the latest", async () => {
    await fill("a", [""], 10);
    expect(await storage.pruneCheckpoints({ keepMetadata: { even: true } })).toMatchObject({
      examined: 10,
      removed: 4,
    });
    expect(await storage.pruneCheckpoints({ keepMetadata: { even: "true" } })).toMatchObject({
      examined: 6,
      removed: 5,
    });
    expect(await storage.pruneCheckpoints({ keepWithinMs: 1, agentId: "nobody" })).toMatchObject({
      examined: 0,
      removed: 0,
    });
  });

  test("removes in bounded batches, and reports each", async () => {
    await fill("a", [""], 25);
    const reported: number[] = [];
    dialect.calls.length = 0;
    await storage.pruneCheckpoints({ keepLast: 1, batchSize: 10, onProgress: ({ removed }) => reported.push(removed) });
    expect(reported).toEqual([10, 20, 24]);
    expect(dialect.calls.filter((call) => call === "commit")).toHaveLength(3);
  });

  test("keeps the newest of each period", async () => {
    const HOUR = 3_600_000;
    const now = Math.floor(Date.now() / HOUR) * HOUR;
    const times = [0, 1, 2, 3].flatMap((hours) => [now - hours * HOUR - 1, now - hours * HOUR - 600_000]);
    for (const time of times) await storage.storeCheckpoint(checkpoint({ id: firstIdAt(time) }));
    await storage.pruneCheckpoints({ keepEvery: [{ everyMs: HOUR, forMs: 3.5 * HOUR }] });
    const left = (await storage.listCheckpoints()).map((item) => item.id);
    expect(left.slice(0, 3)).toEqual([0, 1, 2].map((hours) => firstIdAt(now - hours * HOUR - 1)));
  });
});
