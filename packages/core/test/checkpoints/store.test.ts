import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { OutboxChange, Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage, NamedAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { firstIdAt, newCheckpointId } from "../../src/database/ids.ts";
import { anyState, firstDifference } from "../codec/any-state.ts";
import { idOf, noise, oldRow } from "../rows.ts";
import { type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import { checkpoint, codeOf, type ScriptedStorageOptions, scriptedStorage } from "../scripted-storage.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
const LATER_ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a12";

let storage: CheckpointStorage;
let dialect: ScriptedDialect;
let changes: OutboxChange[];

function open(options: ScriptedStorageOptions = {}): void {
  ({ storage, dialect, changes } = scriptedStorage(options));
}
beforeEach(() => open());
afterEach(() => storage.close());

const turns = (count: number) => Array.from({ length: count }, (_, at) => ({ at, content: noise(at, 400) }));
const stateOf = async (id: string) => (await storage.retrieveCheckpoint(id))?.state;
const store = (state: unknown, members: Partial<NamedAgentCheckpoint> = {}) =>
  storage.storeCheckpoint(checkpoint({ state, ...members }));
const baseOf = (id: string) => dialect.rows.get(id)?.baseId;

describe("storing a checkpoint", () => {
  test("keeps any state unchanged", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, async (state) => {
        const id = await storage.storeCheckpoint(checkpoint({ state }));
        expect(firstDifference((await storage.retrieveCheckpoint(id))?.state, state)).toBeNull();
        dialect.rows.clear();
      }),
      { numRuns: 1_000 },
    );
  });

  test("keeps all members that were given, and adds no other", async () => {
    const full = checkpoint({ id: ID, namespace: "n", parentId: LATER_ID, metadata: { a: 1, b: "x" } });
    await storage.storeCheckpoint(full);
    expect(await storage.retrieveCheckpoint(ID.toUpperCase())).toStrictEqual(full);
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint(), id });
  });

  test("stores the state as it is at the time of the call", async () => {
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
      "bytes as sent, and the limit is 2000; raise",
    ],
    ["STATE_TOO_LARGE", { state: new Uint8Array(0x1800_0000) }, "the state's JSON is longer than a string can be"],
  ])("sends nothing that it refuses: %s", async (code, members, message) => {
    open({ script: { open: async () => ({ maxStatementBytes: 2_000 }) } });
    const error = await storage.storeCheckpoint(checkpoint(members)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, retryable: false, message: expect.stringContaining(message) });
    expect(dialect.calls).not.toContain("commit");
  });

  test("accepts a state that is small enough once compressed", async () => {
    open({ script: { open: async () => ({ maxStatementBytes: 2_000 }) } });
    expect(await codeOf(storage.storeCheckpoint(checkpoint({ state: "x".repeat(100_000) })))).toBe("(no error)");
  });

  test("does nothing for the same id with the same content, and is a conflict with any other", async () => {
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

  test("inserts a single row if the answer to the first attempt is lost", async () => {
    let lost = 1;
    const tables = scriptedDialect();
    open({
      tables,
      script: {
        commit: async (change, signal) => {
          const isDone = await tables.commit(change, signal);
          lost -= 1;
          if (lost >= 0) throw new ScriptedError("connection");
          return isDone;
        },
      },
    });
    const id = await storage.storeCheckpoint(checkpoint());
    expect([...dialect.rows.keys()]).toEqual([id]);
    expect(dialect.calls.filter((call) => call === "commit")).toHaveLength(2);
  });

  test("makes an id above all that were read, though the other process's clock is ahead", async () => {
    const read = await storage.storeCheckpoint(checkpoint({ id: firstIdAt(Date.now() + 60_000) }));
    const next = await storage.storeCheckpoint(checkpoint());
    expect(next > read).toBe(true);
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(next);
  });
});

describe("storing with ifLatest", () => {
  test("lets exactly one of many writers win", async () => {
    const first = await storage.storeCheckpoint(checkpoint(), { ifLatest: null });
    const writers = Array.from({ length: 20 }, (_, writer) =>
      codeOf(storage.storeCheckpoint(checkpoint({ state: writer }), { ifLatest: first })),
    );
    const outcomes = await Promise.all(writers);
    expect(outcomes.filter((outcome) => outcome === "(no error)")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "CONFLICT")).toHaveLength(19);
  });

  test("reports the checkpoint that was expected", async () => {
    await storage.storeCheckpoint(checkpoint({ id: ID }));
    await expect(storage.storeCheckpoint(checkpoint(), { ifLatest: null })).rejects.toThrow(
      "store checkpoint: expected the agent to have no checkpoint, but another one was stored",
    );
    await expect(storage.storeCheckpoint(checkpoint(), { ifLatest: LATER_ID })).rejects.toThrow(
      `expected ${LATER_ID} to be the latest`,
    );
  });

  test("succeeds if its own row is there already, since the answer was lost", async () => {
    const first = await storage.storeCheckpoint(checkpoint());
    const once = checkpoint({ id: firstIdAt(Date.now() + 120_000) });
    await storage.storeCheckpoint(once, { ifLatest: first });
    expect(await storage.storeCheckpoint(once, { ifLatest: first })).toBe(once.id);
  });
});

