import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { AgentCheckpoint } from "../../src/agent/contract.ts";
import { CheckpointService } from "../../src/agent/service.ts";
import type { CheckpointStorage, StoredAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { createStorage } from "../../src/create-storage.ts";
import { scriptedDialect } from "../scripted-dialect.ts";
import { Counter, gated, serviceOf, settle, storedTurns, UNKNOWN_ID } from "./counter.ts";

let storage: CheckpointStorage;
let service: CheckpointService;

beforeEach(() => {
  storage = createStorage(scriptedDialect());
  service = serviceOf(storage);
});
afterEach(() => storage.close());

describe("the providers of a service", () => {
  test("have the first one active until another one is set", () => {
    const backup = createStorage(scriptedDialect());
    service.registerProvider("archive", backup);
    expect([service.getAvailableProviders(), service.getActiveProvider()]).toEqual([["main", "archive"], storage]);
    expect([service.getActiveProviderName(), new CheckpointService().getActiveProviderName()]).toEqual(["main", null]);
    service.setActiveProviderName("archive");
    expect(service.getActiveProvider()).toBe(backup);
  });

  test("have all saves, restores and lists sent to the active one", async () => {
    const archive = createStorage(scriptedDialect());
    service.registerProvider("archive", archive);
    const agent = new Counter();
    const id = await service.saveAgentCheckpoint("in main", agent);
    service.setActiveProviderName("archive");
    expect(await service.listCheckpoints()).toEqual([]);
    await expect(service.restoreAgentCheckpoint(id, agent)).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: `restore agent checkpoint: there is no "${id}" in provider "archive"`,
    });
    await service.saveAgentCheckpoint("in archive", agent);
    expect(await archive.listCheckpoints()).toMatchObject([{ name: "in archive", parentId: id }]);
    expect(await storage.listCheckpoints()).toMatchObject([{ name: "in main" }]);
  });

  test("may be registered again under the same name, and no other under it", () => {
    service.registerProvider("main", storage);
    expect(() => service.registerProvider("main", createStorage(scriptedDialect()))).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: 'register provider: "main" is taken by another provider; registered: "main"',
      }),
    );
    expect([service.getAvailableProviders(), service.getActiveProvider()]).toEqual([["main"], storage]);
  });

  test("need no more than the three methods", async () => {
    const { storeCheckpoint, retrieveCheckpoint, listCheckpoints } = storage;
    const own = new CheckpointService();
    own.registerProvider("own", {
      storeCheckpoint: storeCheckpoint.bind(storage),
      retrieveCheckpoint: retrieveCheckpoint.bind(storage),
      listCheckpoints: listCheckpoints.bind(storage),
    });
    const id = await own.saveAgentCheckpoint("turn", new Counter());
    expect(await own.listCheckpoints({ agentId: "counter" })).toMatchObject([{ id }]);
  });

  test.each([
    ["", storage, "expected name to be a name, got an empty string"],
    [7, storage, "expected name to be a string, got 7"],
    ["own", null, "expected provider to be one with the method storeCheckpoint, got null"],
    [
      "own",
      { storeCheckpoint() {}, retrieveCheckpoint() {} },
      "expected provider to be one with the method listCheckpoints, got an object",
    ],
  ])("are refused with the name %j and the provider %j", (name, provider, message) => {
    expect(() => service.registerProvider(name as string, provider as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message }),
    );
  });

  test("are listed if an unknown one is set active", () => {
    service.registerProvider("archive", storage);
    expect(() => service.setActiveProviderName("mian")).toThrow(
      'set active provider: "mian" is not registered; registered: "main", "archive"',
    );
    expect(service.getActiveProvider()).toBe(storage);
  });

  test("are reported as missing if there is none", async () => {
    const empty = new CheckpointService();
    expect(empty.getAvailableProviders()).toEqual([]);
    const none = { code: "INVALID_ARGUMENT", message: "get active provider: no provider is registered" };
    expect(() => empty.getActiveProvider()).toThrow(expect.objectContaining(none));
    expect(() => empty.autoCheckpoint(new Counter())).toThrow(expect.objectContaining(none));
    await expect(empty.saveAgentCheckpoint("turn", new Counter())).rejects.toMatchObject(none);
    await expect(empty.listCheckpoints()).rejects.toMatchObject(none);
    expect(() => empty.setActiveProviderName("main")).toThrow("no provider is registered");
  });
});

