import { describe, expect, test } from "vitest";
import {
  isSmall,
  packNext,
  packWhole,
  readChain,
  type StoredChain,
  UnreadableRow,
} from "../../src/checkpoints/chain.ts";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { DamagedState, parseEncoding, UnknownEncoding } from "../../src/codec/format.ts";
import { decodeSnapshot, takeSnapshot } from "../../src/codec/snapshot.ts";
import { chainOf, idOf, Line, noise, oldRow, rowOf } from "../rows.ts";

const turn = (at: number) => ({ at, content: noise(at, 400) });
const turns = (count: number) => Array.from({ length: count }, (_, at) => turn(at));
const read = async (rows: readonly Row[]) => (await readChain(rows))[0] as StoredChain;
/** All of it but the snapshots. */
const shape = ({ id, rows, sinceAnchor, storedBytes, compression, anchor }: StoredChain): object => {
  return { id, rows, sinceAnchor, storedBytes, compression, anchor: anchor === null ? null : shape(anchor) };
};

async function lineOf(states: readonly unknown[]): Promise<Line> {
  const line = new Line();
  for (const state of states) await line.store(state);
  return line;
}

describe("a line of states that grow", () => {
  const TURNS = 1_500;

  test("it takes about twice the bytes of its changes, in chains that stay short, and every state comes back", async () => {
    const line = new Line();
    const history: unknown[] = [];
    let changes = 0;
    let longest = 0;
    for (let at = 0; at < TURNS; at++) {
      history.push(turn(at));
      changes += JSON.stringify(turn(at)).length + 1;
      longest = Math.max(longest, (await line.store({ history, at })).rows);
      if (at % 50 !== 0) continue;
      const found = await read(chainOf(line.rows, idOf(at)));
      expect(decodeSnapshot(found.snapshot)).toEqual({ history, at });
      expect(shape(found)).toEqual(shape(line.last as StoredChain));
    }
    expect(longest).toBeLessThanOrEqual(256);
    expect(longest).toBeLessThan(TURNS / 8);
    const rows = [...line.rows.values()];
    const stored = rows.reduce((sum, { state }) => sum + state.byteLength, 0);
    expect(stored).toBeLessThan(3 * changes);
    for (const { id } of rows) expect(chainOf(line.rows, id).length).toBeLessThanOrEqual(257);
    // The last state is read from about twice its own bytes at most, as stored.
    const last = line.last as StoredChain;
    expect(last.storedBytes).toBeLessThanOrEqual(2 * last.compression * last.snapshot.stateBytes + 4_096);
  });

  test("it has an anchor every now and then, which is the difference to the anchor before", async () => {
    const line = await lineOf(Array.from({ length: 200 }, (_, at) => ({ history: turns(at + 20) })));
    const anchors = [...line.rows.values()].filter(
      ({ baseId, encoding }) => baseId === null || parseEncoding(encoding).isSkip,
    );
    expect(anchors.length).toBeGreaterThan(3);
    expect(anchors.length).toBeLessThan(10);
    anchors.slice(1).forEach(({ baseId }, at) => {
      expect(baseId).toBe(anchors[at]?.id);
    });
    // Memory holds the last anchor, and none before.
    expect(line.last?.anchor?.anchor).toBeNull();
  });

  test("it goes on from what was read as from what was stored", async () => {
    for (const length of [2, 31, 32, 33, 34, 64, 70]) {
      const line = await lineOf(Array.from({ length }, (_, at) => ({ history: turns(at + 20) })));
      const found = await read(chainOf(line.rows, idOf(length - 1)));
      expect(shape(found)).toEqual(shape(line.last as StoredChain));
      const next = takeSnapshot({ history: turns(length + 20) });
      const [afterStored, afterRead] = await Promise.all([
        packNext(idOf(length), next, line.last),
        packNext(idOf(length), next, found),
      ]);
      expect(afterRead.packed).toEqual(afterStored.packed);
      expect(afterRead.base?.id).toBe(afterStored.base?.id);
    }
  });
});

