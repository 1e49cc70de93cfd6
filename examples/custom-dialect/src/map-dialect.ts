import {
  type Change,
  type Dialect,
  type Fault,
  NIL_ID,
  type Row,
  type RowHead,
  type RowQuery,
} from "@waymark/core/dialect-kit";

/** A whole database: the rows by id. */
export type Rows = Map<string, Row>;

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
    readChain: async (id) => chain(rows, id),
    list: async (query) => select(rows, query).map(headOf),
    dependents: async (ids) => [...rows.values()].filter((row) => ids.includes(row.baseId ?? "")).map(headOf),
    agents: async (after, limit) => {
      const agents = new Set(Array.from(rows.values(), (row) => row.agentId));
      const later = [...agents].filter((agent) => after === null || byBytes(agent, after) > 0);
      return later.sort(byBytes).slice(0, limit);
    },
    stats: async (agentId) => {
      const counted = [...rows.values()].filter((row) => agentId === null || row.agentId === agentId);
      return {
        rows: counted.length,
        storedBytes: counted.reduce((sum, row) => sum + row.state.byteLength, 0),
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

function apply(rows: Rows, change: Change, put: (id: string, row: Row | undefined) => void): boolean {
  for (const { id, digest } of change.bases ?? []) {
    const base = rows.get(id);
    if (base === undefined || Buffer.compare(base.digest, digest) !== 0) return false;
  }
  for (const row of change.insert ?? []) {
    if (rows.has(row.id)) throw new Refusal("duplicate");
    if (row.baseId !== null && !rows.has(row.baseId)) throw new Refusal("foreign-key");
    if (row.afterId !== null && row.afterId !== latestId(rows, row)) return false;
    put(row.id, row);
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
  return true;
}

function latestId(rows: Rows, { agentId, namespace }: Row): string {
  return select(rows, { agentId, namespace, limit: 1 })[0]?.id ?? NIL_ID;
}

function chain(rows: Rows, id: string): Row[] {
  const found: Row[] = [];
  for (let row = rows.get(id); row !== undefined; row = rows.get(row.baseId ?? "")) found.push(row);
  return found;
}

/** Newest first. Ids are text in lower case, so their order as strings is their order in time. */
function select(rows: Rows, { limit, ...query }: RowQuery): Row[] {
  const candidates = query.id === undefined ? [...rows.values()] : [rows.get(query.id)];
  const matching = candidates.filter((row) => row !== undefined && matches(row, query)) as Row[];
  return matching.sort((one, other) => (one.id < other.id ? 1 : -1)).slice(0, limit);
}

function matches(row: Row, query: Omit<RowQuery, "limit">): boolean {
  return (
    (query.agentId === undefined || row.agentId === query.agentId) &&
    (query.namespace === undefined || row.namespace === query.namespace) &&
    (query.name === undefined || row.name === query.name) &&
    (query.parentId === undefined || row.parentId === query.parentId) &&
    (query.before === undefined || row.id < query.before) &&
    (query.since === undefined || row.id > query.since) &&
    (query.metadataLines ?? []).every((line) => row.metadata?.includes(line))
  );
}

function headOf({ state, afterId, pending, ...head }: Row): RowHead {
  return head;
}

/** As UTF-8, which is not the order of JavaScript's strings. */
function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
