import { beforeEach, describe, expect, test } from "vitest";
import { type ChainState, type PackedNext, packDelta, packFull, unpackChain } from "../../src/checkpoints/chain.ts";
import type { Rewrite, Row } from "../../src/checkpoints/dialect.ts";
import { planRemoval, type Removal } from "../../src/checkpoints/rebase.ts";
import { decodeSnapshot, takeSnapshot } from "../../src/codec/snapshot.ts";
import { chainOf, idOf, noise, rowOf, Timeline } from "../rows.ts";
import { scriptedDialect } from "../scripted-dialect.ts";

const turns = (count: number) => Array.from({ length: count }, (_, at) => ({ at, content: noise(at, 400) }));
const { signal } = new AbortController();

let rows: Map<string, Row>;
let states: Map<string, unknown>;

/** Stores a timeline of so many states, in chains as a storage makes them. */
async function fill(count: number): Promise<void> {
  const timeline = new Timeline();
  for (let at = 0; at < count; at++) {
    const state = { history: turns(at + 20) };
    states.set((await timeline.store(state)).id, state);
  }
  rows = timeline.rows;
}
beforeEach(async () => {
  states = new Map();
  await fill(10);
});

async function plan(
  removing: readonly number[],
  {
    removingLater = removing,
    maxRowBytes = 1_000_000,
  }: { removingLater?: readonly number[]; maxRowBytes?: number } = {},
): Promise<Removal> {
  const gone = new Set(removingLater.map(idOf));
  const ids = removing.map(idOf).sort().reverse();
  return await planRemoval(
    scriptedDialect({}, { rows }),
    { ids, willBeRemoved: (id) => gone.has(id), maxRowBytes },
    signal,
  );
}

