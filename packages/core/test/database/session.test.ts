import { setImmediate as turn } from "node:timers/promises";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { Dialect, Fault } from "../../src/checkpoints/dialect.ts";
import type { StorageEvents } from "../../src/contract/checkpoints.ts";
import { CheckpointError, type CheckpointErrorCode } from "../../src/contract/errors.ts";
import { Events } from "../../src/database/events.ts";
import { resolveCommonOptions } from "../../src/database/options.ts";
import { DialectSession } from "../../src/database/session.ts";
import { failing, never, type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

const CANARY = "hunter2-canary";

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  process.on("unhandledRejection", note);
});
afterEach(async () => {
  await turn(); // Node tells of a rejection that nobody handled after the microtasks of its turn
  expect(vi.getTimerCount(), "timers left behind").toBe(0);
  vi.useRealTimers();
  process.off("unhandledRejection", note);
  expect(unhandled.splice(0)).toEqual([]);
});

async function errorOf(call: Promise<unknown>): Promise<CheckpointError> {
  const outcome = call.then(
    () => expect.unreachable("the call succeeded"),
    (error: unknown) => error,
  );
  await vi.runAllTimersAsync();
  const error = await outcome;
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

const newSession = (
  dialect: Dialect = scriptedDialect(),
  options: Parameters<typeof resolveCommonOptions>[0] = {},
  events = new Events(),
) => new DialectSession(dialect, resolveCommonOptions(options), events);

const run = (session: DialectSession, work: () => Promise<unknown> = async () => "done", signal?: AbortSignal) =>
  session.run("store checkpoint", signal, work);

describe("a driver's error", () => {
  test.each<[Fault, CheckpointErrorCode, boolean]>([
    ["duplicate", "CONFLICT", false],
    ["foreign-key", "CONTENTION", true],
    ["serialization", "CONTENTION", true],
    ["busy", "CONTENTION", true],
    ["connection", "UNAVAILABLE", true],
    ["overload", "UNAVAILABLE", true],
    ["access", "ACCESS_DENIED", false],
    ["read-only", "READ_ONLY", true],
    ["full", "STORAGE_FULL", true],
    ["too-large", "STATE_TOO_LARGE", false],
    ["schema", "SCHEMA_OUTDATED", false],
    ["timeout", "TIMEOUT", true],
    ["other", "DATABASE_ERROR", false],
  ])("it is told as what it means: %s is %s", async (fault, code, retryable) => {
    const session = newSession();
    const error = await errorOf(run(session, () => Promise.reject(new ScriptedError(fault))));
    expect([error.code, error.retryable]).toEqual([code, retryable]);
    expect(error.message).toMatch(/^store checkpoint: scripted: .* \(SCRIPTED\)$/);
  });

  test.each<Fault>(["other", "access", "connection", "duplicate"])(
    "it shows no value in any part: %s",
    async (fault) => {
      const driver = Object.assign(new ScriptedError(fault, `Failed query: ${CANARY}`), {
        query: CANARY,
        parameters: [CANARY],
        cause: Object.assign(new Error(`connect to ${CANARY}`), { detail: CANARY }),
      });
      const open = () => Promise.reject(driver);
      for (const error of [
        await errorOf(run(newSession(), () => Promise.reject(driver))),
        await errorOf(run(newSession(scriptedDialect({ open })))),
        await errorOf(newSession(scriptedDialect({ close: open })).close()),
      ]) {
        const all = [
          error.message,
          error.stack,
          String(error.cause),
          inspect(error, { showHidden: true, depth: 20 }),
          JSON.stringify(error),
        ];
        expect(all.join("\n")).not.toContain(CANARY);
      }
    },
  );

  test("it is left alone where the dialect itself says what is wrong", async () => {
    const own = new CheckpointError("SCHEMA_TOO_NEW", "open database: too new");
    const dialect = scriptedDialect({ open: () => Promise.reject(own) });
    expect(await errorOf(run(newSession(dialect)))).toBe(own);
    expect(dialect.calls).toEqual(["open"]);
  });

  test("it is one like any other when it was thrown at once, not by a promise", async () => {
    const sudden = () => {
      throw new ScriptedError("access");
    };
    expect((await errorOf(run(newSession(), sudden))).code).toBe("ACCESS_DENIED");
    const opening = newSession(scriptedDialect({ open: sudden }));
    expect((await errorOf(run(opening))).code).toBe("ACCESS_DENIED");
    const closing = newSession(scriptedDialect({ close: sudden }));
    await expect(closing.close()).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    expect(vi.getTimerCount(), "timers that hold up the process's end").toBe(0);
  });
});

describe("a call that fails", () => {
  test.each<Fault>(["serialization", "connection", "overload", "busy"])(
    "it is repeated until it succeeds: %s",
    async (fault) => {
      const work = vi.fn(failing(3, fault, async () => "done"));
      const result = run(newSession(), work);
      await vi.runAllTimersAsync();
      expect(await result).toBe("done");
      expect(work).toHaveBeenCalledTimes(4);
    },
  );

  test("it is given up after six repetitions where writers are in each other's way, within a few seconds", async () => {
    const work = vi.fn(failing(100, "serialization", never));
    const start = Date.now();
    vi.useRealTimers();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: start });
    expect((await errorOf(run(newSession(), work))).code).toBe("CONTENTION");
    expect(work).toHaveBeenCalledTimes(7);
    expect(Date.now() - start).toBeLessThan(10_000);
  });

  async function delaysOf(fault: Fault, options: Parameters<typeof newSession>[1]): Promise<number[]> {
    const events = new Events();
    const told: StorageEvents["retry"][] = [];
    events.on("retry", (event) => told.push(event));
    const { code } = await errorOf(run(newSession(scriptedDialect(), options, events), failing(100, fault, never)));
    const expected = told.map(({ delayMs }, index) => ({
      provider: "main",
      operation: "store checkpoint",
      code,
      attempt: index + 1,
      delayMs,
    }));
    expect(told).toEqual(expected);
    return told.map(({ delayMs }) => delayMs);
  }

  test("it is made again after longer and longer where the server is full, as the options say", async () => {
    expect(await delaysOf("overload", { retry: { jitterMaxMs: 0 } })).toEqual([1_000, 2_000, 4_000]);
    const retry = { maxRetries: 5, baseDelayMs: 100, maxDelayMs: 700, jitterMaxMs: 0 };
    expect(await delaysOf("overload", { retry })).toEqual([100, 200, 400, 700, 700]);
    expect(await delaysOf("overload", { retry: { maxRetries: 0 } })).toEqual([]);
    for (const [step, delay] of (await delaysOf("overload", { retry: { jitterMaxMs: 50 } })).entries()) {
      expect(delay).toBeGreaterThanOrEqual(1_000 * 2 ** step);
      expect(delay).toBeLessThanOrEqual(1_000 * 2 ** step + 50);
    }
  });

  test("it is made again at once where a connection was lost, since the next one may be fine", async () => {
    expect(await delaysOf("connection", { retry: { jitterMaxMs: 0 } })).toEqual([20, 1_000, 2_000]);
    expect(await delaysOf("connection", { retry: { maxRetries: 1 } })).toEqual([20]);
    expect(await delaysOf("connection", { retry: { maxRetries: 0 } })).toEqual([]);
  });

  test("it fails at once, with the error at hand, where the next try would come after its deadline", async () => {
    const options = { operationTimeoutMs: 1_500, retry: { baseDelayMs: 2_000 } };
    expect(await delaysOf("connection", options)).toEqual([20]);
    expect(await delaysOf("overload", options)).toEqual([]);
  });

  test.each<Fault>(["duplicate", "access", "full", "read-only", "too-large", "timeout", "other"])(
    "it is not repeated where that cures nothing: %s",
    async (fault) => {
      const work = vi.fn(failing(1, fault, async () => "done"));
      await errorOf(run(newSession(), work));
      expect(work).toHaveBeenCalledTimes(1);
    },
  );

  test("tables that are gone, where they were, are made again by opening once more", async () => {
    const dialect = scriptedDialect();
    const session = newSession(dialect);
    expect(await run(session)).toBe("done");
    const work = vi.fn(failing(1, "schema", async () => "done"));
    expect(await run(session, work)).toBe("done");
    expect(dialect.calls).toEqual(["open", "open"]);
    const again = vi.fn(failing(9, "schema", async () => "done"));
    expect((await errorOf(run(session, again))).code).toBe("SCHEMA_OUTDATED");
    expect(again).toHaveBeenCalledTimes(2);
  });
});

