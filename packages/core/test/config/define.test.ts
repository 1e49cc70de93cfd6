import { describe, expect, test } from "vitest";
import { createProvider, defineConfig, type Provider, parseConfig } from "../../src/config/define.ts";
import { CheckpointError, invalidArgument } from "../../src/contract/errors.ts";
import { createStorage } from "../../src/create-storage.ts";
import { scriptedDialect } from "../scripted-dialect.ts";

const CANARY = "hunter2-canary";
const main = { type: "own", url: `own://user:${CANARY}@host/db` };
const config = (providers: object) => ({ checkpoint: { providers } });

function refusal(value: unknown): string {
  try {
    parseConfig("read config", value);
  } catch (error) {
    expect(error).toMatchObject({ name: "CheckpointError", code: "INVALID_CONFIG", retryable: false });
    expect((error as Error).message).not.toContain(CANARY);
    return (error as Error).message.replace(/^read config: /, "");
  }
  return "(accepted)";
}

describe("a config", () => {
  test("is returned unchanged by defineConfig", () => {
    const given = { checkpoint: { providers: { main, backup: { type: "own" }, archive: { type: "own" } } } };
    expect(defineConfig(given)).toBe(given);
  });

  test("has its providers in order, each with its path, type and options", () => {
    const factory = () => createStorage(scriptedDialect());
    const given = config({ main, backup: { type: factory, a: 1 }, "off-site_2": { type: "own" } });
    expect(parseConfig("read config", given).providers).toEqual([
      { name: "main", field: "checkpoint.providers.main", type: "own", options: { url: main.url } },
      // A factory gets no type: it is the type itself.
      { name: "backup", field: "checkpoint.providers.backup", type: factory, options: { a: 1 } },
      { name: "off-site_2", field: "checkpoint.providers.off-site_2", type: "own", options: {} },
    ]);
  });

  test("may have a provider that is undefined", () => {
    const { providers } = parseConfig("read config", config({ main, backup: undefined }));
    expect(providers.map(({ name }) => name)).toEqual(["main"]);
  });

  test("has options that later changes of the given object do not reach", () => {
    const given = { ...main };
    const [provider] = parseConfig("read config", config({ main: given })).providers;
    given.type = "other";
    expect(provider?.options).toEqual({ url: main.url });
  });

  test("has the replication options, with defaults for absent ones", () => {
    expect(parseConfig("read config", config({ main })).policy).toEqual({
      replication: "async",
      failover: "automatic",
      staleReads: "refuse",
      reconcile: true,
      tombstoneRetentionMs: 30 * 86_400_000,
    });
    const policy = {
      replication: "required",
      failover: "read-only",
      staleReads: "allow",
      reconcile: false,
      tombstoneRetentionMs: 0,
    };
    const providers = { main, backup: main };
    expect(parseConfig("read config", { checkpoint: { providers, ...policy } }).policy).toEqual(policy);
    const absent = { replication: undefined, reconcile: undefined };
    expect(parseConfig("read config", { checkpoint: { providers: { main }, ...absent } }).policy).toMatchObject({
      replication: "async",
      reconcile: true,
    });
  });

  test.each<[object, string]>([
    [{ replication: "sync" }, 'checkpoint.replication to be "async" or "required" or "off", got "sync"'],
    [{ replication: true }, 'checkpoint.replication to be "async" or "required" or "off", got true'],
    [{ failover: "on" }, 'checkpoint.failover to be "automatic" or "read-only" or "off", got "on"'],
    [{ failover: null }, 'checkpoint.failover to be "automatic" or "read-only" or "off", got null'],
    [
      { staleReads: `evil://${CANARY}` },
      'checkpoint.staleReads to be "refuse" or "allow", got a string of 21 characters',
    ],
    [{ reconcile: "yes" }, 'checkpoint.reconcile to be a boolean, got "yes"'],
    [{ tombstoneRetentionMs: -1 }, "checkpoint.tombstoneRetentionMs to be a whole number from 0 to "],
    [{ tombstoneRetentionMs: 1.5 }, "checkpoint.tombstoneRetentionMs to be a whole number from 0 to "],
    [{ tombstoneRetentionMs: "30d" }, "checkpoint.tombstoneRetentionMs to be a whole number from 0 to "],
  ])("is refused with the name of a wrong replication option: %#", (policy, message) => {
    expect(refusal({ checkpoint: { providers: { main }, ...policy } })).toContain(`expected ${message}`);
  });

  test.each(["bakcup", "Backup", "back-up", "backups", "backup2"])(
    "is refused for a provider that may be its backup, mistyped: %s",
    (name) => {
      expect(refusal(config({ main, [name]: main }))).toBe(
        `expected checkpoint.providers to have no name that is nearly backup, got "${name}": did you mean backup? If not, say backup: undefined beside it`,
      );
      const providers = { main, backup: undefined, [name]: main };
      expect(parseConfig("read config", config(providers)).providers.map((one) => one.name)).toEqual(["main", name]);
      expect(refusal(config({ main, backup: main, [name]: main }))).toBe("(accepted)");
    },
  );

  test.each(["second", "archive", "off-site_2", "replica", "main2", "maintenance", "lookup", "pack"])(
    "may have a provider without a meaning of its own: %s",
    (name) => {
      expect(refusal(config({ main, [name]: main }))).toBe("(accepted)");
    },
  );

  test.each<[object, string]>([
    [{ replication: "async" }, 'checkpoint.replication: expected a provider backup beside "async", got none'],
    [{ replication: "required" }, 'checkpoint.replication: expected a provider backup beside "required", got none'],
    [{ failover: "automatic" }, 'checkpoint.failover: expected a provider backup beside "automatic", got none'],
    [{ failover: "read-only" }, 'checkpoint.failover: expected a provider backup beside "read-only", got none'],
    [{ staleReads: "allow" }, 'checkpoint.staleReads: expected a provider backup beside "allow", got none'],
    [{ reconcile: true }, "checkpoint.reconcile: expected a provider backup beside true, got none"],
  ])("is refused for an option that needs a backup while there is none: %j", (policy, message) => {
    expect(refusal({ checkpoint: { providers: { main, archive: main }, ...policy } })).toBe(message);
    expect(refusal({ checkpoint: { providers: { main, backup: main }, ...policy } })).toBe("(accepted)");
    // A backup that depends on a condition: only what promises two copies is refused without it.
    const isPromise = message.includes("required");
    const conditional = { checkpoint: { providers: { main, backup: undefined }, ...policy } };
    expect(refusal(conditional)).toBe(isPromise ? message : "(accepted)");
  });

  test("may have options that need no backup, without one", () => {
    const policy = { failover: "off", staleReads: "refuse", reconcile: false, tombstoneRetentionMs: 1 };
    for (const replication of ["off", undefined]) {
      expect(refusal({ checkpoint: { providers: { main }, ...policy, replication } })).toBe("(accepted)");
    }
  });

  test.each<[unknown, string]>([
    [undefined, "expected config to be an object, got undefined"],
    [null, "expected config to be an object, got null"],
    [CANARY, `expected config to be an object, got a string of ${CANARY.length} characters`],
    [[config({ main })], "expected config to be an object, got an array"],
    [() => config({ main }), "expected config to be an object, got a function"],
    [{}, "expected config to have the member checkpoint, got none"],
    [{ checkpoints: {} }, 'expected config to have the member checkpoint, got "checkpoints"'],
    [
      { ...config({ main }), extends: "./base" },
      'expected config to have the members checkpoint, memory, got "extends"',
    ],
    [
      { ...config({ main }), $production: {} },
      'expected config to have the members checkpoint, memory, got "$production"',
    ],
    [{ ...config({ main }), $meta: {} }, 'expected config to have the members checkpoint, memory, got "$meta"'],
    [
      { ...config({ main }), [Symbol(CANARY)]: 1 },
      "expected config to have the members checkpoint, memory, got a symbol",
    ],
    [{ checkpoint: null }, "expected checkpoint to be an object, got null"],
    [{ checkpoint: [] }, "expected checkpoint to be an object, got an array"],
    [{ checkpoint: { provider: { main } } }, 'expected checkpoint to have the member providers, got "provider"'],
    [{ checkpoint: { providers: undefined } }, "expected checkpoint to have the member providers, got none"],
    [
      { checkpoint: { providers: { main }, retries: 1 } },
      'expected checkpoint to have the members providers, retention, replication, failover, staleReads, reconcile, tombstoneRetentionMs, got "retries"',
    ],
    [config([]), "expected checkpoint.providers to be an object, got an array"],
    [config({}), "expected checkpoint.providers to have the member main, got none"],
    [config({ mian: main }), 'expected checkpoint.providers to have the member main, got "mian"'],
    [config({ main: undefined, backup: main }), "expected checkpoint.providers to have the member main"],
    [config({ main: CANARY }), "expected checkpoint.providers.main to be an object, got a string of 14 characters"],
    [
      config({ main: { databasePath: CANARY } }),
      'expected checkpoint.providers.main to have the member type, got "databasePath"',
    ],
    [
      config({ main: { type: 7 } }),
      "expected checkpoint.providers.main.type to be a factory function, or 1 to 64 of the characters a-z",
    ],
    [
      config({ main, backup: { type: "../own" } }),
      "expected checkpoint.providers.backup.type to be a factory function",
    ],
    [config({ main, backup: { type: "Own" } }), 'got "Own"'],
    [config({ main, backup: null }), "expected checkpoint.providers.backup to be an object, got null"],
    [
      config({ main, "main!": main }),
      "expected each name in checkpoint.providers to be 1 to 64 letters, digits, _ and -",
    ],
    [
      config(JSON.parse(`{ "main": { "type": "own" }, "__proto__": { "type": "own" } }`)),
      "expected each name in checkpoint.providers",
    ],
  ])("is refused with the field, the expectation and the type of the value: %#", (value, message) => {
    expect(refusal(value)).toContain(message);
  });

  test("is refused without the error's message if reading it throws", () => {
    const throwing = {
      get checkpoint(): never {
        throw new RangeError(CANARY);
      },
    };
    expect(refusal(throwing)).toBe("reading it threw an error");
  });
});

