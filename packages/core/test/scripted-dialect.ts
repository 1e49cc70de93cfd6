import type { Change, Dialect, Fault, Row, RowHead, RowQuery } from "../src/dialect.ts";
import { NIL_ID } from "../src/dialect.ts";

/**
 * A dialect without a database, to see what stands above the seam: rows are in a Map, `calls` names what was called, and
 * any method may be replaced by what a test wants a database to do.
 */
export interface ScriptedDialect extends Dialect {
  readonly rows: Map<string, Row>;
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
  const calls: string[] = [];
  const dialect: Dialect = {
    name: "scripted",
    apiVersion: 1,
    open: async () => ({ maxStatementBytes: 1_000_000 }),
    migrate: async () => [],
    commit: async (change) => commit(rows, change),
    readChain: async (id) => chain(rows, id),
    list: async (query) => list(rows, query),
    dependents: async () => [],
    agents: async (after, limit) => {
      const agents = [...new Set([...rows.values()].map((row) => row.agentId))].sort();
      return agents.filter((agent) => after === null || agent > after).slice(0, limit);
    },
    stats: async () => ({
      rows: rows.size,
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
  return { ...(Object.fromEntries(recorded) as Dialect), rows, calls };
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

function commit(rows: Map<string, Row>, { bases = [], insert = [], remove = [] }: Change): boolean {
  for (const { id, digest } of bases) {
    const base = rows.get(id);
    if (base === undefined || Buffer.compare(base.digest, digest) !== 0) return false;
  }
  for (const row of insert) {
    if (rows.has(row.id)) throw new ScriptedError("duplicate");
    const [latest] = list(rows, { agentId: row.agentId, namespace: row.namespace, limit: 1 });
    if (row.afterId !== null && row.afterId !== (latest?.id ?? NIL_ID)) return false;
  }
  for (const row of insert) rows.set(row.id, row);
  for (const id of remove) rows.delete(id);
  return true;
}

function chain(rows: Map<string, Row>, id: string): Row[] {
  const row = rows.get(id);
  return row === undefined ? [] : [row, ...(row.baseId === null ? [] : chain(rows, row.baseId))];
}

function list(rows: Map<string, Row>, query: RowQuery): RowHead[] {
  const lines = query.metadataLines ?? [];
  return [...rows.values()]
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
    .slice(0, query.limit);
}
