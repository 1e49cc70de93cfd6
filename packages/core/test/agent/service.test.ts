import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type AgentCheckpoint, type AutoCheckpointOptions, CheckpointService } from "../../src/agent/service.ts";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { createStorage } from "../../src/checkpoints/storage.ts";
import type { CheckpointStorage, StoredAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

const UNKNOWN_ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
/** Beside these sources their build: Node cannot run TypeScript everywhere. */
const INDEX = new URL("../../dist/index.js", import.meta.url).href;

/** An agent that counts its turns, and hands out its state itself. */
class Counter {
  state = { turn: 0 };
  readonly more: Partial<AgentCheckpoint>;
  constructor(more: Partial<AgentCheckpoint> = {}) {
    this.more = more;
  }
  generateCheckpoint(): AgentCheckpoint {
    return { agentId: "counter", state: this.state, ...this.more };
  }
  restoreCheckpoint({ state }: StoredAgentCheckpoint): void {
    this.state = state as { turn: number };
  }
  takeTurn(): void {
    this.state = { turn: this.state.turn + 1 };
  }
}

interface Gated {
  readonly storage: CheckpointStorage;
  readonly rows: Map<string, Row>;
  /** The commits that wait, oldest first. */
  readonly waiting: { pass(): void; fail(): void }[];
  /** How many stores were under way at once, at most. */
  most: number;
}

/** A storage whose commits wait until the test lets them pass, or fails them. */
function gated(): Gated {
  const dialect = scriptedDialect();
  const waiting: Gated["waiting"] = [];
  const commit: typeof dialect.commit = async (change, signal) => {
    await new Promise<void>((pass, fail) => {
      waiting.push({ pass, fail: () => fail(new ScriptedError("other")) });
    });
    return await dialect.commit(change, signal);
  };
  const all: Gated = { storage: createStorage({ ...dialect, commit }), rows: dialect.rows, waiting, most: 0 };
  const { storage } = all;
  const storeCheckpoint = storage.storeCheckpoint.bind(storage);
  let running = 0; // stores, not commits: a storage puts several into one
  storage.storeCheckpoint = async (checkpoint) => {
    running += 1;
    all.most = Math.max(all.most, running);
    try {
      return await storeCheckpoint(checkpoint);
    } finally {
      running -= 1;
    }
  };
  return all;
}

function serviceOf(provider: CheckpointStorage): CheckpointService {
  const service = new CheckpointService();
  service.registerProvider("main", provider);
  return service;
}

/** Lets everything happen that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

async function storedTurns(storage: CheckpointStorage, agentId = "counter"): Promise<number[]> {
  const turns: number[] = [];
  for (const { id } of (await storage.listCheckpoints({ agentId })).reverse()) {
    const { state } = (await storage.retrieveCheckpoint(id)) as StoredAgentCheckpoint;
    turns.push((state as { turn: number }).turn);
  }
  return turns;
}

let storage: CheckpointStorage;
let service: CheckpointService;

beforeEach(() => {
  storage = createStorage(scriptedDialect());
  service = serviceOf(storage);
});
afterEach(async () => {
  vi.useRealTimers();
  await storage.close();
});

describe("the providers of a service", () => {
  test("it has the first one as the active one, until it is told another", () => {
    const backup = createStorage(scriptedDialect());
    service.registerProvider("archive", backup);
    expect([service.getAvailableProviders(), service.getActiveProvider()]).toEqual([["main", "archive"], storage]);
    service.setActiveProviderName("archive");
    expect(service.getActiveProvider()).toBe(backup);
  });

  test("it sends saves, restores and lists to the active one", async () => {
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

  test("it takes the same provider under the same name again, and refuses another one", () => {
    service.registerProvider("main", storage);
    expect(() => service.registerProvider("main", createStorage(scriptedDialect()))).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: 'register provider: "main" is another one already; registered: "main"',
      }),
    );
    expect([service.getAvailableProviders(), service.getActiveProvider()]).toEqual([["main"], storage]);
  });

  test("it takes a provider that has the three methods and nothing more", async () => {
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
    ["own", null, "expected provider to be one that has the method storeCheckpoint, got null"],
    [
      "own",
      { storeCheckpoint() {}, retrieveCheckpoint() {} },
      "expected provider to be one that has the method listCheckpoints, got an object",
    ],
  ])("it refuses %j with %j", (name, provider, message) => {
    expect(() => service.registerProvider(name as string, provider as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message }),
    );
  });

  test("it names the known ones to whoever asks for another", () => {
    service.registerProvider("archive", storage);
    expect(() => service.setActiveProviderName("mian")).toThrow(
      'set active provider: "mian" is not registered; registered: "main", "archive"',
    );
    expect(service.getActiveProvider()).toBe(storage);
  });

  test("it says so where there is none", async () => {
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
  test("it stores all that the agent tells, and what it does not tell is set", async () => {
    const metadata = { turn: 1 };
    const told = { namespace: "n", metadata, createdAt: 7, parentId: UNKNOWN_ID };
    const id = await service.saveAgentCheckpoint("all", new Counter(told));
    expect(await storage.retrieveCheckpoint(id)).toEqual({
      ...told,
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

  test("it makes each save the child of the one before, and of what was restored", async () => {
    const agent = new Counter();
    const first = await service.saveAgentCheckpoint("first", agent);
    const second = await service.saveAgentCheckpoint("second", agent);
    await service.restoreAgentCheckpoint(first, agent);
    const branch = await service.saveAgentCheckpoint("branch", agent);
    const other = await service.saveAgentCheckpoint("of another object", new Counter());
    const parents = (await service.listCheckpoints()).map(({ id, parentId }) => [id, parentId]);
    expect(parents).toEqual([
      [other, undefined],
      [branch, first],
      [second, first],
      [first, undefined],
    ]);
  });

  test("it gives an agent the stored checkpoint, in another process too", async () => {
    const agent = new Counter();
    agent.takeTurn();
    const id = await service.saveAgentCheckpoint("turn 1", agent);
    const resumed = new Counter();
    await serviceOf(storage).restoreAgentCheckpoint(id, resumed);
    expect(resumed.state).toEqual({ turn: 1 });
  });

  test("it encodes the state of a save before it returns", async () => {
    const agent = new Counter();
    const saving = service.saveAgentCheckpoint("turn", agent);
    agent.state.turn = 99;
    await saving;
    expect(await storedTurns(storage)).toEqual([0]);
  });

  test("it runs what is asked of one agent in order, and each save has the right parent", async () => {
    const { storage: slow, waiting } = gated();
    const slowly = serviceOf(slow);
    const agent = new Counter();
    const first = slowly.saveAgentCheckpoint("first", agent);
    await settle();
    waiting.shift()?.pass();
    const store = vi.spyOn(slow, "storeCheckpoint");
    const restored = slowly.restoreAgentCheckpoint(await first, agent);
    const calls = [slowly.saveAgentCheckpoint("second", agent), slowly.saveAgentCheckpoint("third", agent)];
    const ofAnother = slowly.saveAgentCheckpoint("of another", new Counter());
    const begun = () => store.mock.calls.map(([{ name }]) => name);
    await settle();
    expect(begun()).toEqual(["of another", "second"]);
    for (let passed = 0; passed < 3; passed++) {
      waiting.shift()?.pass();
      await settle();
    }
    expect(begun()).toEqual(["of another", "second", "third"]);
    await restored;
    const [second, third] = await Promise.all(calls);
    await ofAnother;
    expect(await slow.retrieveCheckpoint(second as string)).toMatchObject({ parentId: await first });
    expect(await slow.retrieveCheckpoint(third as string)).toMatchObject({ parentId: second });
  });

  test("it goes on after a save that failed, as the child of the last that did not", async () => {
    const agent = new Counter();
    const first = await service.saveAgentCheckpoint("first", agent);
    agent.state = { turn: (() => 1) as never };
    await expect(service.saveAgentCheckpoint("second", agent)).rejects.toMatchObject({ code: "UNSUPPORTED_VALUE" });
    agent.state = { turn: 3 };
    const third = await service.saveAgentCheckpoint("third", agent);
    expect(await storage.retrieveCheckpoint(third)).toMatchObject({ parentId: first });
  });

  test("it waits for an agent whose methods are asynchronous", async () => {
    const restored: unknown[] = [];
    const agent = {
      generateCheckpoint: async () => ({ agentId: "slow", state: await setImmediate({ turn: 4 }) }),
      restoreCheckpoint: async ({ state }: StoredAgentCheckpoint) => void restored.push(await setImmediate(state)),
    };
    await service.restoreAgentCheckpoint(await service.saveAgentCheckpoint("turn", agent), agent);
    expect(restored).toEqual([{ turn: 4 }]);
  });

  test("it does not touch the agent where there is no such checkpoint", async () => {
    const agent = new Counter();
    const restore = vi.spyOn(agent, "restoreCheckpoint");
    for (const id of [UNKNOWN_ID, "no id at all"]) {
      await expect(service.restoreAgentCheckpoint(id, agent)).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
    await expect(service.restoreAgentCheckpoint(7 as never, agent)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(restore).not.toHaveBeenCalled();
  });

  test("it passes on what the agent throws, and then continues what it continued before", async () => {
    const thrown = new Error("the agent's own");
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

  test("it refuses what is no agent, and a checkpoint that has an id or a name of its own", async () => {
    for (const call of [
      service.saveAgentCheckpoint("turn", {} as never),
      service.restoreAgentCheckpoint(UNKNOWN_ID, { generateCheckpoint() {} } as never),
    ]) {
      await expect(call).rejects.toThrow(/^expected agent to be one that has the method /);
    }
    for (const more of [{ id: UNKNOWN_ID }, { name: "n" }]) {
      await expect(
        service.saveAgentCheckpoint("turn", new Counter(more as Partial<AgentCheckpoint>)),
      ).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringMatching(/^expected what agent\.generateCheckpoint returns to have the members agentId/),
      });
    }
    expect(await storage.listCheckpoints()).toEqual([]);
  });
});

describe("an agent that is stored after each turn", () => {
  test("it is stored at the end of each, in one line, under the name that was given", async () => {
    const agent = new Counter();
    const auto = service.autoCheckpoint(agent, { name: () => `turn ${agent.state.turn}` });
    for (let turn = 1; turn <= 3; turn++) {
      agent.takeTurn();
      auto.turnDone();
      await auto.flush();
    }
    await auto.stop();
    const [third, second, first] = await service.listCheckpoints();
    expect([first?.name, second?.name, third?.name]).toEqual(["turn 1", "turn 2", "turn 3"]);
    expect([first?.parentId, second?.parentId, third?.parentId]).toEqual([undefined, first?.id, second?.id]);
    expect(await storedTurns(storage)).toEqual([1, 2, 3]);
    expect(auto.lastError).toBeNull();
  });

  test("it is stored as it was when the turn ended, though it goes on at once", async () => {
    const agent = new Counter();
    const auto = service.autoCheckpoint(agent);
    agent.state.turn = 1;
    auto.turnDone();
    agent.state.turn = 1.5; // in the middle of the next turn
    await auto.stop();
    expect(await storedTurns(storage)).toEqual([1]);
    expect(await service.listCheckpoints()).toMatchObject([{ name: "auto" }]);
  });

  test("it continues what was restored, and saves by hand stand in the same line", async () => {
    const agent = new Counter();
    const first = await service.saveAgentCheckpoint("first", agent);
    await service.saveAgentCheckpoint("second", agent);
    await service.restoreAgentCheckpoint(first, agent);
    const auto = service.autoCheckpoint(agent);
    auto.turnDone();
    const last = service.saveAgentCheckpoint("by hand", agent);
    await auto.stop();
    const id = await last;
    const [byHand, stored] = await service.listCheckpoints();
    expect([byHand?.id, byHand?.parentId, stored?.parentId]).toEqual([id, stored?.id, first]);
  });

  test("it continues its line also where a turn that had to wait, or had failed, is stored after a restore", async () => {
    for (const wait of [true, false]) {
      const slow = gated();
      const own = serviceOf(slow.storage);
      const agent = new Counter();
      const passing = async <Result>(call: Promise<Result>) => {
        await settle();
        slow.waiting.shift()?.pass();
        return await call;
      };
      const first = await passing(own.saveAgentCheckpoint("first", agent));
      const second = await passing(own.saveAgentCheckpoint("second", agent));
      const auto = own.autoCheckpoint(agent, { debounceMs: wait ? 60_000 : 0, onError: () => {} });
      agent.takeTurn();
      auto.turnDone();
      await settle();
      slow.waiting.shift()?.fail();
      await own.restoreAgentCheckpoint(first, agent);
      await passing(auto.stop());
      const branch = await passing(own.saveAgentCheckpoint("branch", agent));
      expect(await slow.storage.listCheckpoints({ limit: 2 })).toMatchObject([
        { id: branch, parentId: first },
        { name: "auto", parentId: second },
      ]);
    }
  });

  test("it is noticed by its events until it is stopped", async () => {
    const agent = Object.assign(new Counter(), { events: new EventEmitter() });
    const auto = service.autoCheckpoint(agent, {
      after: (turnDone) => {
        agent.events.on("turn", turnDone);
        return () => agent.events.off("turn", turnDone);
      },
    });
    agent.takeTurn();
    agent.events.emit("turn", { any: "event" });
    await auto.stop();
    expect(agent.events.listenerCount("turn")).toBe(0);
    agent.takeTurn();
    auto.turnDone();
    await auto.stop();
    expect(await storedTurns(storage)).toEqual([1]);
  });

  test("it is stopped by the end of an `await using` block", async () => {
    const agent = new Counter();
    const auto = service.autoCheckpoint(agent, { debounceMs: 60_000 });
    auto.turnDone();
    await auto[Symbol.asyncDispose]();
    expect(await storedTurns(storage)).toEqual([0]);
  });

  test("it is stored once for the turns that ended within debounceMs, and later ones do not put that off", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const agent = new Counter();
    const auto = service.autoCheckpoint(agent, { debounceMs: 100 });
    for (let turn = 1; turn <= 10; turn++) {
      agent.takeTurn();
      auto.turnDone();
      await vi.advanceTimersByTimeAsync(30);
      await settle();
    }
    expect(await storedTurns(storage)).toEqual([4, 8]); // at 100 ms after turns 1 and 5
    await auto.flush();
    expect(await storedTurns(storage)).toEqual([4, 8, 10]);
    await vi.advanceTimersByTimeAsync(1_000);
    await auto.stop();
    expect(await storedTurns(storage)).toEqual([4, 8, 10]);
  });

  test("it is stored once more for all turns that ended during a store", async () => {
    const { storage: slow, waiting } = gated();
    const agent = new Counter();
    const auto = serviceOf(slow).autoCheckpoint(agent);
    for (let turn = 1; turn <= 5; turn++) {
      agent.takeTurn();
      auto.turnDone();
      await settle();
      expect(waiting.length).toBe(1);
    }
    waiting.shift()?.pass();
    await settle();
    expect(waiting.length).toBe(1);
    waiting.shift()?.pass();
    await settle();
    expect(waiting.length).toBe(0);
    expect(await storedTurns(slow)).toEqual([1, 5]);
  });

  test("it loses no turn and stores no two at once, whatever happens when", { timeout: 120_000 }, async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant("turn" as const) },
      { weight: 3, arbitrary: fc.constant("pass" as const) },
      { weight: 1, arbitrary: fc.constant("fail" as const) },
      { weight: 1, arbitrary: fc.constant("flush" as const) },
      { weight: 1, arbitrary: fc.constant("save" as const) },
      { weight: 2, arbitrary: fc.constantFrom(1, 10, 60) },
    );
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(0, 10, 50),
        fc.boolean(),
        async (steps, debounceMs, isAsync) => {
          const all = gated();
          const own = serviceOf(all.storage);
          const agent = new Counter();
          if (isAsync) {
            const generate = agent.generateCheckpoint.bind(agent);
            agent.generateCheckpoint = (() => setImmediate(generate())) as never;
          }
          const errors: unknown[] = [];
          const auto = own.autoCheckpoint(agent, { debounceMs, onError: (error) => errors.push(error) });
          const committed = () => Array.from(all.rows.values(), ({ name }) => name);
          const calls: Promise<unknown>[] = [];
          let failed = 0;
          let flushesRejected = 0;
          let savesRejected = 0;
          for (const what of steps) {
            if (what === "turn") {
              agent.takeTurn();
              auto.turnDone();
            } else if (what === "pass") all.waiting.shift()?.pass();
            else if (what === "fail") {
              const commit = all.waiting.shift();
              if (commit !== undefined) failed += 1;
              commit?.fail();
            } else if (what === "flush") {
              const until = agent.state.turn;
              const told = async () => {
                await auto.flush();
                // What it waited for is in the database by now, or what has taken its place.
                const turns = until === 0 ? [0] : await storedTurns(all.storage);
                expect(Math.max(...turns)).toBeGreaterThanOrEqual(until);
              };
              calls.push(
                told().catch((error: unknown) => {
                  expect(error).toMatchObject({ code: "DATABASE_ERROR" });
                  flushesRejected += 1;
                }),
              );
            } else if (what === "save") {
              const refused = () => {
                savesRejected += 1;
              };
              calls.push(own.saveAgentCheckpoint("by hand", agent).then(() => {}, refused));
            } else await vi.advanceTimersByTimeAsync(what);
            await settle();
            expect(all.most).toBeLessThanOrEqual(1);
            // With nothing under way, and none failed, all that may be stored by now is.
            if (debounceMs === 0 && failed === 0 && all.waiting.length === 0 && agent.state.turn > 0) {
              expect(Math.max(...(await storedTurns(all.storage)))).toBe(agent.state.turn);
            }
          }
          let stopped = false;
          const stop = auto.stop().finally(() => {
            stopped = true;
          });
          while (!stopped || all.waiting.length > 0) {
            all.waiting.shift()?.pass();
            await settle();
          }
          await stop;
          await Promise.all(calls);

          expect(all.most).toBeLessThanOrEqual(1);
          expect(errors.length + savesRejected).toBe(failed);
          expect(auto.lastError).toBe(errors.at(-1) ?? null);
          if (failed === 0) expect(flushesRejected).toBe(0);
          const turns = await storedTurns(all.storage);
          expect(turns).toEqual([...turns].sort((one, other) => one - other));
          const ownTurns = turns.filter((_, index) => committed()[index] === "auto");
          expect(ownTurns).toEqual([...new Set(ownTurns)]);
          if (agent.state.turn > 0) expect(turns.at(-1)).toBe(agent.state.turn);
          // One line: each is the child of the one before.
          const line = (await all.storage.listCheckpoints()).reverse();
          line.forEach(({ parentId }, index) => {
            expect(parentId).toBe(line[index - 1]?.id);
          });
          await all.storage.close();
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("it is gone on with after a crash at any point, from a turn not before the last acknowledged one", async () => {
    const slow = gated();
    const agent = new Counter();
    const auto = serviceOf(slow.storage).autoCheckpoint(agent);
    const crashes: { acknowledged: number; ended: number; rows: [string, Row][] }[] = [];
    let acknowledged = 0;
    for (let turn = 1; turn <= 4; turn++) {
      agent.takeTurn();
      auto.turnDone();
      const flushed = auto.flush().then(() => {
        acknowledged = turn;
      });
      await settle();
      crashes.push({ acknowledged, ended: turn, rows: [...slow.rows] }); // before the commit
      slow.waiting.shift()?.pass();
      for (let steps = 0; steps < 100 && slow.rows.size < turn; steps++) await null;
      crashes.push({ acknowledged, ended: turn, rows: [...slow.rows] }); // after it, before the agent is told
      await flushed;
      crashes.push({ acknowledged, ended: turn, rows: [...slow.rows] });
    }
    for (const crash of crashes) {
      const dialect = scriptedDialect();
      for (const [id, row] of crash.rows) dialect.rows.set(id, row);
      const own = serviceOf(createStorage(dialect));
      const resumed = new Counter();
      const [latest] = await own.listCheckpoints({ agentId: "counter", limit: 1 });
      if (latest !== undefined) await own.restoreAgentCheckpoint(latest.id, resumed);
      expect(resumed.state.turn).toBeGreaterThanOrEqual(crash.acknowledged);
      expect(resumed.state.turn).toBeLessThanOrEqual(crash.ended);
      const next = await own.saveAgentCheckpoint("next", resumed);
      const [stored] = await own.listCheckpoints({ limit: 1 });
      expect([stored?.id, stored?.parentId]).toEqual([next, latest?.id]);
    }
    expect(crashes.some(({ acknowledged: turns, rows }) => rows.length > turns)).toBe(true);
    await auto.stop();
  });
});

describe("a store that fails after a turn", () => {
  test("it is told to onError and to whoever waits, and the next turn tries again", async () => {
    const { storage: slow, waiting } = gated();
    const agent = new Counter();
    const errors: unknown[] = [];
    const auto = serviceOf(slow).autoCheckpoint(agent, { onError: (error) => errors.push(error) });
    agent.takeTurn();
    auto.turnDone();
    const flushed = auto.flush();
    const refused = expect(flushed).rejects.toMatchObject({ code: "DATABASE_ERROR" });
    await settle();
    waiting.shift()?.fail();
    await refused;
    expect(errors).toEqual([auto.lastError]);
    expect(auto.lastError).toMatchObject({ code: "DATABASE_ERROR" });
    await settle();
    expect(waiting).toEqual([]); // not by itself

    agent.takeTurn();
    auto.turnDone();
    await settle();
    waiting.shift()?.pass();
    await auto.stop();
    expect(await storedTurns(slow)).toEqual([2]);
    expect(errors.length).toBe(1);
  });

  test("it is made up for by flush and by stop", async () => {
    const { storage: slow, waiting } = gated();
    const agent = new Counter();
    const auto = serviceOf(slow).autoCheckpoint(agent);
    agent.takeTurn();
    auto.turnDone();
    for (const call of ["flush", "stop"] as const) {
      const failing = auto[call]();
      const refused = expect(failing).rejects.toMatchObject({ code: "DATABASE_ERROR" });
      await settle();
      waiting.shift()?.fail();
      await refused;
    }
    const stopped = auto.stop();
    await settle();
    waiting.shift()?.pass();
    await stopped;
    expect(await storedTurns(slow)).toEqual([1]);
  });

  test("it ends the waiting within the storage's deadline", async () => {
    const silent = createStorage(
      { ...scriptedDialect(), commit: () => new Promise(() => {}) },
      { operationTimeoutMs: 20, retry: { maxRetries: 0 } },
    );
    const auto = serviceOf(silent).autoCheckpoint(new Counter());
    auto.turnDone();
    await expect(auto.stop()).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  test("it is a failure like others where the agent cannot generate a checkpoint, and turnDone does not throw", async () => {
    const thrown = new Error("the agent's own");
    const agent = new Counter();
    const errors: unknown[] = [];
    const auto = service.autoCheckpoint(agent, { onError: (error) => errors.push(error) });
    const generate = vi.spyOn(agent, "generateCheckpoint");
    for (const fail of [
      () => {
        throw thrown;
      },
      (async () => {
        throw thrown;
      }) as never,
    ]) {
      generate.mockImplementationOnce(fail);
      auto.turnDone();
      await expect(auto.flush()).rejects.toBe(thrown);
    }
    expect(errors).toEqual(expect.arrayContaining([thrown, thrown]));
    auto.turnDone();
    await auto.stop();
    expect(await storedTurns(storage)).toEqual([0]);
  });

  /** Runs the body of a module that has `service`, `agent` and a provider that fails as often as `failures` says. */
  async function run(program: string): Promise<{ code: number; output: string }> {
    const prologue = `
      import { setTimeout as delay } from "node:timers/promises";
      import { CheckpointService } from ${JSON.stringify(INDEX)};
      let failures = 1;
      const service = new CheckpointService();
      service.registerProvider("failing", {
        async storeCheckpoint() { await delay(5); if (failures-- > 0) throw new Error("disk on fire"); return "id"; },
        async retrieveCheckpoint() { return null; },
        async listCheckpoints() { return []; },
      });
      const agent = { generateCheckpoint: () => ({ agentId: "a", state: {} }), restoreCheckpoint() {} };
    `;
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", prologue + program], { env });
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    const [code] = (await once(child, "close")) as [number];
    return { code, output };
  }

  test("it ends the process where nobody listens and nobody waits", async () => {
    const { code, output } = await run(`
      service.autoCheckpoint(agent).turnDone();
      await delay(60_000);`);
    expect([code, output]).toEqual([1, expect.stringContaining("disk on fire")]);
  });

  test("it can be listened to as an unhandled rejection", async () => {
    const { code, output } = await run(`
      process.on("unhandledRejection", (error) => console.log("told: " + error.message));
      const auto = service.autoCheckpoint(agent);
      auto.turnDone();
      await delay(50);
      await auto.stop();
      console.log("stored");`);
    expect([code, output]).toEqual([0, "told: disk on fire\nstored\n"]);
  });

  test("it is told once to who waits, who may go on", async () => {
    const { code, output } = await run(`
      const auto = service.autoCheckpoint(agent);
      auto.turnDone();
      await auto.flush().catch((error) => console.log("told: " + error.message));
      await delay(20);
      await auto.stop();
      console.log("stored");`);
    expect([code, output]).toEqual([0, "told: disk on fire\nstored\n"]);
  });

  test("it does not hide behind an onError that throws, nor behind a flush that nobody looks at", async () => {
    for (const program of [
      `service.autoCheckpoint(agent, { onError: (error) => { throw error; } }).turnDone();`,
      `service.autoCheckpoint(agent, { onError: async (error) => { throw error; } }).turnDone();`,
      `const auto = service.autoCheckpoint(agent); auto.turnDone(); auto.flush();`,
    ]) {
      const { code, output } = await run(`${program} await delay(60_000);`);
      expect([code, output]).toEqual([1, expect.stringContaining("disk on fire")]);
    }
  });
});

