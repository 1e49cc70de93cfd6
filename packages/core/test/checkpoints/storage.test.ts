import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { firstIdAt, newCheckpointId } from "../../src/checkpoints/ids.ts";
import { createStorage } from "../../src/checkpoints/storage.ts";
import type { CheckpointStorage, NamedAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { anyState, difference } from "../codec/any-state.ts";
import { failing, never, type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
const LATER_ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a12";

const checkpoint = (members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint => ({
  agentId: "agent",
  name: "turn",
  state: { a: 1 },
  createdAt: 7,
  ...members,
});

let dialect: ScriptedDialect;
let storage: CheckpointStorage;

/** A storage of its own script, in place of the one that each test begins with. */
function scripted(script: Parameters<typeof scriptedDialect>[0], options: { operationTimeoutMs?: number } = {}): void {
  dialect = scriptedDialect(script);
  storage = createStorage(dialect, options);
}

beforeEach(() => {
  scripted({});
});
afterEach(async () => {
  vi.useRealTimers();
  await storage.close();
});

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => "(no error)",
    (error: unknown) => (error instanceof CheckpointError ? error.code : error),
  );

describe("storing", () => {
  test("it keeps any state, and gives it back as it was", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, async (state) => {
        const id = await storage.storeCheckpoint(checkpoint({ state }));
        expect(difference((await storage.retrieveCheckpoint(id))?.state, state)).toBeNull();
        dialect.rows.clear();
      }),
      { numRuns: 1_000 },
    );
  });

  test("it gives back all that was given, and no member more", async () => {
    const full = checkpoint({ id: ID, namespace: "n", parentId: LATER_ID, metadata: { a: 1, b: "x" } });
    await storage.storeCheckpoint(full);
    expect(await storage.retrieveCheckpoint(ID.toUpperCase())).toStrictEqual(full);
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint(), id });
  });

  test("it takes the state as it is when called, not as it is later", async () => {
    const changing = { turns: [1], metadata: { a: 1 } };
    const stored = storage.storeCheckpoint(checkpoint({ id: ID, state: changing, metadata: changing.metadata }));
    changing.turns.push(2);
    changing.metadata.a = 2;
    await stored;
    expect(await storage.retrieveCheckpoint(ID)).toMatchObject({ state: { turns: [1] }, metadata: { a: 1 } });
  });

  test.each<[string, Partial<NamedAgentCheckpoint>, string]>([
    ["INVALID_ARGUMENT", { agentId: "" }, "expected checkpoint.agentId to be 1 to 255 bytes of UTF-8, got 0"],
    [
      "UNSUPPORTED_VALUE",
      { state: { tools: [{ run: () => 1 }] } },
      "store checkpoint: state.tools[0].run is a function",
    ],
    [
      "UNSUPPORTED_VALUE",
      { state: new Proxy({}, { ownKeys: () => JSON.parse("secret") }) },
      "store checkpoint: reading the state threw an error",
    ],
    [
      "STATE_TOO_LARGE",
      { state: Array.from({ length: 2_000 }, (_, index) => Math.sin(index)) },
      "bytes as sent, and the limit here is 2000; raise",
    ],
    ["STATE_TOO_LARGE", { state: new Uint8Array(0x1800_0000) }, "the state's JSON is longer than a string can be"],
  ])("it sends nothing of what it refuses: %s", async (code, members, message) => {
    scripted({ open: async () => ({ maxStatementBytes: 2_000 }) });
    const error = await storage.storeCheckpoint(checkpoint(members)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, retryable: false, message: expect.stringContaining(message) });
    expect(dialect.calls).not.toContain("commit");
  });

  test("it takes what compression makes small enough", async () => {
    scripted({ open: async () => ({ maxStatementBytes: 2_000 }) });
    expect(await codeOf(storage.storeCheckpoint(checkpoint({ state: "x".repeat(100_000) })))).toBe("(no error)");
  });

  test("it is a no-op for the same id with the same content, and a conflict with any other", async () => {
    const original = checkpoint({ id: ID, metadata: { a: 1 } });
    expect(await storage.storeCheckpoint(original)).toBe(ID);
    expect(await storage.storeCheckpoint(original)).toBe(ID);
    const others = [
      { agentId: "other" },
      { name: "other" },
      { namespace: "other" },
      { createdAt: 8 },
      { parentId: LATER_ID },
      { metadata: { a: "1" } },
      { state: { a: 2 } },
      { state: { a: undefined } },
    ];
    for (const other of others) {
      expect(await codeOf(storage.storeCheckpoint({ ...original, ...other }))).toBe("CONFLICT");
    }
    expect(await storage.retrieveCheckpoint(ID)).toStrictEqual(original);
    expect(dialect.rows.size).toBe(1);
  });

  test("it makes one row when the answer to the first attempt is lost", async () => {
    let lost = 1;
    const { commit } = scriptedDialect();
    scripted({
      commit: async (change, signal) => {
        const [row] = change.insert ?? [];
        if (row === undefined) return await commit(change, signal);
        if (dialect.rows.has(row.id)) throw new ScriptedError("duplicate");
        dialect.rows.set(row.id, row);
        lost -= 1;
        if (lost >= 0) throw new ScriptedError("connection");
        return true;
      },
    });
    const id = await storage.storeCheckpoint(checkpoint());
    expect([...dialect.rows.keys()]).toEqual([id]);
    expect(dialect.calls.filter((call) => call === "commit")).toHaveLength(2);
  });

  test("it is after what was read, though the other process's clock goes ahead", async () => {
    const read = await storage.storeCheckpoint(checkpoint({ id: firstIdAt(Date.now() + 60_000) }));
    const next = await storage.storeCheckpoint(checkpoint());
    expect(next > read).toBe(true);
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(next);
  });
});

