import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Change, Row } from "../../src/checkpoints/dialect.ts";
import { createStorage } from "../../src/checkpoints/storage.ts";
import type { CheckpointStorage, NamedAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { idOf, noise, oldRow } from "../rows.ts";
import { type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

const turns = (count: number) => Array.from({ length: count }, (_, at) => ({ at, content: noise(at, 400) }));
const checkpoint = (members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint => ({
  agentId: "agent",
  name: "turn",
  state: { history: turns(60) },
  createdAt: 7,
  ...members,
});

let dialect: ScriptedDialect;
let storage: CheckpointStorage;
let changes: Change[];

/** A storage on rows that others may have written; `commit` may be what a test wants a database to do. */
function open(
  options: Parameters<typeof createStorage>[1] = {},
  { rows = new Map<string, Row>(), commit }: { rows?: Map<string, Row>; commit?: (change: Change) => boolean } = {},
): void {
  changes = [];
  const { rows: own, ...plain } = scriptedDialect();
  for (const [id, row] of rows) own.set(id, row);
  dialect = {
    ...scriptedDialect({
      ...plain,
      commit: async (change, signal) => {
        changes.push(change);
        if (commit !== undefined && !commit(change)) return false;
        return await plain.commit(change, signal);
      },
    }),
    rows: own,
  };
  storage = createStorage(dialect, options);
}
beforeEach(() => open());
afterEach(() => storage.close());

const stateOf = async (id: string) => (await storage.retrieveCheckpoint(id))?.state;
const store = (state: unknown, members: Partial<NamedAgentCheckpoint> = {}) =>
  storage.storeCheckpoint(checkpoint({ state, ...members }));
const baseOf = (id: string) => dialect.rows.get(id)?.baseId;

describe("storing the next state of a line", () => {
  test("it stores what has changed, as the difference to the one before", async () => {
    const first = await store({ history: turns(60) });
    const second = await store({ history: turns(61) });
    expect([baseOf(first), baseOf(second)]).toEqual([null, first]);
    const [whole, difference] = [dialect.rows.get(first) as Row, dialect.rows.get(second) as Row];
    expect(difference.state.byteLength).toBeLessThan(whole.state.byteLength / 10);
    expect(changes[1]?.bases).toEqual([{ id: first, digest: whole.digest }]);
    expect(dialect.calls).not.toContain("readChain");
    expect(await stateOf(second)).toEqual({ history: turns(61) });
  });

  test("it goes on from the parent, where that is at hand, else from the line's last", async () => {
    const first = await store({ history: turns(60) });
    const second = await store({ history: turns(61) });
    const fork = await store({ history: [...turns(60), "fork"] }, { parentId: first });
    const other = await store({ history: turns(62) }, { parentId: idOf(7) });
    expect([baseOf(fork), baseOf(other)]).toEqual([first, fork]);
    expect(second < fork).toBe(true);
  });

  test("it never goes on from another agent's or namespace's", async () => {
    await store({ history: turns(60) });
    for (const members of [{ agentId: "other" }, { namespace: "other" }]) {
      expect(baseOf(await store({ history: turns(61) }, members))).toBeNull();
    }
  });

  test("it reads the one before, if there is none in memory", async () => {
    open({ cacheBytes: 0 });
    const ids: string[] = [];
    for (let at = 0; at < 40; at++) ids.push(await store({ history: turns(60 + at) }));
    expect(ids.slice(1).filter((id) => baseOf(id) === null)).toEqual([]);
    expect(dialect.calls).toContain("readChain");
    for (const [at, id] of ids.entries()) expect(await stateOf(id)).toEqual({ history: turns(60 + at) });
  });

  test("it goes on from a row of the version before, and from what another process has stored", async () => {
    const rows = new Map([[idOf(1), oldRow(idOf(1), { history: turns(60) })]]);
    open({}, { rows });
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(idOf(1))]).toEqual([idOf(1), { history: turns(60) }]);
    open({}, { rows: dialect.rows });
    const third = await store({ history: turns(62) });
    expect([baseOf(third), await stateOf(third)]).toEqual([second, { history: turns(62) }]);
  });

  test.each<[string, Partial<Row>]>([
    ["is damaged", { state: new Uint8Array([1, 2, 3]) }],
    ["was written by a newer version", { encoding: "json+pieces+zstd" }],
    ["was written by a newer version, as a difference", { encoding: "json+zstd", baseId: idOf(1) }],
  ])("it is whole if the one before %s", async (_name, damage) => {
    const rows = new Map([[idOf(1), oldRow(idOf(1), 1)]]);
    rows.set(idOf(2), { ...oldRow(idOf(2), { history: turns(60) }), ...damage });
    open({}, { rows });
    const id = await store({ history: turns(61) });
    expect([baseOf(id), await stateOf(id)]).toEqual([null, { history: turns(61) }]);
  });

  test("it is sent again whole, if its base is gone: the guard says so", async () => {
    const first = await store({ history: turns(60) });
    dialect.rows.delete(first); // by another process
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(second)]).toEqual([null, { history: turns(61) }]);
    expect(changes.map(({ insert }) => insert?.[0]?.baseId)).toEqual([null, first, null]);
    expect(baseOf(await store({ history: turns(62) }))).toBe(second);
  });

  test("it is sent again whole, if its base is gone: the foreign key says so", async () => {
    open({}, { commit: ({ bases = [] }) => refuse(bases.length > 0) });
    await store({ history: turns(60) });
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(second)]).toEqual([null, { history: turns(61) }]);
    expect(changes).toHaveLength(4); // once more as the difference to what is there now
  });

  test("it is sent again with ifLatest too, as the difference to the latest that is there", async () => {
    const first = await store({ history: turns(60) });
    const other = await store({ history: turns(61) });
    dialect.rows.delete(other);
    const next = checkpoint({ state: { history: turns(62) } });
    expect(baseOf(await storage.storeCheckpoint(next, { ifLatest: first }))).toBe(first);
  });

  test("it is the difference to the other content that has got the base's id", async () => {
    const first = await store({ history: turns(60) });
    const row = dialect.rows.get(first) as Row;
    dialect.rows.set(first, { ...oldRow(first, { history: turns(10) }), agentId: row.agentId });
    const second = await store({ history: turns(61) });
    expect([baseOf(second), await stateOf(second)]).toEqual([first, { history: turns(61) }]);
    expect(await stateOf(first)).toEqual({ history: turns(10) });
  });
});