describe("storing with ifLatest after a lost answer", () => {
  test("is no conflict if its row has been removed since: it may have taken place", async () => {
    const tables = scriptedDialect();
    const { rows, commit } = tables;
    let lose = true;
    open({
      tables,
      script: {
        commit: async (change, signal) => {
          const isDone = await commit(change, signal);
          if (!lose || !change.insert?.length) return isDone;
          lose = false;
          for (const { id } of change.insert) rows.delete(id); // another client clears the agent,
          const [row] = change.insert as [Row];
          await commit({ insert: [{ ...row, id: newCheckpointId(), afterId: null }] }, signal); // and stores another one
          throw new ScriptedError("connection");
        },
      },
      options: { retry: { baseDelayMs: 1, maxDelayMs: 1, jitterMaxMs: 0 } },
    });
    const stored = storage.storeCheckpoint(checkpoint(), { ifLatest: null });
    await expect(stored).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});

describe("storing the next state of a timeline", () => {
  test("stores the changes as a delta to the state before", async () => {
    const first = await store({ history: turns(60) });
    const second = await store({ history: turns(61) });
    expect([baseOf(first), baseOf(second)]).toEqual([null, first]);
    const [full, delta] = [dialect.rows.get(first) as Row, dialect.rows.get(second) as Row];
    expect(delta.state.byteLength).toBeLessThan(full.state.byteLength / 10);
    expect(changes[1]?.expected).toEqual([{ id: first, digest: full.digest }]);
    expect(dialect.calls).not.toContain("readChain");
    expect(await stateOf(second)).toEqual({ history: turns(61) });
  });

  test("builds on the parent if that is cached, else on the latest of the timeline", async () => {
    const first = await store({ history: turns(60) });
    const second = await store({ history: turns(61) });
    const fork = await store({ history: [...turns(60), "fork"] }, { parentId: first });
    const other = await store({ history: turns(62) }, { parentId: idOf(7) });
    expect([baseOf(fork), baseOf(other)]).toEqual([first, fork]);
    expect(second < fork).toBe(true);
  });

  test("never builds on a state of another agent or namespace", async () => {
    await store({ history: turns(60) });
    for (const members of [{ agentId: "other" }, { namespace: "other" }]) {
      expect(baseOf(await store({ history: turns(61) }, members))).toBeNull();
    }
  });

  test("reads the state before if none is cached", async () => {
    open({ options: { cacheBytes: 0 } });
    const ids: string[] = [];
    for (let at = 0; at < 40; at++) ids.push(await store({ history: turns(60 + at) }));
    expect(ids.slice(1).filter((id) => baseOf(id) === null)).toEqual([]);
    expect(dialect.calls).toContain("readChain");
    for (const [at, id] of ids.entries()) expect(await stateOf(id)).toEqual({ history: turns(60 + at) });
  });

  test("builds on rows of version 0.1, and of another process", async () => {
    const rows = new Map([[idOf(1), oldRow(idOf(1), { history: turns(60) })]]);
    open({ tables: { rows } });
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(idOf(1))]).toEqual([idOf(1), { history: turns(60) }]);
    open({ tables: dialect });
    const third = await store({ history: turns(62) });
    expect([baseOf(third), await stateOf(third)]).toEqual([second, { history: turns(62) }]);
  });

  test.each<[string, Partial<Row>]>([
    ["is damaged", { state: new Uint8Array([1, 2, 3]) }],
    ["was written by a newer version", { encoding: "json+pieces+zstd" }],
    ["was written by a newer version, as a delta", { encoding: "json+zstd", baseId: idOf(1) }],
  ])("stores a full state if the one before %s", async (_name, damage) => {
    const rows = new Map([[idOf(1), oldRow(idOf(1), 1)]]);
    rows.set(idOf(2), { ...oldRow(idOf(2), { history: turns(60) }), ...damage });
    open({ tables: { rows } });
    const id = await store({ history: turns(61) });
    expect([baseOf(id), await stateOf(id)]).toEqual([null, { history: turns(61) }]);
  });

  test("sends a full state if the guard reports that the base is gone", async () => {
    const first = await store({ history: turns(60) });
    dialect.rows.delete(first); // by another process
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(second)]).toEqual([null, { history: turns(61) }]);
    expect(changes.map(({ insert }) => insert?.[0]?.baseId)).toEqual([null, first, null]);
    expect(baseOf(await store({ history: turns(62) }))).toBe(second);
  });

  test("sends a full state if the foreign key reports that the base is gone", async () => {
    open({
      beforeCommit: ({ expected = [] }) => {
        if (expected.length > 0) throw new ScriptedError("foreign-key");
      },
    });
    await store({ history: turns(60) });
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(second)]).toEqual([null, { history: turns(61) }]);
    expect(changes).toHaveLength(4); // tried once more as a delta to the latest row
  });

  test("sends a delta to the present latest row if the base is gone, with ifLatest too", async () => {
    const first = await store({ history: turns(60) });
    const other = await store({ history: turns(61) });
    dialect.rows.delete(other);
    const next = checkpoint({ state: { history: turns(62) } });
    expect(baseOf(await storage.storeCheckpoint(next, { ifLatest: first }))).toBe(first);
  });

  test("sends a delta to the new content if the base's id was used again", async () => {
    const first = await store({ history: turns(60) });
    const row = dialect.rows.get(first) as Row;
    dialect.rows.set(first, { ...oldRow(first, { history: turns(10) }), agentId: row.agentId });
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(second)]).toEqual([first, { history: turns(61) }]);
    expect(await stateOf(first)).toEqual({ history: turns(10) });
  });
});

