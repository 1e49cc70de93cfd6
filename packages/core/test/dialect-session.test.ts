import { setImmediate as turn } from "node:timers/promises";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Fault } from "../src/dialect.ts";
import { DialectSession } from "../src/dialect-session.ts";
import { CheckpointError, type CheckpointErrorCode } from "../src/errors.ts";
import { failing, never, ScriptedError, scriptedDialect } from "./scripted-dialect.ts";

const CANARY = "hunter2-canary";
const TIMEOUT_MS = 30_000;

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
    const session = new DialectSession(scriptedDialect(), TIMEOUT_MS);
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
        await errorOf(run(new DialectSession(scriptedDialect(), TIMEOUT_MS), () => Promise.reject(driver))),
        await errorOf(run(new DialectSession(scriptedDialect({ open }), TIMEOUT_MS))),
        await errorOf(new DialectSession(scriptedDialect({ close: open }), TIMEOUT_MS).close()),
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
    expect(await errorOf(run(new DialectSession(dialect, TIMEOUT_MS)))).toBe(own);
    expect(dialect.calls).toEqual(["open"]);
  });

  test("it is one like any other when it was thrown at once, not by a promise", async () => {
    const sudden = () => {
      throw new ScriptedError("access");
    };
    expect((await errorOf(run(new DialectSession(scriptedDialect(), TIMEOUT_MS), sudden))).code).toBe("ACCESS_DENIED");
    const opening = new DialectSession(scriptedDialect({ open: sudden }), TIMEOUT_MS);
    expect((await errorOf(run(opening))).code).toBe("ACCESS_DENIED");
    const closing = new DialectSession(scriptedDialect({ close: sudden }), TIMEOUT_MS);
    await expect(closing.close()).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    expect(vi.getTimerCount(), "timers that hold up the process's end").toBe(0);
  });
});

describe("a call that fails", () => {
  test.each<Fault>(["serialization", "connection", "overload", "busy"])(
    "it is repeated until it succeeds: %s",
    async (fault) => {
      const work = vi.fn(failing(3, fault, async () => "done"));
      const result = run(new DialectSession(scriptedDialect(), TIMEOUT_MS), work);
      await vi.runAllTimersAsync();
      expect(await result).toBe("done");
      expect(work).toHaveBeenCalledTimes(4);
    },
  );

  test("it is given up after six repetitions, within the time that a server takes to restart, not the whole deadline", async () => {
    const work = vi.fn(failing(100, "connection", never));
    const start = Date.now();
    vi.useRealTimers();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: start });
    expect((await errorOf(run(new DialectSession(scriptedDialect(), TIMEOUT_MS), work))).code).toBe("UNAVAILABLE");
    expect(work).toHaveBeenCalledTimes(7);
    expect(Date.now() - start).toBeLessThan(10_000);
  });

  test.each<Fault>(["duplicate", "access", "full", "read-only", "schema", "too-large", "timeout", "other"])(
    "it is not repeated where that cures nothing: %s",
    async (fault) => {
      const work = vi.fn(failing(1, fault, async () => "done"));
      await errorOf(run(new DialectSession(scriptedDialect(), TIMEOUT_MS), work));
      expect(work).toHaveBeenCalledTimes(1);
    },
  );

  test("it is not repeated after its deadline", async () => {
    const work = vi.fn(failing(100, "connection", never));
    const error = await errorOf(run(new DialectSession(scriptedDialect(), 10), work));
    expect(error.code).toBe("TIMEOUT");
    expect(work.mock.calls.length).toBeLessThan(3);
  });
});

describe("a database that does not answer", () => {
  test("it ends the call at its deadline, retryable, and tells the dialect so", async () => {
    let told: unknown;
    const session = new DialectSession(scriptedDialect(), TIMEOUT_MS);
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
    expect((await errorOf(run(new DialectSession(dialect, TIMEOUT_MS)))).code).toBe("TIMEOUT");
  });

  test("it may answer after the deadline, with an error, and nobody's process ends by that", async () => {
    let answer = (_error: Error): void => {};
    const session = new DialectSession(scriptedDialect(), 100);
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
    await errorOf(run(new DialectSession(scriptedDialect({ open }), 100)));
    answer(new ScriptedError("connection"));
  });
});

