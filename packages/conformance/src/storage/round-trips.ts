import type { CheckpointStorage } from "@waymark/core";
import { expect } from "vitest";
import { type Bench, checkpointOf, newAgent } from "./bench.ts";
import { deepCopy } from "./deep-copy.ts";
import { firstDifference } from "./first-difference.ts";

/**
 * Stores the states that these functions return, one after the other, as checkpoints of one agent. Expects each to come back
 * as it was at its store, whatever happened to it afterwards: from this storage, and from one that has read nothing before.
 */
export async function expectRoundTrips(
  bench: Bench,
  storage: CheckpointStorage,
  nextStates: readonly (() => unknown)[],
): Promise<void> {
  const agentId = newAgent();
  const stored: (readonly [id: string, state: unknown])[] = [];
  for (const nextState of nextStates) {
    const state = nextState();
    const expected = deepCopy(state);
    stored.push([await storage.storeCheckpoint(checkpointOf(agentId, { state })), expected]);
  }
  const cold = bench.open({ cacheBytes: 0 });
  for (const reader of [cold, storage]) {
    for (const [index, [id, expected]] of stored.entries()) {
      const checkpoint = await reader.retrieveCheckpoint(id);
      expect(firstDifference(checkpoint?.state, expected, `state ${index}`)).toBeNull();
    }
  }
  await cold.close();
}

/** Returns functions that give the same object after each change, and a few times unchanged before and after all of them. */
export function afterEachChange(state: unknown, changes: readonly (() => unknown)[]): readonly (() => unknown)[] {
  const unchanged = [() => {}, () => {}, () => {}];
  return [...unchanged, ...changes, ...unchanged].map((change) => () => {
    change();
    return state;
  });
}

/** Freezes a value at every level, as Immer does with a state. */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    for (const item of Object.values(value)) deepFreeze(item);
    Object.freeze(value);
  }
  return value;
}