describe("storing if nothing newer is there", () => {
  test("it lets exactly one of many win", async () => {
    const first = await storage.storeCheckpoint(checkpoint(), { ifLatest: null });
    const writers = Array.from({ length: 20 }, (_, writer) =>
      codeOf(storage.storeCheckpoint(checkpoint({ state: writer }), { ifLatest: first })),
    );
    const outcomes = await Promise.all(writers);
    expect(outcomes.filter((outcome) => outcome === "(no error)")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "CONFLICT")).toHaveLength(19);
  });

  test("it tells what was expected", async () => {
    await storage.storeCheckpoint(checkpoint({ id: ID }));
    await expect(storage.storeCheckpoint(checkpoint(), { ifLatest: null })).rejects.toThrow(
      "store checkpoint: expected the agent to have no checkpoint, but another one was stored",
    );
    await expect(storage.storeCheckpoint(checkpoint(), { ifLatest: LATER_ID })).rejects.toThrow(
      `expected ${LATER_ID} to be the latest`,
    );
  });

  test("it has won if its own row is there already: the answer was lost", async () => {
    const first = await storage.storeCheckpoint(checkpoint());
    const once = checkpoint({ id: firstIdAt(Date.now() + 120_000) });
    await storage.storeCheckpoint(once, { ifLatest: first });
    expect(await storage.storeCheckpoint(once, { ifLatest: first })).toBe(once.id);
  });
});

describe("retrieving", () => {
  test("it finds nothing for what is no id, or no id of ours", async () => {
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
    ["its length was changed", { stateBytes: 1 }, "CORRUPT_CHECKPOINT", /should have 1/],
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
    ["its base is gone", { baseId: LATER_ID }, "CORRUPT_CHECKPOINT", /what it is a difference to is not there$/],
  ])("it tells by the id when %s, and a list goes on", async (_name, damage, code, message) => {
    await storage.storeCheckpoint(checkpoint({ id: ID, metadata: { a: 1 } }));
    dialect.rows.set(ID, { ...(dialect.rows.get(ID) as Row), ...damage });
    const error = await storage.retrieveCheckpoint(ID).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, retryable: false, message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(ID);
    expect((error as Error).message).not.toContain("secret");
    expect((await storage.listCheckpoints()).map((item) => item.id)).toEqual([ID]);
  });

  test("it goes to the one before when the latest is deleted meanwhile", async () => {
    const { rows, list, readChain } = dialect;
    await storage.storeCheckpoint(checkpoint({ id: ID }));
    const latest = await storage.storeCheckpoint(checkpoint());
    scripted({
      list,
      readChain: async (id, signal) => {
        rows.delete(latest);
        return await readChain(id, signal);
      },
    });
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(ID);
  });
});

