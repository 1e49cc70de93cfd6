import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openCheckpointStorage } from "../../src/config/open.ts";
import type { StorageEvents } from "../../src/contract/status.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { startRetention } from "../../src/retention/runner.ts";
import { never, type Script, ScriptedError, scriptedDialect, type Tables } from "../scripted-dialect.ts";
import { checkpoint, scriptedStorage } from "../scripted-storage.ts";

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

let tables: Tables;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
  tables = { rows: new Map(), writes: new Map(), values: new Map() };
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Lets the clocks go on, and waits for what is due then. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= MINUTE_MS / 4) {
    await vi.advanceTimersByTimeAsync(Math.min(left, MINUTE_MS / 4));
    for (let turn = 0; turn < 30; turn++) await setImmediate();
  }
}

/**
 * A process: a storage with a retention that keeps one checkpoint of each agent. `answer` is called when a lease was taken, renewed
 * or freed, and delays the answer.
 */
function process(script: Script = {}, answer: (lease: string) => Promise<unknown> = async () => {}) {
  const dialect = scriptedDialect(script, tables);
  const settings: typeof dialect.settings = {
    ...dialect.settings,
    replace: async (name, from, to, signal) => {
      const isReplaced = await dialect.settings.replace(name, from, to, signal);
      if (name === "retention") await answer(to);
      return isReplaced;
    },
  };
  const storage = createStorage(
    { ...dialect, settings },
    resolveStorageOptions({ retry: { maxRetries: 0 }, operationTimeoutMs: HOUR_MS }),
  );
  const events: [string, StorageEvents["pruned"] | StorageEvents["pruneFailed"]][] = [];
  storage.on("pruned", (event) => events.push(["pruned", event]));
  storage.on("pruneFailed", (event) => events.push(["pruneFailed", event]));
  const start = () => startRetention(storage, { keepLast: 1, everyMs: HOUR_MS });
  return { storage, events, start };
}

/** A process whose first prune, at once, goes on until it is cancelled. Resolves when that has begun. */
async function pruningProcess(answer?: (lease: string) => Promise<unknown>) {
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const agents: Script["agents"] = (_after, _limit, signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
      begin();
    });
  const { start, events } = process({ agents }, answer);
  vi.spyOn(Math, "random").mockReturnValue(0);
  const runner = start();
  await vi.advanceTimersByTimeAsync(1);
  await begun;
  return { runner, events };
}

const lease = () => JSON.parse(tables.values.get("retention") as string) as object;