/** Commits a plan as a database does: no base of another row may be removed. */
function commit({ change }: Removal): void {
  for (const { id, digest } of change.expected ?? []) {
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

async function expectAllReadable(): Promise<void> {
  for (const id of rows.keys()) {
    const [found] = (await unpackChain(chainOf(rows, id))) as [ChainState];
    expect(decodeSnapshot(found.snapshot)).toEqual(states.get(id));
  }
}

const bases = (rewrite: readonly Rewrite[] = []) => rewrite.map(({ id, baseId }) => [id, baseId]);
const left = () => [...rows.keys()];
const damage = (at: number) => {
  const row = rows.get(idOf(at)) as Row;
  rows.set(row.id, { ...row, state: row.state.with(3, (row.state[3] ?? 0) ^ 255) });
};

describe("the plan of a removal", () => {
  test("rewrites nothing if no other row builds on the removed ones", async () => {
    const removal = await plan([9]);
    expect(removal.change).toEqual({ expected: [], rewrite: [], remove: [idOf(9)] });
    commit(removal);
    await expectAllReadable();
  });

  test("rewrites nothing if all rows that build on them are removed too", async () => {
    const removal = await plan([7, 8, 9]);
    expect(removal.change).toMatchObject({ rewrite: [], remove: [idOf(9), idOf(8), idOf(7)] });
  });

  test("makes the rows that build on them deltas to the nearest row that stays", async () => {
    const removal = await plan([3, 4, 6]);
    expect(bases(removal.change.rewrite)).toEqual([
      [idOf(5), idOf(2)],
      [idOf(7), idOf(5)],
    ]);
    commit(removal);
    await expectAllReadable();
    expect(left()).toHaveLength(7);
  });

  test("makes the row after them full if none before it stays", async () => {
    const removal = await plan([0, 1, 2]);
    expect(bases(removal.change.rewrite)).toEqual([[idOf(3), null]]);
    commit(removal);
    await expectAllReadable();
  });

  test("lets no row build on one that is removed later", async () => {
    const removal = await plan([4], { removingLater: [1, 2, 3, 4] });
    expect(bases(removal.change.rewrite)).toEqual([[idOf(5), idOf(0)]]);
    commit(removal);
    commit(await plan([1, 2, 3]));
    await expectAllReadable();
  });

  test("is guarded by the rows that are rewritten and their bases", async () => {
    const { change } = await plan([3]);
    expect(change.rewrite).toMatchObject([{ id: idOf(4), fromBaseId: idOf(3), baseId: idOf(2) }]);
    expect(change.expected?.map(({ id }) => id).sort()).toEqual([idOf(2), idOf(4)]);
    expect(change.expected?.every(({ id, digest }) => rows.get(id)?.digest.toString() === digest.toString())).toBe(
      true,
    );
  });

  test("leaves the other states as they were, whatever is removed in whatever order", async () => {
    await fill(80);
    for (let round = 0; rows.size > 1; round++) {
      const removing = left()
        .map((id) => Number.parseInt(id.slice(-12), 16))
        .filter((at) => (at * 7 + round) % 3 === 0);
      commit(await plan(removing));
      await expectAllReadable();
      if (removing.length === 0 && round > 6) break;
    }
    expect(rows.size).toBeLessThan(10);
  });

  test("covers only some of the rows if all would be too much to rewrite", { timeout: 240_000 }, async () => {
    rows = new Map();
    // Five timelines, the second row of each of which becomes full: some 4.5 MB each as sent.
    for (const at of [0, 2, 4, 6, 8]) {
      const base = noise(at, 6_000_000);
      const full = await packFull(idOf(at), takeSnapshot(base));
      const next = (await packDelta(idOf(at + 1), takeSnapshot(`${base}!`), full.next, false)) as PackedNext;
      rows.set(idOf(at), { ...rowOf(idOf(at), full), namespace: `timeline ${at}` });
      rows.set(idOf(at + 1), { ...rowOf(idOf(at + 1), next), namespace: `timeline ${at}` });
      states.set(idOf(at + 1), `${base}!`);
    }
    const removal = await plan([0, 2, 4, 6, 8], { maxRowBytes: 100_000_000 });
    expect(removal.ids).toEqual([idOf(8), idOf(6), idOf(4)]);
    commit(removal);
    commit(await plan([0, 2], { maxRowBytes: 100_000_000 }));
    await expectAllReadable();
    expect(left()).toEqual([1, 3, 5, 7, 9].map(idOf));
  });
});

describe("the plan of a removal of rows that others need", () => {
  test("keeps them if one that builds on them is damaged", async () => {
    damage(5);
    const removal = await plan([3, 4, 9]);
    expect(removal.ids).toEqual([idOf(9), idOf(4), idOf(3)]);
    expect(removal.change.remove).toEqual([idOf(9)]);
    commit(removal);
  });

  test("keeps them if one of them is damaged", async () => {
    damage(2);
    const before = new Map(rows);
    expect((await plan([2])).change.remove).toEqual([]);
    expect((await plan([2, 8, 9])).change.remove).toEqual([idOf(9), idOf(8)]);
    expect(rows).toEqual(before);
  });

  test("removes them if all rows that build on the damaged one are removed too", async () => {
    damage(5);
    const removal = await plan([5, 6, 7, 8, 9]);
    expect(removal.change.remove).toHaveLength(5);
    commit(removal);
    await expectAllReadable();
  });

  test("keeps them if one that builds on them is too large to be stored full", async () => {
    const removal = await plan([0], { maxRowBytes: 2_000 });
    expect(removal.change).toMatchObject({ rewrite: [], remove: [] });
    const some = await plan([0, 9], { maxRowBytes: 2_000 });
    expect(some.change.remove).toEqual([idOf(9)]);
  });

  test("keeps them if a newer version wrote one that builds on them", async () => {
    rows.set(idOf(5), { ...(rows.get(idOf(5)) as Row), encoding: "json+pieces+zstd" });
    expect((await plan([3, 4, 9])).change.remove).toEqual([idOf(9)]);
  });
});