function refuse(refused: boolean): boolean {
  if (refused) throw new ScriptedError("foreign-key");
  return true;
}

describe("storing the same id again", () => {
  test("it is a no-op if an older version has stored the same text, cut in another way", async () => {
    const rows = new Map([[idOf(1), { ...oldRow(idOf(1), { history: turns(60) }), createdAt: 7 }]]);
    open({}, { rows });
    expect(await store({ history: turns(60) }, { id: idOf(1) })).toBe(idOf(1));
    expect(dialect.rows.get(idOf(1))).toBe(rows.get(idOf(1)));
    await expect(store({ history: turns(60).reverse() }, { id: idOf(1) })).rejects.toMatchObject({ code: "CONFLICT" });
  });

  test("it is a no-op if it was stored as a difference, and is whole now", async () => {
    await store({ history: turns(60) });
    const id = await store({ history: turns(61) });
    open({ cacheBytes: 0 }, { rows: dialect.rows });
    expect(await store({ history: turns(61) }, { id })).toBe(id);
    await expect(store({ history: turns(62) }, { id })).rejects.toMatchObject({ code: "CONFLICT" });
  });
});

describe("storing at once", () => {
  test("it puts what comes together into few commits, and all of it is there", async () => {
    await storage.health(); // opened
    const ids = await Promise.all(Array.from({ length: 50 }, (_, at) => store({ at }, { agentId: `agent ${at}` })));
    expect(changes.length).toBeLessThan(6);
    expect(changes.flatMap(({ insert = [] }) => insert.map(({ id }) => id)).sort()).toEqual([...ids].sort());
    for (const [at, id] of ids.entries()) expect(await stateOf(id)).toEqual({ at });
  });

  test("it fails only for the one that cannot be stored", async () => {
    open({}, { commit: ({ insert = [] }) => refuseOne(insert) });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, at) => store({ at }, { agentId: `agent ${at}` })),
    );
    expect(outcomes.map(({ status }) => status === "fulfilled")).toEqual(
      Array.from({ length: 8 }, (_, at) => at !== 5),
    );
    expect(outcomes[5]).toMatchObject({ reason: { code: "STATE_TOO_LARGE" } });
  });

  test("it is one row for each, also if one of them is there already", async () => {
    await store(1, { id: idOf(3) });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((at) => store(at, { id: idOf(at) })));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    expect([...dialect.rows.keys()].sort()).toEqual([1, 2, 3, 4].map(idOf));
  });
});

function refuseOne(insert: readonly Row[]): boolean {
  if (insert.some(({ agentId }) => agentId === "agent 5")) throw new ScriptedError("too-large");
  return true;
}

describe("memory of states", () => {
  test("it is asked before the database, which only says whether the checkpoint is still there", async () => {
    const id = await store({ history: turns(60) });
    dialect.calls.length = 0;
    expect(await stateOf(id)).toEqual({ history: turns(60) });
    expect(dialect.calls).toEqual(["list"]);
    dialect.rows.delete(id);
    expect(await storage.retrieveCheckpoint(id)).toBeNull();
  });

  test("it gives each caller a state of their own", async () => {
    const id = await store({ history: turns(60) });
    ((await stateOf(id)) as { history: unknown[] }).history.length = 0;
    expect(await stateOf(id)).toEqual({ history: turns(60) });
  });

  test("it is nothing if it may hold nothing", async () => {
    open({ cacheBytes: 0 });
    const id = await store({ history: turns(60) });
    dialect.calls.length = 0;
    expect(await stateOf(id)).toEqual({ history: turns(60) });
    expect(dialect.calls).toEqual(["readChain"]);
  });

  test("it is told when another process has stored other content under an id", async () => {
    const id = await store({ history: turns(60) });
    dialect.rows.set(id, oldRow(id, "other"));
    expect(await stateOf(id)).toBe("other");
  });

  test.each([[-1], [1.5], ["1"], [null]])("it is refused a size that is none: %j", (cacheBytes) => {
    expect(() => createStorage(dialect, { cacheBytes: cacheBytes as number })).toThrow(/cacheBytes/);
  });
});

describe("freezing", () => {
  test("it freezes what is stored, deeply, only if it is asked to", async () => {
    const loose = { history: turns(3) };
    await store(loose);
    expect(Object.isFrozen(loose.history[0])).toBe(false);
    open({ freeze: true });
    const id = await store(loose);
    expect([loose, loose.history, loose.history[0]].every((part) => Object.isFrozen(part))).toBe(true);
    expect(await stateOf(id)).toEqual(loose);
    expect(Object.isFrozen(await stateOf(id))).toBe(false);
    expect(() => createStorage(dialect, { freeze: 1 as never })).toThrow(/freeze/);
  });

  test("it stores each turn of a state that is copied and added to", async () => {
    open({ freeze: true });
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
