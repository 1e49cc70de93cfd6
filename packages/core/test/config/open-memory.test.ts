import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defineConfig } from "../../src/config/define.ts";
import { openCheckpointStorage } from "../../src/config/open.ts";
import { type OpenMemoryOptions, openMemoryStorage } from "../../src/config/open-memory.ts";
import { createRegistry } from "../../src/config/registry.ts";
import type { MemoryStorage } from "../../src/memory/contract.ts";
import { CANARY, folder, install, useFolder, write } from "./program-folder.ts";

useFolder();

/** A result of an installed package's factory of memories: it has the options. */
interface Made extends MemoryStorage {
  readonly options: Readonly<Record<string, unknown>>;
}

/** Adds a module `memory` to an installed package. */
function installMemory(type: string): void {
  install(type);
  const at = `node_modules/@waymark/${type}`;
  const exported = { ".": "./index.js", "./memory": "./memory.js" };
  write(`${at}/package.json`, { name: `@waymark/${type}`, type: "module", exports: exported });
  write(`${at}/memory.js`, "export const createMemoryStorage = (options) => ({ options, addItems: async () => [] });");
}

const open = async (options: OpenMemoryOptions = {}) =>
  (await openMemoryStorage({ cwd: folder, env: {}, ...options })) as Made;

async function refusal(options: OpenMemoryOptions): Promise<string> {
  const error = await open(options).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "INVALID_CONFIG" });
  const { message } = error as Error;
  expect(message).not.toContain(CANARY);
  return message;
}

const main = { type: "sqlite", databasePath: "./a.db" };

describe("the memory of a config", () => {
  test("is on the provider main, without the options that only checkpoints have", async () => {
    installMemory("sqlite");
    const provider = { ...main, cacheBytes: 0, freeze: true, encryption: null, tablePrefix: "x_" };
    const memory = await open({ config: { checkpoint: { providers: { main: provider } } } });
    expect(memory.options).toEqual({ databasePath: join(folder, "a.db"), tablePrefix: "x_" });
  });

  test("is on another provider by its name, with the options of memory", async () => {
    installMemory("sqlite");
    const collections = { messages: { language: "en" as const } };
    const config = defineConfig({
      checkpoint: { providers: { main, other: { type: "sqlite", databasePath: "./b.db" } } },
      memory: { provider: "other", collections },
    });
    expect((await open({ config })).options).toEqual({ databasePath: join(folder, "b.db"), collections });
  });

  test("may have a provider of its own, whose type may be a factory", async () => {
    const made = { addItems: async () => [] } as unknown as MemoryStorage;
    const provider = { type: () => made, databasePath: "./c.db" };
    expect(await open({ config: { checkpoint: { providers: { main } }, memory: { provider } } })).toBe(made);
  });

  test("needs no checkpoints beside it, which then cannot be opened", async () => {
    installMemory("sqlite");
    const config = defineConfig({ memory: { provider: main } });
    expect((await open({ config })).options).toEqual({ databasePath: join(folder, "a.db") });
    write("waymark.config.json", config);
    expect((await open()).options).toEqual({ databasePath: join(folder, "a.db") });
    await expect(openCheckpointStorage({ cwd: folder, env: {} })).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message: expect.stringContaining("expected config to have the member checkpoint, got memory alone"),
    });
  });

  test("has the embedder and the collections that are given, in place of the config's", async () => {
    installMemory("sqlite");
    const [embedder, another] = ["m1", "m2"].map((model) => ({ model, dimensions: 2, embed: async () => [] }));
    const collections = { "*": { language: "en" as const } };
    write("waymark.config.json", { checkpoint: { providers: { main } }, memory: { collections: { a: {} } } });
    const { options } = await open({ embedder });
    expect(options["embedder"]).toBe(embedder);
    expect(options["collections"]).toEqual({ a: {} });
    const config = { memory: { provider: main, embedder } };
    expect((await open({ config, embedder: another, collections })).options).toMatchObject({
      embedder: { model: "m2" },
      collections,
    });
    expect((await open({ config, embedder: undefined })).options["embedder"]).toBe(embedder);
  });

  test("may be of a type of a registry, which takes precedence over packages", async () => {
    installMemory("sqlite");
    const registry = createRegistry();
    const made = { addItems: async () => [] } as unknown as MemoryStorage;
    registry.register(
      "sqlite",
      () => ({}) as never,
      () => made,
    );
    expect(await open({ registry })).toBe(made);
    registry.register(
      "own",
      () => ({}) as never,
      () => made,
    );
    expect(await open({ registry, env: { WAYMARK_URL: "own://somewhere" } })).toBe(made);
    registry.register("plain", () => ({}) as never);
    expect(await refusal({ registry, env: { WAYMARK_URL: "plain://somewhere" } })).toBe(
      'read environment: WAYMARK_URL: the type "plain" is registered without a factory of memories',
    );
  });

  test.each<[options: object, message: string]>([
    [{ embedder: {} }, "expected options.embedder.embed to be a function, got undefined"],
    [{ collections: { a: { language: "xx" } } }, 'expected options.collections["a"].language to be'],
    [{ registry: {} }, "expected options.registry to be a registry of createRegistry(), got an object"],
    [{ embeder: {} }, 'embedder, collections, env, got "embeder"'],
  ])("refuses options that are none, by their names: %#", async (options, message) => {
    await expect(open(options)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });

  test("is found by the environment, as checkpoints are", async () => {
    installMemory("postgres");
    const memory = await open({ env: { DATABASE_URL: "postgres://localhost/app" } });
    expect(memory.options).toEqual({ connectionString: "postgres://localhost/app" });
  });
});