describe("saving and restoring", () => {
  test("stores all members that the agent gives, and sets the others", async () => {
    const metadata = { turn: 1 };
    const given = { namespace: "n", metadata, createdAt: 7, parentId: UNKNOWN_ID };
    const id = await service.saveAgentCheckpoint("all", new Counter(given));
    expect(await storage.retrieveCheckpoint(id)).toEqual({
      ...given,
      id,
      agentId: "counter",
      name: "all",
      state: { turn: 0 },
    });
    const before = Date.now();
    const bare = await storage.retrieveCheckpoint(await service.saveAgentCheckpoint("bare", new Counter()));
    expect(Object.keys(bare ?? {}).sort()).toEqual(["agentId", "createdAt", "id", "name", "state"]);
    expect(bare?.createdAt).toBeGreaterThanOrEqual(before);
  });

  test("makes each save a child of the save or restore before", async () => {
    const agent = new Counter();
    const first = await service.saveAgentCheckpoint("first", agent);
    const second = await service.saveAgentCheckpoint("second", agent);
    await service.restoreAgentCheckpoint(first, agent);
    const branch = await service.saveAgentCheckpoint("branch", agent);
    const other = await service.saveAgentCheckpoint("another agent", new Counter());
    const parents = (await service.listCheckpoints()).map(({ id, parentId }) => [id, parentId]);
    expect(parents).toEqual([
      [other, undefined],
      [branch, first],
      [second, first],
      [first, undefined],
    ]);
  });

  test("restores an agent in another process", async () => {
    const agent = new Counter();
    agent.takeTurn();
    const id = await service.saveAgentCheckpoint("turn 1", agent);
    const resumed = new Counter();
    await serviceOf(storage).restoreAgentCheckpoint(id, resumed);
    expect(resumed.state).toEqual({ turn: 1 });
  });

  test("encodes the state before the call returns", async () => {
    const agent = new Counter();
    const saving = service.saveAgentCheckpoint("turn", agent);
    agent.state.turn = 99;
    await saving;
    expect(await storedTurns(storage)).toEqual([0]);
  });

  test("runs the calls of one agent in order, each save with the right parent", async () => {
    const { storage: slow, waiting } = gated();
    const slowly = serviceOf(slow);
    const agent = new Counter();
    const first = slowly.saveAgentCheckpoint("first", agent);
    await settle();
    waiting.shift()?.pass();
    const store = vi.spyOn(slow, "storeCheckpoint");
    const restored = slowly.restoreAgentCheckpoint(await first, agent);
    const calls = [slowly.saveAgentCheckpoint("second", agent), slowly.saveAgentCheckpoint("third", agent)];
    const another = slowly.saveAgentCheckpoint("another agent", new Counter());
    const begun = () => store.mock.calls.map(([{ name }]) => name);
    await settle();
    expect(begun()).toEqual(["another agent", "second"]);
    for (let passed = 0; passed < 3; passed++) {
      waiting.shift()?.pass();
      await settle();
    }
    expect(begun()).toEqual(["another agent", "second", "third"]);
    await restored;
    const [second, third] = await Promise.all(calls);
    await another;
    expect(await slow.retrieveCheckpoint(second as string)).toMatchObject({ parentId: await first });
    expect(await slow.retrieveCheckpoint(third as string)).toMatchObject({ parentId: second });
  });

  test("goes on after a failed save, with a child of the last one that succeeded", async () => {
    const agent = new Counter();
    const first = await service.saveAgentCheckpoint("first", agent);
    agent.state = { turn: (() => 1) as never };
    await expect(service.saveAgentCheckpoint("second", agent)).rejects.toMatchObject({ code: "UNSUPPORTED_VALUE" });
    agent.state = { turn: 3 };
    const third = await service.saveAgentCheckpoint("third", agent);
    expect(await storage.retrieveCheckpoint(third)).toMatchObject({ parentId: first });
  });

  test("waits for an agent with asynchronous methods", async () => {
    const restored: unknown[] = [];
    const agent = {
      generateCheckpoint: async () => ({ agentId: "slow", state: await setImmediate({ turn: 4 }) }),
      restoreCheckpoint: async ({ state }: StoredAgentCheckpoint) => void restored.push(await setImmediate(state)),
    };
    await service.restoreAgentCheckpoint(await service.saveAgentCheckpoint("turn", agent), agent);
    expect(restored).toEqual([{ turn: 4 }]);
  });

  test("does not call the agent if there is no such checkpoint", async () => {
    const agent = new Counter();
    const restore = vi.spyOn(agent, "restoreCheckpoint");
    for (const id of [UNKNOWN_ID, "no id at all"]) {
      await expect(service.restoreAgentCheckpoint(id, agent)).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
    await expect(service.restoreAgentCheckpoint(7 as never, agent)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(restore).not.toHaveBeenCalled();
  });

  test("rethrows the agent's errors, and goes on from the same checkpoint as before", async () => {
    const thrown = new Error("error of the agent");
    const agent = new Counter();
    const first = await service.saveAgentCheckpoint("first", agent);
    const foreign = await service.saveAgentCheckpoint("foreign", new Counter());
    const restore = vi.spyOn(agent, "restoreCheckpoint").mockImplementation(() => {
      throw thrown;
    });
    await expect(service.restoreAgentCheckpoint(foreign, agent)).rejects.toBe(thrown);
    expect(restore).toHaveBeenCalledTimes(1);
    vi.spyOn(agent, "generateCheckpoint").mockImplementationOnce(() => {
      throw thrown;
    });
    await expect(service.saveAgentCheckpoint("no", agent)).rejects.toBe(thrown);
    const next = await service.saveAgentCheckpoint("next", agent);
    expect(await storage.retrieveCheckpoint(next)).toMatchObject({ parentId: first });
  });

  test("refuses an object that is no agent, and a generated checkpoint with an id or a name", async () => {
    for (const call of [
      service.saveAgentCheckpoint("turn", {} as never),
      service.restoreAgentCheckpoint(UNKNOWN_ID, { generateCheckpoint() {} } as never),
    ]) {
      await expect(call).rejects.toThrow(/^expected agent to be one with the method /);
    }
    for (const more of [{ id: UNKNOWN_ID }, { name: "n" }]) {
      await expect(
        service.saveAgentCheckpoint("turn", new Counter(more as Partial<AgentCheckpoint>)),
      ).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringMatching(/^expected the result of agent\.generateCheckpoint to have the members agentId/),
      });
    }
    expect(await storage.listCheckpoints()).toEqual([]);
  });
});
