import { describe, expect, test } from "vitest";
import { createStorage, resolveStorageOptions, STORAGE_OPTIONS } from "../src/create-storage.ts";
import { ScriptedError, scriptedDialect } from "./scripted-dialect.ts";

describe("createStorage", () => {
  test.each([
    ["raw options", { cacheBytes: 0 }],
    ["no options at all", {}],
    ["null", null],
    ["resolved options that were copied without their mark", JSON.parse(JSON.stringify(resolveStorageOptions()))],
  ])("refuses %s: they are not the result of resolveStorageOptions", (_name, options) => {
    expect(() => createStorage(scriptedDialect(), options as never)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: expect.stringMatching(/^expected options to be the result of resolveStorageOptions, got /),
      }),
    );
  });

  test.each([0, 2, undefined])("refuses a dialect of the interface's version %j", (apiVersion) => {
    const dialect = { ...scriptedDialect(), apiVersion } as never;
    expect(() => createStorage(dialect)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: expect.stringMatching(/^expected dialect.apiVersion to be 1, got /),
      }),
    );
  });

  test("accepts resolved options that were extended, as a dialect does with its own", async () => {
    const options = { ...resolveStorageOptions({ retry: { maxRetries: 0 } }), databasePath: "./x.db" };
    const dialect = scriptedDialect({ list: () => Promise.reject(new ScriptedError("connection")) });
    await using storage = createStorage(dialect, options);
    await expect(storage.listCheckpoints()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(dialect.calls).toEqual(["open", "list"]); // no retry
  });

  test("uses the defaults without options, and calls nothing", () => {
    const dialect = scriptedDialect();
    createStorage(dialect);
    expect(dialect.calls).toEqual([]);
  });
});

describe("resolveStorageOptions", () => {
  test("returns all options that every dialect takes, with their defaults", () => {
    const resolved = resolveStorageOptions();
    expect(Object.keys(resolved).sort()).toEqual([...STORAGE_OPTIONS].sort());
    expect(resolved.encryption).toBeNull();
  });

  test.each([
    [{ operationTimeoutMs: 0 }, "options.operationTimeoutMs"],
    [{ migrate: "always" }, "options.migrate"],
    [{ tablePrefix: "1_" }, "options.tablePrefix"],
    [{ retry: { maxRetries: -1 } }, "options.retry.maxRetries"],
    [{ retry: { times: 3 } }, "options.retry to have the members maxRetries"],
    [{ circuit: { failureThreshold: 0 } }, "options.circuit.failureThreshold"],
    [{ circuit: 5 }, "options.circuit"],
    [{ cacheBytes: -1 }, "options.cacheBytes"],
    [{ freeze: "yes" }, "options.freeze"],
    [{ encryption: {} }, "options.encryption.keys"],
  ])("names the option that it refuses: %j", (options, name) => {
    expect(() => resolveStorageOptions(options)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(`expected ${name}`) }),
    );
  });
});
