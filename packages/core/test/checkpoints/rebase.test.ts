import { beforeEach, describe, expect, test } from "vitest";
import {
  type PackedChain,
  packDifference,
  packWhole,
  readChain,
  type StoredChain,
} from "../../src/checkpoints/chain.ts";
import type { Rewrite, Row } from "../../src/checkpoints/dialect.ts";
import { planRemoval, type Removal } from "../../src/checkpoints/rebase.ts";
import { decodeSnapshot, takeSnapshot } from "../../src/codec/snapshot.ts";
import { chainOf, idOf, Line, noise, rowOf } from "../rows.ts";
import { scriptedDialect } from "../scripted-dialect.ts";

const turns = (count: number) => Array.from({ length: count }, (_, at) => ({ at, content: noise(at, 400) }));
const { signal } = new AbortController();

let rows: Map<string, Row>;
let states: Map<string, unknown>;

/** A line of so many states, in chains as a storage makes them. */
async function fill(count: number): Promise<void> {
  const line = new Line();
  for (let at = 0; at < count; at++) {
    const state = { history: turns(at + 20) };
    states.set((await line.store(state)).id, state);
  }
  rows = line.rows;
}
beforeEach(async () => {
  states = new Map();
  await fill(10);
});

async function plan(
  removing: readonly number[],
  { doomed = removing, maxRowBytes = 1_000_000 }: { doomed?: readonly number[]; maxRowBytes?: number } = {},
): Promise<Removal> {
  const scripted = scriptedDialect({
    dependents: async (ids) => [...rows.values()].filter(({ baseId }) => baseId !== null && ids.includes(baseId)),
  });
  for (const [id, row] of rows) scripted.rows.set(id, row);
  const gone = new Set(doomed.map(idOf));
  const ids = removing.map(idOf).sort().reverse();
  return await planRemoval(scripted, { ids, isDoomed: (id) => gone.has(id), maxRowBytes }, signal);
}

/** Does what was planned, as a database would: nobody's base may go. */
function carryOut({ change }: Removal): void {
  for (const { id, digest } of change.bases ?? []) {
    expect(Buffer.compare(rows.get(id)?.digest ?? Buffer.alloc(0), digest)).toBe(0);
  }
  for (const { fromBaseId, ...rewritten } of change.rewrite ?? []) {
    const row = rows.get(rewritten.id) as Row;
    expect([row.baseId, rewritten.baseId === null || rows.has(rewritten.baseId)]).toEqual([fromBaseId, true]);
    rows.set(row.id, { ...row, ...rewritten });
  }
  for (const id of change.remove) rows.delete(id);
  for (const { baseId } of rows.values()) if (baseId !== null) expect(rows.has(baseId)).toBe(true);
}

async function expectAllBack(): Promise<void> {
  for (const id of rows.keys()) {
    const [found] = (await readChain(chainOf(rows, id))) as [StoredChain];
    expect(decodeSnapshot(found.snapshot)).toEqual(states.get(id));
  }
}

const bases = (rewrite: readonly Rewrite[] = []) => rewrite.map(({ id, baseId }) => [id, baseId]);
const left = () => [...rows.keys()];
const damage = (at: number) => {
  const row = rows.get(idOf(at)) as Row;
  rows.set(row.id, { ...row, state: row.state.with(3, (row.state[3] ?? 0) ^ 255) });
};

