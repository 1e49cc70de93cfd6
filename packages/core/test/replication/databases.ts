import { afterEach } from "vitest";
import { NO_AGENT } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import type { StorageEvents } from "../../src/contract/status.ts";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import {
  createReplicatedStorage,
  type ReplicatedStorage,
  type ReplicatedStorageOptions,
} from "../../src/replication/storage.ts";
import { intercept, type ScriptedDialect, ScriptedError, scriptedDialect, type Tables } from "../scripted-dialect.ts";

/** Pairs of databases that a test takes down, and what is in them. */

/** A database that can be taken down. */
export interface Database extends Tables {
  readonly dialect: ScriptedDialect;
  isDown: boolean;
  isReadOnly: boolean;
  /** Time until it answers, in milliseconds. */
  delayMs: number;
  /** Returns whether it leaves the next call without an answer. */
  isSilent(): boolean;
}

export const QUICK = resolveStorageOptions({
  operationTimeoutMs: 20_000,
  retry: { maxRetries: 0, baseDelayMs: 1, maxDelayMs: 1, jitterMaxMs: 0 },
  circuit: { failureThreshold: 3, resetTimeoutMs: 50, halfOpenMaxAttempts: 1 },
});

/** Makes a database. `tables`: those of an existing one, as another process sees it. */
export function database(tables: Partial<Tables> = {}): Database {
  const scripted = scriptedDialect({}, tables);
  const state = { isDown: false, isReadOnly: false, delayMs: 0, isSilent: () => false };
  const dialect = intercept(scripted, async (name, call) => {
    if (name !== "close" && state.isDown) throw new ScriptedError("connection");
    if ((name === "commit" || name === "replace") && state.isReadOnly) throw new ScriptedError("read-only");
    if (name !== "close" && state.isSilent()) throw new ScriptedError("timeout");
    if (state.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, state.delayMs));
    return await call();
  });
  return Object.assign(state, { dialect, rows: scripted.rows, writes: scripted.writes, values: scripted.values });
}

/** Makes a database with a copy of another one's tables, as after a restore. */
export const copyOf = ({ rows, writes, values }: Tables): Database =>
  database({ rows: new Map(rows), writes: new Map(writes), values: new Map(values) });

const opened: CheckpointStorage[] = [];

/** Closes a storage after the test. */
export function closeAfterwards<Storage extends CheckpointStorage>(storage: Storage): Storage {
  opened.push(storage);
  return storage;
}

/** Closes after each test of a file what it has opened. */
export function closeAfterEach(): void {
  afterEach(async () => {
    for (const storage of opened.splice(0)) await storage.close({ timeoutMs: 500 }).catch(() => {});
  });
}

/** Opens a storage on one of the databases alone. */
export const openAlone = ({ dialect }: Database): CheckpointStorage => closeAfterwards(createStorage(dialect, QUICK));

/** Opens a storage with main and backup. `seen`: lists to which the events of these names are added. */
export function open(
  main: Database,
  backup: Database,
  policy: Omit<ReplicatedStorageOptions, "main" | "backup"> = {},
  seen: Partial<Record<keyof StorageEvents, unknown[]>> = {},
): ReplicatedStorage {
  const storage = createReplicatedStorage({
    main: createStorage(main.dialect, QUICK),
    backup: createStorage(backup.dialect, QUICK),
    ...policy,
  });
  for (const [name, events] of Object.entries(seen)) {
    storage.on(name as keyof StorageEvents, (event) => void events.push(event));
  }
  return closeAfterwards(storage);
}

export const turn = (number: number, more: object = {}) => ({
  agentId: "agent",
  name: `turn ${number}`,
  createdAt: number,
  state: { number, messages: Array.from({ length: number }, (_, at) => `${"a message ".repeat(50)}${at}`) },
  ...more,
});

export const write = (value: unknown, index = 0) => ({ taskId: "task", index, channel: "channel", value });

/** Rows of checkpoints. */
export const live = ({ rows }: Tables) => [...rows.values()].filter(({ agentId }) => agentId !== NO_AGENT);

/** Ids of checkpoints, sorted. */
export const ids = (tables: Tables) =>
  live(tables)
    .map(({ id }) => id)
    .sort();

/** Ids of tombstones. */
export const tombstones = ({ rows }: Tables) =>
  [...rows.values()].filter(({ agentId }) => agentId === NO_AGENT).map(({ id }) => id);

/** Number of pending rows. */
export const pending = ({ rows }: Tables) => [...rows.values()].filter((row) => row.pending !== null).length;

/** Indexes and values of writes, sorted. */
export const values = ({ writes }: Tables) =>
  [...writes.values()].map(({ index, state }) => `${index} ${Buffer.from(state)}`).sort();

/** Waits until a condition holds; the test's own timeout is the bound. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}
