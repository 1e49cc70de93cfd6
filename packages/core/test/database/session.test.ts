import { setImmediate as turn } from "node:timers/promises";
import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { CheckpointError, type CheckpointErrorCode } from "../../src/contract/errors.ts";
import type { StorageEvents } from "../../src/contract/status.ts";
import { Emitter } from "../../src/database/events.ts";
import type { Fault } from "../../src/database/faults.ts";
import { failing, never, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import { errorOf, fakeTimers, newSession, run } from "./session-fixture.ts";

const CANARY = "hunter2-canary";

fakeTimers();

describe("a driver's error", () => {
  test.each<[Fault, CheckpointErrorCode, boolean]>([
    ["duplicate", "CONFLICT", false],
    ["foreign-key", "CONTENTION", true],
    ["serialization", "CONTENTION", true],
    ["busy", "CONTENTION", true],
    ["connection", "UNAVAILABLE", true],
    ["overload", "UNAVAILABLE", true],
    ["outage", "UNAVAILABLE", true],
    ["access", "ACCESS_DENIED", false],
    ["login", "ACCESS_DENIED", false],
    ["database", "ACCESS_DENIED", false],
    ["privilege", "ACCESS_DENIED", false],
    ["tls", "ACCESS_DENIED", false],
    ["read-only", "READ_ONLY", true],
    ["full", "STORAGE_FULL", true],
    ["too-large", "STATE_TOO_LARGE", false],
    ["schema", "SCHEMA_OUTDATED", false],
    ["timeout", "TIMEOUT", true],
    ["other", "DATABASE_ERROR", false],
  ])("is translated by its fault: %s to %s", async (fault, code, retryable) => {
    const session = newSession();
    const error = await errorOf(run(session, () => Promise.reject(new ScriptedError(fault))));
    expect([error.code, error.retryable]).toEqual([code, retryable]);
    expect(error.message).toMatch(/^store checkpoint: scripted: .* \(SCRIPTED\)$/);
  });

  test.each<Fault>(["other", "access", "connection", "duplicate"])("shows no value in any part: %s", async (fault) => {
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
  });

  test("is not translated if the dialect itself threw a CheckpointError", async () => {
    const own = new CheckpointError("SCHEMA_TOO_NEW", "open database: too new");
    const dialect = scriptedDialect({ open: () => Promise.reject(own) });
    expect(await errorOf(run(newSession(dialect)))).toBe(own);
    expect(dialect.calls).toEqual(["open"]);
  });

  test("is translated if it was thrown synchronously", async () => {
    const sudden = () => {
      throw new ScriptedError("access");
    };
    expect((await errorOf(run(newSession(), sudden))).code).toBe("ACCESS_DENIED");
    const opening = newSession(scriptedDialect({ open: sudden }));
    expect((await errorOf(run(opening))).code).toBe("ACCESS_DENIED");
    const closing = newSession(scriptedDialect({ close: sudden }));
    await expect(closing.close()).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    expect(vi.getTimerCount(), "timers that keep the process alive").toBe(0);
  });
});

describe("opening", () => {
  test("happens once for any number of calls, and not before the first", async () => {
    const dialect = scriptedDialect();
    const session = newSession(dialect);
    expect(dialect.calls).toEqual([]);
    await Promise.all(Array.from({ length: 100 }, () => run(session)));
    await run(session);
    expect(dialect.calls).toEqual(["open"]);
  });

  test("is tried again by the next call if it failed", async () => {
    const open = failing(1, "access", async () => ({ maxStatementBytes: 1 }));
    const dialect = scriptedDialect({ open });
    const session = newSession(dialect);
    const failed = await Promise.all([errorOf(run(session)), errorOf(run(session))]);
    expect(failed.map((error) => error.code)).toEqual(["ACCESS_DENIED", "ACCESS_DENIED"]);
    expect(await run(session)).toBe("done");
    expect(dialect.calls).toEqual(["open", "open"]);
  });

  test("passes the facts about the server to each call", async () => {
    const session = newSession();
    const { maxStatementBytes } = await session.run("store checkpoint", undefined, async (_signal, opened) => opened);
    expect(maxStatementBytes).toBe(1_000_000);
  });

  test("happens once more if tables are missing that were there", async () => {
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

describe("a caller that makes one call after the other, on a driver that settles them all in microtasks", () => {
  const isSynchronous = true;
  const refusing = { isSynchronous, open: () => Promise.reject(new ScriptedError("access")) };
  const closed = newSession();
  void closed.close();

  test.each<[string, () => Promise<unknown>]>([
    ["that succeed", run.bind(null, newSession(scriptedDialect({ isSynchronous })))],
    ["for which the database does not open", run.bind(null, newSession(scriptedDialect(refusing)))],
    ["of health()", () => newSession(scriptedDialect({ isSynchronous })).ping(undefined)],
    ["on a storage that was closed", run.bind(null, closed)],
  ])("lets the event loop turn between calls %s", async (_, call) => {
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    const giveUpAt = performance.now() + 3_000; // no timer would end it
    while (!hasTurned && performance.now() < giveUpAt) await call().catch(() => {});
    expect(hasTurned).toBe(true);
  });
});

describe("closing", () => {
  test("waits for the calls under way, and refuses later ones", async () => {
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

  test("happens once, however often it is called", async () => {
    const dialect = scriptedDialect();
    const session = newSession(dialect);
    await run(session);
    await Promise.all([session.close(), session.close()]);
    await session.close();
    expect(dialect.calls).toEqual(["open", "close"]);
  });

  test("waits for an opening that no caller waits for any more, since it may hold a connection", async () => {
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

  test("ends at its deadline if the database does not close", async () => {
    const session = newSession(scriptedDialect({ close: never }));
    expect((await errorOf(session.close())).message).toBe("close storage: not done within 30000 ms");
  });
});

test("a file that was created is told of once: when the first opening succeeds, its check too", async () => {
  const created: unknown[] = [];
  const events = new Emitter<StorageEvents>();
  events.on("created", (event) => created.push(event));
  const database = scriptedDialect({ open: async () => ({ maxStatementBytes: 1, created: true }) });
  let refusal: Error | null = new ScriptedError("other");
  const check = async () => {
    if (refusal !== null) throw refusal;
  };
  const session = newSession(database, {}, events, check);
  await errorOf(run(session));
  expect(created).toEqual([]);
  refusal = null;
  await run(session);
  // Tables that are gone: it is opened anew.
  let isGone = true;
  await run(session, async () => {
    if (!isGone) return;
    isGone = false;
    throw new ScriptedError("schema");
  });
  expect(database.calls.filter((call) => call === "open")).toHaveLength(3);
  expect(created).toEqual([{ provider: "main", location: "scripted" }]);
});

describe("the status of a database", () => {
  test("is empty before it was used", () => {
    const nothing = { circuit: "closed", lastError: null, latencyMs: null, location: null, driver: null };
    expect(newSession().status()).toEqual(nothing);
  });

  test("has the last failure that was the database's, and the latency", async () => {
    const session = newSession();
    await run(session);
    expect(session.status()).toMatchObject({ lastError: null, latencyMs: expect.any(Number) });
    await errorOf(run(session, () => Promise.reject(new ScriptedError("full"))));
    await errorOf(run(session, () => Promise.reject(new ScriptedError("duplicate"))));
    await run(session);
    expect(session.status().lastError).toEqual({ code: "STORAGE_FULL", at: expect.any(Number) });
  });
});
