import type { CommonStorageOptions } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Bench } from "../bench.ts";
import { Model, type Storages } from "../model/model.ts";
import { type Operation, sequences } from "../model/operations.ts";
import { SCALE } from "../scale.ts";

/** Options that change how a state is written or cached. The last storage has no cache. */
const OPTIONS: readonly CommonStorageOptions[] = [{}, { freeze: true }, {}, { cacheBytes: 30_000 }, { cacheBytes: 0 }];

/** Number of short sequences for each long one. */
const SHORT_PER_LONG = 40;
/** Operations of a short and of a long sequence, at most. */
const SHORT = 16;
const LONG = 120;

/** Shrinking a failure stops after this time: a test that times out would report nothing. */
const TIME_LIMIT_MS = 600_000;

export function describeModel(bench: Bench): void {
  const { runs = SCALE.modelRuns, ...replay } = bench.target.model ?? {};
  const openAll = (): Storages => {
    const storages = OPTIONS.map((options) => bench.open(options));
    const indexOf = (index: number) => index % storages.length;
    const at = (index: number) => storages[indexOf(index)] as (typeof storages)[number];
    return {
      at,
      get cold() {
        return at(storages.length - 1);
      },
      reopen: async (index) => {
        await at(index).close();
        storages[indexOf(index)] = bench.open(OPTIONS[indexOf(index)] as CommonStorageOptions);
      },
    };
  };
  const holds = async (numRuns: number, maxLength: number) => {
    const storages = openAll();
    const before = await bench.storage.listAgents({ limit: 1 }).then(() => bench.store.countRows());
    const property = fc.asyncProperty(sequences(maxLength), async (operations: readonly Operation[]) => {
      const model = new Model(storages, bench.target);
      for (const operation of operations) await model.run(operation);
      await model.check();
      await model.end();
    });
    await fc.assert(property, {
      numRuns,
      ...replay,
      interruptAfterTimeLimit: TIME_LIMIT_MS,
      markInterruptAsFailure: true,
    });
    expect(await bench.store.countRows(), "rows that remain although all agents were deleted").toBe(before);
  };

  // A failure reports the shortest sequence found, and the `seed` and `path` to put into the target's `model`.
  describe("random sequences of operations", { timeout: 2 * TIME_LIMIT_MS }, () => {
    it("have the same results as on a Map, for many short sequences", async () => {
      await holds(runs, SHORT);
    });

    it("have the same results as on a Map, for a few long sequences", async () => {
      await holds(Math.ceil(runs / SHORT_PER_LONG), LONG);
    });
  });
}
