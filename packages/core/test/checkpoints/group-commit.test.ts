import { describe, expect, test, vi } from "vitest";
import { type Row, type RowVersion, rowBytes } from "../../src/checkpoints/dialect.ts";
import { GroupCommit } from "../../src/checkpoints/group-commit.ts";
import { idOf } from "../rows.ts";

const rowOf = (at: number, stateLength = 10): Row => ({
  id: idOf(at),
  agentId: "agent",
  namespace: "",
  name: "turn",
  parentId: null,
  baseId: null,
  createdAt: 0,
  metadata: null,
  encoding: "json",
  stateBytes: stateLength,
  digest: new Uint8Array(32),
  state: new Uint8Array(stateLength),
  afterId: null,
  pending: null,
});
const baseOf = (at: number): RowVersion => ({ id: idOf(at), digest: new Uint8Array(32) });

/** The row whose commit others wait behind. */
const FIRST = 0xffff;

interface Commit {
  readonly ids: readonly number[];
  readonly bases: readonly number[];
  readonly signal: AbortSignal;
  readonly resolve: (stored: boolean) => void;
  readonly reject: (error: unknown) => void;
}

const numbers = (of: readonly { readonly id: string }[]) => of.map(({ id }) => Number.parseInt(id.slice(-12), 16));

/** A group commit whose commits end when the test says so. */
class Bench {
  readonly commits: Commit[] = [];
  readonly groupCommit: GroupCommit;
  readonly signals = new Map<number, AbortController>();

  constructor(mayBeOneRow: (error: unknown) => boolean = () => false) {
    const commit = (rows: readonly Row[], bases: readonly RowVersion[], signal: AbortSignal): Promise<boolean> =>
      new Promise((resolve, reject) => {
        this.commits.push({ ids: numbers(rows), bases: numbers(bases), signal, resolve, reject });
      });
    this.groupCommit = new GroupCommit(commit, mayBeOneRow);
  }

  /** Inserts a row, and resolves to the result or the error. */
  insert(at: number, { length = 10, maxBytes = 1_000_000, base = -1 } = {}): Promise<unknown> {
    const controller = new AbortController();
    this.signals.set(at, controller);
    const row = rowOf(at, length);
    const inserted = { row, base: base < 0 ? null : baseOf(base) };
    return this.groupCommit
      .insert(inserted, rowBytes(row), maxBytes, controller.signal)
      .catch((error: unknown) => error);
  }

  /** Returns the commit with this number, once it is under way. */
  async commit(at: number): Promise<Commit> {
    // Only promises have to resolve before.
    for (let turn = 0; turn < 1_000 && this.commits[at] === undefined; turn++) await null;
    expect(this.commits.length, "commits under way").toBeGreaterThan(at);
    return this.commits[at] as Commit;
  }

  /** Begins a first commit, and returns a function that ends it: rows that are inserted before wait for it together. */
  async gather(maxBytes = 1_000_000): Promise<() => void> {
    void this.insert(FIRST, { maxBytes });
    const { resolve } = await this.commit(0);
    return () => resolve(true);
  }

  /** The rows of each commit, without that of `gather`. */
  get gathered(): readonly (readonly number[])[] {
    return this.ids.filter(([id]) => id !== FIRST);
  }

  get ids(): readonly (readonly number[])[] {
    return this.commits.map(({ ids }) => ids);
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

describe("a row that is inserted alone", () => {
  test("waits for no timer and no event", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "setImmediate", "setInterval"] });
    const bench = new Bench();
    const stored = bench.insert(1);
    for (let turn = 0; turn < 100; turn++) await null;
    vi.useRealTimers();
    expect(bench.ids).toEqual([[1]]);
    bench.commits[0]?.resolve(true);
    expect(await stored).toBe(true);
  });

  test("is committed with its own signal and base", async () => {
    const bench = new Bench();
    const stored = bench.insert(1, { base: 0 });
    const commit = await bench.commit(0);
    expect(commit.signal).toBe(bench.signals.get(1)?.signal);
    expect(commit.bases).toEqual([0]);
    commit.resolve(false);
    expect(await stored).toBe(false);
  });

  test("fails as its commit does, and later rows do not", async () => {
    const bench = new Bench(() => true);
    const stored = bench.insert(1);
    const fault = new TypeError("fault");
    (await bench.commit(0)).reject(fault);
    expect(await stored).toBe(fault);
    const next = bench.insert(2);
    (await bench.commit(1)).resolve(true);
    expect(await next).toBe(true);
  });
});

