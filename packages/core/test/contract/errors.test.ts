import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import {
  CheckpointError,
  type CheckpointErrorCode,
  codeOf,
  DriverError,
  factsOf,
  invalidArgument,
  invalidWord,
  keepWords,
  describe as kindOf,
  rootCause,
  withoutValues,
} from "../../src/contract/errors.ts";

const CANARY = "hunter2-canary";

/** All codes: a missing or unknown one does not compile. */
const CODES = Object.keys({
  INVALID_ARGUMENT: true,
  INVALID_CONFIG: true,
  UNSUPPORTED_VALUE: true,
  STATE_TOO_LARGE: true,
  CONFLICT: true,
  NOT_FOUND: true,
  CORRUPT_CHECKPOINT: true,
  UNSUPPORTED_FORMAT: true,
  ENCRYPTION_MISMATCH: true,
  SCHEMA_OUTDATED: true,
  SCHEMA_TOO_NEW: true,
  SCHEMA_MISMATCH: true,
  UNAVAILABLE: true,
  STALE: true,
  TIMEOUT: true,
  CONTENTION: true,
  READ_ONLY: true,
  STORAGE_FULL: true,
  ACCESS_DENIED: true,
  STATE_MISMATCH: true,
  DIMENSION_MISMATCH: true,
  MODEL_MISMATCH: true,
  EMBEDDING_FAILED: true,
  EMBEDDING_INVALID: true,
  ABORTED: true,
  CLOSED: true,
  DATABASE_ERROR: true,
} satisfies Record<CheckpointErrorCode, true>);

describe("a CheckpointError", () => {
  test("is recognised by its mark, whichever copy of the class made it", () => {
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

  test("has a cause and statements only if they were given", () => {
    const bare = new CheckpointError("CLOSED", "x");
    expect([Object.hasOwn(bare, "cause"), Object.hasOwn(bare, "sql")]).toEqual([false, false]);
    const full = new CheckpointError("SCHEMA_OUTDATED", "x", { cause: 1, sql: ["CREATE"] });
    expect([full.cause, full.sql]).toEqual([1, ["CREATE"]]);
  });
});

describe("the error codes", () => {
  /** Rows of the error table of the README: code, retryable. */
  const documented = readErrorTable();

  test("are all in the README, and no other is", () => {
    expect(documented.map(([code]) => code).sort()).toEqual([...CODES].sort());
  });

  test.each(documented)("are retryable as the README says: %s %s", (code, retryable) => {
    const error = new CheckpointError(code as CheckpointErrorCode, "x");
    expect(error.retryable).toBe({ yes: true, no: false }[retryable]);
  });

  test("have no facts for an error that is not ours", () => {
    const foreign = Object.assign(new Error("x"), { code: "TIMEOUT" });
    expect([factsOf(foreign), codeOf(foreign)]).toEqual([null, "DATABASE_ERROR"]);
    expect(codeOf(new CheckpointError("STALE", "x"))).toBe("STALE");
  });
});

function readErrorTable(): [code: string, retryable: string][] {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [, section = ""] = readme.split(/^## Errors$/m);
  const [table = ""] = section.split(/^## /m);
  return [...table.matchAll(/^\| `([A-Z_]+)` \|.*\| (\w+) \|$/gm)].map(([, code, retryable]) => [
    code as string,
    retryable as string,
  ]);
}

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

  test("keeps the words of an error that was marked as one without values, on one line", () => {
    const marked = Object.assign(new Error("unable to open\n  database file"), { code: "SQLITE_CANTOPEN" });
    const clean = withoutValues(keepWords(new Error("wrapped", { cause: marked })));
    expect(clean.message).toBe("unable to open database file (code SQLITE_CANTOPEN)");
    expect(clean.words).toBe("unable to open database file");
    expect(withoutValues(driverError()).words).toBeUndefined();
  });

  test("keeps the codes, and nothing that may hold a value", () => {
    const clean = withoutValues(
      driverError({ code: "ER_DUP_ENTRY", errno: 1062, sqlState: "23000", syscall: "connect", address: CANARY }),
    );
    expect([clean.name, clean.code, clean.errno, clean.sqlState, clean.syscall]).toEqual([
      "DriverError",
      "ER_DUP_ENTRY",
      1062,
      "23000",
      "connect",
    ]);
    expect(clean.message).toBe("code ER_DUP_ENTRY, errno 1062, sqlState 23000, syscall connect");
    expect(shown(clean)).not.toContain(CANARY);
  });

  test.each([
    ["a code with other characters", { code: `E ${CANARY}` }],
    ["a code that is an object", { code: { text: CANARY } }],
    ["an errno that is text", { errno: CANARY }],
    ["a SQLSTATE with other characters", { sqlState: CANARY }],
    ["a syscall with other characters", { syscall: `connect ${CANARY}` }],
  ])("keeps no code of another form: %s", (_name, members) => {
    const clean = withoutValues(driverError(members));
    expect(clean).toBeInstanceOf(DriverError);
    expect(clean.message).toBe("the driver gave no code");
    expect(shown(clean)).not.toContain(CANARY);
  });

  test("keeps the frames of the stack", () => {
    const clean = withoutValues(driverError());
    expect(clean.stack).toMatch(/^DriverError: the driver gave no code\n {4}at /);
    expect(clean.stack).toContain("errors.test.ts");
  });

  test("is made of the innermost cause, which has the code", () => {
    const inner = driverError({ code: "23505" });
    const wrapped = new Error(`Failed query: ${CANARY}`, { cause: new Error(CANARY, { cause: inner }) });
    expect(rootCause(wrapped)).toBe(inner);
    expect(withoutValues(wrapped).code).toBe("23505");
    expect(shown(withoutValues(wrapped))).not.toContain(CANARY);
  });

  test("is made of any thrown value", () => {
    const loop: { cause?: unknown } = {};
    loop.cause = loop;
    for (const thrown of [null, undefined, CANARY, 7, {}, loop, { stack: 1, message: 2 }, () => CANARY]) {
      expect(withoutValues(thrown)).toBeInstanceOf(DriverError);
      expect(shown(withoutValues(thrown))).not.toContain(CANARY);
    }
  });
});

describe("the error for a wrong word", () => {
  test.each<[unknown, string]>([
    ["sync", '"sync"'],
    ["", "an empty string"],
    [7, "7"],
    [["sync"], "an array"],
    ["a\tb\u007f\u202e\ufeff\ud800", '"a\\tb\\u007f\\u202e\\ufeff\\ud800"'],
    ["x".repeat(65), `"${"x".repeat(64)}…"`],
    [`postgres://u:${CANARY}@h/d`, "a string of 31 characters"],
    [`u:${CANARY}@h/d`, "a string of 20 characters"],
  ])("shows the word, but nothing that may be a URL: %#", (value, shown) => {
    const error = invalidWord("options.migrate", "one", value);
    expect(error.message).toBe(`expected options.migrate to be one, got ${shown}`);
  });
});

describe("the error for a wrong argument", () => {
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
    [true, "true"],
    ["x", "a string of 1 character"],
  ])("shows no more of a value than a number or a boolean: %#", (value, kind) => {
    expect(kindOf(value)).toBe(kind);
    const error = invalidArgument("query.limit", "a whole number", value);
    expect([error.code, error.message]).toEqual([
      "INVALID_ARGUMENT",
      `expected query.limit to be a whole number, got ${kind}`,
    ]);
  });
});
