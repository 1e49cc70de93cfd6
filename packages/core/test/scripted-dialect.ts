import type {
  Base,
  Change,
  Dialect,
  Fault,
  PendingHead,
  Row,
  RowHead,
  RowQuery,
  WriteRow,
} from "../src/checkpoints/dialect.ts";
import { NIL_ID, NO_AGENT } from "../src/checkpoints/dialect.ts";

/**
 * A dialect without a database, to see what stands above the seam: rows are in a Map, `calls` names what was called, and
 * any method may be replaced by what a test wants a database to do.
 */
export interface ScriptedDialect extends Dialect {
  readonly rows: Map<string, Row>;
  /** By row, task and index. */
  readonly writes: Map<string, WriteRow>;
  readonly calls: string[];
}

/** A driver's error. Its text stands for what drivers quote: values, parameters, URLs. */
export class ScriptedError extends Error {
  readonly fault: Fault;
  readonly code = "SCRIPTED";

  constructor(fault: Fault, message = "the database said no") {
    super(message);
    this.fault = fault;
  }
}

export function scriptedDialect(script: Partial<Dialect> = {}): ScriptedDialect {
  const rows = new Map<string, Row>();
  const writes = new Map<string, WriteRow>();
  const calls: string[] = [];
  const dialect: Dialect = {
    name: "scripted",
    apiVersion: 1,
    open: async () => ({ maxStatementBytes: 1_000_000 }),
    migrate: async () => [],
    commit: async (change) => commit(rows, writes, change),
    readChain: async (id) => chain(rows, id),
    list: async (query) => list(rows, query),
    readRows: async (ids) => ids.flatMap((id) => rows.get(id) ?? []),
    readWrites: async (ids) => [...writes.values()].filter(({ checkpointId }) => ids.includes(checkpointId)),
    writeKeys: async ({ since = "", before = "g" }) =>
      [...writes.values()].filter(({ checkpointId }) => checkpointId > since && checkpointId < before),
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
    dependents: async () => [],
    agents: async (after, limit) => {
      const agents = [...new Set([...rows.values()].map((row) => row.agentId))].sort();
      return agents.filter((agent) => agent > (after ?? NO_AGENT)).slice(0, limit);
    },
    stats: async () => ({
      rows: list(rows, { limit: Number.POSITIVE_INFINITY }).length,
      storedBytes: 0,
      stateBytes: 0,
      longestChain: Math.max(0, ...Array.from(rows.keys(), (id) => chain(rows, id).length)),
    }),
    reclaim: async () => false,
    ping: async () => {},
    classify: (error) => (error instanceof ScriptedError ? error.fault : "other"),
    close: async () => {},
    ...script,
  };
  const recorded = Object.entries(dialect).map(([name, member]: [string, unknown]) => {
    if (typeof member !== "function" || name === "classify") return [name, member];
    const call = (...given: unknown[]) => {
      calls.push(name);
      return member(...given) as unknown;
    };
    return [name, call];
  });
  return { ...(Object.fromEntries(recorded) as Dialect), rows, writes, calls };
}

/** Fails so many times with this fault, then does what the dialect does anyway. */
export function failing<Given extends unknown[], Result>(
  times: number,
  fault: Fault,
  otherwise: (...given: Given) => Promise<Result>,
): (...given: Given) => Promise<Result> {
  let left = times;
  return async (...given) => {
    left -= 1;
    if (left >= 0) throw new ScriptedError(fault);
    return await otherwise(...given);
  };
}

export function never(): Promise<never> {
  return new Promise(() => {});
}

function commit(rows: Map<string, Row>, writes: Map<string, WriteRow>, change: Change): boolean {
  const isThere = (id: string) => {
    const row = rows.get(id) ?? change.insert?.find((one) => one.id === id);
    return row !== undefined && row.agentId !== NO_AGENT;
  };
  if (change.append?.some(({ checkpointId }) => !isThere(checkpointId))) return false;
  if (!commitRows(rows, change)) return false;
  for (const [key, { checkpointId }] of writes) if (change.remove?.includes(checkpointId)) writes.delete(key);
  for (const write of change.append ?? []) {
    const key = `${write.checkpointId} ${write.taskId} ${write.index}`;
    const known = writes.get(key);
    if (known === undefined || known.rank <= write.rank) writes.set(key, write);
  }
  return true;
}

function commitRows(rows: Map<string, Row>, change: Change): boolean {
  const before = new Map<string, Row | undefined>();
  const put = (id: string, row: Row | undefined) => {
    if (!before.has(id)) before.set(id, rows.get(id));
    if (row === undefined) rows.delete(id);
    else rows.set(id, row);
  };
  let done = false;
  try {
    done = apply(rows, change, put);
  } finally {
    if (!done) for (const [id, row] of before) put(id, row);
  }
  return done;
}

function apply(rows: Map<string, Row>, change: Change, put: (id: string, row: Row | undefined) => void): boolean {
  const like = ({ id, digest }: Base) => {
    const row = rows.get(id);
    return row !== undefined && Buffer.compare(row.digest, digest) === 0 ? row : null;
  };
  const insert = (row: Row) => {
    if (rows.has(row.id)) throw new ScriptedError("duplicate");
    put(row.id, row);
  };
  for (const base of change.bases ?? []) if (like(base) === null) return false;
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
  for (const tombstone of change.bury ?? []) insert(tombstone);
  for (const content of change.acknowledge ?? []) {
    const row = like(content);
    if (row?.pending === content.pending) put(row.id, { ...row, pending: null });
  }
  for (const { id, fromPending, pending } of change.lease ?? []) {
    const row = rows.get(id);
    if (row === undefined || row.pending !== fromPending) return false;
    put(id, { ...row, pending });
  }
  for (const { id, pending } of change.pend ?? []) {
    const row = rows.get(id);
    if (row !== undefined) put(id, { ...row, pending: Math.max((row.pending ?? -1) + 1, pending) });
  }
  return true;
}

function pendingRows(rows: Map<string, Row>): (Row & PendingHead)[] {
  const pending = [...rows.values()].filter((row): row is Row & PendingHead => row.pending !== null);
  return pending.sort((one, other) => one.pending - other.pending || (one.id < other.id ? -1 : 1));
}

function chain(rows: Map<string, Row>, id: string): Row[] {
  const row = rows.get(id);
  return row === undefined ? [] : [row, ...(row.baseId === null ? [] : chain(rows, row.baseId))];
}

function list(rows: Map<string, Row>, query: RowQuery): RowHead[] {
  const lines = query.metadataLines ?? [];
  const tombstones = query.id !== undefined || query.agentId !== undefined;
  return [...rows.values()]
    .filter((row) => tombstones || row.agentId !== NO_AGENT)
    .filter((row) =>
      (["id", "agentId", "namespace", "name", "parentId"] as const).every(
        (key) => query[key] === undefined || query[key] === row[key],
      ),
    )
    .filter((row) => lines.every((line) => row.metadata?.includes(line)))
    .filter(
      (row) =>
        (query.before === undefined || row.id < query.before) && (query.since === undefined || row.id > query.since),
    )
    .sort((one, other) => (one.id < other.id ? 1 : -1))
    .slice(0, query.limit)
    .map(({ state, afterId, ...head }) => head);
}