describe("an error of a factory", () => {
  const provider: Provider = {
    name: "backup",
    field: "checkpoint.providers.backup",
    type: "own",
    options: { a: 1 },
  };

  function refusalOf(factory: (options: never) => unknown): CheckpointError {
    try {
      createProvider("read config /app/x.mjs", factory as never, provider);
    } catch (error) {
      expect(error).toMatchObject({ name: "CheckpointError", code: "INVALID_CONFIG" });
      return error as CheckpointError;
    }
    return expect.unreachable("the provider was created");
  }

  const throwing = (error: unknown) => () => {
    throw error;
  };

  test("does not occur with right options, all of which the factory gets", () => {
    let given: unknown;
    createProvider(
      "read config",
      ((options: unknown) => {
        given = options;
        return createStorage(scriptedDialect());
      }) as never,
      provider,
    );
    expect(given).toEqual({ a: 1 });
  });

  test.each<[CheckpointError, string]>([
    [
      invalidArgument("options.poolSize", "a number", "x"),
      "expected checkpoint.providers.backup.poolSize to be a number, got a string of 1 character",
    ],
    [invalidArgument("options", "an object", 7), "expected checkpoint.providers.backup to be an object, got 7"],
    [
      new CheckpointError("INVALID_ARGUMENT", "expected options to have either url or pool"),
      "expected checkpoint.providers.backup to have either url or pool",
    ],
    [new CheckpointError("INVALID_ARGUMENT", "no such host"), "checkpoint.providers.backup: no such host"],
    [
      new CheckpointError("INVALID_ARGUMENT", "expected optionsOfAll to be 1"),
      "checkpoint.providers.backup: expected optionsOfAll to be 1",
    ],
  ])("has option names replaced by config paths: %#", (error, message) => {
    expect(refusalOf(throwing(error)).message).toBe(`read config /app/x.mjs: ${message}`);
  });

  test("is reported without its message if it is no CheckpointError", () => {
    const error = refusalOf(throwing(new TypeError(CANARY)));
    expect(error.message).toBe("read config /app/x.mjs: checkpoint.providers.backup: its factory threw TypeError");
    expect(String(error.cause)).not.toContain(CANARY);
    expect(refusalOf(throwing(CANARY)).message).toMatch(/its factory threw a string of 14 characters$/);
  });

  test.each<[unknown, string]>([
    [undefined, "undefined"],
    [{}, "an object"],
    [Promise.resolve(), "a promise (opening is the first call's, not the factory's)"],
  ])("is thrown if it returned no storage: %#", (returned, kind) => {
    expect(refusalOf(() => returned).message).toMatch(/call storage factory: expected it to return a storage, got /);
    expect(refusalOf(() => returned).message).toContain(kind);
  });
});
