import { describe, expect, test, vi } from "vitest";
import type { StorageEvents } from "../../src/contract/status.ts";
import { Emitter } from "../../src/database/events.ts";
import type { Fault } from "../../src/database/faults.ts";
import { failing, never, scriptedDialect } from "../scripted-dialect.ts";
import { errorOf, fakeTimers, newSession, type RawDatabaseOptions, run } from "./session-fixture.ts";

fakeTimers();

describe("a call that fails", () => {
  test.each<Fault>(["serialization", "connection", "overload", "outage", "busy"])(
    "is retried until it succeeds: %s",
    async (fault) => {
      const work = vi.fn(failing(3, fault, async () => "done"));
      const result = run(newSession(), work);
      await vi.runAllTimersAsync();
      expect(await result).toBe("done");
      expect(work).toHaveBeenCalledTimes(4);
    },
  );

  test("fails after six retries within a few seconds if it contends with other writers", async () => {
    const work = vi.fn(failing(100, "serialization", never));
    const start = Date.now();
    vi.useRealTimers();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: start });
    expect((await errorOf(run(newSession(), work))).code).toBe("CONTENTION");
    expect(work).toHaveBeenCalledTimes(7);
    expect(Date.now() - start).toBeLessThan(10_000);
  });

  /** Returns the delays before the retries of a call that always fails. */
  async function delaysOf(fault: Fault, options: RawDatabaseOptions): Promise<number[]> {
    const events = new Emitter<StorageEvents>();
    const retries: StorageEvents["retry"][] = [];
    events.on("retry", (event) => retries.push(event));
    const { code } = await errorOf(run(newSession(scriptedDialect(), options, events), failing(100, fault, never)));
    const expected = retries.map(({ delayMs }, index) => ({
      provider: "main",
      operation: "store checkpoint",
      code,
      attempt: index + 1,
      delayMs,
    }));
    expect(retries).toEqual(expected);
    return retries.map(({ delayMs }) => delayMs);
  }

  test("is retried after growing delays if the server takes no more connections, as the options say", async () => {
    expect(await delaysOf("overload", { retry: { jitterMaxMs: 0 } })).toEqual([1_000, 2_000, 4_000]);
    const retry = { maxRetries: 5, baseDelayMs: 100, maxDelayMs: 700, jitterMaxMs: 0 };
    expect(await delaysOf("overload", { retry })).toEqual([100, 200, 400, 700, 700]);
    expect(await delaysOf("overload", { retry: { maxRetries: 0 } })).toEqual([]);
    for (const [step, delay] of (await delaysOf("overload", { retry: { jitterMaxMs: 50 } })).entries()) {
      expect(delay).toBeGreaterThanOrEqual(1_000 * 2 ** step);
      expect(delay).toBeLessThanOrEqual(1_000 * 2 ** step + 50);
    }
  });

  test("is retried at once if a connection was lost, since the next one may work", async () => {
    expect(await delaysOf("connection", { retry: { jitterMaxMs: 0 } })).toEqual([20, 1_000, 2_000]);
    expect(await delaysOf("connection", { retry: { maxRetries: 1 } })).toEqual([20]);
    expect(await delaysOf("connection", { retry: { maxRetries: 0 } })).toEqual([]);
  });

  test("is retried once if the database is read-only, since the next connection may not be", async () => {
    expect(await delaysOf("read-only", {})).toEqual([20]);
    expect(await delaysOf("read-only", { retry: { maxRetries: 0 } })).toEqual([]);
  });

  test("fails at once with its own error if the next retry would come after the deadline", async () => {
    const options = { operationTimeoutMs: 1_500, retry: { baseDelayMs: 2_000 } };
    expect(await delaysOf("connection", options)).toEqual([20]);
    expect(await delaysOf("overload", options)).toEqual([]);
  });

  test.each<Fault>(["duplicate", "login", "full", "too-large", "timeout", "other"])(
    "is not retried if that cannot help: %s",
    async (fault) => {
      const work = vi.fn(failing(1, fault, async () => "done"));
      await errorOf(run(newSession(), work));
      expect(work).toHaveBeenCalledTimes(1);
    },
  );
});
