import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { CheckpointError } from "../../src/contract/errors.ts";
import type { StorageEvents } from "../../src/contract/status.ts";
import { Emitter } from "../../src/database/events.ts";
import type { Fault } from "../../src/database/faults.ts";
import type { Session } from "../../src/database/session.ts";
import {
  failing,
  never,
  type Script,
  type ScriptedDialect,
  ScriptedError,
  scriptedDialect,
} from "../scripted-dialect.ts";
import { fakeTimers, newSession, type RawDatabaseOptions, run } from "./session-fixture.ts";

fakeTimers();

describe("the circuit of a database", () => {
  const RESET_MS = 60_000;
  const events = new Emitter<StorageEvents>();
  const states: string[] = [];
  events.on("circuit", ({ provider, state }) => states.push(`${provider} ${state}`));
  let session: Session;
  let dialect: ScriptedDialect;
  let reachable: boolean;

  function begin(script: Script = {}, options: RawDatabaseOptions = {}): void {
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

  test("rejects calls at once while it is open, with the reason", async () => {
    await fail("overload", 5);
    expect([session.circuit, states]).toEqual(["open", ["main open"]]);
    const before = [...dialect.calls];
    const work = vi.fn(never);
    const error = (await run(session, work).catch((thrown: unknown) => thrown)) as CheckpointError;
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      message: "store checkpoint: scripted: circuit open after 5 consecutive failures (last: UNAVAILABLE)",
      cause: { name: "DriverError", code: "SCRIPTED" },
    });
    expect(work).not.toHaveBeenCalled();
    expect(dialect.calls).toEqual(before);
    expect(session.status().lastError?.code).toBe("UNAVAILABLE");
  });

  test("opens after as many failures as the options say", async () => {
    begin({}, { retry: { maxRetries: 0 }, circuit: { failureThreshold: 1 } });
    await fail();
    await expect(run(session)).rejects.toThrow(
      "store checkpoint: scripted: circuit open after a failure (last: UNAVAILABLE)",
    );
  });

  test("does not open for errors of a database that is reachable", async () => {
    for (const fault of ["duplicate", "serialization", "read-only", "full", "other", "timeout", "schema"] as const) {
      const failed = fail(fault, 6);
      await vi.advanceTimersByTimeAsync(10_000);
      await failed;
    }
    const aborted = Array.from({ length: 6 }, () => outcomeOf(run(session, never, AbortSignal.timeout(1))));
    expect(await Promise.all(aborted)).toEqual(Array.from({ length: 6 }, () => "ABORTED"));
    expect([session.circuit, await run(session)]).toEqual(["closed", "done"]);
  });

  test("does not open as long as some calls succeed", async () => {
    for (let round = 0; round < 5; round++) {
      await fail("connection", 4);
      expect(await run(session)).toBe("done");
    }
    expect(states).toEqual([]);
  });

  test("opens if the database does not answer, even if it was never opened", async () => {
    for (const script of [{}, { open: never }]) {
      begin(script);
      const calls = Promise.all(Array.from({ length: 5 }, () => outcomeOf(run(session, never))));
      await vi.advanceTimersByTimeAsync(30_000);
      expect(await calls).toEqual(Array.from({ length: 5 }, () => "TIMEOUT"));
      await expect(run(session)).rejects.toThrow("circuit open after 5 consecutive failures (last: TIMEOUT)");
      await session.close();
    }
  });

  test("opens for a refused password only if that was right before", async () => {
    begin({ open: failing(5, "login", async () => ({ maxStatementBytes: 1 })) });
    for (let call = 0; call < 5; call++) expect(await outcomeOf(run(session))).toBe("ACCESS_DENIED");
    expect([session.circuit, session.wasOpened]).toEqual(["closed", false]);
    await run(session);
    expect(session.wasOpened).toBe(true);
    expect(await fail("login", 5)).toEqual(Array.from({ length: 5 }, () => "ACCESS_DENIED"));
    expect(session.circuit).toBe("open");
  });

  test("probes the database after a while, and closes if it answers", async () => {
    await fail("connection", 5);
    await vi.advanceTimersByTimeAsync(RESET_MS - 1);
    expect(pings()).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(pings()).toBe(1);
    expect(states).toEqual(["main open", "main half-open", "main closed"]);
    expect(await run(session)).toBe("done");
    await fail("connection", 4); // counted from 0
    expect(session.circuit).toBe("closed");
  });

  test("probes the database a few times in the background, and opens again", async () => {
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

  test("opens the database by a probe, within the deadline of a probe, if it was never opened", async () => {
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

  test("probes the database at once if asked to, once for all callers", async () => {
    expect([await session.probe(), pings()]).toEqual([true, 0]);
    await fail("connection", 5);
    expect([await Promise.all([session.probe(), session.probe()]), pings()]).toEqual([[true, true], 1]);
    expect(await run(session)).toBe("done");
  });

  test("closes if the database answers with an error", async () => {
    begin({ ping: () => Promise.reject(new ScriptedError("schema")) });
    await fail("connection", 5);
    expect(await session.probe()).toBe(true);
    expect(await fail("schema")).toEqual(["SCHEMA_OUTDATED"]);
  });

  test("closes if a ping for health is answered", async () => {
    await fail("connection", 5);
    reachable = false;
    expect(await outcomeOf(session.ping(undefined))).toBe("UNAVAILABLE");
    expect(session.circuit).toBe("open");
    reachable = true;
    await session.ping(undefined);
    expect([await run(session), states]).toEqual(["done", ["main open", "main closed"]]);
  });

  test("does not apply to a ping for health, which is not retried and ends after five seconds at most", async () => {
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

  test("probes the database if a call from before it opened succeeds", async () => {
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

  test("does not starve other work if a caller repeats its call in a loop", async () => {
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

  test("does not keep the process alive, and leaves no timer after close", async () => {
    vi.useRealTimers();
    // Only the timers of this test: the test runner keeps the original `setTimeout`.
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

  test("does not open after close", async () => {
    const late = Promise.all(Array.from({ length: 5 }, () => outcomeOf(run(session, never))));
    const closing = session.close();
    await vi.advanceTimersByTimeAsync(30_000);
    await Promise.all([late, closing]);
    expect([session.circuit, vi.getTimerCount()]).toEqual(["closed", 0]);
  });
});