describe("a state", () => {
  const base = { history: turns(50) };

  test("it is whole if it is the first, or small", async () => {
    const line = await lineOf([base]);
    expect(line.last).toMatchObject({ rows: 1, sinceAnchor: 0, anchor: null });
    expect((await line.store({ history: turns(51) })).rows).toBe(2);
    expect((await line.store({ history: turns(3) })).rows).toBe(1);
    expect(isSmall(takeSnapshot("x".repeat(4_094)))).toBe(true);
    expect(isSmall(takeSnapshot("x".repeat(4_095)))).toBe(false);
  });

  test("it is whole if its base would not be before it", async () => {
    const { chain } = await packWhole(idOf(5), takeSnapshot(base));
    for (const id of [idOf(5), idOf(4)]) {
      const next = await packNext(id, takeSnapshot({ ...base, more: 1 }), chain);
      expect([next.base, next.packed.encoding]).toEqual([null, "json+pieces+deflate"]);
    }
    expect((await packNext(idOf(6), takeSnapshot({ ...base, more: 1 }), chain)).base?.id).toBe(idOf(5));
  });

  test("it is whole again when reading it would take more than twice the bytes of a whole one", async () => {
    const line = new Line();
    let whole = 0;
    for (let at = 0; at < 60; at++) {
      // A third of it is rewritten each time.
      const state = Array.from({ length: 30 }, (_, part) => noise(`${part} ${(at + part) % 3 === 0 ? at : 0}`, 1_000));
      const { rows, storedBytes, compression, snapshot } = await line.store(state);
      expect(storedBytes).toBeLessThanOrEqual(2 * compression * snapshot.stateBytes + 4_096);
      if (rows === 1) whole += 1;
      expect(decodeSnapshot((await read(chainOf(line.rows, idOf(at)))).snapshot)).toEqual(state);
    }
    expect(whole).toBeGreaterThan(5);
    expect(whole).toBeLessThan(40);
  });

  test("it is whole if nothing of the one before is in it", async () => {
    const line = await lineOf([noise("one", 50_000), noise("other", 50_000), noise("third", 50_000)]);
    expect([...line.rows.values()].filter(({ baseId }) => baseId === null).length).toBeGreaterThan(1);
  });

  test("it is read with others of its chain that are asked for", async () => {
    const line = await lineOf(Array.from({ length: 70 }, (_, at) => ({ history: turns(at + 20) })));
    const rows = chainOf(line.rows, idOf(69));
    const also = new Set([rows[1]?.id, rows.at(-1)?.id, "nobody"]);
    const found = await readChain(rows, ({ id }) => also.has(id));
    expect(found.map(({ id }) => id)).toEqual([idOf(69), rows[1]?.id, rows.at(-1)?.id]);
    expect(found.map(({ snapshot }) => (decodeSnapshot(snapshot) as typeof base).history.length)).toEqual([89, 88, 20]);
  });
});

describe("a row of the version before", () => {
  test.each([true, false])("it is what later ones are differences to (compressed: %s)", async (compressed) => {
    const line = new Line();
    line.rows.set(idOf(0), oldRow(idOf(0), { history: turns(100) }, compressed));
    line.last = await read(chainOf(line.rows, idOf(0)));
    expect(line.last).toMatchObject({ rows: 1, sinceAnchor: 0, anchor: null });
    for (let at = 1; at <= 40; at++) await line.store({ history: turns(100 + at) });
    const chain = chainOf(line.rows, idOf(40));
    expect(decodeSnapshot((await read(chain)).snapshot)).toEqual({ history: turns(140) });
    const stored = [...line.rows.values()].slice(1).reduce((sum, { state }) => sum + state.byteLength, 0);
    expect(stored).toBeLessThan(2 * JSON.stringify(turns(140)).length);
  });

  test("it ends a chain of rows of both kinds", async () => {
    const line = new Line();
    line.rows.set(idOf(0), oldRow(idOf(0), "x".repeat(100_000)));
    line.last = await read(chainOf(line.rows, idOf(0)));
    await line.store(`${"x".repeat(100_000)}y`);
    expect(decodeSnapshot((await read(chainOf(line.rows, idOf(1)))).snapshot)).toBe(`${"x".repeat(100_000)}y`);
  });
});

describe("a chain that cannot be read", () => {
  const damages: readonly [string, (row: Row) => Row][] = [
    ["a byte of it is another", (row) => ({ ...row, state: row.state.with(5, (row.state[5] ?? 0) ^ 1) })],
    ["it is cut", (row) => ({ ...row, state: row.state.subarray(0, -7) })],
    ["it is empty", (row) => ({ ...row, state: new Uint8Array() })],
  ];

  async function expectNamed(damage: (row: Row) => Row, kind: typeof DamagedState | typeof UnknownEncoding) {
    const line = await lineOf(Array.from({ length: 40 }, (_, at) => ({ history: turns(at + 20) })));
    const rows = chainOf(line.rows, idOf(39));
    expect(rows.length).toBeGreaterThan(5);
    for (const at of [0, 1, rows.length >> 1, rows.length - 2, rows.length - 1]) {
      const broken = rows.with(at, damage(rows[at] as Row));
      const error = await readChain(broken).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UnreadableRow);
      expect((error as UnreadableRow).id).toBe(rows[at]?.id);
      expect((error as UnreadableRow).cause).toBeInstanceOf(kind);
    }
  }

  test.each(damages)("it names the row that is damaged, wherever it is: %s", async (_name, damage) => {
    await expectNamed(damage, DamagedState);
  });

  test("it names the row that a newer version wrote, wherever it is", async () => {
    await expectNamed((row) => ({ ...row, encoding: "json+pieces+zstd" }), UnknownEncoding);
  });

  test("it names a row that is intact, but another than it should be", async () => {
    const line = await lineOf(Array.from({ length: 10 }, (_, at) => ({ history: turns(at + 20) })));
    const rows = chainOf(line.rows, idOf(9));
    const another = await packWhole(idOf(0), takeSnapshot({ history: turns(20).reverse() }));
    const row = { ...rowOf(idOf(0), another), digest: (rows.at(-1) as Row).digest };
    const error = await readChain(rows.with(-1, row)).catch((thrown: unknown) => thrown);
    expect((error as UnreadableRow).id).toBe(idOf(0));
  });

  test("it names the row whose base is not there", async () => {
    const line = await lineOf(Array.from({ length: 4 }, (_, at) => ({ history: turns(at + 20) })));
    const error = await readChain(chainOf(line.rows, idOf(3)).slice(0, 2)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ id: idOf(2), message: "what it is a difference to is not there" });
  });
});