describe("rows that are removed", () => {
  test("they go, and nothing is rewritten, if no other builds on them", async () => {
    const removal = await plan([9]);
    expect(removal.change).toEqual({ bases: [], rewrite: [], remove: [idOf(9)] });
    carryOut(removal);
    await expectAllBack();
  });

  test("they go with all that build on them, and nothing is rewritten", async () => {
    const removal = await plan([7, 8, 9]);
    expect(removal.change).toMatchObject({ rewrite: [], remove: [idOf(9), idOf(8), idOf(7)] });
  });

  test("they leave those that build on them as differences to the nearest row that stays", async () => {
    const removal = await plan([3, 4, 6]);
    expect(bases(removal.change.rewrite)).toEqual([
      [idOf(5), idOf(2)],
      [idOf(7), idOf(5)],
    ]);
    carryOut(removal);
    await expectAllBack();
    expect(left()).toHaveLength(7);
  });

  test("they leave the one after them whole, if nothing before it stays", async () => {
    const removal = await plan([0, 1, 2]);
    expect(bases(removal.change.rewrite)).toEqual([[idOf(3), null]]);
    carryOut(removal);
    await expectAllBack();
  });

  test("they leave no row on one that goes later", async () => {
    const removal = await plan([4], { doomed: [1, 2, 3, 4] });
    expect(bases(removal.change.rewrite)).toEqual([[idOf(5), idOf(0)]]);
    carryOut(removal);
    carryOut(await plan([1, 2, 3]));
    await expectAllBack();
  });

  test("they are guarded: what is rewritten, and what that builds on, has to be as it was", async () => {
    const { change } = await plan([3]);
    expect(change.rewrite).toMatchObject([{ id: idOf(4), fromBaseId: idOf(3), baseId: idOf(2) }]);
    expect(change.bases?.map(({ id }) => id).sort()).toEqual([idOf(2), idOf(4)]);
    expect(change.bases?.every(({ id, digest }) => rows.get(id)?.digest.toString() === digest.toString())).toBe(true);
  });

  test("they go in any order and number, and what stays is what it was", async () => {
    await fill(80);
    for (let round = 0; rows.size > 1; round++) {
      const doomed = left()
        .map((id) => Number.parseInt(id.slice(-12), 16))
        .filter((at) => (at * 7 + round) % 3 === 0);
      carryOut(await plan(doomed));
      await expectAllBack();
      if (doomed.length === 0 && round > 6) break;
    }
    expect(rows.size).toBeLessThan(10);
  });

  test("they are planned in parts if too much would be rewritten", { timeout: 240_000 }, async () => {
    rows = new Map();
    // Five lines, of which the second row becomes whole: some 4.5 MB each as sent.
    for (const at of [0, 2, 4, 6, 8]) {
      const base = noise(at, 6_000_000);
      const whole = await packWhole(idOf(at), takeSnapshot(base));
      const next = (await packDifference(idOf(at + 1), takeSnapshot(`${base}!`), whole.chain, false)) as PackedChain;
      rows.set(idOf(at), { ...rowOf(idOf(at), whole), namespace: `line ${at}` });
      rows.set(idOf(at + 1), { ...rowOf(idOf(at + 1), next), namespace: `line ${at}` });
      states.set(idOf(at + 1), `${base}!`);
    }
    const removal = await plan([0, 2, 4, 6, 8], { maxRowBytes: 100_000_000 });
    expect(removal.ids).toEqual([idOf(8), idOf(6), idOf(4)]);
    carryOut(removal);
    carryOut(await plan([0, 2], { maxRowBytes: 100_000_000 }));
    await expectAllBack();
    expect(left()).toEqual([1, 3, 5, 7, 9].map(idOf));
  });
});

describe("rows that others need, which cannot be rewritten", () => {
  test("they stay if one that builds on them is damaged", async () => {
    damage(5);
    const removal = await plan([3, 4, 9]);
    expect(removal.ids).toEqual([idOf(9), idOf(4), idOf(3)]);
    expect(removal.change.remove).toEqual([idOf(9)]);
    carryOut(removal);
  });

  test("they stay if one of them is damaged", async () => {
    damage(2);
    const before = new Map(rows);
    expect((await plan([2])).change.remove).toEqual([]);
    expect((await plan([2, 8, 9])).change.remove).toEqual([idOf(9), idOf(8)]);
    expect(rows).toEqual(before);
  });

  test("they go if all that build on the damaged one go too", async () => {
    damage(5);
    const removal = await plan([5, 6, 7, 8, 9]);
    expect(removal.change.remove).toHaveLength(5);
    carryOut(removal);
    await expectAllBack();
  });

  test("they stay if one that builds on them is too large to be sent whole", async () => {
    const removal = await plan([0], { maxRowBytes: 2_000 });
    expect(removal.change).toMatchObject({ rewrite: [], remove: [] });
    const some = await plan([0, 9], { maxRowBytes: 2_000 });
    expect(some.change.remove).toEqual([idOf(9)]);
  });

  test("they stay if a newer version wrote one that builds on them", async () => {
    rows.set(idOf(5), { ...(rows.get(idOf(5)) as Row), encoding: "json+pieces+zstd" });
    expect((await plan([3, 4, 9])).change.remove).toEqual([idOf(9)]);
  });
});
