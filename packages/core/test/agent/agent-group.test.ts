import { beforeEach, describe, expect, test } from "vitest";
import { type AgentGroupOptions, type AgentGroupState, groupAgents } from "../../src/agent/agent-group.ts";
import type { CheckpointService } from "../../src/agent/service.ts";
import type { CheckpointStorage, StoredAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { createStorage } from "../../src/create-storage.ts";
import { scriptedDialect } from "../scripted-dialect.ts";
import { Counter, serviceOf } from "./counter.ts";

let storage: CheckpointStorage;
let service: CheckpointService;

beforeEach(() => {
  storage = createStorage(scriptedDialect());
  service = serviceOf(storage);
});

/** Two agents and an application, as a program makes them at its start. */
function program(more: Partial<AgentGroupOptions> = {}) {
  const researcher = new Counter({ agentId: "researcher", namespace: "deep", metadata: { model: "large" } });
  const writer = new Counter({ agentId: "writer" });
  const application = {
    visits: 0,
    save: () => ({ visits: application.visits }),
    restore: (state: unknown) => {
      application.visits = (state as { visits: number }).visits;
    },
  };
  const group = groupAgents({ agentId: "desk", agents: { researcher, writer }, application, ...more });
  return { researcher, writer, application, group };
}

/** Saves a program whose three states are 1, 2 and 3. */
async function saved(): Promise<string> {
  const before = program();
  before.researcher.takeTurn();
  before.writer.state = { turn: 2 };
  before.application.visits = 3;
  return await service.saveAgentCheckpoint("stop", before.group);
}

async function latestState(): Promise<AgentGroupState> {
  const { state } = (await storage.retrieveLatestCheckpoint("desk")) as StoredAgentCheckpoint<AgentGroupState>;
  return state;
}

describe("a group of agents", () => {
  test("is one checkpoint, from which a new process restores all of them and the application", async () => {
    const id = await saved();
    expect(await storage.listAgents()).toEqual(["desk"]);
    const next = program();
    const taken: StoredAgentCheckpoint[] = [];
    const restore = next.researcher.restoreCheckpoint.bind(next.researcher);
    next.researcher.restoreCheckpoint = (checkpoint) => {
      taken.push(checkpoint);
      restore(checkpoint);
    };
    expect(await service.restoreLatestAgentCheckpoint("desk", next.group)).toBe(id);
    expect([next.researcher.state, next.writer.state, next.application.visits]).toEqual([{ turn: 1 }, { turn: 2 }, 3]);
    const own = { agentId: "researcher", namespace: "deep", metadata: { model: "large" }, state: { turn: 1 } };
    expect(taken).toEqual([{ id, name: "stop", createdAt: expect.any(Number), ...own }]);
    await service.saveAgentCheckpoint("stop", next.group);
    expect(await storage.listCheckpoints({ agentId: "desk", limit: 1 })).toMatchObject([{ parentId: id }]);
  });

  test("has the states of one moment: those of the call, also where one agent takes longer", async () => {
    const { researcher, writer, group } = program();
    const now = writer.generateCheckpoint.bind(writer);
    for (const isSlow of [false, true]) {
      if (isSlow) writer.generateCheckpoint = (async () => now()) as never;
      researcher.state = { turn: 1 };
      const saving = service.saveAgentCheckpoint("stop", group);
      researcher.takeTurn();
      await saving;
      expect((await latestState()).agents).toMatchObject({ researcher: { state: { turn: 1 } } });
    }
  });

  test.each([false, true])("stores nothing if one of them fails (asynchronously: %s)", async (isAsync) => {
    const failing = {
      restoreCheckpoint() {},
      generateCheckpoint() {
        const error = new RangeError("no state");
        if (isAsync) return Promise.reject(error);
        throw error;
      },
    };
    // The other one's rejection, for which nobody waits, must not end the process.
    const other = { restoreCheckpoint() {}, generateCheckpoint: () => Promise.reject(new Error("another error")) };
    const agents = { writer: new Counter(), failing, other };
    const reversed = { other, failing, writer: new Counter() };
    for (const all of [agents, reversed]) {
      const saving = service.saveAgentCheckpoint("stop", groupAgents({ agentId: "desk", agents: all }));
      await expect(saving).rejects.toThrow(isAsync && all === reversed ? "another error" : "no state");
    }
    expect(await storage.listCheckpoints()).toEqual([]);
  });

  test("does not call an agent that is new, and restores those that the application adds", async () => {
    await saved();
    const agents: Record<string, Counter> = { reviewer: new Counter() };
    const application = { save: () => null, restore: () => void Object.assign(agents, { writer: new Counter() }) };
    const group = groupAgents({ agentId: "desk", agents, application });
    await service.restoreLatestAgentCheckpoint("desk", group);
    expect([agents["reviewer"]?.state, agents["writer"]?.state]).toEqual([{ turn: 0 }, { turn: 2 }]);
  });

  test("keeps the states that have no agent, until there is one", async () => {
    await saved();
    const reduced = groupAgents({ agentId: "desk", agents: { reviewer: new Counter({ agentId: "reviewer" }) } });
    await service.restoreLatestAgentCheckpoint("desk", reduced);
    await service.saveAgentCheckpoint("stop", reduced);
    const next = program();
    await service.restoreLatestAgentCheckpoint("desk", next.group);
    expect([next.researcher.state, next.writer.state, next.application.visits]).toEqual([{ turn: 1 }, { turn: 2 }, 3]);
    await service.saveAgentCheckpoint("stop", next.group);
    expect(Object.keys((await latestState()).agents).sort()).toEqual(["researcher", "reviewer", "writer"]);
  });

  test("drops them where it is told to", async () => {
    await saved();
    const agents = { writer: new Counter({ agentId: "writer" }) };
    const reduced = groupAgents({ agentId: "desk", agents, unknownStates: "drop" });
    await service.restoreLatestAgentCheckpoint("desk", reduced);
    await service.saveAgentCheckpoint("stop", reduced);
    expect(await latestState()).toEqual({ agents: { writer: { agentId: "writer", state: { turn: 2 } } } });
  });

  test("does not bring back the state of an agent that has come and gone since", async () => {
    await saved();
    const agents: Record<string, Counter> = { researcher: new Counter({ agentId: "researcher" }) };
    const group = groupAgents({ agentId: "desk", agents });
    await service.restoreLatestAgentCheckpoint("desk", group);
    agents["writer"] = new Counter({ agentId: "writer" });
    await service.saveAgentCheckpoint("stop", group);
    expect((await latestState()).agents).toMatchObject({ writer: { state: { turn: 0 } } });
    delete agents["writer"];
    await service.saveAgentCheckpoint("stop", group);
    expect(await latestState()).toEqual({
      agents: { researcher: { agentId: "researcher", state: { turn: 1 } } },
      application: { visits: 3 },
    });
  });

  test.each([
    ["agentId", { state: 1 }, " to be a string, got undefined"],
    ["namespace", { agentId: "writer", namespace: 7, state: 1 }, " to be a string, got 7"],
    ["metadata", { agentId: "writer", metadata: ["a"], state: 1 }, ""],
    ["state", { agentId: "writer" }, " to be present"],
  ])("stores nothing if the %s of one of them could not be restored", async (member, generated, rest) => {
    const agents = { writer: { generateCheckpoint: () => generated as never, restoreCheckpoint() {} } };
    const saving = service.saveAgentCheckpoint("stop", groupAgents({ agentId: "desk", agents }));
    await expect(saving).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(`expected agents["writer"].generateCheckpoint().${member}${rest}`),
    });
    expect(await storage.listCheckpoints()).toEqual([]);
  });

  test("is saved after each turn as a single agent is", async () => {
    const { researcher, group } = program();
    const auto = service.autoCheckpoint(group);
    researcher.takeTurn();
    auto.turnDone();
    await auto.stop();
    expect((await latestState()).agents).toMatchObject({ researcher: { state: { turn: 1 } } });
  });

  test("refuses a checkpoint that is not of a group, and calls nobody", async () => {
    const { group, application } = program();
    for (const state of [null, 7, {}, { agents: [] }, { agents: { writer: 1 }, application: { visits: 9 } }]) {
      const id = await storage.storeCheckpoint({ agentId: "desk", name: "other", state, createdAt: 1 });
      await expect(service.restoreAgentCheckpoint(id, group)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: "restore group of agents: the checkpoint is not of a group of agents",
      });
    }
    expect(application.visits).toBe(0);
  });

  test.each([
    [
      { agents: { writer: {} } },
      'expected options.agents["writer"] to be one with the method generateCheckpoint, got an object',
    ],
    [{ agents: [] }, "expected options.agents to be an object, got an array"],
    [
      { application: { save() {} } },
      "expected options.application to be an object with the method restore, got an object",
    ],
    [{ agentId: 7 }, "expected options.agentId to be a string, got 7"],
    [{ unknownStates: "lose" }, 'expected options.unknownStates to be "keep" or "drop", got "lose"'],
    [{ agent: {} }, /^expected options to have the members .*, got "agent": did you mean agents\?$/],
  ])("is refused with %j", (more, message) => {
    expect(() => program(more as never)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: typeof message === "string" ? message : expect.stringMatching(message),
      }),
    );
  });
});

describe("restoreLatestAgentCheckpoint", () => {
  test("restores the latest of the namespace, and calls nobody if there is none", async () => {
    const agent = new Counter();
    expect(await service.restoreLatestAgentCheckpoint("counter", agent)).toBeNull();
    const checkpoint = { agentId: "counter", name: "turn", createdAt: 1 };
    await storage.storeCheckpoint({ ...checkpoint, state: { turn: 1 } });
    const latest = await storage.storeCheckpoint({ ...checkpoint, state: { turn: 2 } });
    const other = await storage.storeCheckpoint({ ...checkpoint, state: { turn: 3 }, namespace: "other" });
    expect([await service.restoreLatestAgentCheckpoint("counter", agent), agent.state]).toEqual([latest, { turn: 2 }]);
    expect([await service.restoreLatestAgentCheckpoint("counter", agent, { namespace: "other" }), agent.state]).toEqual(
      [other, { turn: 3 }],
    );
  });

  test("comes after the saves of the agent that began before it", async () => {
    const agent = new Counter();
    agent.takeTurn();
    const saving = service.saveAgentCheckpoint("turn", agent);
    const restoring = service.restoreLatestAgentCheckpoint("counter", agent);
    expect(await restoring).toBe(await saving);
  });
});
