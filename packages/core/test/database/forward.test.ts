import { describe, expect, test } from "vitest";
import { forward, forwardThrough } from "../../src/database/forward.ts";

class Counter {
  #total: number;

  constructor(total = 0) {
    this.#total = total;
  }

  add(one: number, other = 0): number {
    this.#total += one + other;
    return this.#total;
  }

  async total(): Promise<number> {
    return this.#total;
  }

  fail(): never {
    throw new RangeError("no");
  }
}

describe("forward", () => {
  test("makes the named methods, and no other", () => {
    expect(Object.keys(forward(new Counter(), ["add", "fail"]))).toEqual(["add", "fail"]);
  });

  test("calls the target as its own, with all arguments, and returns its result", async () => {
    const target = new Counter(7);
    const { add, total } = forward(target, ["add", "total"]);
    expect([add(1), add(2, 3), await total()]).toEqual([8, 13, 13]);
    expect(await target.total()).toBe(13);
  });

  test("throws the errors of the target", () => {
    expect(() => forward(new Counter(), ["fail"]).fail()).toThrow(RangeError);
  });

  test("calls the method that the target has at the time of the call", async () => {
    const target = { total: async () => 1 };
    const { total } = forward(target, ["total"]);
    target.total = async () => 2;
    expect(await total()).toBe(2);
  });
});

describe("forwardThrough", () => {
  const { signal } = new AbortController();

  test("calls the target that `use` provides, and gives `use` the signal", async () => {
    const targets = [new Counter(10), new Counter(20)];
    const signals: AbortSignal[] = [];
    const { add, total } = forwardThrough<Counter, "add" | "total">(
      (given, work) => {
        signals.push(given);
        return work(targets[signals.length - 1] as Counter);
      },
      ["add", "total"],
    );
    const own = new AbortController();
    expect([await add(1, 2, signal), await total(own.signal)]).toEqual([13, 20]);
    expect(signals).toEqual([signal, own.signal]);
  });

  test("does not hand the signal to the target", async () => {
    const received: unknown[][] = [];
    const target = { note: (...args: unknown[]) => received.push(args) };
    const { note } = forwardThrough<typeof target, "note">((_signal, work) => work(target), ["note"]);
    await note("one", "two", signal);
    await note(signal);
    expect(received).toEqual([["one", "two"], []]);
  });

  test("rejects with the errors of the target, thrown synchronously too", async () => {
    const { fail } = forwardThrough<Counter, "fail">((_signal, work) => work(new Counter()), ["fail"]);
    await expect(fail(signal)).rejects.toThrow(RangeError);
  });

  test("rejects with the errors of `use`, and does not call the target then", async () => {
    const { add } = forwardThrough<Counter, "add">(() => Promise.reject(new TypeError("no connection")), ["add"]);
    await expect(add(1, 2, signal)).rejects.toThrow("no connection");
  });
});
