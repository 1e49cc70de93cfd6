import type { CommonStorageOptions } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Bench } from "../bench.ts";
import { type Operation, sequences } from "../model/operations.ts";
import { type Storages, World } from "../model/world.ts";

/** Each way to open a storage that changes how a state is written or remembered. The last one remembers nothing. */
const WAYS: readonly CommonStorageOptions[] = [{}, { freeze: true }, {}, { cacheBytes: 30_000 }, { cacheBytes: 0 }];

const DEFAULT_RUNS = 400;
/** So many short sequences for one long one. */
const LONG_EVERY = 40;
const SHORT = 16;
const LONG = 120;

/** After this, what was found is told, though it might be made smaller: a test that times out tells nothing. */
const TIME_LIMIT_MS = 600_000;

export function describeModel(bench: Bench): void {
  const { runs = DEFAULT_RUNS, ...replay } = bench.target.model ?? {};
  const openAll = (): Storages => {
    const storages = WAYS.map((options) => bench.open(options));
    const place = (index: number) => index % storages.length;
    const at = (index: number) => storages[place(index)] as (typeof storages)[number];
    return {
      at,
      get cold() {
        return at(storages.length - 1);
      },
      reopen: async (index) => {
        await at(index).close();
        storages[place(index)] = bench.open(WAYS[place(index)] as CommonStorageOptions);
      },
    };
  };
  const holds = async (numRuns: number, maxLength: number) => {
    const storages = openAll();
    const before = await bench.storage.listAgents({ limit: 1 }).then(() => bench.store.countRows());
    const property = fc.asyncProperty(sequences(maxLength), async (operations: readonly Operation[]) => {
      const world = new World(storages, bench.target);
      for (const operation of operations) await world.run(operation);
      await world.check();
      await world.end();
    });
    await fc.assert(property, {
      numRuns,
      ...replay,
      interruptAfterTimeLimit: TIME_LIMIT_MS,
      markInterruptAsFailure: true,
    });
    expect(await bench.store.countRows(), "rows that are left of all agents that were deleted").toBe(before);
  };

  // A failure tells `seed` and `path`, which the target's `model` takes, and the shortest sequence that was found.
  describe("whatever is done, in whatever order", { timeout: 2 * TIME_LIMIT_MS }, () => {
    it("is as if the checkpoints were kept in a Map, for many short sequences", async () => {
      await holds(runs, SHORT);
    });

    it("is as if the checkpoints were kept in a Map, for a few long sequences", async () => {
      await holds(Math.ceil(runs / LONG_EVERY), LONG);
    });
  });
}
