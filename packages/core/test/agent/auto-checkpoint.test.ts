import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { AutoCheckpointOptions } from "../../src/agent/contract.ts";
import { CheckpointService } from "../../src/agent/service.ts";
import type { Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { never, scriptedDialect } from "../scripted-dialect.ts";
import { Counter, gated, INDEX, serviceOf, settle, storedTurns } from "./counter.ts";

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

describe("an agent that is stored after each turn", () => {
  test("is stored at the end of each turn, in one branch, under the given name", async () => {
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

  test("is stored as it was at the end of the turn, even if it goes on at once", async () => {
    const agent = new Counter();
    const auto = service.autoCheckpoint(agent);
    agent.state.turn = 1;
    auto.turnDone();
    agent.state.turn = 1.5; // in the middle of the next turn
    await auto.stop();
    expect(await storedTurns(storage)).toEqual([1]);
    expect(await service.listCheckpoints()).toMatchObject([{ name: "auto" }]);
  });

  test("goes on from a restored checkpoint, in one branch with manual saves", async () => {
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

  test("has a turn from before a restore stored in the branch from before, if it had to wait or had failed", async () => {
    for (const hasToWait of [true, false]) {
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
      const auto = own.autoCheckpoint(agent, { debounceMs: hasToWait ? 60_000 : 0, onError: () => {} });
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

  test("is stored at its own events until it is stopped", async () => {
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

  test("is stopped at the end of an `await using` block", async () => {
    const agent = new Counter();
    const auto = service.autoCheckpoint(agent, { debounceMs: 60_000 });
    auto.turnDone();
    await auto[Symbol.asyncDispose]();
    expect(await storedTurns(storage)).toEqual([0]);
  });

  test("is stored once for all turns within debounceMs, which later turns do not prolong", async () => {
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

  test("is stored once more for all turns that ended during a store", async () => {
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

  test("has no turn lost and no two stores at once, whatever happens", { timeout: 120_000 }, async () => {
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
              const flushed = async () => {
                await auto.flush();
                // The turn that it waited for is in the database by now, or one that has replaced it.
                const turns = until === 0 ? [0] : await storedTurns(all.storage);
                expect(Math.max(...turns)).toBeGreaterThanOrEqual(until);
              };
              calls.push(
                flushed().catch((error: unknown) => {
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
            // If no store is under way and none failed, all turns are stored.
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
          // One branch: each is a child of the one before.
          const branch = (await all.storage.listCheckpoints()).reverse();
          branch.forEach(({ parentId }, index) => {
            expect(parentId).toBe(branch[index - 1]?.id);
          });
          await all.storage.close();
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("is resumed after a crash at any point, from the last acknowledged turn or a later one", async () => {
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
      crashes.push({ acknowledged, ended: turn, rows: [...slow.rows] }); // after it, before the flush resolves
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

describe("a failed store after a turn", () => {
  test("is reported to onError and to the flush that waits, and the next turn is stored", async () => {
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
    expect(waiting).toEqual([]); // not retried automatically

    agent.takeTurn();
    auto.turnDone();
    await settle();
    waiting.shift()?.pass();
    await auto.stop();
    expect(await storedTurns(slow)).toEqual([2]);
    expect(errors.length).toBe(1);
  });

  test("is repeated by flush and by stop", async () => {
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

  test("ends a stop within the storage's deadline", async () => {
    const options = { operationTimeoutMs: 20, retry: { maxRetries: 0 } };
    const silent = createStorage(scriptedDialect({ commit: never }), resolveStorageOptions(options));
    const auto = serviceOf(silent).autoCheckpoint(new Counter());
    auto.turnDone();
    await expect(auto.stop()).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  test("is reported if the agent cannot generate a checkpoint, and turnDone does not throw", async () => {
    const thrown = new Error("error of the agent");
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

  /** Runs a module whose body may use `service`, `agent` and `failures`, the number of stores that the provider fails. */
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

  test("ends the process if there is no listener and no call that waits", async () => {
    const { code, output } = await run(`
      service.autoCheckpoint(agent).turnDone();
      await delay(60_000);`);
    expect([code, output]).toEqual([1, expect.stringContaining("disk on fire")]);
  });

  test("can be handled as an unhandled rejection", async () => {
    const { code, output } = await run(`
      process.on("unhandledRejection", (error) => console.log("heard: " + error.message));
      const auto = service.autoCheckpoint(agent);
      auto.turnDone();
      await delay(50);
      await auto.stop();
      console.log("stored");`);
    expect([code, output]).toEqual([0, "heard: disk on fire\nstored\n"]);
  });

  test("is reported once to the call that waits", async () => {
    const { code, output } = await run(`
      const auto = service.autoCheckpoint(agent);
      auto.turnDone();
      await auto.flush().catch((error) => console.log("heard: " + error.message));
      await delay(20);
      await auto.stop();
      console.log("stored");`);
    expect([code, output]).toEqual([0, "heard: disk on fire\nstored\n"]);
  });

  test("ends the process if onError throws, or if a rejected flush is not handled", async () => {
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

describe("the pruning of an agent's checkpoints", () => {
  test("happens after the first store and every 20th from then on, in the agent's namespace only", async () => {
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

  test("is awaited by stop, and its failure is reported", async () => {
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
    await auto.flush(); // does not wait for pruning
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

  test("removes one batch if it is stopped at once, so that processes of a single turn prune too", async () => {
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

  test("is refused with a provider that cannot prune", () => {
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
    [{ after: () => undefined }, "expected the result of options.after to be an unsubscribe function"],
    [{ after: async () => () => {} }, "expected the result of options.after to be an unsubscribe function"],
    [{ name: 7 }, "expected options.name to be a string or a function, got 7"],
    [{ onError: true }, "expected options.onError to be a function, got true"],
    [{ keep: {} }, "expected options.keep to have at least one of "],
    [{ keep: { keepLast: 0 } }, "keepLast to be a whole number from 1"],
    [{ keep: { agentId: "a", keepLast: 1 } }, "expected options.keep to have the members keepLast, keepWithinMs"],
  ])("refuse %j", (options, message) => {
    expect(() => service.autoCheckpoint(new Counter(), options as never as AutoCheckpointOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
    );
  });

  test("ignore the events of a subscription that was refused", async () => {
    let turnDone = () => {};
    const after = (notify: () => void) => {
      turnDone = notify;
    };
    expect(() => service.autoCheckpoint(new Counter(), { after: after as never })).toThrow("unsubscribe function");
    turnDone();
    await settle();
    expect(await storage.listCheckpoints()).toEqual([]);
  });
});
