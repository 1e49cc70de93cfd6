import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { createStorage } from "../../src/create-storage.ts";
import { failing, never, type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import { checkpoint, codeOf, type ScriptedStorageOptions, scriptedStorage } from "../scripted-storage.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";

let storage: CheckpointStorage;
let dialect: ScriptedDialect;

function open(options: ScriptedStorageOptions = {}): void {
  ({ storage, dialect } = scriptedStorage(options));
}
beforeEach(() => open());
afterEach(() => storage.close());

describe("a storage", () => {
  test("calls nothing until it is used, and does not open if it is only closed", async () => {
    expect(dialect.calls).toEqual([]);
    await storage.close();
    expect(dialect.calls).toEqual(["close"]);
  });

  test("rejects every call after it was closed", async () => {
    await storage.storeCheckpoint(checkpoint());
    await storage.close();
    const calls = [
      storage.storeCheckpoint(checkpoint()),
      storage.retrieveCheckpoint(ID),
      storage.retrieveLatestCheckpoint("agent"),
      storage.listCheckpoints(),
      storage.iterateCheckpoints().next(),
      storage.listAgents(),
      storage.deleteCheckpoint(ID),
      storage.deleteAgent("agent"),
      storage.pruneCheckpoints({ keepLast: 1 }),
      storage.stats(),
      storage.migrate(),
    ];
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => "CLOSED"));
    expect(await storage.health()).toMatchObject({ ok: false, error: { code: "CLOSED" } });
  });

  test("is closed at the end of its block", async () => {
    {
      await using own = createStorage(dialect);
      await own.stats();
    }
    expect(dialect.calls).toEqual(["open", "list", "stats", "close"]);
  });

  test("lets the event loop turn while its status is asked again and again", async () => {
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    for (let asked = 0; asked < 1_000 && !hasTurned; asked++) await storage.status();
    expect(hasTurned).toBe(true);
  });

  test("reports in its health that the database is down, and does not reject", async () => {
    open({ script: { ping: () => Promise.reject(new ScriptedError("access")) } });
    expect(await storage.health()).toMatchObject({
      ok: false,
      latencyMs: expect.any(Number),
      error: { code: "ACCESS_DENIED" },
    });
    open();
    expect(await storage.health()).toEqual({ ok: true, latencyMs: expect.any(Number) });
  });

  test("ends every call at its deadline", async () => {
    const script = { list: never, readChain: never, commit: never, ping: never };
    open({ script, options: { operationTimeoutMs: 20 } });
    const calls = [
      storage.storeCheckpoint(checkpoint()),
      storage.retrieveCheckpoint(ID),
      storage.retrieveLatestCheckpoint("agent"),
      storage.listCheckpoints(),
      storage.deleteCheckpoint(ID),
      storage.deleteAgent("agent"),
    ];
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => "TIMEOUT"));
    expect(await storage.health()).toMatchObject({ ok: false, error: { code: "TIMEOUT", retryable: true } });
  });

  test("retries a commit that was rolled back in favour of another client", async () => {
    const { commit } = scriptedDialect();
    open({ script: { commit: failing(2, "serialization", commit) } });
    expect(await codeOf(storage.storeCheckpoint(checkpoint()))).toBe("(no error)");
    expect(dialect.calls.filter((call) => call === "commit")).toHaveLength(3);
  });

  test("migrates without opening first", async () => {
    open({ script: { migrate: async (mode) => [mode] } });
    expect(await storage.migrate()).toEqual(["apply"]);
    expect(await storage.migrate("sql")).toEqual(["sql"]);
    expect(dialect.calls).toEqual(["migrate", "migrate"]);
    expect(await codeOf(storage.migrate("drop" as never))).toBe("INVALID_ARGUMENT");
  });
});

describe("iterating over checkpoints", () => {
  test("goes through all pages without repeating or skipping any", async () => {
    const ids: string[] = [];
    for (let turn = 0; turn < 2_345; turn++) ids.push(await storage.storeCheckpoint(checkpoint({ state: turn })));
    const seen: string[] = [];
    for await (const item of storage.iterateCheckpoints({ agentId: "agent" })) {
      if (seen.length === 500) await storage.storeCheckpoint(checkpoint());
      seen.push(item.id);
    }
    expect(seen).toEqual([...ids].reverse());
    expect(await storage.listCheckpoints()).toHaveLength(1_000);
    expect(await storage.listCheckpoints({ limit: 2_000 })).toHaveLength(2_000);
    const some: string[] = [];
    for await (const item of storage.iterateCheckpoints({ limit: 1_500 })) some.push(item.id);
    expect(some).toHaveLength(1_500);
  });

  test("refuses a wrong query at once", () => {
    expect(() => storage.iterateCheckpoints({ limit: 0 })).toThrow(CheckpointError);
  });
});
