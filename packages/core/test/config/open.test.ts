import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { CheckpointConfig } from "../../src/config/define.ts";
import type { OpenOptions } from "../../src/config/open.ts";
import { createRegistry, type StorageFactory } from "../../src/config/registry.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { never, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import { CANARY, config, folder, install, made, open, refusal, useFolder } from "./program-folder.ts";

useFolder();

describe("a config object", () => {
  test("needs no file, and no package if its type is a factory", async () => {
    const dialect = scriptedDialect();
    const storage = await open({
      config: config({ type: (() => createStorage(dialect)) satisfies StorageFactory, a: 1 }) as never,
    });
    const id = await storage.storeCheckpoint({ agentId: "a", name: "n", state: 1, createdAt: 0 });
    expect((await storage.retrieveCheckpoint(id))?.state).toBe(1);
    expect([...dialect.rows.keys()]).toEqual([id]);
    await storage.close();
  });

  test("may name types of a registry, which take precedence over packages", async () => {
    install("sqlite");
    const registry = createRegistry();
    registry.register("sqlite", ((options: object) => ({ options, from: "registry", storeCheckpoint() {} })) as never);
    expect(made(await open({ registry, config: config() })).from).toBe("registry");
    expect(made(await open({ registry })).options).toMatchObject({ databasePath: join(folder, "agent_state.db") });
  });

  test("has its relative files in cwd, and keeps :memory: and other options", async () => {
    install("sqlite");
    const paths = async (databasePath: unknown) =>
      made(await open({ config: config({ type: "sqlite", databasePath, other: "./x" }) })).options;
    expect(await paths("./data/x.db")).toEqual({
      databasePath: join(folder, "data/x.db"),
      other: "./x",
    });
    expect(await paths("/data/x.db")).toMatchObject({ databasePath: "/data/x.db" });
    expect(await paths(":memory:")).toMatchObject({ databasePath: ":memory:" });
    expect(await paths("")).toMatchObject({ databasePath: "" });
    expect(await paths(7)).toMatchObject({ databasePath: 7 });
    expect(await paths("file:./x.db")).toMatchObject({ databasePath: "file:./x.db" });
    expect(await paths("~/x.db")).toMatchObject({ databasePath: "~/x.db" });
    expect(await paths("./data/")).toMatchObject({ databasePath: "./data/" }); // a folder, which the dialect refuses
  });

  test("has its relative folders in cwd, and keeps memory://", async () => {
    install("postgres");
    const paths = async (pgliteDataDir: unknown) =>
      made(await open({ config: config({ type: "postgres", pgliteDataDir, other: "./x" }) })).options;
    expect(await paths("./data")).toEqual({ pgliteDataDir: join(folder, "data"), other: "./x" });
    expect(await paths("./data/")).toMatchObject({ pgliteDataDir: join(folder, "data") });
    expect(await paths("/data")).toMatchObject({ pgliteDataDir: "/data" });
    expect(await paths("memory://")).toMatchObject({ pgliteDataDir: "memory://" });
    expect(await paths("~/data")).toMatchObject({ pgliteDataDir: "~/data" });
  });

  test.each<[OpenOptions, string]>([
    [{ configfile: "x" } as never, 'got "configfile"'],
    [{ configFile: 7 } as never, "expected options.configFile to be a string, got 7"],
    [{ configFile: undefined } as never, "expected options.configFile to be given, or left out, got undefined"],
    [{ config: undefined } as never, "expected options.config to be given, or left out, got undefined"],
    [{ cwd: 7 } as never, "expected options.cwd to be a string, got 7"],
    [{ env: CANARY } as never, "expected options.env to be an object, got a string of 14 characters"],
    [
      { registry: new Map().get } as never,
      "expected options.registry to be a registry of createRegistry(), got a function",
    ],
    [{ configFile: "x", config: config() }, "expected options to have configFile or config, got both"],
  ])("refuses wrong options of opening: %#", async (options, message) => {
    await expect(open(options)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });
});

describe("a storage with several providers", () => {
  /** Opens providers with a scripted dialect each, which close as given. */
  async function opened(
    closings: Readonly<Record<string, () => Promise<void>>>,
    policy: Omit<CheckpointConfig, "providers"> = {},
  ) {
    const dialects = Object.entries(closings).map(([name, close]) => [name, scriptedDialect({ close })] as const);
    const providers = Object.fromEntries(
      dialects.map(([name, dialect]) => [name, { type: () => createStorage(dialect) }]),
    );
    const storage = await open({ config: { checkpoint: { providers: providers as never, ...policy } } });
    return { storage, dialects: Object.fromEntries(dialects) };
  }

  const succeeding = async () => {};
  const failing = () => Promise.reject(new Error(CANARY));
  const turn = { agentId: "a", name: "n", state: 1, createdAt: 0 };

  test("is main, and returns each provider by its name", async () => {
    const { storage, dialects } = await opened({ second: succeeding, main: succeeding, third: succeeding });
    expect(storage.providers).toEqual(["second", "main", "third"]);
    const id = await storage.storeCheckpoint(turn);
    expect((await storage.provider("main").retrieveCheckpoint(id))?.state).toBe(1);
    expect(await storage.provider("second").retrieveCheckpoint(id)).toBeNull();
    expect(await storage.retrieveLatestCheckpoint("a")).toMatchObject({ id });
    expect(await storage.listAgents()).toEqual(["a"]);
    expect((await storage.listCheckpoints({ agentId: "a" })).map((item) => item.id)).toEqual([id]);
    for await (const item of storage.iterateCheckpoints()) expect(item.id).toBe(id);
    expect((await storage.stats({ agentId: "a" })).checkpoints).toBe(1);
    expect((await storage.health()).ok).toBe(true);
    expect(await storage.migrate("verify")).toEqual([]);
    expect(await storage.pruneCheckpoints({ keepLast: 1 })).toMatchObject({ examined: 1, removed: 0 });
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(await storage.deleteAgent("a")).toBe(0);
    expect(dialects["third"]?.calls).toEqual([]);
  });

  test.each(["Main", "", "toString", "__proto__", 7])(
    "refuses an unknown provider, and lists the names: %j",
    async (name) => {
      const { storage } = await opened({ main: succeeding, backup: succeeding });
      expect(() => storage.provider(name as string)).toThrow(
        expect.objectContaining({
          code: "INVALID_ARGUMENT",
          message: expect.stringContaining("expected name to be one of the providers main, backup, got "),
        }),
      );
    },
  );

  test("refuses a retention that is wrong, or that the dialect of main cannot have", async () => {
    const refusal = (retention: object) => opened({ main: succeeding }, { retention });
    await expect(refusal({ keepLst: 1 })).rejects.toThrow(
      "read config: expected checkpoint.retention to have the members",
    );
    await expect(refusal({ keepLast: 0 })).rejects.toThrow("read config: expected checkpoint.retention.keepLast");
  });

  test("closes within the given time, and as much again, if main does not answer to its retention", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
    vi.spyOn(Math, "random").mockReturnValue(0);
    onTestFinished(() => {
      vi.useRealTimers();
      vi.restoreAllMocks();
    });
    const dialect = scriptedDialect();
    let askForLease = () => {};
    const isAsked = new Promise<void>((resolve) => {
      askForLease = resolve;
    });
    const settings: typeof dialect.settings = {
      ...dialect.settings,
      replace: async (name, from, to, signal) => {
        if (name === "retention" && to.includes('"holder":null')) askForLease();
        if (to.includes('"holder":null')) return await never();
        return await dialect.settings.replace(name, from, to, signal);
      },
    };
    const type = () => createStorage({ ...dialect, settings });
    const storage = await open({
      config: { checkpoint: { providers: { main: { type } } as never, retention: { keepLast: 1 } } },
    });
    await vi.advanceTimersByTimeAsync(1);
    await isAsked;
    const closing = storage.close({ timeoutMs: 1_000 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await closing).toEqual({ unsent: null });
  });

  test("does not connect when it is opened", async () => {
    const { dialects } = await opened({ main: succeeding, backup: succeeding });
    expect([dialects["main"]?.calls, dialects["backup"]?.calls]).toEqual([[], []]);
  });

  test("closes all providers, once", async () => {
    const { storage, dialects } = await opened({ main: succeeding, second: succeeding });
    expect(await storage.close()).toEqual({ unsent: null });
    await storage.close();
    await storage[Symbol.asyncDispose]();
    expect([dialects["main"]?.calls, dialects["second"]?.calls]).toEqual([["close"], ["close"]]);
    await expect(storage.storeCheckpoint(turn)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(storage.provider("second").stats()).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("closes main and backup once, after each has the other's rows", async () => {
    const { storage, dialects } = await opened({ main: succeeding, backup: succeeding, third: succeeding });
    const id = await storage.storeCheckpoint(turn);
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    await storage[Symbol.asyncDispose]();
    const closings = Object.values(dialects).map(({ calls }) => calls.filter((call) => call === "close").length);
    expect(closings).toEqual([1, 1, 1]);
    expect([...(dialects["backup"]?.rows.keys() ?? [])]).toEqual([id]);
    expect(dialects["third"]?.calls).toEqual(["close"]);
    await expect(storage.storeCheckpoint(turn)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(storage.provider("backup").stats()).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("closes all providers even if one fails to close, and rejects then", async () => {
    const { storage, dialects } = await opened({ main: failing, second: succeeding, third: failing });
    await expect(storage.close()).rejects.toMatchObject({ code: "DATABASE_ERROR" });
    expect(Object.values(dialects).map((dialect) => dialect.calls)).toEqual([["close"], ["close"], ["close"]]);
  });

  test.each(["main", "backup"])(
    "closes all providers even if its %s fails to close, and rejects then",
    async (name) => {
      const { storage, dialects } = await opened({
        main: succeeding,
        backup: succeeding,
        third: succeeding,
        [name]: failing,
      });
      await storage.storeCheckpoint(turn);
      await expect(storage.close()).rejects.toMatchObject({ code: "DATABASE_ERROR" });
      expect(Object.values(dialects).map(({ calls }) => calls.at(-1))).toEqual(["close", "close", "close"]);
    },
  );

  test("replicates to its backup, reports its status, and reconciles", async () => {
    const { storage, dialects } = await opened({ main: succeeding, backup: succeeding });
    const id = await storage.storeCheckpoint(turn);
    await expect.poll(() => [...(dialects["backup"]?.rows.keys() ?? [])], { timeout: 60_000 }).toEqual([id]);
    expect((await storage.retrieveCheckpoint(id))?.source).toBe("main");
    const { providers, mode } = await storage.status();
    expect([Object.keys(providers), mode]).toEqual([["main", "backup"], "main"]);
    const reconciled: unknown[] = [];
    storage.on("reconciled", (result) => reconciled.push(result));
    expect(await storage.reconcile()).toMatchObject({ compared: 1, copiedToBackup: 0, copiedToMain: 0 });
    expect(reconciled).toHaveLength(1);
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
  });

  test("uses its backup as the config says", async () => {
    const unreachable = () => Promise.reject(new ScriptedError("connection"));
    const down = createStorage(
      scriptedDialect({ open: unreachable }),
      resolveStorageOptions({ retry: { maxRetries: 0 } }),
    );
    const dialect = scriptedDialect();
    const registry = createRegistry();
    registry.register("down", () => down);
    registry.register("up", () => createStorage(dialect));
    const providers = { main: { type: "down" }, backup: { type: "up" } };
    const config = { checkpoint: { providers, failover: "read-only", staleReads: "allow", reconcile: false } as const };
    const storage = await open({ registry, config });
    await expect(storage.storeCheckpoint(turn)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await storage.retrieveLatestCheckpoint("a")).toBeNull();
    await storage.close({ timeoutMs: 50 });
    expect(dialect.rows.size).toBe(0);
  });

  test("does not use its backup if replication is off", async () => {
    const { storage, dialects } = await opened({ main: succeeding, backup: succeeding }, { replication: "off" });
    const id = await storage.storeCheckpoint(turn);
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(dialects["main"]?.rows.size).toBe(0); // no tombstone is left to be delivered
    expect(await storage.provider("backup").retrieveCheckpoint(id)).toBeNull();
    await expect(storage.reconcile()).rejects.toMatchObject({ code: "INVALID_CONFIG" });
    expect(await storage.close()).toEqual({ unsent: null });
  });

  test("refuses to reconcile without a backup", async () => {
    const { storage } = await opened({ main: succeeding, second: succeeding });
    await expect(storage.reconcile()).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message: "read config: there is no backup to reconcile main with",
    });
  });

  test.each(["main", "backup"])("is refused if its %s was not made by createStorage", async (name) => {
    const own = { type: () => createStorage(scriptedDialect()) };
    const foreign = { type: (() => ({ storeCheckpoint: async () => "stored", close: async () => {} })) as never };
    const config = { checkpoint: { providers: { main: own, backup: own, [name]: foreign } } };
    expect(await refusal({ config })).toBe(
      `read config: checkpoint.providers: expected ${name} to be a storage of one database: of a factory, or a provider of openCheckpointStorage, got an object`,
    );
    const off = await open({ config: { checkpoint: { ...config.checkpoint, replication: "off" } } });
    expect(off.providers).toEqual(["main", "backup"]);
  });

  test("closes the providers that were made if another one is refused", async () => {
    const dialect = scriptedDialect();
    const providers = { main: { type: () => createStorage(dialect) }, backup: { type: "missing" } };
    expect(await refusal({ config: { checkpoint: { providers } } })).toContain(
      "checkpoint.providers.backup: the package @waymark/missing",
    );
    expect(dialect.calls).toEqual(["close"]);
  });

  test.each(["main", "backup"])("is refused if the dialect of its %s has no outbox", async (name) => {
    const withOutbox = { type: () => createStorage(scriptedDialect()) };
    const { outbox: _, ...dialect } = scriptedDialect({ name: "minimal" });
    const without = { type: () => createStorage(dialect) };
    const config = { checkpoint: { providers: { main: withOutbox, backup: withOutbox, [name]: without } } };
    expect(await refusal({ config })).toBe(
      `read config: checkpoint.providers: expected ${name} to be a storage whose dialect has an outbox and settings, got the dialect minimal, which has no outbox`,
    );
    const off = await open({ config: { checkpoint: { ...config.checkpoint, replication: "off" } } });
    expect(off.providers).toEqual(["main", "backup"]);
  });

  test("is refused if replication is required and there is no backup", async () => {
    const providers = { main: { type: () => createStorage(scriptedDialect()) } };
    expect(await refusal({ config: { checkpoint: { providers, replication: "required" } } })).toBe(
      'read config: checkpoint.replication: expected a provider backup beside "required", got none',
    );
  });

  const placed = (main: object, backup: object, policy: Omit<CheckpointConfig, "providers"> = {}): OpenOptions => {
    const registry = createRegistry();
    registry.register("own", () => createStorage(scriptedDialect()));
    const providers = { main: { type: "own", ...main }, backup: { type: "own", ...backup } };
    return { registry, config: { checkpoint: { providers, ...policy } } };
  };

  test.each([
    [{ databasePath: "x.db" }, { databasePath: "./x.db" }],
    [{ connectionString: "own://h/d" }, { connectionString: "own://h/d", tablePrefix: "" }],
    [
      { connectionString: "own://h/d", schema: "s", tablePrefix: "p_" },
      { connectionString: "own://h/d", schema: "s", tablePrefix: "p_" },
    ],
    [{ pgliteDataDir: "x" }, { pgliteDataDir: "./x/" }],
  ])("is refused if its backup is the database of main: %j, %j", async (main, backup) => {
    expect(await refusal(placed(main, backup))).toBe(
      "read config: checkpoint.providers.backup: expected another database than that of checkpoint.providers.main, got the same",
    );
    const off = await open(placed(main, backup, { replication: "off" }));
    expect(off.providers).toEqual(["main", "backup"]);
  });

  test.each([
    [{ databasePath: "x.db" }, { databasePath: "y.db" }],
    [{ databasePath: ":memory:" }, { databasePath: ":memory:" }],
    [{ pgliteDataDir: "memory://" }, { pgliteDataDir: "memory://" }],
    [{ pgliteDataDir: "x" }, { pgliteDataDir: "y" }],
    [{ connectionString: "own://h/d" }, { connectionString: "own://h/d", schema: "s" }],
    [{ connectionString: "own://h/d" }, { connectionString: "own://h/d", tablePrefix: "p_" }],
    [{}, {}],
  ])("is accepted if its backup may be another database than main: %j, %j", async (main, backup) => {
    const storage = await open(placed(main, backup));
    expect(storage.providers).toEqual(["main", "backup"]);
    await storage.close();
  });
});