describe("rows that are inserted together", () => {
  test("share one commit, in their order, with each base once", async () => {
    const bench = new Bench();
    const go = await bench.gather();
    const bases = [7, -1, 7, 8];
    const stored = bases.map((base, at) => bench.insert(at + 10, { base }));
    go();
    const commit = await bench.commit(1);
    expect([commit.ids, commit.bases]).toEqual([
      [10, 11, 12, 13],
      [7, 8],
    ]);
    commit.resolve(true);
    expect(await Promise.all(stored)).toEqual([true, true, true, true]);
  });

  test("wait for the next commit, except for the first, which is committed at once", async () => {
    const bench = new Bench();
    const stored = range(1, 5).map((at) => bench.insert(at));
    (await bench.commit(0)).resolve(true);
    (await bench.commit(1)).resolve(true);
    expect(await Promise.all(stored)).toEqual([true, true, true, true]);
    expect(bench.ids).toEqual([[1], [2, 3, 4]]);
  });

  test("wait while a commit is under way", async () => {
    const bench = new Bench();
    const first = bench.insert(1);
    const commit = await bench.commit(0);
    const others = range(2, 7).map((at) => bench.insert(at));
    for (let turn = 0; turn < 100; turn++) await null;
    expect(bench.ids).toEqual([[1]]);
    commit.resolve(true);
    (await bench.commit(1)).resolve(true);
    expect(await Promise.all([first, ...others])).toEqual(range(1, 7).map(() => true));
    expect(bench.ids).toEqual([[1], range(2, 7)]);
  });

  test("share a commit with the next rows of callers whose row was just committed", async () => {
    const bench = new Bench();
    const go = await bench.gather();
    const agents = range(0, 5).map(async (agent) => {
      for (let turn = 0; turn < 4; turn++) await bench.insert(agent + 10 * turn);
    });
    go();
    for (let at = 0; at < 4; at++) (await bench.commit(at + 1)).resolve(true);
    await Promise.all(agents);
    expect(bench.gathered.map((ids) => ids.length)).toEqual([5, 5, 5, 5]);
  });

  test("are at most 128 in one commit", async () => {
    const bench = new Bench();
    const go = await bench.gather();
    const stored = range(0, 300).map((at) => bench.insert(at));
    go();
    for (let at = 0; at < 3; at++) (await bench.commit(at + 1)).resolve(true);
    await Promise.all(stored);
    expect(bench.gathered).toEqual([range(0, 128), range(128, 256), range(256, 300)]);
  });

  test("have at most the given number of bytes in one commit", async () => {
    const bench = new Bench();
    const maxBytes = 3 * rowBytes(rowOf(0, 1_000)) + 1;
    const go = await bench.gather(maxBytes);
    const stored = range(0, 8).map((at) => bench.insert(at, { length: 1_000, maxBytes }));
    go();
    for (let at = 0; at < 3; at++) (await bench.commit(at + 1)).resolve(true);
    await Promise.all(stored);
    expect(bench.gathered).toEqual([range(0, 3), range(3, 6), range(6, 8)]);
  });

  test("do not wait for a large row, nor it for them", async () => {
    const bench = new Bench();
    const first = bench.insert(1);
    await bench.commit(0);
    const [large, small] = [bench.insert(2, { length: 300_000 }), bench.insert(3)];
    (await bench.commit(1)).resolve(true);
    expect(await large).toBe(true);
    bench.commits[0]?.resolve(true);
    (await bench.commit(2)).resolve(true);
    expect([await first, await small]).toEqual([true, true]);
    expect(bench.ids).toEqual([[1], [2], [3]]);
  });
});

