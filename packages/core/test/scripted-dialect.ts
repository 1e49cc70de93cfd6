import {
  type Dialect,
  NIL_ID,
  NO_AGENT,
  type Outbox,
  type OutboxChange,
  type PendingHead,
  type Row,
  type RowHead,
  type RowQuery,
  type RowVersion,
  rankOf,
  type Settings,
  type TaskWriteRow,
} from "../src/checkpoints/dialect.ts";
import type { Fault } from "../src/database/faults.ts";

/**
 * A dialect in memory, for tests of the layers above the seam: rows are in a Map, `calls` has the names of the methods that
 * were called, those of the outbox too, and a test may replace any method.
 */
export interface ScriptedDialect extends Dialect, Tables {
  readonly calls: string[];
  readonly outbox: Outbox;
  readonly settings: Settings;
}

/** The tables of a database, which several dialects may share as several processes do. */
export interface Tables {
  readonly rows: Map<string, Row>;
  /** By row, task and index. */
  readonly writes: Map<string, TaskWriteRow>;
  /** Values of the settings, by their names. */
  readonly values: Map<string, string>;
}

/** Methods that a test replaces. The outbox commits by `commit`. */
export type Script = Partial<Omit<Dialect, "outbox" | "settings">>;

/** A driver's error. Its text stands for what drivers quote: values, parameters, URLs. */
export class ScriptedError extends Error {
  readonly fault: Fault;
  readonly code = "SCRIPTED";

  constructor(fault: Fault, message = "the database said no") {
    super(message);
    this.fault = fault;
  }
}

export function scriptedDialect(script: Script = {}, tables: Partial<Tables> = {}): ScriptedDialect {
  const { rows = new Map<string, Row>(), writes = new Map<string, TaskWriteRow>() } = tables;
  const { values = new Map<string, string>() } = tables;
  const calls: string[] = [];
  const dialect: Omit<Dialect, "outbox" | "settings"> = {
    name: "scripted",
    apiVersion: 1,
    open: async () => ({ maxStatementBytes: 1_000_000 }),
    migrate: async () => [],
    commit: async (change) => commit({ rows, writes, values }, change),
    readChain: async (id) => readChain(rows, id),
    list: async (query) => list(rows, query),
    readRows: async (ids) => ids.flatMap((id) => rows.get(id) ?? []),
    readTaskWrites: async (ids) => [...writes.values()].filter(({ checkpointId }) => ids.includes(checkpointId)),
    taskWriteKeys: async ({ since = "", before = "g" }) =>
      [...writes.values()].filter(({ checkpointId }) => checkpointId > since && checkpointId < before),
    writeKeysOfTasks: async (id, taskIds) =>
      [...writes.values()].filter(({ checkpointId, taskId }) => checkpointId === id && taskIds.includes(taskId)),
    areWrittenSince: async (ids, since) => areWrittenSince(writes, ids, since),
    dependents: async (ids) =>
      list(rows, { limit: Number.POSITIVE_INFINITY }).filter(({ baseId }) => baseId !== null && ids.includes(baseId)),
    agents: async (after, limit) => {
      const agents = [...new Set([...rows.values()].map((row) => row.agentId))].sort();
      return agents.filter((agent) => agent > (after ?? NO_AGENT)).slice(0, limit);
    },
    stats: async () => ({
      rows: list(rows, { limit: Number.POSITIVE_INFINITY }).length,
      storedBytes: 0,
      stateBytes: 0,
      longestChain: Math.max(0, ...Array.from(rows.keys(), (id) => readChain(rows, id).length)),
    }),
    vacuum: async () => false,
    ping: async () => {},
    classify: (error) => (error instanceof ScriptedError ? error.fault : "other"),
    close: async () => {},
    ...script,
  };
  const outbox: Outbox = {
    commit: (change, signal) => dialect.commit(change, signal),
    pending: async (until, limit) => {
      const due = pendingRows(rows).filter((row) => row.pending <= until);
      return due.slice(0, limit).map(({ state, afterId, ...head }) => ({ ...head, storedBytes: state.byteLength }));
    },
    backlog: async () => {
      const pending = pendingRows(rows);
      const storedBytes = pending.reduce((sum, row) => sum + row.state.byteLength, 0);
      return { rows: pending.length, storedBytes, oldest: pending[0]?.pending ?? null };
    },
    count: async (range) => list(rows, { ...range, limit: Number.POSITIVE_INFINITY }).length,
  };
  const settings: Settings = {
    read: async (name) => values.get(name) ?? null,
    replace: async (name, from, to) => {
      const isExpected = (values.get(name) ?? null) === from;
      if (isExpected) values.set(name, to);
      return isExpected;
    },
  };
  const recorded = intercept({ ...dialect, outbox, settings }, (name, call) => {
    calls.push(name);
    return call();
  });
  return { ...recorded, rows, writes, values, calls };
}

/**
 * Wraps all methods of a dialect, of its outbox and of its settings, except `classify`. `around` gets the name of a method and a function that
 * calls it.
 */
export function intercept<Wrapped extends Dialect>(
  dialect: Wrapped,
  around: (name: string, call: () => unknown) => unknown,
): Wrapped {
  const wrap = (members: object): object =>
    Object.fromEntries(
      Object.entries(members).map(([name, member]: [string, unknown]) => {
        if (typeof member !== "function" || name === "classify") return [name, member];
        return [name, (...args: unknown[]) => around(name, () => member(...args) as unknown)];
      }),
    );
  const outbox = dialect.outbox === undefined ? {} : { outbox: wrap(dialect.outbox) };
  const settings = dialect.settings === undefined ? {} : { settings: wrap(dialect.settings) };
  return { ...wrap(dialect), ...outbox, ...settings } as Wrapped;
}

