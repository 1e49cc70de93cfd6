import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import {
  CheckpointError,
  DriverError,
  invalidArgument,
  describe as kindOf,
  rootCause,
  withoutValues,
} from "../../src/contract/errors.ts";

const CANARY = "hunter2-canary";

describe("a CheckpointError", () => {
  test("it is known by its brand, whichever copy of the class made it", () => {
    class OtherCopy extends Error {
      readonly code = "CONFLICT";
      constructor() {
        super("of another copy");
        Object.defineProperty(this, Symbol.for("waymark.CheckpointError"), { value: true });
      }
    }
    expect(new OtherCopy()).toBeInstanceOf(CheckpointError);
    expect(new CheckpointError("CONFLICT", "x")).toBeInstanceOf(Error);
    for (const other of [new Error("x"), null, undefined, "x", { code: "CONFLICT" }]) {
      expect(other instanceof CheckpointError).toBe(false);
    }
  });

  test("it has a cause and statements only if they were given", () => {
    const bare = new CheckpointError("CLOSED", "x");
    expect([Object.hasOwn(bare, "cause"), Object.hasOwn(bare, "sql")]).toEqual([false, false]);
    const full = new CheckpointError("SCHEMA_OUTDATED", "x", { cause: 1, sql: ["CREATE"] });
    expect([full.cause, full.sql]).toEqual([1, ["CREATE"]]);
  });

  test.each([
    ["UNAVAILABLE", true],
    ["TIMEOUT", true],
    ["CONTENTION", true],
    ["READ_ONLY", true],
    ["STORAGE_FULL", true],
    ["CONFLICT", false],
    ["ACCESS_DENIED", false],
    ["ABORTED", false],
    ["CLOSED", false],
    ["DATABASE_ERROR", false],
    ["INVALID_CONFIG", false],
  ] as const)("it is retryable as its code says: %s %s", (code, retryable) => {
    expect(new CheckpointError(code, "x").retryable).toBe(retryable);
  });
});

describe("a driver's error without values", () => {
  function driverError(members: object = {}): Error {
    const message = `Duplicate entry '${CANARY}'\n    at ${CANARY} (/etc/${CANARY}:1:1)`;
    return Object.assign(new Error(message), {
      detail: CANARY,
      query: `INSERT ${CANARY}`,
      parameters: [CANARY],
      ...members,
    });
  }

  const shown = (error: unknown) =>
    inspect(error, { showHidden: true, depth: 20, getters: true }) + JSON.stringify(error);

  test("it keeps the codes, and nothing that may hold a value", () => {
    const clean = withoutValues(
      driverError({ code: "ER_DUP_ENTRY", errno: 1062, syscall: "connect", address: CANARY }),
    );
    expect([clean.name, clean.code, clean.errno, clean.syscall]).toEqual([
      "DriverError",
      "ER_DUP_ENTRY",
      1062,
      "connect",
    ]);
    expect(clean.message).toBe("code ER_DUP_ENTRY, errno 1062, syscall connect");
    expect(shown(clean)).not.toContain(CANARY);
  });

  test.each([
    ["a code with other characters", { code: `E ${CANARY}` }],
    ["a code that is an object", { code: { text: CANARY } }],
    ["an errno that is text", { errno: CANARY }],
    ["a syscall with other characters", { syscall: `connect ${CANARY}` }],
  ])("it keeps no code that is none: %s", (_name, members) => {
    const clean = withoutValues(driverError(members));
    expect(clean).toBeInstanceOf(DriverError);
    expect(clean.message).toBe("the driver gave no code");
    expect(shown(clean)).not.toContain(CANARY);
  });

  test("it keeps the frames of the stack, so that the place is known", () => {
    const clean = withoutValues(driverError());
    expect(clean.stack).toMatch(/^DriverError: the driver gave no code\n {4}at /);
    expect(clean.stack).toContain("errors.test.ts");
  });

  test("it is of the innermost cause, which has the code", () => {
    const inner = driverError({ code: "23505" });
    const wrapped = new Error(`Failed query: ${CANARY}`, { cause: new Error(CANARY, { cause: inner }) });
    expect(rootCause(wrapped)).toBe(inner);
    expect(withoutValues(wrapped).code).toBe("23505");
    expect(shown(withoutValues(wrapped))).not.toContain(CANARY);
  });

  test("it is made of anything that can be thrown", () => {
    const loop: { cause?: unknown } = {};
    loop.cause = loop;
    for (const thrown of [null, undefined, CANARY, 7, {}, loop, { stack: 1, message: 2 }, () => CANARY]) {
      expect(withoutValues(thrown)).toBeInstanceOf(DriverError);
      expect(shown(withoutValues(thrown))).not.toContain(CANARY);
    }
  });
});

describe("a message about a wrong argument", () => {
  test.each<[unknown, string]>([
    [CANARY, `a string of ${CANARY.length} characters`],
    ["", "an empty string"],
    [7, "7"],
    [Number.NaN, "NaN"],
    [null, "null"],
    [undefined, "undefined"],
    [[CANARY], "an array"],
    [{ a: CANARY }, "an object"],
    [new Date(), "a Date"],
    [() => CANARY, "a function"],
    [Symbol(CANARY), "a symbol"],
    [1n, "a bigint"],
    [true, "a boolean"],
  ])("it tells the kind of what came, never what: %#", (value, kind) => {
    expect(kindOf(value)).toBe(kind);
    const error = invalidArgument("query.limit", "a whole number", value);
    expect([error.code, error.message]).toEqual([
      "INVALID_ARGUMENT",
      `expected query.limit to be a whole number, got ${kind}`,
    ]);
  });
});
