import {
  type Change,
  type Dialect,
  type Fault,
  NIL_ID,
  type Row,
  type RowHead,
  type RowQuery,
  rankOf,
  type TaskWriteRow,
} from "@waymark/core/kit";

/** A row and the writes appended to it. */
export interface StoredRow extends Row {
  readonly writes: readonly TaskWriteRow[];
}

/** The whole database: rows by id. */
export type Rows = Map<string, StoredRow>;

/**
 * A dialect on a `Map`. It moves rows and does nothing else: core checks, encodes, retries, sets deadlines and translates
 * errors. JavaScript runs one function at a time, so every method is a transaction.
 *
 * It has no `outbox`, so a storage on it can have no backup.
 */
export function createMapDialect(rows: Rows): Dialect {
  return {
    name: "map",
    apiVersion: 1,
    isSynchronous: true, // its promises settle before the event loop turns
    open: async () => ({ maxStatementBytes: Number.MAX_SAFE_INTEGER }),
    migrate: async () => [], // a Map has no schema
    commit: async (change) => commit(rows, change),
    readChain: async (id) => chain(rows, id).map(toRow),
    list: async (query) => select(rows, query).map(toHead),
    readRows: async (ids) => ids.flatMap((id) => rows.get(id) ?? []).map(toRow),
    readTaskWrites: async (ids) => ids.flatMap((id) => rows.get(id)?.writes ?? []),
    taskWriteKeys: async (range) => select(rows, { ...range, limit: ALL }).flatMap(({ writes }) => writes),
    writeKeysOfTasks: async (id, taskIds) =>
      (rows.get(id)?.writes ?? []).filter(({ taskId }) => taskIds.includes(taskId)),
    areWrittenSince: async (ids, since) => areWrittenSince(rows, ids, since),
    dependents: async (ids) => {
      const dependents = [...rows.values()].filter((row) => ids.includes(row.baseId ?? ""));
      return dependents.sort(newestFirst).map(toHead);
    },
    agents: async (after, limit) => {
      const agents = new Set(Array.from(rows.values(), (row) => row.agentId));
      const later = [...agents].filter((agent) => compareBytes(agent, after ?? "") > 0);
      return later.sort(compareBytes).slice(0, limit);
    },
    stats: async (agentId) => {
      const counted = select(rows, { ...(agentId === null ? {} : { agentId }), limit: ALL });
      return {
        rows: counted.length,
        storedBytes: counted.reduce((sum, row) => sum + row.state.byteLength, 0),
        stateBytes: counted.reduce((sum, row) => sum + row.stateBytes, 0),
        longestChain: counted.reduce((longest, row) => Math.max(longest, chain(rows, row.id).length), 0),
      };
    },
    vacuum: async () => false, // JavaScript does it
    ping: async () => {},
    classify: (error) => (error instanceof Refusal ? error.fault : "other"),
    close: async () => {}, // the Map is the caller's
  };
}

/** The error of this "driver". A real driver has error codes, which `classify` looks up; this one has the fault itself. */
class Refusal extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(`refused: ${fault}`);
    this.fault = fault;
  }
}

