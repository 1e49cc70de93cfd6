import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import type { StorageEvents } from "../../src/contract/status.ts";
import { Emitter } from "../../src/database/events.ts";
import { failing, never, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import { errorOf, fakeTimers, newSession, run } from "./session-fixture.ts";

const CANARY = "hunter2-canary";

fakeTimers();

test("works where timers are numbers, as in jsdom and in Electron's renderer", async () => {
  const setTimer = setTimeout;
  vi.stubGlobal("setTimeout", (callback: () => void, ms: number) => Number(setTimer(callback, ms)));
  try {
    const session = newSession(scriptedDialect(), { operationTimeoutMs: 10, circuit: { failureThreshold: 1 } });
    const call = expect(run(session, never)).rejects.toMatchObject({ code: "TIMEOUT" });
    await vi.advanceTimersByTimeAsync(10);
    await call;
    expect(session.circuit).toBe("open");
    await session.close();
  } finally {
    vi.unstubAllGlobals();
  }
});

describe("the deadline of a call", () => {
  test("ends the call with a retryable error, and aborts the signal of the dialect", async () => {
    let reason: unknown;
    const session = newSession();
    const error = await errorOf(
      session.run("list checkpoints", undefined, (signal) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
        });
        return never();
      }),
    );
    expect([error.code, error.retryable]).toEqual(["TIMEOUT", true]);
    expect(error.message).toBe("list checkpoints: not done within 30000 ms");
    expect(reason).toBe(error);
  });

  test("ends the call if the database does not open", async () => {
    const dialect = scriptedDialect({ open: never });
    expect((await errorOf(run(newSession(dialect)))).code).toBe("TIMEOUT");
  });

  test("leaves no unhandled rejection if the database answers with an error afterwards", async () => {
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

  test("leaves no unhandled rejection if opening fails afterwards", async () => {
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
  test("ends a call that waits", async () => {
    const controller = new AbortController();
    const call = run(newSession(), never, controller.signal);
    controller.abort(new Error(CANARY));
    const error = await errorOf(call);
    expect([error.code, error.message]).toEqual(["ABORTED", "store checkpoint: cancelled by the caller's signal"]);
    expect(inspect(error, { showHidden: true })).not.toContain(CANARY);
  });

  test("ends a call before anything is sent if it was aborted before", async () => {
    const dialect = scriptedDialect();
    expect((await errorOf(run(newSession(dialect), never, AbortSignal.abort()))).code).toBe("ABORTED");
    expect(dialect.calls).toEqual([]);
  });

  test("ends a call between two attempts", async () => {
    const controller = new AbortController();
    const work = vi.fn(async () => {
      controller.abort();
      throw new ScriptedError("serialization");
    });
    const call = run(newSession(), work, controller.signal);
    expect((await errorOf(call)).code).toBe("ABORTED");
    expect(work).toHaveBeenCalledTimes(1);
  });

  test("ends a call that waits for a retry", async () => {
    const controller = new AbortController();
    const events = new Emitter<StorageEvents>();
    events.on("retry", () => setImmediate(() => controller.abort()));
    const session = newSession(scriptedDialect(), {}, events);
    const call = run(
      session,
      failing(1, "overload", async () => "done"),
      controller.signal,
    );
    await expect(call).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("does not end an opening that other callers wait for", async () => {
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

  test("keeps no listener of a call that has ended", async () => {
    const { signal } = new AbortController();
    const removed = vi.spyOn(signal, "removeEventListener");
    await run(newSession(), undefined, signal);
    expect(removed).toHaveBeenCalledTimes(1);
  });
});
