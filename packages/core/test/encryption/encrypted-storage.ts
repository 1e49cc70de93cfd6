import { randomBytes } from "node:crypto";
import { beforeEach, expect } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage, NamedAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import type { EncryptionOptions, KeyRing } from "../../src/contract/options.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { noise } from "../rows.ts";
import { type ScriptedDialect, scriptedDialect } from "../scripted-dialect.ts";

/** Storages with encryption on one database, whose rows a test reads and damages. */

export const KEY = randomBytes(32);
export const NEXT_KEY = randomBytes(32);
export const DIGEST_KEY = randomBytes(32);
export const CANARY = "canary-77f3a0b1";

export const ringOf = (current = "one", keys: KeyRing["keys"] = { one: KEY, two: NEXT_KEY }): KeyRing => ({
  current,
  keys,
  digestKey: DIGEST_KEY,
});

export const checkpoint = (members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint => ({
  agentId: "agent",
  name: "turn",
  state: { secret: CANARY },
  createdAt: 7,
  ...members,
});

/** Makes a growing state, large enough to be stored as deltas. */
export const turns = (count: number) => ({
  turns: Array.from({ length: count }, (_, turn) => ({ turn, text: noise(turn, 900) })),
});

/** The database. */
export let dialect: ScriptedDialect;

/** Makes an empty database before each test of a file. */
export function useDatabase(): void {
  beforeEach(() => {
    dialect = scriptedDialect();
  });
}

/** Opens a storage with encryption, and without a cache. */
export const open = (encryption: EncryptionOptions | null = { keys: ringOf() }, on = dialect): CheckpointStorage =>
  createStorage(on, resolveStorageOptions({ encryption, cacheBytes: 0, operationTimeoutMs: 5_000 }));

/** Opens a storage with encryption and a cache. */
export const openCached = (encryption: EncryptionOptions = { keys: ringOf() }): CheckpointStorage =>
  createStorage(dialect, resolveStorageOptions({ encryption }));

/** Opens a storage without encryption and without a cache. */
export const openPlain = (on = dialect): CheckpointStorage =>
  createStorage(on, resolveStorageOptions({ cacheBytes: 0 }));

export const rowOf = (id: string) => dialect.rows.get(id) as Row;

/** Changes members of a stored row. */
export const change = (id: string, members: Partial<Row>) => dialect.rows.set(id, { ...rowOf(id), ...members });

/** Returns a copy with one bit flipped. */
export const flipped = (bytes: Uint8Array, at: number) => {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] as number) ^ 1;
  return changed;
};

/** Returns the error that a call rejects with. */
export async function failure(call: Promise<unknown>): Promise<CheckpointError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

/** Stores five turns, one full and four as deltas, and returns their ids. */
export async function storeTurns(storage = openCached()): Promise<string[]> {
  const ids: string[] = [];
  for (let turn = 1; turn <= 5; turn++) {
    ids.push(await storage.storeCheckpoint(checkpoint({ state: turns(turn + 10) })));
  }
  expect(rowOf(ids[4] as string).baseId).not.toBeNull();
  return ids;
}