describe("a commit of several rows that fails", () => {
  const fault = new TypeError("one row");

  test("fails only for the row that is its cause", async () => {
    const bench = new Bench((error) => error === fault);
    const go = await bench.gather();
    const stored = range(1, 5).map((at) => bench.insert(at, { base: at + 20 }));
    go();
    (await bench.commit(1)).reject(fault);
    await bench.commit(5);
    expect(bench.gathered.slice(1)).toEqual([[1], [2], [3], [4]]);
    expect(bench.commits.slice(2).map(({ bases }) => bases)).toEqual([[21], [22], [23], [24]]);
    for (const { ids, resolve, reject } of bench.commits.slice(2)) ids[0] === 3 ? reject(fault) : resolve(true);
    expect(await Promise.all(stored)).toEqual([true, true, fault, true]);
  });

  test("fails for all rows if none is its cause", async () => {
    const bench = new Bench((error) => error === fault);
    const go = await bench.gather();
    const stored = range(1, 4).map((at) => bench.insert(at));
    const other = new TypeError("connection lost");
    go();
    (await bench.commit(1)).reject(other);
    expect(await Promise.all(stored)).toEqual([other, other, other]);
    expect(bench.gathered).toHaveLength(1);
  });

  test("is repeated row by row if a guard missed", async () => {
    const bench = new Bench();
    const go = await bench.gather();
    const stored = range(1, 4).map((at) => bench.insert(at));
    go();
    (await bench.commit(1)).resolve(false);
    await bench.commit(4);
    for (const { ids, resolve } of bench.commits.slice(2)) resolve(ids[0] !== 2);
    expect(await Promise.all(stored)).toEqual([true, false, true]);
  });

  test("is followed by the rows that were inserted meanwhile", async () => {
    const bench = new Bench((error) => error === fault);
    const go = await bench.gather();
    const stored = [bench.insert(1), bench.insert(2)];
    go();
    const commit = await bench.commit(1);
    stored.push(bench.insert(3));
    commit.reject(fault);
    (await bench.commit(2)).resolve(true);
    (await bench.commit(3)).resolve(true);
    (await bench.commit(4)).resolve(true);
    expect(await Promise.all(stored)).toEqual([true, true, true]);
    expect(bench.gathered).toEqual([[1, 2], [1], [2], [3]]);
  });
});

describe("a caller that stops waiting", () => {
  test("has its row left out if it was not sent yet, and the others are sent", async () => {
    const bench = new Bench();
    const first = bench.insert(1);
    const commit = await bench.commit(0);
    const others = [bench.insert(2), bench.insert(3), bench.insert(4)];
    bench.signals.get(3)?.abort("enough");
    commit.resolve(true);
    (await bench.commit(1)).resolve(true);
    expect(await Promise.all([first, ...others])).toEqual([true, true, "enough", true]);
    expect(bench.ids).toEqual([[1], [2, 4]]);
  });

  test("causes no commit if its row was the only one", async () => {
    const bench = new Bench();
    const first = bench.insert(1);
    const commit = await bench.commit(0);
    const second = bench.insert(2);
    bench.signals.get(2)?.abort("enough");
    commit.resolve(true);
    expect([await first, await second]).toEqual([true, "enough"]);
    const third = bench.insert(3);
    (await bench.commit(1)).resolve(true);
    expect(await third).toBe(true);
    expect(bench.ids).toEqual([[1], [3]]);
  });

  test("aborts the commit under way only if no caller waits for it any more", async () => {
    const bench = new Bench();
    const go = await bench.gather();
    const stored = range(1, 4).map((at) => bench.insert(at));
    go();
    const { signal, reject } = await bench.commit(1);
    bench.signals.get(1)?.abort("first");
    bench.signals.get(2)?.abort("second");
    expect(signal.aborted).toBe(false);
    bench.signals.get(3)?.abort("third");
    expect([signal.aborted, signal.reason]).toEqual([true, "third"]);
    reject(signal.reason);
    await Promise.all(stored);
  });

  test("does not hold up later rows, even if the driver never settles its commit", async () => {
    const bench = new Bench();
    const given = bench.insert(1);
    await vi.waitFor(() => expect(bench.commits).toHaveLength(1), { timeout: 60_000 });
    bench.signals.get(1)?.abort(new TypeError("deadline"));
    expect(await given).toBeInstanceOf(TypeError);
    const next = bench.insert(2);
    await vi.waitFor(() => expect(bench.commits).toHaveLength(2), { timeout: 60_000 });
    bench.commits[1]?.resolve(true);
    expect(await next).toBe(true);
  });

  test("has no effect after the commit has ended", async () => {
    const bench = new Bench();
    const go = await bench.gather();
    const stored = range(1, 3).map((at) => bench.insert(at));
    go();
    const { signal, resolve } = await bench.commit(1);
    resolve(true);
    await Promise.all(stored);
    for (const at of [1, 2]) bench.signals.get(at)?.abort();
    expect(signal.aborted).toBe(false);
  });
});
