import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StateCache } from "../../src/checkpoints/cache.ts";
import { packNext, packWhole, type StoredChain } from "../../src/checkpoints/chain.ts";
import { takeSnapshot } from "../../src/codec/snapshot.ts";
import { idOf, Line, noise } from "../rows.ts";

/** States of the same size. */
async function states(count: number): Promise<StoredChain[]> {
  return await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      return (await packWhole(idOf(at), takeSnapshot(noise(at, 10_000)))).chain;
    }),
  );
}

const all = await states(8);
const [a, b, c, d] = all as [StoredChain, StoredChain, StoredChain, StoredChain];
const size = Math.max(...all.map(({ snapshot }) => snapshot.memoryBytes));
const kept = (cache: StateCache) => all.filter(({ id }) => cache.find(id) !== undefined).map(({ id }) => id);

describe("a cache of states", () => {
  test("it finds what was put in, by its id", () => {
    const cache = new StateCache(10 * size);
    cache.put("line", a, null);
    expect(cache.find(a.id)).toBe(a);
    expect(cache.find(b.id)).toBeUndefined();
  });

  test("it never holds more than it may, and drops first what was not used for longest", () => {
    const cache = new StateCache(3 * size);
    for (const chain of [a, b, c]) cache.put(chain.id, chain, null);
    cache.find(a.id);
    cache.put("line", d, null);
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
  });

  test("it drops first of all what a newer one is the difference to, also if that was used last", () => {
    const cache = new StateCache(3 * size);
    cache.put("other", a, null);
    cache.put("line", b, null);
    cache.put("line", c, b.id);
    cache.find(b.id);
    cache.put("third", d, null);
    expect(kept(cache)).toEqual([a.id, c.id, d.id]);
  });

  test("it holds nothing that is larger than itself, and nothing at all if it has no room", () => {
    const cache = new StateCache(size / 2);
    cache.put("line", a, null);
    expect([cache.find(a.id), cache.latest("line")]).toEqual([undefined, undefined]);
    const none = new StateCache(0);
    none.put("line", b, null);
    expect(kept(none)).toEqual([]);
  });

  test("it keeps what it has when something comes that is too large for it", async () => {
    const cache = new StateCache(2 * size);
    cache.put("line", a, null);
    cache.put("line", (await packWhole(idOf(9), takeSnapshot(noise(9, 100_000)))).chain, a.id);
    expect(cache.latest("line")).toBe(a);
  });

  test("it knows the last one of each line", () => {
    const cache = new StateCache(10 * size);
    cache.put("one", a, null);
    cache.put("other", b, null);
    cache.put("one", c, a.id);
    expect([cache.latest("one"), cache.latest("other"), cache.latest("nobody")]).toEqual([c, b, undefined]);
    expect([cache.get("one", a.id), cache.get("other", a.id), cache.get("one", d.id)]).toEqual([
      a,
      undefined,
      undefined,
    ]);
  });

  test("it forgets what it is told to, and the line's last one with it", () => {
    const cache = new StateCache(2 * size);
    cache.put("line", a, null);
    cache.put("line", b, a.id);
    cache.forget(b.id);
    cache.forget("nobody");
    expect([cache.latest("line"), cache.find(b.id), cache.find(a.id)]).toEqual([undefined, undefined, a]);
    cache.forget(a.id); // its room is free again
    for (const chain of [c, d]) cache.put(chain.id, chain, null);
    expect(kept(cache)).toEqual([c.id, d.id]);
  });

  test("it counts one that is put in again once", () => {
    const cache = new StateCache(2 * size);
    for (let time = 0; time < 5; time++) cache.put("line", a, null);
    cache.put("line", b, null);
    expect(kept(cache)).toEqual([a.id, b.id]);
    cache.put("other", a, null);
    expect([cache.get("line", a.id), cache.get("other", a.id), cache.latest("line")]).toEqual([undefined, a, b]);
  });

  test("it forgets the last state of a line, and no other", () => {
    const cache = new StateCache(2 * size);
    cache.put("line", a, null);
    cache.put("line", b, null);
    cache.forgetLine("line");
    cache.forgetLine("nobody's");
    expect([cache.latest("line"), kept(cache)]).toEqual([undefined, [a.id]]);
  });

  test("it counts of a state's anchor what the two do not share", async () => {
    const line = new Line();
    const history = Array.from({ length: 40 }, (_, at) => noise(at, 500));
    for (let at = 0; at < 20; at++) await line.store([...history, ...history.slice(0, at)].with(3, noise(-at, 500)));
    const last = line.last as StoredChain;
    expect(last.anchor).not.toBeNull();
    const room = (bytes: number) => {
      const cache = new StateCache(bytes);
      cache.put("line", last, null);
      return cache.find(last.id) !== undefined;
    };
    expect(room(last.snapshot.memoryBytes)).toBe(false);
    expect(room(last.snapshot.memoryBytes + (last.anchor as StoredChain).snapshot.memoryBytes)).toBe(true);
  });

  test("it is bounded, and right, whatever happens", async () => {
    const anyStep = fc.record({
      kind: fc.constantFrom("put", "put", "supersede", "find", "forget", "latest"),
      at: fc.nat(7),
      line: fc.constantFrom("one", "other"),
      before: fc.nat(7),
    });
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), fc.nat(5), (steps, room) => {
        const cache = new StateCache(room * size);
        const lines = new Map<string, string>();
        for (const { kind, at, line, before } of steps) {
          const chain = all[at] as StoredChain;
          if (kind === "forget") cache.forget(chain.id);
          else if (kind === "find") expect([chain, undefined]).toContain(cache.find(chain.id));
          else if (kind === "latest") expect(cache.latest(line)?.id ?? lines.get(line)).toBe(lines.get(line));
          else {
            cache.put(line, chain, kind === "put" ? null : (all[before] as StoredChain).id);
            if (room === 0) continue;
            const latest = cache.latest(line); // a higher one stays it, and may have gone to make room
            expect(latest === undefined || latest.id >= chain.id).toBe(true);
            lines.set(line, latest?.id ?? chain.id);
            expect(cache.get(line, chain.id)).toBe(chain);
          }
          expect(kept(cache).length).toBeLessThanOrEqual(room);
        }
      }),
    );
  });

  test("it is what a line goes on from", async () => {
    const cache = new StateCache(10 * size);
    cache.put("line", a, null);
    const next = await packNext(idOf(50), takeSnapshot(noise(0, 10_000).slice(0, -1)), cache.latest("line") ?? null);
    cache.put("line", next.chain, next.base?.id ?? null);
    expect([next.base, cache.latest("line")]).toEqual([a, next.chain]);
  });
});
