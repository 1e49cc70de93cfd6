import { describe, expect, test } from "vitest";
import {
  type ChainState,
  isAlwaysFull,
  packFull,
  packNext,
  UnreadableRow,
  unpackChain,
} from "../../src/checkpoints/chain.ts";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { DamagedState, UnknownEncoding } from "../../src/codec/damage.ts";
import { parseEncoding } from "../../src/codec/format.ts";
import { decodeSnapshot, takeSnapshot } from "../../src/codec/snapshot.ts";
import { chainOf, idOf, noise, oldRow, rowOf, Timeline } from "../rows.ts";

const turn = (at: number) => ({ at, content: noise(at, 400) });
const turns = (count: number) => Array.from({ length: count }, (_, at) => turn(at));
const read = async (rows: readonly Row[]) => (await unpackChain(rows))[0] as ChainState;
/** Returns all but the snapshots. */
const shape = ({ id, chainLength, sinceSkip, storedBytes, compression, lastSkip }: ChainState): object => {
  return {
    id,
    chainLength,
    sinceSkip,
    storedBytes,
    compression,
    lastSkip: lastSkip === null ? null : shape(lastSkip),
  };
};

async function storeAll(states: readonly unknown[]): Promise<Timeline> {
  const timeline = new Timeline();
  for (const state of states) await timeline.store(state);
  return timeline;
}

describe("a timeline of growing states", () => {
  const TURNS = 1_500;

  test("takes about twice the bytes of its changes, in short chains, and every state can be read", async () => {
    const timeline = new Timeline();
    const history: unknown[] = [];
    let changes = 0;
    let longest = 0;
    for (let at = 0; at < TURNS; at++) {
      history.push(turn(at));
      changes += JSON.stringify(turn(at)).length + 1;
      longest = Math.max(longest, (await timeline.store({ history, at })).chainLength);
      if (at % 50 !== 0) continue;
      const found = await read(chainOf(timeline.rows, idOf(at)));
      expect(decodeSnapshot(found.snapshot)).toEqual({ history, at });
      expect(shape(found)).toEqual(shape(timeline.last as ChainState));
    }
    expect(longest).toBeLessThanOrEqual(256);
    expect(longest).toBeLessThan(TURNS / 8);
    const rows = [...timeline.rows.values()];
    const stored = rows.reduce((sum, { state }) => sum + state.byteLength, 0);
    expect(stored).toBeLessThan(3 * changes);
    for (const { id } of rows) expect(chainOf(timeline.rows, id).length).toBeLessThanOrEqual(257);
    // Reading the last state takes at most about twice its own stored bytes.
    const last = timeline.last as ChainState;
    expect(last.storedBytes).toBeLessThanOrEqual(2 * last.compression * last.snapshot.stateBytes + 4_096);
  });

  test("has a skip delta now and then, whose base is the skip delta before", async () => {
    const timeline = await storeAll(Array.from({ length: 200 }, (_, at) => ({ history: turns(at + 20) })));
    const skips = [...timeline.rows.values()].filter(
      ({ baseId, encoding }) => baseId === null || parseEncoding(encoding).isSkip,
    );
    expect(skips.length).toBeGreaterThan(3);
    expect(skips.length).toBeLessThan(10);
    skips.slice(1).forEach(({ baseId }, at) => {
      expect(baseId).toBe(skips[at]?.id);
    });
    // The state holds the last skip delta, and none before.
    expect(timeline.last?.lastSkip?.lastSkip).toBeNull();
  });

  test("goes on from a state that was read as from one that was stored", async () => {
    for (const length of [2, 31, 32, 33, 34, 64, 70]) {
      const timeline = await storeAll(Array.from({ length }, (_, at) => ({ history: turns(at + 20) })));
      const found = await read(chainOf(timeline.rows, idOf(length - 1)));
      expect(shape(found)).toEqual(shape(timeline.last as ChainState));
      const next = takeSnapshot({ history: turns(length + 20) });
      const [afterStored, afterRead] = await Promise.all([
        packNext(idOf(length), next, timeline.last),
        packNext(idOf(length), next, found),
      ]);
      expect(afterRead.packed).toEqual(afterStored.packed);
      expect(afterRead.base?.id).toBe(afterStored.base?.id);
    }
  });
});

