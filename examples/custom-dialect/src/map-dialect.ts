import {
  type Change,
  type Dialect,
  type Fault,
  NIL_ID,
  NO_AGENT,
  type PendingHead,
  type Row,
  type RowHead,
  type RowQuery,
  type WriteRow,
} from "@waymark/core/kit";

/** A row, and what was appended to it. */
export interface Kept extends Row {
  readonly writes: readonly WriteRow[];
}

/** A whole database: the rows by id. */
export type Rows = Map<string, Kept>;

/**
 * Everything that Waymark asks of a database, over a `Map`. It moves rows and nothing else: checking, encoding, retries,
 * deadlines and errors are core's. JavaScript runs one function at a time, so every method here is a transaction.
 */
export function createMapDialect(rows: Rows): Dialect {
  return {
    name: "map",
    apiVersion: 1,
    open: async () => ({ maxStatementBytes: Number.MAX_SAFE_INTEGER }),
    migrate: async () => [], // a Map has no schema
    commit: async (change) => commit(rows, change),
    readChain: async (id) => chain(rows, id).map(rowOf),
    list: async (query) => select(rows, query).map(headOf),
    readRows: async (ids) => ids.flatMap((id) => rows.get(id) ?? []).map(rowOf),
    readWrites: async (ids) => ids.flatMap((id) => rows.get(id)?.writes ?? []),
    writeKeys: async (range) => select(rows, { ...range, limit: ALL }).flatMap(({ writes }) => writes),
    pending: async (until, limit) => {
      const due = pendingRows(rows).filter((row) => row.pending <= until);
      return due.slice(0, limit).map(({ state, afterId, writes, ...head }) => ({
        ...head,
        storedBytes: state.byteLength,
      }));
    },
    backlog: async () => {
      const pending = pendingRows(rows);
      return { rows: pending.length, storedBytes: storedBytes(pending), oldest: pending[0]?.pending ?? null };
    },
    count: async (range) => select(rows, { ...range, limit: ALL }).length,
    dependents: async (ids) => {
      const dependents = [...rows.values()].filter((row) => ids.includes(row.baseId ?? ""));
      return dependents.sort(newestFirst).map(headOf);
    },
    agents: async (after, limit) => {
      const agents = new Set(Array.from(rows.values(), (row) => row.agentId));
      const later = [...agents].filter((agent) => byBytes(agent, after ?? NO_AGENT) > 0);
      return later.sort(byBytes).slice(0, limit);
    },
    stats: async (agentId) => {
      const counted = select(rows, { ...(agentId === null ? {} : { agentId }), limit: ALL });
      return {
        rows: counted.length,
        storedBytes: storedBytes(counted),
        stateBytes: counted.reduce((sum, row) => sum + row.stateBytes, 0),
        longestChain: counted.reduce((longest, row) => Math.max(longest, chain(rows, row.id).length), 0),
      };
    },
    reclaim: async () => false, // JavaScript does it
    ping: async () => {},
    classify: (error) => (error instanceof Refusal ? error.fault : "other"),
    close: async () => {}, // the Map is the caller's
  };
}

/** What a driver's error is elsewhere: a database has codes, which `classify` looks up, this one says the fault itself. */
class Refusal extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(`refused: ${fault}`);
    this.fault = fault;
  }
}