describe("a database that does not answer", () => {
  test("it ends the call at its deadline, retryable, and tells the dialect so", async () => {
    let told: unknown;
    const session = newSession();
    const error = await errorOf(
      session.run("list checkpoints", undefined, (signal) => {
        signal.addEventListener("abort", () => {
          told = signal.reason;
        });
        return never();
      }),
    );
    expect([error.code, error.retryable]).toEqual(["TIMEOUT", true]);
    expect(error.message).toBe("list checkpoints: not done within 30000 ms");
    expect(told).toBe(error);
  });

  test("it ends the call at its deadline when it does not even open", async () => {
    const dialect = scriptedDialect({ open: never });
    expect((await errorOf(run(newSession(dialect)))).code).toBe("TIMEOUT");
  });

  test("it may answer after the deadline, with an error, and nobody's process ends by that", async () => {
    let answer = (_error: Error): void => {};
    const session = newSession(scriptedDialect(), { operationTimeoutMs: 100 });
    await errorOf(
      run(
        session,
        () =>
          new Promise((_resolve, reject) => {
            answer = reject;
          }),
      ),
    );
    answer(new ScriptedError("connection"));
    await vi.runAllTimersAsync();
  });

  test("it may fail to open after the deadline, and nobody's process ends by that", async () => {
    let answer = (_error: Error): void => {};
    const open = () =>
      new Promise<never>((_resolve, reject) => {
        answer = reject;
      });
    await errorOf(run(newSession(scriptedDialect({ open }), { operationTimeoutMs: 100 })));
    answer(new ScriptedError("connection"));
  });
});

