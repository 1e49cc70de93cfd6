import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { noise, oldRow } from "../rows.ts";
import type { ScriptedDialect } from "../scripted-dialect.ts";
import { checkpoint, codeOf, type ScriptedStorageOptions, scriptedStorage } from "../scripted-storage.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
const LATER_ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a12";

let storage: CheckpointStorage;
let dialect: ScriptedDialect;

function open(options: ScriptedStorageOptions = {}): void {
  ({ storage, dialect } = scriptedStorage(options));
}
beforeEach(() => open());
afterEach(() => storage.close());

const turns = (count: number) => Array.from({ length: count }, (_, at) => ({ at, content: noise(at, 400) }));
const stateOf = async (id: string) => (await storage.retrieveCheckpoint(id))?.state;
const store = (state: unknown) => storage.storeCheckpoint(checkpoint({ state }));

describe("retrieving a checkpoint", () => {
  test("finds nothing for a text that is no id, or no id of ours", async () => {
    for (const id of ["", "nonsense", "00000000-0000-0000-0000-000000000000", LATER_ID]) {
      expect(await storage.retrieveCheckpoint(id)).toBeNull();
    }
    expect(await codeOf(storage.retrieveCheckpoint(7 as never))).toBe("INVALID_ARGUMENT");
  });

  test.each<[string, object, string, RegExp]>([
    [
      "its state was changed",
      { state: Buffer.from("[1]"), encoding: "json", stateBytes: 3 },
      "CORRUPT_CHECKPOINT",
      /does not match its digest/,
    ],
    ["its length was changed", { stateBytes: 1 }, "CORRUPT_CHECKPOINT", /expected a state of 1 bytes/],
    [
      "its metadata was changed",
      { metadata: '\n"a":secret\n' },
      "CORRUPT_CHECKPOINT",
      /its metadata or text is damaged$/,
    ],
    [
      "a newer version has encoded it",
      { encoding: "json+zstd" },
      "UNSUPPORTED_FORMAT",
      /"json\+zstd" is not known; a newer version wrote it$/,
    ],
    ["its base is missing", { baseId: LATER_ID }, "CORRUPT_CHECKPOINT", /its base is missing$/],
  ])("reports the id if %s, and lists go on", async (_name, damage, code, message) => {
    await storage.storeCheckpoint(checkpoint({ id: ID, metadata: { a: 1 } }));
    dialect.rows.set(ID, { ...(dialect.rows.get(ID) as Row), ...damage });
    const error = await storage.retrieveCheckpoint(ID).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, retryable: false, message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(ID);
    expect((error as Error).message).not.toContain("secret");
    expect((await storage.listCheckpoints()).map((item) => item.id)).toEqual([ID]);
  });
});

describe("retrieving a cached state", () => {
  test("asks the database only whether the checkpoint is still there", async () => {
    const id = await store({ history: turns(60) });
    dialect.calls.length = 0;
    expect(await stateOf(id)).toEqual({ history: turns(60) });
    expect(dialect.calls).toEqual(["list"]);
    dialect.rows.delete(id);
    expect(await storage.retrieveCheckpoint(id)).toBeNull();
  });

  test("returns a new value each time", async () => {
    const id = await store({ history: turns(60) });
    ((await stateOf(id)) as { history: unknown[] }).history.length = 0;
    expect(await stateOf(id)).toEqual({ history: turns(60) });
  });

  test("does not happen without a cache", async () => {
    open({ options: { cacheBytes: 0 } });
    const id = await store({ history: turns(60) });
    dialect.calls.length = 0;
    expect(await stateOf(id)).toEqual({ history: turns(60) });
    expect(dialect.calls).toEqual(["readChain"]);
  });

  test("reads the state if another process has stored other content under the id", async () => {
    const id = await store({ history: turns(60) });
    dialect.rows.set(id, oldRow(id, "other"));
    expect(await stateOf(id)).toBe("other");
  });
});

describe("retrieving the latest checkpoint", () => {
  test("calls the dialect once if its state is cached", async () => {
    const id = await store({ history: turns(60) });
    dialect.calls.length = 0;
    expect(await storage.retrieveLatestCheckpoint("agent")).toEqual({
      ...checkpoint(),
      id,
      state: { history: turns(60) },
    });
    expect(dialect.calls).toEqual(["list"]);
  });

  test("calls the dialect twice if its state is not cached", async () => {
    open({ options: { cacheBytes: 0 } });
    await store({ history: turns(60) });
    dialect.calls.length = 0;
    expect((await storage.retrieveLatestCheckpoint("agent"))?.state).toEqual({ history: turns(60) });
    expect(dialect.calls).toEqual(["list", "readChain"]);
  });

  test("reads the state if another process has stored other content under the cached id", async () => {
    const id = await store({ history: turns(60) });
    dialect.rows.set(id, oldRow(id, "other"));
    expect((await storage.retrieveLatestCheckpoint("agent"))?.state).toBe("other");
  });

  test("returns the one before if the latest is deleted meanwhile", async () => {
    const { rows, readChain } = dialect;
    await storage.storeCheckpoint(checkpoint({ id: ID }));
    const latest = await storage.storeCheckpoint(checkpoint());
    open({
      tables: dialect,
      script: {
        readChain: async (id, signal) => {
          rows.delete(latest);
          return await readChain(id, signal);
        },
      },
    });
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(ID);
  });
});

describe("listing checkpoints", () => {
  test("never reads a state", async () => {
    await storage.storeCheckpoint(checkpoint());
    dialect.calls.length = 0;
    await storage.listCheckpoints();
    expect(dialect.calls).toEqual(["list"]);
  });

  test("does not ask the database if nothing can match", async () => {
    expect(await storage.listCheckpoints({ agentId: "agent", parentId: "nobody" })).toEqual([]);
    expect(dialect.calls).toEqual(["open", "list"]); // opening checks the newest checkpoint
  });
});
