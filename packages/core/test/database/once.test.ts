import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Once, Shared } from "../../src/database/once.ts";

const { signal } = new AbortController();

/** An opening that ends when the test says so. */
interface Opening {
  succeed(result: string): void;
  fail(error: Error): void;
}

/** A function that opens something, and its openings so far. */
function opener(): { open: () => Promise<string>; openings: Opening[] } {
  const openings: Opening[] = [];
  const open = () =>
    new Promise<string>((succeed, fail) => {
      openings.push({ succeed, fail });
    });
  return { open, openings };
}

describe("Once", () => {
  test("does not open before the first use", async () => {
    const { open, openings } = opener();
    const once = new Once(open);
    expect(await once.current()).toBeNull();
    expect(openings).toHaveLength(0);
  });

  test("opens once, however many callers arrive before and after it is open", async () => {
    const { open, openings } = opener();
    const once = new Once(open);
    const calls = [once.get(signal), once.get(signal)];
    openings[0]?.succeed("first");
    expect(await Promise.all([...calls, once.get(signal)])).toEqual(["first", "first", "first"]);
    expect(openings).toHaveLength(1);
  });

  test("passes on the signal of the caller that opens", async () => {
    const own = new AbortController();
    const signals: AbortSignal[] = [];
    const once = new Once(async (given) => signals.push(given));
    await Promise.all([once.get(own.signal), once.get(signal)]);
    expect(signals).toEqual([own.signal]);
  });

  test("fails for all callers of an opening that fails, and opens again for the next one", async () => {
    const { open, openings } = opener();
    const once = new Once(open);
    const calls = [once.get(signal), once.get(signal)];
    openings[0]?.fail(new TypeError("no"));
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await once.current()).toBeNull();
    const next = once.get(signal);
    openings[1]?.succeed("second");
    expect(await next).toBe("second");
  });

  test("opens again after it was told to forget", async () => {
    const { open, openings } = opener();
    const once = new Once(open);
    const first = once.get(signal);
    openings[0]?.succeed("first");
    expect(await first).toBe("first");
    once.forget();
    const second = once.get(signal);
    openings[1]?.succeed("second");
    expect([await second, await once.current()]).toEqual(["second", "second"]);
  });

  test("keeps the new opening if a forgotten one fails", async () => {
    const { open, openings } = opener();
    const once = new Once(open);
    const forgotten = once.get(signal).catch((error: Error) => error.message);
    once.forget();
    const next = once.get(signal);
    openings[0]?.fail(new TypeError("too late"));
    expect(await forgotten).toBe("too late");
    openings[1]?.succeed("second");
    expect([await next, await once.get(signal)]).toEqual(["second", "second"]);
    expect(openings).toHaveLength(2);
  });

  test("waits for an opening under way before it returns the current result", async () => {
    const { open, openings } = opener();
    const once = new Once(open);
    void once.get(signal);
    const current = once.current();
    openings[0]?.succeed("first");
    expect(await current).toBe("first");
  });
});

