import type { CheckpointStorage } from "@waymark/core";
import type { MemoryStorage } from "@waymark/core/memory";
import { createSQLiteStorage } from "@waymark/sqlite";
import { createSQLiteMemory, type ForgetOptions, forget } from "@waymark/sqlite/memory";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { checkpoint, newFile } from "./fixtures.ts";

/** Erasing an owner everywhere: memory and checkpoints in one file. */

let memory: MemoryStorage;
let checkpoints: CheckpointStorage;

beforeEach(async () => {
  const databasePath = newFile();
  memory = createSQLiteMemory({ databasePath });
  checkpoints = createSQLiteStorage({ databasePath, indexedLabels: ["user"] });
  onTestFinished(() => Promise.all([memory.close(), checkpoints.close()]).then(() => {}));
  for (const owner of ["alice", "bob"]) {
    await memory.createThread({ owner, id: "t" });
    await memory.addItems([{ owner, collection: "notes", text: "a note", threadId: "t" }]);
    for (const agentId of [owner, `${owner}, agent 1`, `${owner}, agent 2`]) {
      await checkpoints.storeCheckpoint({ ...checkpoint(1, agentId), metadata: { user: owner } });
    }
  }
});

/** Lists the agents that are left, and counts the items of both owners. */
async function left(): Promise<unknown> {
  const items = await Promise.all(["alice", "bob"].map((owner) => memory.countItems({ owner })));
  return { agents: (await checkpoints.listAgents()).sort(), items };
}

const OF_BOB = ["bob", "bob, agent 1", "bob, agent 2"];

describe("forget", () => {
  it("deletes an owner's memory, and the checkpoints of the agent of the same id", async () => {
    expect(await forget("alice", { memory, checkpoints })).toEqual({ threads: 1, items: 1, checkpoints: 1 });
    expect(await left()).toEqual({ agents: ["alice, agent 1", "alice, agent 2", ...OF_BOB], items: [0, 1] });
  });

  it("deletes the checkpoints of the agents that are named, and of no other one", async () => {
    const agentIds = ["alice, agent 2"];
    expect(await forget("alice", { memory, checkpoints, agentIds })).toEqual({ threads: 1, items: 1, checkpoints: 1 });
    expect(await left()).toEqual({ agents: ["alice", "alice, agent 1", ...OF_BOB], items: [0, 1] });
    expect(await forget("alice", { memory, checkpoints, agentIds: [] })).toMatchObject({ checkpoints: 0 });
  });

  it("deletes the checkpoints of all agents that have a label, at its first call already", async () => {
    const metadata = { user: "alice" };
    expect(await forget("alice", { memory, checkpoints, metadata })).toEqual({ threads: 1, items: 1, checkpoints: 3 });
    expect(await left()).toEqual({ agents: OF_BOB, items: [0, 1] });
    expect(await forget("alice", { memory, checkpoints, metadata })).toEqual({ threads: 0, items: 0, checkpoints: 0 });
  });

  it.each([
    ["a lookup that was undefined", { agentIds: undefined }, "options.agentIds"],
    ["a label that is undefined", { metadata: undefined }, "options.metadata"],
    ["a label that is not indexed", { metadata: { tenant: "alice" } }, "tenant"],
    ["no label", { metadata: {} }, "metadata"],
    ["an id that is none", { agentIds: [7] }, "options.agentIds[0]"],
    ["a misspelt member", { agents: [] }, "agents"],
    ["storages that were exchanged", { memory: "checkpoints" }, "options.memory"],
  ])("refuses %s, and deletes nothing", async (_, members, named) => {
    const before = await left();
    const given = { memory, checkpoints, ...members } as unknown as ForgetOptions;
    await expect(forget("alice", given)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(named),
    });
    expect(await left()).toEqual(before);
  });
});
