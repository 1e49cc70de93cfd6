import type { CheckpointStorage } from "@waymark/core";
import { expect } from "vitest";
import { type Bench, checkpointOf, newAgent } from "./bench.ts";
import { copyOf } from "./copy.ts";
import { difference } from "./sameness.ts";

/**
 * Stores what each of these returns, one after the other, in one line. Each must come back as it was when it was stored,
 * whatever happened to it afterwards, to the storage that has stored it and to one that has never seen it.
 */
export async function expectSnapshots(
  bench: Bench,
  storage: CheckpointStorage,
  makers: readonly (() => unknown)[],
): Promise<void> {
  const agentId = newAgent();
  const stored: (readonly [id: string, state: unknown])[] = [];
  for (const make of makers) {
    const state = make();
    const expected = copyOf(state);
    stored.push([await storage.storeCheckpoint(checkpointOf(agentId, { state })), expected]);
  }
  const cold = bench.open({ cacheBytes: 0 });
  for (const reader of [cold, storage]) {
    for (const [index, [id, expected]] of stored.entries()) {
      const checkpoint = await reader.retrieveCheckpoint(id);
      expect(difference(checkpoint?.state, expected, `state ${index}`)).toBeNull();
    }
  }
  await cold.close();
}

/** The same value after each change, and before the first and after the last one a few times as it is. */
export function changing(state: unknown, changes: readonly (() => unknown)[]): readonly (() => unknown)[] {
  const unchanged = [() => {}, () => {}, () => {}];
  return [...unchanged, ...changes, ...unchanged].map((change) => () => {
    change();
    return state;
  });
}

/** Frozen at every level, as Immer leaves a state. */
export function frozen<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    for (const item of Object.values(value)) frozen(item);
    Object.freeze(value);
  }
  return value;
}
