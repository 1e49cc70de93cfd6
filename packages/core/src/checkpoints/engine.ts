import type { MigrateMode } from "../contract/checkpoints.ts";
import { CheckpointError } from "../contract/errors.ts";
import type { StateParser } from "../contract/state-parser.ts";
import type { Source, StorageEvents, StorageHealth } from "../contract/status.ts";
import { Emitter } from "../database/events.ts";
import type { ResolvedDatabaseOptions } from "../database/options.ts";
import { Session } from "../database/session.ts";
import { StateCache } from "./cache.ts";
import type { Change, Dialect, Outbox, OutboxChange, Settings } from "./dialect.ts";
import type { HeadDigests } from "./equality.ts";
import { GroupCommit } from "./group-commit.ts";
import { Labels } from "./labels.ts";
import type { ResolvedCheckpointOptions } from "./options.ts";
import { labelTerm, nameTerm } from "./terms.ts";

/**
 * The checkpoint engine on one database: what store, read, remove and replication work on. Its functions take checked
 * arguments; the public face, `storage.ts`, checks them.
 */
export interface Engine {
  readonly dialect: Dialect;
  readonly digests: HeadDigests;
  readonly session: Session;
  readonly events: Emitter<StorageEvents>;
  readonly cache: StateCache;
  readonly groupCommit: GroupCommit;
  readonly labels: Labels;
  /** Set where states are deep-frozen. */
  readonly freeze: boolean;
  /** Parses states for the public face; `null`: none. */
  readonly parse: StateParser<unknown> | null;
  /** What it is in a storage with a backup; `null`: it is used alone. */
  role: Source | null;
  /** Whether the database is replicated, as far as this engine knows; `null`: to be asked. See `replicated.ts`. */
  isReplicated: boolean | null;
}

export interface EngineParts {
  readonly dialect: Dialect;
  readonly digests: HeadDigests;
  /** Fails the opening if the newest row is not encrypted as this storage would write it. Nothing to check: resolves. */
  check(signal: AbortSignal): Promise<void>;
}

export function createEngine(
  { dialect, digests, check }: EngineParts,
  options: ResolvedDatabaseOptions & ResolvedCheckpointOptions,
): Engine {
  const events = new Emitter<StorageEvents>();
  const session = new Session(dialect, options, events, async (signal) => {
    await check(signal);
    labels.start();
  });
  const labels = new Labels({ dialect, session, events }, [
    ...options.indexedLabels.map(labelTerm),
    ...options.indexedNames.map(nameTerm),
  ]);
  const groupCommit = new GroupCommit(
    (insert, expected, signal) => insertRows({ dialect, labels }, { insert, expected }, signal),
    (error) => session.mayBeOneRow(error),
  );
  const cache = new StateCache(options.cacheBytes);
  return {
    dialect,
    digests,
    session,
    events,
    cache,
    groupCommit,
    labels,
    freeze: options.freeze,
    parse: options.parse,
    role: null,
    isReplicated: null,
  };
}

/** Inserts rows, and indexes their labels with them. */
export async function insertRows(
  { dialect, labels }: Pick<Engine, "dialect" | "labels">,
  change: Pick<Change, "insert" | "expected" | "append">,
  signal: AbortSignal,
): Promise<boolean> {
  const { insert = [] } = change;
  return await labels.insert(insert, signal, (label) =>
    dialect.commit(label.length === 0 ? change : { ...change, label }, signal),
  );
}

/** Ends what an engine does by itself, and closes its database. */
export async function closeEngine({ labels, session }: Engine): Promise<void> {
  // Both at once: from now on the session refuses calls, and waits for those under way, which the labels end.
  await Promise.all([labels.stop(), session.close()]);
}

/** An engine whose dialect has an outbox, and settings. */
export interface ReplicableEngine extends Engine {
  readonly dialect: Dialect & { readonly outbox: Outbox; readonly settings: Settings };
}

export function isReplicable(engine: Engine): engine is ReplicableEngine {
  return engine.dialect.outbox !== undefined && engine.dialect.settings !== undefined;
}

/** Commits a change. @throws CheckpointError `INVALID_CONFIG` if it has parts of the outbox, and the dialect has none */
export async function commit({ dialect }: Engine, change: OutboxChange, signal: AbortSignal): Promise<boolean> {
  if (dialect.outbox !== undefined) return await dialect.outbox.commit(change, signal);
  const { insertTombstones, acknowledge, lease, markPending, ...rest } = change;
  if ([insertTombstones, acknowledge, lease, markPending].some((part) => part !== undefined && part.length > 0)) {
    throw new CheckpointError("INVALID_CONFIG", `commit: the dialect ${dialect.name} has no outbox`);
  }
  return await dialect.commit(rest satisfies Change, signal);
}

/**
 * Commits a change that was planned on rows read before. `false`: another client has changed them since.
 */
export async function commitPlan(engine: Engine, change: OutboxChange, signal: AbortSignal): Promise<boolean> {
  try {
    return await commit(engine, change, signal);
  } catch (error) {
    if (engine.session.isForeignKey(error) || engine.session.isDuplicate(error)) return false;
    throw error;
  }
}

export async function checkHealth({ session }: Engine, signal: AbortSignal | undefined): Promise<StorageHealth> {
  const start = performance.now();
  try {
    await session.ping(signal);
    return { ok: true, latencyMs: performance.now() - start };
  } catch (error) {
    return { ok: false, latencyMs: performance.now() - start, error: error as CheckpointError };
  }
}

export async function migrateEngine({ dialect, session }: Engine, mode: MigrateMode): Promise<string[]> {
  return await session.runUnopened("migrate schema", undefined, (deadline) => dialect.migrate(mode, deadline));
}
