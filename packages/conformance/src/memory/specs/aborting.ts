import { insertRecords, removeRecords } from "@waymark/core/kit";
import { ITEMS, THREADS } from "@waymark/core/memory/kit";
import { expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { newItem, newThread, signal } from "../rows.ts";

export function describeAborting(bench: MemoryBench): void {
  it("a call whose signal has aborted is rejected, changes nothing, and disturbs no other call", async () => {
    const [space, owner] = [bench.newSpace(), bench.newOwner()];
    const thread = newThread(owner, "a");
    await bench.records.change([insertRecords(THREADS, [thread])], signal);
    const aborted = AbortSignal.abort(new RangeError("given up"));
    const { records } = bench;
    const calls = [
      records.change([insertRecords(ITEMS, [newItem(space, 1)]), removeRecords(THREADS, { owner })], aborted),
      records.modify(THREADS, { owner }, () => ({ title: "changed" }), aborted),
      records.find(THREADS, { where: { owner }, limit: 1 }, aborted),
      records.count(THREADS, { owner }, aborted),
    ];
    const others = Promise.all([1, 2, 3, 4].map(() => records.count(THREADS, { owner }, signal)));
    for (const outcome of await Promise.allSettled(calls)) expect(outcome.status).toBe("rejected");
    expect(await others).toEqual([1, 1, 1, 1]);
    expect(await records.count(ITEMS, { space }, signal)).toBe(0);
    expect(await records.find(THREADS, { where: { owner }, limit: 9 }, signal)).toEqual([thread]);
  });
}