describe("the caller's signal", () => {
  test("it ends a call that waits", async () => {
    const controller = new AbortController();
    const call = run(new DialectSession(scriptedDialect(), TIMEOUT_MS), never, controller.signal);
    controller.abort(new Error(CANARY));
    const error = await errorOf(call);
    expect([error.code, error.message]).toEqual(["ABORTED", "store checkpoint: the caller's signal ended it"]);
    expect(inspect(error, { showHidden: true })).not.toContain(CANARY);
  });

  test("it ends a call before anything is sent if it was aborted already", async () => {
    const dialect = scriptedDialect();
    expect((await errorOf(run(new DialectSession(dialect, TIMEOUT_MS), never, AbortSignal.abort()))).code).toBe(
      "ABORTED",
    );
    expect(dialect.calls).toEqual([]);
  });

  test("it ends a call between two attempts", async () => {
    const controller = new AbortController();
    const work = vi.fn(async () => {
      controller.abort();
      throw new ScriptedError("serialization");
    });
    const call = run(new DialectSession(scriptedDialect(), TIMEOUT_MS), work, controller.signal);
    expect((await errorOf(call)).code).toBe("ABORTED");
    expect(work).toHaveBeenCalledTimes(1);
  });

  test("it does not end the opening that others wait for as well", async () => {
    const controller = new AbortController();
    let opened = (_: { maxStatementBytes: number }): void => {};
    const open = () =>
      new Promise<{ maxStatementBytes: number }>((resolve) => {
        opened = resolve;
      });
    const session = new DialectSession(scriptedDialect({ open }), TIMEOUT_MS);
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
    await run(new DialectSession(scriptedDialect(), TIMEOUT_MS), undefined, signal);
    expect(removed).toHaveBeenCalledTimes(1);
  });
});

describe("opening", () => {
  test("it happens once for any number of calls, and not before the first", async () => {
    const dialect = scriptedDialect();
    const session = new DialectSession(dialect, TIMEOUT_MS);
    expect(dialect.calls).toEqual([]);
    await Promise.all(Array.from({ length: 100 }, () => run(session)));
    await run(session);
    expect(dialect.calls).toEqual(["open"]);
  });

  test("it is tried again by the next call when it failed", async () => {
    const open = failing(1, "access", async () => ({ maxStatementBytes: 1 }));
    const dialect = scriptedDialect({ open });
    const session = new DialectSession(dialect, TIMEOUT_MS);
    const failed = await Promise.all([errorOf(run(session)), errorOf(run(session))]);
    expect(failed.map((error) => error.code)).toEqual(["ACCESS_DENIED", "ACCESS_DENIED"]);
    expect(await run(session)).toBe("done");
    expect(dialect.calls).toEqual(["open", "open"]);
  });

  test("it gives each call what it has learned of the server", async () => {
    const session = new DialectSession(scriptedDialect(), TIMEOUT_MS);
    const { maxStatementBytes } = await session.run("store checkpoint", undefined, async (_signal, opened) => opened);
    expect(maxStatementBytes).toBe(1_000_000);
  });
});

describe("closing", () => {
  test("it waits for the calls that were accepted, and refuses later ones", async () => {
    const dialect = scriptedDialect();
    const session = new DialectSession(dialect, TIMEOUT_MS);
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
    const session = new DialectSession(dialect, TIMEOUT_MS);
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
    const session = new DialectSession(dialect, TIMEOUT_MS);
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
    const session = new DialectSession(scriptedDialect({ close: never }), TIMEOUT_MS);
    expect((await errorOf(session.close())).message).toBe("close storage: not done within 30000 ms");
  });
});
