import {
  type Change,
  type Dialect,
  NO_AGENT,
  type OutboxChange,
  type Row,
  type RowHead,
  type TaskWriteKey,
  type TaskWriteRow,
} from "@waymark/core/kit";
import { expect } from "vitest";

/** A signal that never aborts. */
export const signal: AbortSignal = new AbortController().signal;

/** The latest time that there is, in milliseconds. */
export const LAST_TIME = 8_640_000_000_000_000;

/** Text with all that an engine or a driver might take for something else. */
export const HOSTILE_TEXT = `'"\\\\ \\' $1 ? :id {1,2} NULL \u0001\u001f\u007f\n\r\t\u2028\uffff é 漢 \u{1f600}\u{10ffff}`;

/** Every byte once. */
export const ALL_BYTES = Buffer.from(numbers(0, 255));

export function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** The id of the row with this number. */
export function idOf(number: number): string {
  return `01890000-0000-7000-8000-${String(number).padStart(12, "0")}`;
}

export function numberOf(id: string): number {
  return Number(id.slice(-12));
}

/** The digest of the row with this number. */
export function digestOf(number: number): Buffer {
  return Buffer.alloc(32, number);
}

/** A row of this number as the base of others, as guards name it. */
export function baseOf(number: number) {
  return { id: idOf(number), digest: digestOf(number) };
}

export function newRow(number: number, members: Partial<Row> = {}): Row {
  return {
    id: idOf(number),
    agentId: "agent",
    namespace: "",
    name: `row ${number}`,
    parentId: null,
    baseId: null,
    afterId: null,
    createdAt: number,
    metadata: null,
    encoding: "json",
    stateBytes: 1,
    digest: digestOf(number),
    pending: null,
    state: Buffer.from(String(number)),
    ...members,
  };
}

export function newTombstone(number: number, deletedAt = 0, pending: number | null = null): Row {
  const nothing = { name: "", stateBytes: 0, digest: new Uint8Array(32), state: new Uint8Array(0) };
  return newRow(number, { ...nothing, agentId: NO_AGENT, encoding: "tombstone", createdAt: deletedAt, pending });
}

/** A write of the row with this number. */
export function newWrite(number: number, members: Partial<TaskWriteRow> = {}): TaskWriteRow {
  return {
    checkpointId: idOf(number),
    taskId: "task",
    index: 0,
    rank: idOf(1),
    channel: "channel",
    taskPath: "",
    encoding: "json",
    stateBytes: 1,
    digest: digestOf(number),
    state: Buffer.from([number]),
    ...members,
  };
}

export function hex(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString("hex");
}

/** Rows to compare: drivers return bytes in types of their own. */
export function comparable(rows: readonly Row[]) {
  return rows.map((row) => ({ ...row, digest: hex(row.digest), state: hex(row.state) }));
}

/** The heads of rows, to compare with what lists return. */
export function headsOf(rows: readonly Row[]) {
  return comparableHeads(rows.map(({ state, afterId, ...head }) => head));
}

export function comparableHeads<Head extends RowHead>(heads: readonly Head[]) {
  return heads.map((head) => ({ ...head, digest: hex(head.digest) }));
}

export function comparableWrites(writes: readonly TaskWriteRow[]) {
  const sorted = [...writes].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  return sorted.map((write) => ({ ...write, state: hex(write.state), digest: hex(write.digest) }));
}

export function keyOf({ checkpointId, taskId, index }: TaskWriteKey): string {
  return `${numberOf(checkpointId)} ${taskId} ${index}`;
}

export function sortById<Item extends { readonly id: string }>(items: readonly Item[]): Item[] {
  return [...items].sort((one, other) => (one.id < other.id ? -1 : 1));
}

const OUTBOX_PARTS = ["insertTombstones", "acknowledge", "lease", "markPending"] as const;

/** Commits a change: by the outbox, if it has parts that only the outbox takes. */
export async function commit(dialect: Dialect, change: OutboxChange): Promise<boolean> {
  if (OUTBOX_PARTS.every((part) => change[part] === undefined)) return await dialect.commit(change as Change, signal);
  expect(dialect.outbox, "the dialect's outbox").toBeDefined();
  return (await dialect.outbox?.commit(change, signal)) as boolean;
}

/** Commits a change, again for as long as the database asks for it. Returns "done", "guard missed", or the fault. */
export async function outcomeOf(dialect: Dialect, change: OutboxChange): Promise<string> {
  for (;;) {
    try {
      return (await commit(dialect, change)) ? "done" : "guard missed";
    } catch (error) {
      const fault = dialect.classify(error);
      if (fault !== "serialization") return fault;
    }
  }
}

/** Expects that a change is refused, and returns how. */
export async function refusalOf(dialect: Dialect, change: OutboxChange): Promise<string> {
  const outcome = await outcomeOf(dialect, change);
  expect(outcome).not.toBe("done");
  return outcome;
}

/** Reads the bases of all rows: the number of each row, and of its base. */
export async function readBases(dialect: Dialect): Promise<Record<number, number | null>> {
  const rows = await dialect.list({ limit: 10_000 }, signal);
  return Object.fromEntries(rows.map(({ id, baseId }) => [numberOf(id), baseId === null ? null : numberOf(baseId)]));
}

/** Reads the outbox flags of all rows and tombstones: the number of each, and its `pending`. */
export async function readPending(dialect: Dialect): Promise<Record<number, number | null>> {
  const rows = await dialect.list({ limit: 10_000 }, signal);
  const tombstones = await dialect.list({ agentId: NO_AGENT, limit: 10_000 }, signal);
  return Object.fromEntries([...rows, ...tombstones].map(({ id, pending }) => [numberOf(id), pending]));
}

/** Reads all writes of these rows: the key of each, and the first byte of its value. */
export async function readValues(dialect: Dialect, ...rows: number[]): Promise<Record<string, number>> {
  const writes = comparableWrites(await dialect.readTaskWrites(rows.map(idOf), signal));
  return Object.fromEntries(writes.map((write) => [keyOf(write), Number.parseInt(write.state, 16)]));
}

/** Lists the numbers of rows. */
export async function listNumbers(dialect: Dialect, query: object = {}): Promise<number[]> {
  return (await dialect.list({ ...query, limit: 10_000 }, signal)).map(({ id }) => numberOf(id));
}
