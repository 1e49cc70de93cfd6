import { expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { idOf, newRow, numbers, signal } from "../rows.ts";

export function describeVacuum(bench: DialectBench): void {
  it("returns space to the file system in steps, until there is no more", async () => {
    const dialect = await bench.open();
    const all = numbers(1, 300);
    await dialect.commit({ insert: all.map((number) => newRow(number, { state: Buffer.alloc(20_000, 1) })) }, signal);
    await dialect.commit({ remove: all.reverse().map(idOf) }, signal);
    let steps = 0;
    while (await dialect.vacuum(signal)) steps += 1;
    expect(steps).toBeLessThan(100);
    expect(await dialect.vacuum(signal)).toBe(false);
  });
}