/** Makes a method that fails so many times with a fault, then does what `otherwise` does. */
export function failing<Args extends unknown[], Result>(
  times: number,
  fault: Fault,
  otherwise: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  let left = times;
  return async (...args) => {
    left -= 1;
    if (left >= 0) throw new ScriptedError(fault);
    return await otherwise(...args);
  };
}

/** Never settles. */
export function never(): Promise<never> {
  return new Promise(() => {});
}

function commit({ rows, writes, values }: Tables, change: OutboxChange): boolean {
  if (change.expectedSettings?.some(({ name, value }) => values.get(name) !== value)) return false;
  const isThere = (id: string) => {
    const row = rows.get(id) ?? change.insert?.find((inserted) => inserted.id === id);
    return row !== undefined && row.agentId !== NO_AGENT;
  };
  if (change.append?.some(({ checkpointId }) => !isThere(checkpointId))) return false;
  const { remove = [], unwrittenSince } = change;
  if (unwrittenSince !== undefined && areWrittenSince(writes, remove, unwrittenSince)) return false;
  if (!commitRows(rows, change)) return false;
  for (const [key, { checkpointId }] of writes) if (remove.includes(checkpointId)) writes.delete(key);
  for (const write of change.append ?? []) {
    const key = `${write.checkpointId} ${write.taskId} ${write.index}`;
    const stored = writes.get(key);
    if (stored === undefined || stored.rank <= write.rank) writes.set(key, write);
  }
  return true;
}

function areWrittenSince(writes: Tables["writes"], ids: readonly string[], since: string): boolean {
  return [...writes.values()].some(
    ({ checkpointId, index, rank }) => ids.includes(checkpointId) && rankOf(rank, index) > since,
  );
}

/** Applies a change to the rows, and undoes it if a guard or a unique key misses. */
function commitRows(rows: Map<string, Row>, change: OutboxChange): boolean {
  const before = new Map<string, Row | undefined>();
  const put = (id: string, row: Row | undefined) => {
    if (!before.has(id)) before.set(id, rows.get(id));
    if (row === undefined) rows.delete(id);
    else rows.set(id, row);
  };
  let isDone = false;
  try {
    isDone = apply(rows, change, put);
  } finally {
    if (!isDone) for (const [id, row] of before) put(id, row);
  }
  return isDone;
}

function apply(rows: Map<string, Row>, change: OutboxChange, put: (id: string, row: Row | undefined) => void): boolean {
  const find = ({ id, digest }: RowVersion) => {
    const row = rows.get(id);
    return row !== undefined && Buffer.compare(row.digest, digest) === 0 ? row : null;
  };
  const insert = (row: Row) => {
    if (rows.has(row.id)) throw new ScriptedError("duplicate");
    put(row.id, row);
  };
  for (const base of change.expected ?? []) if (find(base) === null) return false;
  for (const row of change.insert ?? []) {
    const [latest] = list(rows, { agentId: row.agentId, namespace: row.namespace, limit: 1 });
    if (row.afterId !== null && row.afterId !== (latest?.id ?? NIL_ID)) return false;
    insert(row);
  }
  for (const { id, fromBaseId, ...rewritten } of change.rewrite ?? []) {
    const row = rows.get(id);
    if (row === undefined || row.baseId !== fromBaseId) return false;
    put(id, { ...row, ...rewritten });
  }
  for (const id of change.remove ?? []) put(id, undefined);
  if ([...rows.values()].some((row) => row.agentId === change.emptiedAgent)) return false;
  for (const tombstone of change.insertTombstones ?? []) insert(tombstone);
  for (const acknowledged of change.acknowledge ?? []) {
    const row = find(acknowledged);
    if (row !== null && row.pending === acknowledged.pending) put(row.id, { ...row, pending: null });
  }
  for (const { id, fromPending, pending } of change.lease ?? []) {
    const row = rows.get(id);
    if (row === undefined || row.pending !== fromPending) return false;
    put(id, { ...row, pending });
  }
  for (const { id, pending } of change.markPending ?? []) {
    const row = rows.get(id);
    if (row !== undefined) put(id, { ...row, pending: Math.max((row.pending ?? -1) + 1, pending) });
  }
  return true;
}

function pendingRows(rows: Map<string, Row>): (Row & PendingHead)[] {
  const pending = [...rows.values()].filter((row): row is Row & PendingHead => row.pending !== null);
  return pending.sort((one, other) => one.pending - other.pending || (one.id < other.id ? -1 : 1));
}

function readChain(rows: Map<string, Row>, id: string): Row[] {
  const row = rows.get(id);
  return row === undefined ? [] : [row, ...(row.baseId === null ? [] : readChain(rows, row.baseId))];
}

function list(rows: Map<string, Row>, query: RowQuery): RowHead[] {
  const { labels = [], before, since } = query;
  const withTombstones = query.id !== undefined || query.agentId !== undefined;
  return [...rows.values()]
    .filter((row) => withTombstones || row.agentId !== NO_AGENT)
    .filter((row) =>
      (["id", "agentId", "namespace", "name", "parentId"] as const).every(
        (key) => query[key] === undefined || query[key] === row[key],
      ),
    )
    .filter((row) => labels.every((label) => row.metadata?.includes(label)))
    .filter((row) => (before === undefined || row.id < before) && (since === undefined || row.id > since))
    .sort((one, other) => (one.id < other.id ? 1 : -1))
    .slice(0, query.limit)
    .map(({ state, afterId, ...head }) => head);
}