describe("listing", () => {
  test("it pages by itself, without repeating and without skipping", async () => {
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

  test("it never reads a state", async () => {
    await storage.storeCheckpoint(checkpoint());
    dialect.calls.length = 0;
    await storage.listCheckpoints();
    expect(dialect.calls).toEqual(["list"]);
  });

  test("it asks nobody where nothing can match", async () => {
    expect(await storage.listCheckpoints({ agentId: "agent", parentId: "nobody" })).toEqual([]);
    expect(dialect.calls).toEqual(["open", "list"]); // the list is the look at the newest
  });

  test("it refuses a query that is not as documented at once", () => {
    expect(() => storage.iterateCheckpoints({ limit: 0 })).toThrow(CheckpointError);
  });
});

describe("deleting and pruning", () => {
  async function fill(agent: string, namespaces: readonly string[], turns: number): Promise<void> {
    for (let turn = 0; turn < turns; turn++) {
      for (const namespace of namespaces) {
        await storage.storeCheckpoint(checkpoint({ agentId: agent, namespace, metadata: { even: turn % 2 === 0 } }));
      }
    }
  }

  const count = async (agent: string) => (await storage.listCheckpoints({ agentId: agent, limit: 10_000 })).length;

  test("it tells whether there was one", async () => {
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.deleteCheckpoint(id.toUpperCase())).toBe(true);
    expect(await storage.deleteCheckpoint(id)).toBe(false);
    expect(await storage.deleteCheckpoint("nonsense")).toBe(false);
  });

  test("it deletes one agent, or one namespace of it, and no other", async () => {
    await fill("a", ["", "n"], 3);
    await fill("b", [""], 3);
    expect(await storage.deleteAgent("a", { namespace: "" })).toBe(3);
    expect(await storage.deleteAgent("a")).toBe(3);
    expect(await storage.deleteAgent("a")).toBe(0);
    expect([await count("a"), await count("b")]).toEqual([0, 3]);
    expect(await storage.listAgents()).toEqual(["b"]);
  });

  test("it keeps the newest so many of each agent and namespace", async () => {
    await fill("a", ["", "n"], 10);
    await fill("b", [""], 2);
    expect(await storage.pruneCheckpoints({ keepLast: 4, dryRun: true })).toEqual({ examined: 22, removed: 12 });
    expect(await count("a")).toBe(20);
    expect(await storage.pruneCheckpoints({ keepLast: 4 })).toEqual({ examined: 22, removed: 12 });
    expect([await count("a"), await count("b")]).toEqual([8, 2]);
  });

  test("it keeps what any rule keeps, and the latest always", async () => {
    await fill("a", [""], 10);
    expect(await storage.pruneCheckpoints({ keepMetadata: { even: true } })).toEqual({ examined: 10, removed: 4 });
    expect(await storage.pruneCheckpoints({ keepMetadata: { even: "true" } })).toEqual({ examined: 6, removed: 5 });
    expect(await storage.pruneCheckpoints({ keepWithinMs: 1, agentId: "nobody" })).toEqual({ examined: 0, removed: 0 });
  });

  test("it removes in bounded batches, and tells of each", async () => {
    await fill("a", [""], 25);
    const told: number[] = [];
    dialect.calls.length = 0;
    await storage.pruneCheckpoints({ keepLast: 1, batchSize: 10, onProgress: ({ removed }) => told.push(removed) });
    expect(told).toEqual([10, 20, 24]);
    expect(dialect.calls.filter((call) => call === "commit")).toHaveLength(3);
  });

  test("it keeps one of each period, the newest", async () => {
    const HOUR = 3_600_000;
    const now = Math.floor(Date.now() / HOUR) * HOUR;
    const times = [0, 1, 2, 3].flatMap((hours) => [now - hours * HOUR - 1, now - hours * HOUR - 600_000]);
    for (const time of times) await storage.storeCheckpoint(checkpoint({ id: firstIdAt(time) }));
    await storage.pruneCheckpoints({ keepEvery: [{ everyMs: HOUR, forMs: 3.5 * HOUR }] });
    const left = (await storage.listCheckpoints()).map((item) => item.id);
    expect(left.slice(0, 3)).toEqual([0, 1, 2].map((hours) => firstIdAt(now - hours * HOUR - 1)));
  });
});

describe("a storage", () => {
  test("it touches nothing until it is used, and nothing at all if it is only closed", async () => {
    expect(dialect.calls).toEqual([]);
    await storage.close();
    expect(dialect.calls).toEqual(["close"]);
  });

  test("it rejects every call after it was closed", async () => {
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

  test("it is closed at the end of its block", async () => {
    {
      await using own = createStorage(dialect);
      await own.stats();
    }
    expect(dialect.calls).toEqual(["open", "list", "stats", "close"]);
  });

  test("it says that a database is down, and does not throw", async () => {
    scripted({ ping: () => Promise.reject(new ScriptedError("access")) });
    expect(await storage.health()).toMatchObject({
      ok: false,
      latencyMs: expect.any(Number),
      error: { code: "ACCESS_DENIED" },
    });
    scripted({});
    expect(await storage.health()).toEqual({ ok: true, latencyMs: expect.any(Number) });
  });

  test("it ends every call at its own deadline", async () => {
    scripted({ list: never, readChain: never, commit: never, ping: never }, { operationTimeoutMs: 20 });
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

  test("it repeats what another client's transaction undid", async () => {
    const { commit } = scriptedDialect();
    scripted({ commit: failing(2, "serialization", commit) });
    expect(await codeOf(storage.storeCheckpoint(checkpoint()))).toBe("(no error)");
    expect(dialect.calls.filter((call) => call === "commit")).toHaveLength(3);
  });

  test.each([0, -1, 1.5, "30", null, 2 ** 31])("it refuses a deadline that is none: %j", (operationTimeoutMs) => {
    expect(() => createStorage(dialect, { operationTimeoutMs: operationTimeoutMs as number })).toThrow(
      /operationTimeoutMs/,
    );
  });

  test("it migrates as it is asked to, without opening first", async () => {
    scripted({ migrate: async (mode) => [mode] });
    expect(await storage.migrate()).toEqual(["apply"]);
    expect(await storage.migrate("sql")).toEqual(["sql"]);
    expect(dialect.calls).toEqual(["migrate", "migrate"]);
    expect(await codeOf(storage.migrate("drop" as never))).toBe("INVALID_ARGUMENT");
  });
});

describe("a write, whatever the clocks of other machines say", () => {
  const FUTURE = Date.now() + 3_600_000;
  const rankAt = (time: number) => `${firstIdAt(time).slice(0, -1)}1`;
  const stored = async () => {
    const dialect = scriptedDialect();
    const storage = createStorage(dialect);
    const id = await storage.storeCheckpoint({ agentId: "a", name: "n", state: 1, createdAt: 0 });
    await storage.appendWrites(id, [
      { taskId: "t", index: 0, channel: "c", value: "first" },
      { taskId: "t", index: -1, channel: "c", value: "first" },
    ]);
    // As if a machine whose clock is ahead had written them.
    for (const [key, write] of dialect.writes) {
      const flip = (hex: string) => hex.replace(/[0-9a-f]/g, (digit) => (15 - Number.parseInt(digit, 16)).toString(16));
      dialect.writes.set(key, { ...write, rank: write.index < 0 ? rankAt(FUTURE) : flip(rankAt(FUTURE)) });
    }
    return { storage, id };
  };

  test("it stays from index 0 on where it came first, and is written over below", async () => {
    const { storage, id } = await stored();
    await storage.appendWrites(id, [
      { taskId: "t", index: 0, channel: "c", value: "second" },
      { taskId: "t", index: -1, channel: "c", value: "second" },
    ]);
    expect((await storage.listWrites(id)).map(({ index, value }) => [index, value])).toEqual([
      [-1, "second"],
      [0, "first"],
    ]);
  });

  test("it may be appended again, and is refused once its checkpoint is gone", async () => {
    const { storage, id } = await stored();
    const again = [{ taskId: "t", index: 0, channel: "c", value: "again" }];
    await storage.appendWrites(id, again);
    await storage.deleteCheckpoint(id);
    await expect(storage.appendWrites(id, again)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("a compare-and-store whose answer was lost", () => {
  test("it is not told as a conflict where somebody has removed it since: it may have taken place", async () => {
    const dialect = scriptedDialect();
    const { commit } = dialect;
    let lose = true;
    const storage = createStorage(
      {
        ...dialect,
        commit: async (change, signal) => {
          const done = await commit(change, signal);
          if (!lose || !change.insert?.length) return done;
          lose = false;
          for (const { id } of change.insert) dialect.rows.delete(id); // somebody clears the agent,
          const [row] = change.insert as [Row];
          await commit({ insert: [{ ...row, id: newCheckpointId(), afterId: null }] }, signal); // and stores another
          throw new ScriptedError("connection");
        },
      },
      { retry: { baseDelayMs: 1, maxDelayMs: 1, jitterMaxMs: 0 } },
    );
    const store = storage.storeCheckpoint({ agentId: "a", name: "n", state: 1, createdAt: 0 }, { ifLatest: null });
    await expect(store).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