describe("retention that runs by itself", () => {
  test("prunes in one of several processes, once in each interval", async () => {
    const processes = [process(), process(), process()];
    const [{ storage }] = processes as [ReturnType<typeof process>];
    for (let turn = 0; turn < 3; turn++) await storage.storeCheckpoint(checkpoint());
    const runners = processes.map(({ start }) => start());
    await pass(5 * MINUTE_MS);
    const events = () => processes.flatMap((one) => one.events);
    expect(events()).toMatchObject([["pruned", { examined: 3, removed: 2, removedBy: { noRule: 2 } }]]);
    await pass(50 * MINUTE_MS);
    expect(events()).toHaveLength(1);
    await storage.storeCheckpoint(checkpoint());
    await pass(10 * MINUTE_MS);
    expect(events()).toHaveLength(2);
    expect(tables.rows.size).toBe(1);
    await pass(3 * HOUR_MS);
    expect(events()).toHaveLength(5);
    for (const runner of runners) await runner.stop();
  });

  test("reports an error as an event, goes on, and lets another process do it meanwhile", async () => {
    let isDown = true;
    const failing = process({
      agents: async () => {
        if (isDown) throw new ScriptedError("other");
        return [];
      },
    });
    const runner = failing.start();
    await pass(2 * MINUTE_MS);
    expect(failing.events[0]).toEqual(["pruneFailed", { code: "DATABASE_ERROR" }]);
    isDown = false;
    await pass(3 * MINUTE_MS);
    expect(failing.events.at(-1)?.[0]).toBe("pruned");
    await runner.stop();
  });

  test("takes over from a process that ended while it pruned, after a minute", async () => {
    const ended = { holder: "ended", until: Date.now() + MINUTE_MS, doneAt: 0 };
    tables.values.set("retention", JSON.stringify(ended));
    vi.spyOn(Math, "random").mockReturnValue(0);
    const { start, events } = process();
    const runner = start();
    await pass(MINUTE_MS / 2);
    expect(events).toEqual([]);
    await pass(MINUTE_MS);
    expect(events).toHaveLength(1);
    await runner.stop();
  });

  test("ends when it is stopped: a prune under way is cancelled, its turn is free, and no timer is left", async () => {
    const { runner, events } = await pruningProcess();
    await runner.stop();
    expect(events).toEqual([]);
    expect(lease()).toMatchObject({ holder: null, doneAt: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("frees its turn when it is stopped, also while a renewal is under way", async () => {
    let replaced = 0;
    const { runner } = await pruningProcess(async () => {
      replaced += 1;
      if (replaced === 2) await never();
    });
    await pass(MINUTE_MS / 4);
    expect(replaced).toBe(2);
    await runner.stop();
    expect(lease()).toMatchObject({ holder: null });
  });

  test("keeps its turn if the answer to a renewal is lost", async () => {
    let replaced = 0;
    const { runner, events } = await pruningProcess(async () => {
      replaced += 1;
      if (replaced === 2) throw new ScriptedError("timeout");
    });
    await pass(2 * MINUTE_MS);
    expect(events).toEqual([]);
    expect(replaced).toBeGreaterThan(3);
    await runner.stop();
  });

  test("is stopped after the given time if the database does not answer", async () => {
    const { runner } = await pruningProcess(async (text) => {
      if (text.includes('"holder":null')) await never();
    });
    let isStopped = false;
    const stopping = runner.stop({ timeoutMs: 5_000 }).then(() => {
      isStopped = true;
    });
    await pass(4_999);
    expect(isStopped).toBe(false);
    await pass(1);
    expect(isStopped).toBe(true);
    await stopping;
    expect(vi.getTimerCount()).toBe(0);
    await expect(runner.stop({ timeoutMs: -1 })).rejects.toThrow("options.timeoutMs");
  });

  test("ends by itself when its storage was closed", async () => {
    const { storage, start, events } = process();
    start();
    await pass(5 * MINUTE_MS);
    await storage.close();
    await pass(3 * HOUR_MS);
    expect(events.map(([name]) => name)).toEqual(["pruned"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([
    ["main", ["main"]],
    ["main and backup", ["main", "backup"]],
  ])("prunes a storage of openCheckpointStorage with %s", async (_, names) => {
    const providers = Object.fromEntries(names.map((name) => [name, { type: () => process().storage }])) as never;
    const storage = await openCheckpointStorage({ config: { checkpoint: { providers } }, env: {} });
    const pruned: unknown[] = [];
    storage.on("pruned", ({ removed }) => pruned.push(removed));
    const runner = startRetention(storage, { keepLast: 1, everyMs: HOUR_MS });
    await pass(5 * MINUTE_MS);
    expect(pruned).toEqual([0]);
    await runner.stop();
    await storage.close({ timeoutMs: 0 });
  });

  test("prunes once in an interval if it is started twice, in a config and in code: both share the turns of the database", async () => {
    const { storage: main, events } = process();
    const config = {
      checkpoint: { providers: { main: { type: () => main } }, retention: { keepLast: 2, everyMs: HOUR_MS } },
    };
    await using storage = await openCheckpointStorage({ config, env: {} });
    await using _ = startRetention(storage, { keepLast: 1, everyMs: HOUR_MS });
    await pass(HOUR_MS / 2);
    expect(events.map(([name]) => name)).toEqual(["pruned"]);
  });

  test("refuses a storage that Waymark has not made", () => {
    expect(() => startRetention({ storeCheckpoint() {} } as never, { keepLast: 1 })).toThrow(
      "expected storage to be one of a factory, openCheckpointStorage or createReplicatedStorage, got an object",
    );
  });

  test("refuses a policy without a rule, an interval that is none, and a dialect without settings", () => {
    const { storage } = scriptedStorage();
    expect(() => startRetention(storage, {})).toThrow("expected options to have at least one of dropAgentsIdleForMs");
    expect(() => startRetention(storage, { keepLast: 1, everyMs: 1 })).toThrow("options.everyMs");
    expect(() => startRetention(storage, { keepLast: 0 })).toThrow("expected options.keepLast");
    const { settings: _, ...withoutSettings } = scriptedDialect();
    const refused = () => startRetention(createStorage(withoutSettings), { keepLast: 1 });
    expect(refused).toThrow("of a dialect with settings, got the dialect scripted");
  });
});