describe("the caller's signal", () => {
  test("it ends a call that waits", async () => {
    const controller = new AbortController();
    const call = run(newSession(), never, controller.signal);
    controller.abort(new Error(CANARY));
    const error = await errorOf(call);
    expect([error.code, error.message]).toEqual(["ABORTED", "store checkpoint: the caller's signal ended it"]);
    expect(inspect(error, { showHidden: true })).not.toContain(CANARY);
  });

  test("it ends a call before anything is sent if it was aborted already", async () => {
    const dialect = scriptedDialect();
    expect((await errorOf(run(newSession(dialect), never, AbortSignal.abort()))).code).toBe("ABORTED");
    expect(dialect.calls).toEqual([]);
  });

  test("it ends a call between two attempts", async () => {
    const controller = new AbortController();
    const work = vi.fn(async () => {
      controller.abort();
      throw new ScriptedError("serialization");
    });
    const call = run(newSession(), work, controller.signal);
    expect((await errorOf(call)).code).toBe("ABORTED");
    expect(work).toHaveBeenCalledTimes(1);
  });

  test("it ends a call that waits to be made again", async () => {
    const controller = new AbortController();
    const events = new Events();
    events.on("retry", () => setImmediate(() => controller.abort()));
    const session = newSession(scriptedDialect(), {}, events);
    const call = run(
      session,
      failing(1, "overload", async () => "done"),
      controller.signal,
    );
    await expect(call).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("it does not end the opening that others wait for as well", async () => {
    const controller = new AbortController();
    let opened = (_: { maxStatementBytes: number }): void => {};
    const open = () =>
      new Promise<{ maxStatementBytes: number }>((resolve) => {
        opened = resolve;
      });
    const session = newSession(scriptedDialect({ open }));
    const first = run(session, undefined, controller.signal);
    const second = run(session);
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: "ABORTED" });
    opened({ maxStatementBytes: 1 });
    expect(await second).toBe("done");
  });

  test("it keeps no listener of a call that is over", async () => {
    const { signal } = new AbortController();
    const removed = vi.spyOn(signal, "removeEventListener");
    await run(newSession(), undefined, signal);
    expect(removed).toHaveBeenCalledTimes(1);
  });
});

describe("opening", () => {
  test("it happens once for any number of calls, and not before the first", async () => {
    const dialect = scriptedDialect();
    const session = newSession(dialect);
    expect(dialect.calls).toEqual([]);
    await Promise.all(Array.from({ length: 100 }, () => run(session)));
    await run(session);
    expect(dialect.calls).toEqual(["open"]);
  });

  test("it is tried again by the next call when it failed", async () => {
    const open = failing(1, "access", async () => ({ maxStatementBytes: 1 }));
    const dialect = scriptedDialect({ open });
    const session = newSession(dialect);
    const failed = await Promise.all([errorOf(run(session)), errorOf(run(session))]);
    expect(failed.map((error) => error.code)).toEqual(["ACCESS_DENIED", "ACCESS_DENIED"]);
    expect(await run(session)).toBe("done");
    expect(dialect.calls).toEqual(["open", "open"]);
  });

  test("it gives each call what it has learned of the server", async () => {
    const session = newSession();
    const { maxStatementBytes } = await session.run("store checkpoint", undefined, async (_signal, opened) => opened);
    expect(maxStatementBytes).toBe(1_000_000);
  });
});