describe("what is kept of an agent's checkpoints", () => {
  test("it is pruned after the first store and every 20th from then on, in the agent's namespace only", async () => {
    const prune = vi.spyOn(storage, "pruneCheckpoints");
    const agent = new Counter({ namespace: "n" });
    const elsewhere = new Counter();
    for (let turn = 0; turn < 3; turn++) {
      await service.saveAgentCheckpoint("old", agent);
      await service.saveAgentCheckpoint("elsewhere", elsewhere);
    }
    const auto = service.autoCheckpoint(agent, { keep: { keepLast: 2 } });
    for (let turn = 1; turn <= 41; turn++) {
      agent.takeTurn();
      auto.turnDone();
      await auto.flush();
      await settle();
    }
    await auto.stop();
    expect(prune).toHaveBeenCalledTimes(3);
    expect(prune).toHaveBeenLastCalledWith(
      expect.objectContaining({ keepLast: 2, agentId: "counter", namespace: "n" }),
    );
    expect((await storage.listCheckpoints({ agentId: "counter", namespace: "n" })).length).toBe(2);
    expect((await storage.listCheckpoints({ agentId: "counter", namespace: "" })).length).toBe(3);
  });

  test("it is waited for by stop, and its failure is told", async () => {
    const thrown = new Error("no");
    let fail = (_: Error) => {};
    const pruning = new Promise<never>((_, reject) => {
      fail = reject;
    });
    vi.spyOn(storage, "pruneCheckpoints").mockReturnValue(pruning);
    const errors: unknown[] = [];
    const options = { keep: { keepLast: 1 }, onError: (error: unknown) => errors.push(error) };
    const auto = service.autoCheckpoint(new Counter(), options);
    auto.turnDone();
    await auto.flush(); // does not wait for it
    let stopped = false;
    const stop = auto.stop().finally(() => {
      stopped = true;
    });
    await settle();
    expect(stopped).toBe(false);
    fail(thrown);
    await stop;
    expect([errors, auto.lastError]).toEqual([[thrown], thrown]);
  });

  test("it is pruned by one batch where it is stopped at once, so that processes of a single turn prune too", async () => {
    const agent = new Counter();
    for (let turn = 0; turn < 1_200; turn++) await service.saveAgentCheckpoint("old", agent);
    const left: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const auto = service.autoCheckpoint(agent, { keep: { keepLast: 10 } });
      auto.turnDone();
      await auto.stop();
      expect(auto.lastError).toBeNull();
      left.push((await storage.listCheckpoints({ agentId: "counter", limit: 10_000 })).length);
    }
    expect(left).toEqual([701, 202, 10]);
  });

  test("it is refused with a provider that cannot prune", () => {
    const { storeCheckpoint, retrieveCheckpoint, listCheckpoints } = storage;
    const own = new CheckpointService();
    own.registerProvider("own", { storeCheckpoint, retrieveCheckpoint, listCheckpoints });
    expect(() => own.autoCheckpoint(new Counter(), { keep: { keepLast: 1 } })).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: "auto checkpoint: options.keep needs a provider with pruneCheckpoints, and the active one has none",
      }),
    );
  });
});