describe("a config of memory that is not as documented", () => {
  const providers = { main };

  test.each([{}, { provider: "main" }])(
    "is refused without checkpoints, if it has no provider of its own: %j",
    async (memory) => {
      expect(await refusal({ config: { memory } })).toMatch(
        /^read config: expected memory\.provider to be a provider of its own, since the config has no checkpoint, got /,
      );
    },
  );

  test.each<[memory: object, message: string]>([
    [
      { provider: "nowhere" },
      'expected memory.provider to be a provider, or the name of one in checkpoint.providers: "main", got "nowhere"',
    ],
    [{ path: CANARY }, 'expected memory to have the members provider, embedder, collections, got "path"'],
    [{ collections: 5 }, "expected memory.collections to be an object, got 5"],
    [{ embedder: {} }, "expected memory.embedder.embed to be a function, got undefined"],
    [{ provider: { type: "Nothing" } }, "expected memory.provider.type to be a factory function"],
    [{ provider: { type: "elsewhere" } }, "memory.provider: the package @waymark/elsewhere is not installed"],
    [
      { provider: { type: () => CANARY } },
      "memory.provider: call storage factory: expected it to return a storage, got a string",
    ],
  ])("is refused by its name: %#", async (memory, message) => {
    installMemory("sqlite");
    expect(await refusal({ config: { checkpoint: { providers }, memory } as never })).toContain(message);
  });

  test("is refused where the provider encrypts checkpoints: memory would be in plain", async () => {
    installMemory("sqlite");
    const encryption = { keys: CANARY };
    const message = await refusal({ config: { checkpoint: { providers: { main: { ...main, encryption } } } } });
    expect(message).toContain("expected memory.provider to be a provider without encryption");
  });

  test("is refused where the provider's package keeps no memory", async () => {
    install("sqlite");
    expect(await refusal({ config: { checkpoint: { providers } } })).toContain(
      "the package @waymark/sqlite keeps no memory",
    );
  });

  test("is refused where the provider is made by a factory of checkpoints", async () => {
    const message = await refusal({ config: { checkpoint: { providers: { main: { type: () => ({}) as never } } } } });
    expect(message).toContain("checkpoint.providers.main.type is a function, which makes no memory");
  });
});