describe("closing", () => {
  test("it waits for the calls that were accepted, and refuses later ones", async () => {
    const dialect = scriptedDialect();
    const session = newSession(dialect);
    let answer = (_: string): void => {};
    const accepted = run(
      session,
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    await turn();
    const closing = session.close();
    await turn();
    expect(dialect.calls).toEqual(["open"]);
    await expect(run(session)).rejects.toMatchObject({
      code: "CLOSED",
      message: "store checkpoint: the storage was closed",
    });
    answer("done");
    expect(await accepted).toBe("done");
    await closing;
    expect(dialect.calls).toEqual(["open", "close"]);
  });

  test("it happens once, however often it is asked for", async () => {
    const dialect = scriptedDialect();
    const session = newSession(dialect);
    await run(session);
    await Promise.all([session.close(), session.close()]);
    await session.close();
    expect(dialect.calls).toEqual(["open", "close"]);
  });

  test("it waits for an opening that nobody waits for any more, since that may hold a connection", async () => {
    let opened = (_: { maxStatementBytes: number }): void => {};
    const open = () =>
      new Promise<{ maxStatementBytes: number }>((resolve) => {
        opened = resolve;
      });
    const dialect = scriptedDialect({ open });
    const session = newSession(dialect);
    const controller = new AbortController();
    const call = run(session, undefined, controller.signal);
    controller.abort();
    await expect(call).rejects.toThrow(CheckpointError);
    const closing = session.close();
    await turn();
    expect(dialect.calls).toEqual(["open"]);
    opened({ maxStatementBytes: 1 });
    await closing;
    expect(dialect.calls).toEqual(["open", "close"]);
  });

  test("it ends at its deadline when the database does not let go", async () => {
    const session = newSession(scriptedDialect({ close: never }));
    expect((await errorOf(session.close())).message).toBe("close storage: not done within 30000 ms");
  });
});

describe("a database that is out of reach again and again", () => {
  const RESET_MS = 60_000;
  const events = new Events();
  const states: string[] = [];
  events.on("circuit", ({ provider, state }) => states.push(`${provider} ${state}`));
  let session: DialectSession;
  let dialect: ScriptedDialect;
  let reachable: boolean;

  function begin(script: Partial<Dialect> = {}, options: Parameters<typeof newSession>[1] = {}): void {
    states.length = 0;
    reachable = true;
    dialect = scriptedDialect({
      ping: async () => {
        if (!reachable) throw new ScriptedError("connection");
      },
      ...script,
    });
    session = newSession(dialect, { retry: { maxRetries: 0 }, ...options }, events);
  }

  beforeEach(() => begin());
  afterEach(() => session.close());

  const outcomeOf = (call: Promise<unknown>) =>
    call.then(
      (result) => result,
      (error: unknown) => (error instanceof CheckpointError ? error.code : error),
    );

  const fail = (fault: Fault = "connection", times = 1) =>
    Promise.all(
      Array.from({ length: times }, () => outcomeOf(run(session, () => Promise.reject(new ScriptedError(fault))))),
    );

  const pings = () => dialect.calls.filter((call) => call === "ping").length;

  test("it is left alone: calls end at once, without a try, and tell why", async () => {
    await fail("overload", 5);
    expect([session.circuit, states]).toEqual(["open", ["main open"]]);
    const before = [...dialect.calls];
    const work = vi.fn(never);
    const error = (await run(session, work).catch((thrown: unknown) => thrown)) as CheckpointError;
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      message: "store checkpoint: scripted: left alone after 5 failures, last: UNAVAILABLE",
      cause: { name: "DriverError", code: "SCRIPTED" },
    });
    expect(work).not.toHaveBeenCalled();
    expect(dialect.calls).toEqual(before);
    expect(session.status().lastError?.code).toBe("UNAVAILABLE");
  });

  test("it is left alone after as many failures as the options say", async () => {
    begin({}, { retry: { maxRetries: 0 }, circuit: { failureThreshold: 1 } });
    await fail();
    await expect(run(session)).rejects.toThrow(
      "store checkpoint: scripted: left alone after a failure, last: UNAVAILABLE",
    );
  });

  test("it is not left alone for what is not its reach", async () => {
    for (const fault of ["duplicate", "serialization", "read-only", "full", "other", "timeout", "schema"] as const) {
      const failed = fail(fault, 6);
      await vi.advanceTimersByTimeAsync(10_000);
      await failed;
    }
    const aborted = Array.from({ length: 6 }, () => outcomeOf(run(session, never, AbortSignal.timeout(1))));
    expect(await Promise.all(aborted)).toEqual(Array.from({ length: 6 }, () => "ABORTED"));
    expect([session.circuit, await run(session)]).toEqual(["closed", "done"]);
  });

  test("it is not left alone as long as some calls succeed", async () => {
    for (let round = 0; round < 5; round++) {
      await fail("connection", 4);
      expect(await run(session)).toBe("done");
    }
    expect(states).toEqual([]);
  });

  test("it is left alone when it does not answer, also where it does not even open", async () => {
    for (const script of [{}, { open: never }]) {
      begin(script);
      const calls = Promise.all(Array.from({ length: 5 }, () => outcomeOf(run(session, never))));
      await vi.advanceTimersByTimeAsync(30_000);
      expect(await calls).toEqual(Array.from({ length: 5 }, () => "TIMEOUT"));
      await expect(run(session)).rejects.toThrow("left alone after 5 failures, last: TIMEOUT");
      await session.close();
    }
  });

  test("it is left alone for a password that is refused only if it was right before", async () => {
    begin({ open: failing(5, "access", async () => ({ maxStatementBytes: 1 })) });
    for (let call = 0; call < 5; call++) expect(await outcomeOf(run(session))).toBe("ACCESS_DENIED");
    expect([session.circuit, session.wasOpen]).toEqual(["closed", false]);
    await run(session);
    expect(session.wasOpen).toBe(true);
    expect(await fail("access", 5)).toEqual(Array.from({ length: 5 }, () => "ACCESS_DENIED"));
    expect(session.circuit).toBe("open");
  });

  test("it is probed after a while, and calls go through again when it answers", async () => {
    await fail("connection", 5);
    await vi.advanceTimersByTimeAsync(RESET_MS - 1);
    expect(pings()).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(pings()).toBe(1);
    expect(states).toEqual(["main open", "main half-open", "main closed"]);
    expect(await run(session)).toBe("done");
    await fail("connection", 4); // counted anew
    expect(session.circuit).toBe("closed");
  });

  test("it is probed a few times, by us and not by calls, and then left alone again", async () => {
    begin({}, { retry: { maxRetries: 0 }, circuit: { resetTimeoutMs: 1_000, halfOpenMaxAttempts: 2 } });
    await fail("connection", 5);
    reachable = false;
    await vi.advanceTimersByTimeAsync(1_000);
    expect([pings(), session.circuit]).toEqual([1, "half-open"]);
    expect(await outcomeOf(run(session))).toBe("UNAVAILABLE");
    await vi.advanceTimersByTimeAsync(100);
    expect([pings(), session.circuit]).toEqual([2, "open"]);
    await vi.advanceTimersByTimeAsync(999);
    expect(pings()).toBe(2);
    reachable = true;
    await vi.advanceTimersByTimeAsync(1);
    expect([pings(), session.circuit]).toEqual([3, "closed"]);
  });

  test("it is opened by the probe if it never was, each within its own deadline", async () => {
    let open: () => Promise<{ maxStatementBytes: number }> = never;
    begin({ open: () => open() }, { operationTimeoutMs: 100, circuit: { resetTimeoutMs: 1_000 } });
    const calls = Promise.all(Array.from({ length: 5 }, () => outcomeOf(run(session))));
    await vi.advanceTimersByTimeAsync(100);
    await calls;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(dialect.calls).toEqual(["open", "open"]);
    open = async () => ({ maxStatementBytes: 1 });
    await vi.advanceTimersByTimeAsync(100 + 100);
    expect([dialect.calls, session.circuit]).toEqual([["open", "open", "open", "ping"], "closed"]);
  });

  test("it is probed at once by whoever asks for it, once for all who do", async () => {
    expect([await session.probe(), pings()]).toEqual([true, 0]);
    await fail("connection", 5);
    expect([await Promise.all([session.probe(), session.probe()]), pings()]).toEqual([[true, true], 1]);
    expect(await run(session)).toBe("done");
  });

  test("it goes through again for what answers, though with another fault", async () => {
    begin({ ping: () => Promise.reject(new ScriptedError("schema")) });
    await fail("connection", 5);
    expect(await session.probe()).toBe(true);
    expect(await fail("schema")).toEqual(["SCHEMA_OUTDATED"]);
  });

  test("it is back as soon as somebody asks for its health and it answers", async () => {
    await fail("connection", 5);
    reachable = false;
    expect(await outcomeOf(session.ping(undefined))).toBe("UNAVAILABLE");
    expect(session.circuit).toBe("open");
    reachable = true;
    await session.ping(undefined);
    expect([await run(session), states]).toEqual(["done", ["main open", "main closed"]]);
  });

  test("it is asked for its health once, and for five seconds at most", async () => {
    reachable = false;
    expect(await outcomeOf(session.ping(undefined))).toBe("UNAVAILABLE");
    expect(pings()).toBe(1);
    begin({ ping: never });
    const error = session.ping(undefined).catch((thrown: unknown) => thrown);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await error).toMatchObject({ code: "TIMEOUT", message: "check health: not done within 5000 ms" });
    begin({ ping: never }, { operationTimeoutMs: 10 });
    const short = session.ping(undefined).catch((thrown: unknown) => thrown);
    await vi.advanceTimersByTimeAsync(10);
    expect(await short).toMatchObject({ message: "check health: not done within 10 ms" });
  });

  test("it is looked at when an answer comes that was long under way", async () => {
    let answer = (_: string): void => {};
    const slow = run(
      session,
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    await fail("connection", 5);
    answer("late");
    expect(await slow).toBe("late");
    await turn();
    expect([session.circuit, pings()]).toEqual(["closed", 1]);
  });

  test("it lets others have their turn while somebody calls again and again", async () => {
    await fail("connection", 5);
    let stop = false;
    setImmediate(() => {
      stop = true;
    });
    for (let calls = 0; !stop; calls++) {
      expect(await outcomeOf(run(session))).toBe("UNAVAILABLE");
      expect(calls).toBeLessThan(10);
    }
  });

  test("it does not keep the process, and nothing is left of it after close", async () => {
    vi.useRealTimers();
    // Those that are made here: the test runner, which has some of its own, took hold of `setTimeout` before.
    const [made, cleared] = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "clearTimeout")];
    onTestFinished(() => void vi.restoreAllMocks());
    const isCleared = (timer: NodeJS.Timeout) => cleared.mock.calls.some(([one]) => one === timer);
    const holding = () => made.mock.results.filter(({ value }) => !isCleared(value) && value.hasRef()).length;
    begin({ ping: never }, { retry: { maxRetries: 0 }, circuit: { resetTimeoutMs: 1 } });
    await fail("connection", 5);
    expect([made.mock.results.length > 0, holding()]).toEqual([true, 0]);
    while (session.circuit !== "half-open") await turn();
    expect(holding()).toBe(0);
    await session.close();
    expect(await session.probe()).toBe(false);
    vi.useFakeTimers();
  });

  test("it does not begin again after close", async () => {
    const late = Promise.all(Array.from({ length: 5 }, () => outcomeOf(run(session, never))));
    const closing = session.close();
    await vi.advanceTimersByTimeAsync(30_000);
    await Promise.all([late, closing]);
    expect([session.circuit, vi.getTimerCount()]).toEqual(["closed", 0]);
  });
});

describe("what is known of a database", () => {
  test("it is nothing before it was used", () => {
    expect(newSession().status()).toEqual({ circuit: "closed", lastError: null, latencyMs: null });
  });

  test("it is the last failure that was its own, and how long calls take", async () => {
    const session = newSession();
    await run(session);
    expect(session.status()).toEqual({ circuit: "closed", lastError: null, latencyMs: expect.any(Number) });
    await errorOf(run(session, () => Promise.reject(new ScriptedError("full"))));
    await errorOf(run(session, () => Promise.reject(new ScriptedError("duplicate"))));
    await run(session);
    expect(session.status().lastError).toEqual({ code: "STORAGE_FULL", at: expect.any(Number) });
  });
});