describe("the options of autoCheckpoint", () => {
  test.each([
    [{ debounceMS: 5 }, 'got "debounceMS"'],
    [
      { debounceMs: -1 },
      "expected options.debounceMs to be a whole number from 0 to 2147483647 (milliseconds), got -1",
    ],
    [{ after: "turn" }, "expected options.after to be a function, got a string of 4 characters"],
    [{ after: () => undefined }, "expected what options.after returns to be a function that ends the subscription"],
    [
      { after: async () => () => {} },
      "expected what options.after returns to be a function that ends the subscription",
    ],
    [{ name: 7 }, "expected options.name to be a string or a function, got 7"],
    [{ onError: true }, "expected options.onError to be a function, got a boolean"],
    [{ keep: {} }, "got one that keeps nothing"],
    [{ keep: { keepLast: 0 } }, "keepLast to be a whole number from 1"],
    [{ keep: { agentId: "a", keepLast: 1 } }, "expected options.keep to have the members keepLast, keepWithinMs"],
  ])("it refuses %j", (options, message) => {
    expect(() => service.autoCheckpoint(new Counter(), options as never as AutoCheckpointOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
    );
  });

  test("it hears nothing of a subscription that it refused", async () => {
    let turnDone = () => {};
    const after = (notify: () => void) => {
      turnDone = notify;
    };
    expect(() => service.autoCheckpoint(new Counter(), { after: after as never })).toThrow("ends the subscription");
    turnDone();
    await settle();
    expect(await storage.listCheckpoints()).toEqual([]);
  });
});
