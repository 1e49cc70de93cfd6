import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StateCache } from "../../src/checkpoints/cache.ts";
import { type ChainState, packFull, packNext } from "../../src/checkpoints/chain.ts";
import { takeSnapshot } from "../../src/codec/snapshot.ts";
import { idOf, noise, Timeline } from "../rows.ts";

/** Makes states of the same size. */
async function states(count: number): Promise<ChainState[]> {
  return await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      return (await packFull(idOf(at), takeSnapshot(noise(at, 10_000)))).next;
    }),
  );
}

const all = await states(8);
const [a, b, c, d] = all as [ChainState, ChainState, ChainState, ChainState];
const size = Math.max(...all.map(({ snapshot }) => snapshot.memoryBytes));
const kept = (cache: StateCache) => all.filter(({ id }) => cache.find(id) !== undefined).map(({ id }) => id);

describe("the cache of states", () => {
  test("finds a state by its id", () => {
    const cache = new StateCache(10 * size);
    cache.put("timeline", a, null);
    expect(cache.find(a.id)).toBe(a);
    expect(cache.find(b.id)).toBeUndefined();
  });

  test("never holds more than its limit, and evicts the least recently used state first", () => {
    const cache = new StateCache(3 * size);
    for (const state of [a, b, c]) cache.put(state.id, state, null);
    cache.find(a.id);
    cache.put("timeline", d, null);
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
  });

  test("evicts a state that a newer one builds on before all others, even if it was used last", () => {
    const cache = new StateCache(3 * size);
    cache.put("other", a, null);
    cache.put("timeline", b, null);
    cache.put("timeline", c, b.id);
    cache.find(b.id);
    cache.put("third", d, null);
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
  });

  test("holds no state that is larger than its limit, and none at all if the limit is 0", () => {
    const cache = new StateCache(size / 2);
    cache.put("timeline", a, null);
    expect([cache.find(a.id), cache.latestOf("timeline")]).toEqual([undefined, undefined]);
    const none = new StateCache(0);
    none.put("timeline", b, null);
    expect(kept(none)).toEqual([]);
  });

  test("counts the text of the state that was read last, evicts superseded states for it, and no others", () => {
    const cache = new StateCache(3 * size + 100);
    cache.put("other", a, null);
    cache.put("timeline", b, null);
    cache.put("timeline", c, b.id);
    expect(JSON.parse(cache.textOf(c))).toEqual(noise(2, 10_000));
    expect(kept(cache)).toEqual([a.id, c.id]); // b made room
    expect(cache.textOf(c)).toBe(cache.textOf(c));
    cache.put("third", d, null); // the text makes room
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
    expect(JSON.parse(cache.textOf(d))).toEqual(noise(3, 10_000)); // there is no room for it
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
    cache.forget(a.id);
    cache.textOf(d);
    cache.put("other", a, null);
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
  });

  test("forgets the text with its state: another one may come under the same id", async () => {
    const cache = new StateCache(10 * size);
    cache.put("timeline", a, null);
    cache.textOf(a);
    const another = (await packFull(a.id, takeSnapshot(noise(99, 1_000)))).next;
    cache.put("timeline", another, null);
    expect(JSON.parse(cache.textOf(another))).toEqual(noise(99, 1_000));
  });

  test("keeps its states if one is added that is too large", async () => {
    const cache = new StateCache(2 * size);
    cache.put("timeline", a, null);
    cache.put("timeline", (await packFull(idOf(9), takeSnapshot(noise(9, 100_000)))).next, a.id);
    expect(cache.latestOf("timeline")).toBe(a);
  });

  test("returns the latest state of each timeline", () => {
    const cache = new StateCache(10 * size);
    cache.put("one", a, null);
    cache.put("other", b, null);
    cache.put("one", c, a.id);
    expect([cache.latestOf("one"), cache.latestOf("other"), cache.latestOf("unknown")]).toEqual([c, b, undefined]);
    expect([cache.getIn("one", a.id), cache.getIn("other", a.id), cache.getIn("one", d.id)]).toEqual([
      a,
      undefined,
      undefined,
    ]);
  });

  test("forgets a state, also as the latest of its timeline", () => {
    const cache = new StateCache(2 * size);
    cache.put("timeline", a, null);
    cache.put("timeline", b, a.id);
    cache.forget(b.id);
    cache.forget("unknown");
    expect([cache.latestOf("timeline"), cache.find(b.id), cache.find(a.id)]).toEqual([undefined, undefined, a]);
    cache.forget(a.id); // its memory is free again
    for (const state of [c, d]) cache.put(state.id, state, null);
    expect(kept(cache)).toEqual([c.id, d.id]);
  });

  test("counts a state that is added again once", () => {
    const cache = new StateCache(2 * size);
    for (let time = 0; time < 5; time++) cache.put("timeline", a, null);
    cache.put("timeline", b, null);
    expect(kept(cache)).toEqual([a.id, b.id]);
    cache.put("other", a, null);
    expect([cache.getIn("timeline", a.id), cache.getIn("other", a.id), cache.latestOf("timeline")]).toEqual([
      undefined,
      a,
      b,
    ]);
  });

  test("forgets the latest state of a timeline, and no other", () => {
    const cache = new StateCache(2 * size);
    cache.put("timeline", a, null);
    cache.put("timeline", b, null);
    cache.forgetLatest("timeline");
    cache.forgetLatest("unknown");
    expect([cache.latestOf("timeline"), kept(cache)]).toEqual([undefined, [a.id]]);
  });

  test("counts the chunks of the last skip delta that a state does not share", async () => {
    const timeline = new Timeline();
    const history = Array.from({ length: 40 }, (_, at) => noise(at, 500));
    for (let at = 0; at < 20; at++)
      await timeline.store([...history, ...history.slice(0, at)].with(3, noise(-at, 500)));
    const last = timeline.last as ChainState;
    expect(last.lastSkip).not.toBeNull();
    const fitsInto = (bytes: number) => {
      const cache = new StateCache(bytes);
      cache.put("timeline", last, null);
      return cache.find(last.id) !== undefined;
    };
    expect(fitsInto(last.snapshot.memoryBytes)).toBe(false);
    expect(fitsInto(last.snapshot.memoryBytes + (last.lastSkip as ChainState).snapshot.memoryBytes)).toBe(true);
  });

  test("is bounded and right, whatever happens", async () => {
    const anyStep = fc.record({
      kind: fc.constantFrom("put", "put", "supersede", "find", "forget", "latest"),
      at: fc.nat(7),
      timeline: fc.constantFrom("one", "other"),
      before: fc.nat(7),
    });
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), fc.nat(5), (steps, room) => {
        const cache = new StateCache(room * size);
        const newest = new Map<string, string>();
        for (const { kind, at, timeline, before } of steps) {
          const state = all[at] as ChainState;
          if (kind === "forget") cache.forget(state.id);
          else if (kind === "find") expect([state, undefined]).toContain(cache.find(state.id));
          else if (kind === "latest")
            expect(cache.latestOf(timeline)?.id ?? newest.get(timeline)).toBe(newest.get(timeline));
          else {
            cache.put(timeline, state, kind === "put" ? null : (all[before] as ChainState).id);
            if (room === 0) continue;
            const latest = cache.latestOf(timeline); // a higher one stays the latest, and may have been evicted
            expect(latest === undefined || latest.id >= state.id).toBe(true);
            newest.set(timeline, latest?.id ?? state.id);
            expect(cache.getIn(timeline, state.id)).toBe(state);
          }
          expect(kept(cache).length).toBeLessThanOrEqual(room);
        }
      }),
    );
  });

  test("has the state that a timeline goes on from", async () => {
    const cache = new StateCache(10 * size);
    cache.put("timeline", a, null);
    const next = await packNext(
      idOf(50),
      takeSnapshot(noise(0, 10_000).slice(0, -1)),
      cache.latestOf("timeline") ?? null,
    );
    cache.put("timeline", next.next, next.base?.id ?? null);
    expect([next.base, cache.latestOf("timeline")]).toEqual([a, next.next]);
  });
});