/** All or nothing: what was there before is noted, and put back if a later part of the change is refused. */
function commit(rows: Rows, change: Change): boolean {
  const before = new Map<string, Kept | undefined>();
  const put: Put = (id, row) => {
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

type Put = (id: string, row: Kept | undefined) => void;

function apply(rows: Rows, change: Change, put: Put): boolean {
  for (const { id, digest } of change.bases ?? []) {
    const base = rows.get(id);
    if (base === undefined || Buffer.compare(base.digest, digest) !== 0) return false;
  }
  const insert = (row: Row) => {
    if (rows.has(row.id)) throw new Refusal("duplicate");
    put(row.id, { ...row, writes: [] });
  };
  for (const row of change.insert ?? []) {
    if (row.baseId !== null && !rows.has(row.baseId)) throw new Refusal("foreign-key");
    if (row.afterId !== null && row.afterId !== latestId(rows, row)) return false;
    insert(row);
  }
  for (const { id, fromBaseId, ...rewritten } of change.rewrite ?? []) {
    const row = rows.get(id);
    if (row === undefined || row.baseId !== fromBaseId) return false;
    if (rewritten.baseId !== null && !rows.has(rewritten.baseId)) throw new Refusal("foreign-key");
    put(id, { ...row, ...rewritten });
  }
  const bases = new Set(Array.from(change.remove?.length ? rows.values() : [], (row) => row.baseId));
  for (const id of change.remove ?? []) {
    if (bases.has(id) && [...rows.values()].some((row) => row.baseId === id)) throw new Refusal("foreign-key");
    put(id, undefined);
  }
  for (const tombstone of change.bury ?? []) insert(tombstone);
  for (const { id, digest, pending } of change.acknowledge ?? []) {
    const row = rows.get(id);
    if (row === undefined || Buffer.compare(row.digest, digest) !== 0 || row.pending !== pending) continue;
    put(id, { ...row, pending: null });
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
  for (const write of change.append ?? []) {
    const row = rows.get(write.checkpointId);
    if (row === undefined || row.agentId === NO_AGENT) return false;
    const isOther = ({ taskId, index, rank }: WriteRow) =>
      taskId !== write.taskId || index !== write.index || rank > write.rank;
    const others = row.writes.filter(isOther);
    const isKept = others.some(({ taskId, index }) => taskId === write.taskId && index === write.index);
    put(row.id, { ...row, writes: isKept ? others : [...others, write] });
  }
  return true;
}

function latestId(rows: Rows, { agentId, namespace }: Row): string {
  return select(rows, { agentId, namespace, limit: 1 })[0]?.id ?? NIL_ID;
}

function chain(rows: Rows, id: string): Kept[] {
  const found: Kept[] = [];
  for (let row = rows.get(id); row !== undefined; row = rows.get(row.baseId ?? "")) found.push(row);
  return found;
}

/** The earliest first. */
function pendingRows(rows: Rows): (Kept & Pick<PendingHead, "pending">)[] {
  const pending = [...rows.values()].filter((row): row is Kept & Pick<PendingHead, "pending"> => row.pending !== null);
  return pending.sort((one, other) => one.pending - other.pending || newestFirst(other, one));
}

function storedBytes(rows: readonly Row[]): number {
  return rows.reduce((sum, row) => sum + row.state.byteLength, 0);
}

/** As a limit. */
const ALL = Number.POSITIVE_INFINITY;

/** Newest first. */
function select(rows: Rows, { limit, ...query }: RowQuery): Kept[] {
  const candidates = query.id === undefined ? [...rows.values()] : [rows.get(query.id)];
  const matching = candidates.filter((row) => row !== undefined && matches(row, query)) as Kept[];
  return matching.sort(newestFirst).slice(0, limit);
}

/** Ids are text in lower case, so their order as strings is their order in time. */
function newestFirst(one: Row, other: Row): number {
  return one.id < other.id ? 1 : -1;
}

function matches(row: Row, query: Omit<RowQuery, "limit">): boolean {
  const { id, agentId } = query;
  return (
    (agentId === undefined ? id !== undefined || row.agentId !== NO_AGENT : row.agentId === agentId) &&
    (query.namespace === undefined || row.namespace === query.namespace) &&
    (query.name === undefined || row.name === query.name) &&
    (query.parentId === undefined || row.parentId === query.parentId) &&
    (query.before === undefined || row.id < query.before) &&
    (query.since === undefined || row.id > query.since) &&
    (query.metadataLines ?? []).every((line) => row.metadata?.includes(line))
  );
}

function rowOf({ writes, ...row }: Kept): Row {
  return row;
}

function headOf({ state, afterId, writes, ...head }: Kept): RowHead {
  return head;
}

/** As UTF-8, which is not the order of JavaScript's strings. */
function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