describe("Shared", () => {
  function shared() {
    const { open, openings } = opener();
    const closed: string[] = [];
    const signals: AbortSignal[] = [];
    const resource = new Shared(
      (given) => {
        signals.push(given);
        return open();
      },
      async (one: string) => void closed.push(one),
    );
    return { resource, openings, closed, signals };
  }

  test("opens at the first use of any user, once for all", async () => {
    const { resource, openings } = shared();
    const [one, other] = [resource.share(), resource.share()];
    expect(openings).toHaveLength(0);
    const calls = [one.get(signal), other.get(signal)];
    openings[0]?.succeed("first");
    expect(await Promise.all(calls)).toEqual(["first", "first"]);
    expect(openings).toHaveLength(1);
  });

  test("stays open for the other users if one closes it, and is closed by the last one", async () => {
    const { resource, openings, closed } = shared();
    const [one, other] = [resource.share(), resource.share()];
    const call = one.get(signal);
    openings[0]?.succeed("first");
    await call;
    await one.close();
    expect([closed, await other.get(signal)]).toEqual([[], "first"]);
    await other.close();
    expect(closed).toEqual(["first"]);
    expect(openings).toHaveLength(1);
  });

  test("counts a user who closes it twice once", async () => {
    const { resource, openings, closed } = shared();
    const [one, other] = [resource.share(), resource.share()];
    const call = other.get(signal);
    openings[0]?.succeed("first");
    await call;
    await one.close();
    await one.close();
    expect(closed).toEqual([]);
    await other.close();
    await other.close();
    expect(closed).toEqual(["first"]);
  });

  test("waits for an opening under way before it closes", async () => {
    const { resource, openings, closed } = shared();
    const user = resource.share();
    const call = user.get(signal);
    const closing = user.close();
    await turn();
    expect(closed).toEqual([]);
    openings[0]?.succeed("first");
    await closing;
    expect([await call, closed]).toEqual(["first", ["first"]]);
  });

  test("closes nothing if it was never opened, or if opening failed", async () => {
    const { resource, openings, closed } = shared();
    await resource.share().close();
    expect([openings, closed]).toEqual([[], []]);
    const user = resource.share();
    const call = user.get(signal);
    const closing = user.close();
    openings[0]?.fail(new TypeError("no"));
    await expect(call).rejects.toThrow("no");
    await closing;
    expect(closed).toEqual([]);
  });

  test("opens again for a user who comes after it was closed", async () => {
    const { resource, openings, closed } = shared();
    const first = resource.share();
    const call = first.get(signal);
    openings[0]?.succeed("first");
    await call;
    await first.close();
    const second = resource.share();
    const next = second.get(signal);
    openings[1]?.succeed("second");
    expect(await next).toBe("second");
    await second.close();
    expect(closed).toEqual(["first", "second"]);
  });

  test("goes on opening for a user who waits, though the one who came first gives up", async () => {
    const { resource, openings, signals } = shared();
    const impatient = new AbortController();
    const first = resource.share().get(impatient.signal);
    const second = resource.share().get(signal);
    impatient.abort(new TypeError("too late"));
    await expect(first).rejects.toThrow("too late");
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    openings[0]?.succeed("first");
    expect(await second).toBe("first");
  });

  test("gives the opening up when all who wait for it have, and opens again for the next one", async () => {
    const { resource, openings, signals } = shared();
    const user = resource.share();
    const callers = [new AbortController(), new AbortController()];
    const calls = callers.map((caller) => user.get(caller.signal));
    for (const caller of callers) caller.abort(new TypeError("too late"));
    expect(signals.map(({ aborted, reason }) => aborted && reason.message)).toEqual(["too late"]);
    openings[0]?.fail(new TypeError("aborted"));
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const next = user.get(signal);
    openings[1]?.succeed("second");
    expect(await next).toBe("second");
  });

  test("refuses to open for a user who has closed it", async () => {
    const { resource, openings, closed } = shared();
    const user = resource.share();
    const call = user.get(signal);
    openings[0]?.succeed("first");
    await call;
    await user.close();
    await expect(user.get(signal)).rejects.toMatchObject({ code: "CLOSED" });
    expect([openings.length, closed]).toEqual([1, ["first"]]);
  });

  test("opens another one for a user who comes while the last one closes", async () => {
    const { resource, openings, closed } = shared();
    const first = resource.share();
    const call = first.get(signal);
    openings[0]?.succeed("first");
    await call;
    const closing = first.close();
    const second = resource.share();
    const next = second.get(signal);
    await turn();
    openings[1]?.succeed("second");
    await closing;
    expect([await next, closed]).toEqual(["second", ["first"]]);
  });

  test("rejects the close of the last user if closing fails", async () => {
    const resource = new Shared(
      async () => "first",
      () => Promise.reject(new TypeError("no")),
    );
    const user = resource.share();
    await user.get(signal);
    await expect(user.close()).rejects.toThrow("no");
  });
});