describe("a state", () => {
  const base = { history: turns(50) };

  test("is full if it is the first, or small", async () => {
    const timeline = await storeAll([base]);
    expect(timeline.last).toMatchObject({ chainLength: 1, sinceSkip: 0, lastSkip: null });
    expect((await timeline.store({ history: turns(51) })).chainLength).toBe(2);
    expect((await timeline.store({ history: turns(3) })).chainLength).toBe(1);
    expect(isAlwaysFull(takeSnapshot("x".repeat(4_094)))).toBe(true);
    expect(isAlwaysFull(takeSnapshot("x".repeat(4_095)))).toBe(false);
  });

  test("is full if its base would not be before it", async () => {
    const { next } = await packFull(idOf(5), takeSnapshot(base));
    for (const id of [idOf(5), idOf(4)]) {
      const full = await packNext(id, takeSnapshot({ ...base, more: 1 }), next);
      expect([full.base, full.packed.encoding]).toEqual([null, "json+pieces+deflate"]);
    }
    expect((await packNext(idOf(6), takeSnapshot({ ...base, more: 1 }), next)).base?.id).toBe(idOf(5));
  });

  test("is full again if reading it would take more than twice the bytes of a full one", async () => {
    const timeline = new Timeline();
    let fullStates = 0;
    for (let at = 0; at < 60; at++) {
      // A third of the state is rewritten each time.
      const state = Array.from({ length: 30 }, (_, part) => noise(`${part} ${(at + part) % 3 === 0 ? at : 0}`, 1_000));
      const { chainLength, storedBytes, compression, snapshot } = await timeline.store(state);
      expect(storedBytes).toBeLessThanOrEqual(2 * compression * snapshot.stateBytes + 4_096);
      if (chainLength === 1) fullStates += 1;
      expect(decodeSnapshot((await read(chainOf(timeline.rows, idOf(at)))).snapshot)).toEqual(state);
    }
    expect(fullStates).toBeGreaterThan(5);
    expect(fullStates).toBeLessThan(40);
  });

  test("is full if it shares nothing with the one before", async () => {
    const timeline = await storeAll([noise("one", 50_000), noise("other", 50_000), noise("third", 50_000)]);
    expect([...timeline.rows.values()].filter(({ baseId }) => baseId === null).length).toBeGreaterThan(1);
  });

  test("is read with other states of its chain that are wanted", async () => {
    const timeline = await storeAll(Array.from({ length: 70 }, (_, at) => ({ history: turns(at + 20) })));
    const rows = chainOf(timeline.rows, idOf(69));
    const wanted = new Set([rows[1]?.id, rows.at(-1)?.id, "unknown"]);
    const found = await unpackChain(rows, ({ id }) => wanted.has(id));
    expect(found.map(({ id }) => id)).toEqual([idOf(69), rows[1]?.id, rows.at(-1)?.id]);
    expect(found.map(({ snapshot }) => (decodeSnapshot(snapshot) as typeof base).history.length)).toEqual([89, 88, 20]);
  });
});

describe("a row of version 0.1", () => {
  test.each([true, false])("is the base of later states (compressed: %s)", async (compressed) => {
    const timeline = new Timeline();
    timeline.rows.set(idOf(0), oldRow(idOf(0), { history: turns(100) }, compressed));
    timeline.last = await read(chainOf(timeline.rows, idOf(0)));
    expect(timeline.last).toMatchObject({ chainLength: 1, sinceSkip: 0, lastSkip: null });
    for (let at = 1; at <= 40; at++) await timeline.store({ history: turns(100 + at) });
    const chain = chainOf(timeline.rows, idOf(40));
    expect(decodeSnapshot((await read(chain)).snapshot)).toEqual({ history: turns(140) });
    const stored = [...timeline.rows.values()].slice(1).reduce((sum, { state }) => sum + state.byteLength, 0);
    expect(stored).toBeLessThan(2 * JSON.stringify(turns(140)).length);
  });

  test("ends a chain of rows of both versions", async () => {
    const timeline = new Timeline();
    timeline.rows.set(idOf(0), oldRow(idOf(0), "x".repeat(100_000)));
    timeline.last = await read(chainOf(timeline.rows, idOf(0)));
    await timeline.store(`${"x".repeat(100_000)}y`);
    expect(decodeSnapshot((await read(chainOf(timeline.rows, idOf(1)))).snapshot)).toBe(`${"x".repeat(100_000)}y`);
  });
});

describe("an unreadable chain", () => {
  const damages: readonly [string, (row: Row) => Row][] = [
    ["a byte of it is changed", (row) => ({ ...row, state: row.state.with(5, (row.state[5] ?? 0) ^ 1) })],
    ["it is cut off", (row) => ({ ...row, state: row.state.subarray(0, -7) })],
    ["it is empty", (row) => ({ ...row, state: new Uint8Array() })],
  ];

  async function expectNamed(damage: (row: Row) => Row, kind: typeof DamagedState | typeof UnknownEncoding) {
    const timeline = await storeAll(Array.from({ length: 40 }, (_, at) => ({ history: turns(at + 20) })));
    const rows = chainOf(timeline.rows, idOf(39));
    expect(rows.length).toBeGreaterThan(5);
    for (const at of [0, 1, rows.length >> 1, rows.length - 2, rows.length - 1]) {
      const broken = rows.with(at, damage(rows[at] as Row));
      const error = await unpackChain(broken).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UnreadableRow);
      expect((error as UnreadableRow).id).toBe(rows[at]?.id);
      expect((error as UnreadableRow).cause).toBeInstanceOf(kind);
    }
  }

  test.each(damages)("names the damaged row, wherever it is: %s", async (_name, damage) => {
    await expectNamed(damage, DamagedState);
  });

  test("names the row that a newer version wrote, wherever it is", async () => {
    await expectNamed((row) => ({ ...row, encoding: "json+pieces+zstd" }), UnknownEncoding);
  });

  test("names a row that is intact, but has other content than it should", async () => {
    const timeline = await storeAll(Array.from({ length: 10 }, (_, at) => ({ history: turns(at + 20) })));
    const rows = chainOf(timeline.rows, idOf(9));
    const another = await packFull(idOf(0), takeSnapshot({ history: turns(20).reverse() }));
    const row = { ...rowOf(idOf(0), another), digest: (rows.at(-1) as Row).digest };
    const error = await unpackChain(rows.with(-1, row)).catch((thrown: unknown) => thrown);
    expect((error as UnreadableRow).id).toBe(idOf(0));
  });

  test("names the row whose base is missing", async () => {
    const timeline = await storeAll(Array.from({ length: 4 }, (_, at) => ({ history: turns(at + 20) })));
    const error = await unpackChain(chainOf(timeline.rows, idOf(3)).slice(0, 2)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ id: idOf(2), message: "its base is missing" });
  });
});