describe("storing the same id again", () => {
  test("does nothing if an older version has stored the same text in other chunks", async () => {
    const rows = new Map([[idOf(1), { ...oldRow(idOf(1), { history: turns(60) }), createdAt: 7 }]]);
    open({ tables: { rows } });
    expect(await store({ history: turns(60) }, { id: idOf(1) })).toBe(idOf(1));
    expect(dialect.rows.get(idOf(1))).toBe(rows.get(idOf(1)));
    await expect(store({ history: turns(60).reverse() }, { id: idOf(1) })).rejects.toMatchObject({ code: "CONFLICT" });
  });

  test("does nothing if it was stored as a delta, and would be full now", async () => {
    await store({ history: turns(60) });
    const id = await store({ history: turns(61) });
    open({ tables: dialect, options: { cacheBytes: 0 } });
    expect(await store({ history: turns(61) }, { id })).toBe(id);
    await expect(store({ history: turns(62) }, { id })).rejects.toMatchObject({ code: "CONFLICT" });
  });
});

describe("storing concurrently", () => {
  test("commits many checkpoints in few commits, and all are stored", async () => {
    await storage.health(); // opened
    const ids = await Promise.all(Array.from({ length: 50 }, (_, at) => store({ at }, { agentId: `agent ${at}` })));
    expect(changes.length).toBeLessThan(6);
    expect(changes.flatMap(({ insert = [] }) => insert.map(({ id }) => id)).sort()).toEqual([...ids].sort());
    for (const [at, id] of ids.entries()) expect(await stateOf(id)).toEqual({ at });
  });

  test("fails only for the one that cannot be stored", async () => {
    open({
      beforeCommit: ({ insert = [] }) => {
        if (insert.some(({ agentId }) => agentId === "agent 5")) throw new ScriptedError("too-large");
      },
    });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, at) => store({ at }, { agentId: `agent ${at}` })),
    );
    expect(outcomes.map(({ status }) => status === "fulfilled")).toEqual(
      Array.from({ length: 8 }, (_, at) => at !== 5),
    );
    expect(outcomes[5]).toMatchObject({ reason: { code: "STATE_TOO_LARGE" } });
  });

  test("inserts each once, even if one of them is there already", async () => {
    await store(1, { id: idOf(3) });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((at) => store(at, { id: idOf(at) })));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    expect([...dialect.rows.keys()].sort()).toEqual([1, 2, 3, 4].map(idOf));
  });
});

describe("storing with the option freeze", () => {
  test("freezes the state deeply, and not without the option", async () => {
    const state = { history: turns(3) };
    await store(state);
    expect(Object.isFrozen(state.history[0])).toBe(false);
    open({ options: { freeze: true } });
    const id = await store(state);
    expect([state, state.history, state.history[0]].every((part) => Object.isFrozen(part))).toBe(true);
    expect(await stateOf(id)).toEqual(state);
    expect(Object.isFrozen(await stateOf(id))).toBe(false);
  });

  test("stores each turn of a state that is copied and extended", async () => {
    open({ options: { freeze: true } });
    let state: { history: unknown[]; at: number } = { history: turns(40), at: 0 };
    const ids: string[] = [];
    for (let at = 0; at < 20; at++) {
      ids.push(await store(state));
      state = { history: [...state.history, { at, content: noise(`more ${at}`, 300) }], at };
    }
    expect(await stateOf(ids.at(-1) as string)).toMatchObject({ at: 18, history: { length: 59 } });
    expect(ids.slice(1).every((id) => baseOf(id) !== null)).toBe(true);
  });
});
