import { describe, expect, test } from "vitest";
import { createRegistry } from "../../src/config/registry.ts";
import { createStorage } from "../../src/create-storage.ts";
import { scriptedDialect } from "../scripted-dialect.ts";

const factory = () => createStorage(scriptedDialect());

describe("a registry", () => {
  test("returns the registered factories by type, and the types in order", () => {
    const registry = createRegistry();
    expect([registry.types(), registry.get("own")]).toEqual([[], undefined]);
    registry.register("own", factory);
    registry.register("another-1", () => factory());
    expect([registry.get("own"), registry.getMemory("own")]).toEqual([factory, undefined]);
    const memory = () => ({}) as never;
    registry.register("with-memory", factory, memory);
    expect([registry.get("with-memory"), registry.getMemory("with-memory")]).toEqual([factory, memory]);
    expect(registry.types()).toEqual(["own", "another-1", "with-memory"]);
  });

  test("shares nothing with another registry", () => {
    createRegistry().register("own", factory);
    expect(createRegistry().types()).toEqual([]);
  });

  test("refuses a type that is taken, even by the same factory", () => {
    const registry = createRegistry();
    registry.register("own", factory);
    expect(() => registry.register("own", factory)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: 'register storage type: "own" is registered already',
      }),
    );
  });

  test.each(["", "Own", "-own", "1own", "own_2", "own/../x", "@own/x", "own ", "x".repeat(65), "__proto__", 7, null])(
    "refuses a type that is no name: %j",
    (type) => {
      const registry = createRegistry();
      expect(() => registry.register(type as string, factory)).toThrow(
        /^expected type to be 1 to 64 of the characters a-z/,
      );
      expect(registry.get(type as string)).toBeUndefined();
    },
  );

  test("refuses a factory that is no function", () => {
    expect(() => createRegistry().register("own", {} as never)).toThrow(
      "expected factory to be a function, got an object",
    );
    expect(() => createRegistry().register("own", factory, {} as never)).toThrow(
      "expected memory to be a function, got an object",
    );
  });

  test("does not have the members of every object as types", () => {
    expect(createRegistry().get("constructor")).toBeUndefined();
  });
});