/** Applies a change, all or nothing: restores the rows before it if a later part of the change is refused. */
function commit(rows: Rows, change: Change): boolean {
  const before = new Map<string, StoredRow | undefined>();
  const put: Put = (id, row) => {
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

type Put = (id: string, row: StoredRow | undefined) => void;

/** Applies a change. `false`: a guard missed. */
function apply(
  rows: Rows,
  { expected = [], insert = [], rewrite = [], remove = [], unwrittenSince, emptiedAgent, append = [] }: Change,
  put: Put,
): boolean {
  for (const { id, digest } of expected) {
    const base = rows.get(id);
    if (base === undefined || Buffer.compare(base.digest, digest) !== 0) return false;
  }
  for (const row of insert) {
    if (row.baseId !== null && !rows.has(row.baseId)) throw new Refusal("foreign-key");
    if (row.afterId !== null && row.afterId !== latestId(rows, row)) return false;
    if (rows.has(row.id)) throw new Refusal("duplicate");
    put(row.id, { ...row, writes: [] });
  }
  for (const { id, fromBaseId, ...rewritten } of rewrite) {
    const row = rows.get(id);
    if (row === undefined || row.baseId !== fromBaseId) return false;
    if (rewritten.baseId !== null && !rows.has(rewritten.baseId)) throw new Refusal("foreign-key");
    put(id, { ...row, ...rewritten });
  }
  if (unwrittenSince !== undefined && areWrittenSince(rows, remove, unwrittenSince)) return false;
  const basesInUse = new Set(Array.from(remove.length > 0 ? rows.values() : [], (row) => row.baseId));
  for (const id of remove) {
    if (basesInUse.has(id) && [...rows.values()].some((row) => row.baseId === id)) throw new Refusal("foreign-key");
    put(id, undefined);
  }
  if (emptiedAgent !== undefined && [...rows.values()].some((row) => row.agentId === emptiedAgent)) return false;
  for (const write of append) {
    const row = rows.get(write.checkpointId);
    if (row === undefined) return false;
    put(row.id, { ...row, writes: withWrite(row.writes, write) });
  }
  return true;
}

/** Adds a write in place of one with the same key, unless that one's rank is higher. */
function withWrite(writes: readonly TaskWriteRow[], added: TaskWriteRow): readonly TaskWriteRow[] {
  const others = writes.filter(({ taskId, index }) => taskId !== added.taskId || index !== added.index);
  const earlier = writes.find((write) => !others.includes(write));
  return earlier !== undefined && earlier.rank > added.rank ? writes : [...others, added];
}

function areWrittenSince(rows: Rows, ids: readonly string[], since: string): boolean {
  const writes = ids.flatMap((id) => rows.get(id)?.writes ?? []);
  return writes.some(({ rank, index }) => rankOf(rank, index) > since);
}

function latestId(rows: Rows, { agentId, namespace }: Row): string {
  return select(rows, { agentId, namespace, limit: 1 })[0]?.id ?? NIL_ID;
}

/** Returns a row, its base, and so on down to a full one. */
function chain(rows: Rows, id: string): StoredRow[] {
  const found: StoredRow[] = [];
  for (let row = rows.get(id); row !== undefined; row = rows.get(row.baseId ?? "")) found.push(row);
  return found;
}

/** A limit for all rows. */
const ALL = Number.POSITIVE_INFINITY;

/** Selects rows, newest first. */
function select(rows: Rows, { limit, ...query }: RowQuery): StoredRow[] {
  const candidates = query.id === undefined ? [...rows.values()] : [rows.get(query.id)];
  const matching = candidates.filter((row) => row !== undefined && isMatch(row, query)) as StoredRow[];
  return matching.sort(newestFirst).slice(0, limit);
}

/** Compares ids: they are text in lower case, so their order as strings is their order in time. */
function newestFirst(one: Row, other: Row): number {
  return one.id < other.id ? 1 : -1;
}

function isMatch(row: Row, query: Omit<RowQuery, "limit">): boolean {
  return (
    (query.agentId === undefined || row.agentId === query.agentId) &&
    (query.namespace === undefined || row.namespace === query.namespace) &&
    (query.name === undefined || row.name === query.name) &&
    (query.parentId === undefined || row.parentId === query.parentId) &&
    (query.before === undefined || row.id < query.before) &&
    (query.since === undefined || row.id > query.since) &&
    (query.labels ?? []).every((label) => row.metadata?.includes(label))
  );
}

function toRow({ writes, ...row }: StoredRow): Row {
  return row;
}

function toHead({ state, afterId, writes, ...head }: StoredRow): RowHead {
  return head;
}

/** Compares text by its bytes of UTF-8, which is not the order of JavaScript's strings. */
function compareBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
