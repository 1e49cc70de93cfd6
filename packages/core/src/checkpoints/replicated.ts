import type { Fault } from "../database/faults.ts";
import { type Change, type Dialect, NO_AGENT, type Setting, type Settings } from "./dialect.ts";
import { commitPlan, type Engine } from "./engine.ts";
import { changedTooOften } from "./failures.ts";
import { MAX_PLANS } from "./rebase.ts";
import { tombstoneOf } from "./tombstones.ts";

/**
 * Whether a database is replicated: whether it has, or ever had, a backup, or is one. The database itself knows, by a
 * setting. So every removal leaves tombstones there, also that of a process that was told of no backup; without them a
 * comparison would bring the rows back.
 *
 * A process that replicates a database sets the setting before it copies anything. A removal expects, in its commit, the value
 * that it was planned with. So either it took place before the setting was set, and the rows are never copied, or it is
 * refused, and planned again with tombstones.
 */

const NAME = "replicated";
const YES: Setting = { name: NAME, value: "yes" };
const NO: Setting = { name: NAME, value: "no" };

/** Marks the database as replicated. Asks nothing once the engine knows that it is marked. */
export async function markReplicated(engine: Engine, signal: AbortSignal | undefined): Promise<void> {
  if (engine.isReplicated === true) return;
  await engine.session.run("mark as replicated", signal, (deadline) => mark(engine, deadline));
}

async function mark(engine: Engine, signal: AbortSignal): Promise<void> {
  const { settings } = engine.dialect;
  if (engine.isReplicated === true || settings === undefined) return;
  for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
    if (await trySet(settings, YES, signal)) {
      engine.isReplicated = true;
      return;
    }
  }
  throw changedTooOften();
}

async function trySet(settings: Settings, { name, value }: Setting, signal: AbortSignal): Promise<boolean> {
  const before = await settings.read(name, signal);
  return before === value || (await settings.replace(name, before, value, signal));
}

/**
 * Marks a database of a storage with a backup when it is opened. One that takes no writes now, or has no tables, is opened all
 * the same: nothing is copied until it is marked.
 */
export async function markWhenOpened(engine: Engine, signal: AbortSignal): Promise<void> {
  engine.isReplicated = null; // it may be another database than before
  if (engine.role === null) return;
  try {
    await mark(engine, signal);
  } catch (error) {
    if (!TAKES_NO_MARK.has(engine.dialect.classify(error))) throw error;
  }
}

/** Faults of a database that can be opened, and cannot be marked. */
const TAKES_NO_MARK: ReadonlySet<Fault | null> = new Set(["read-only", "full", "schema", "privilege"]);

/**
 * Commits a removal that was planned on rows read before. They leave tombstones where the database is replicated. `false`:
 * another client has changed the rows, or the database is replicated since.
 */
export async function commitRemoval(
  engine: Engine,
  change: Change & { readonly remove: readonly string[] },
  signal: AbortSignal,
): Promise<boolean> {
  const { settings, outbox } = engine.dialect;
  if (settings === undefined || outbox === undefined) return await commitPlan(engine, change, signal);
  const now = Date.now();
  const isReplicated = await isReplicatedNow(engine, settings, signal);
  const insertTombstones = isReplicated ? change.remove.map((id) => tombstoneOf(id, now, now)) : [];
  const removal = { ...change, expectedSettings: [isReplicated ? YES : NO], insertTombstones };
  if (await commitPlan(engine, removal, signal)) return true;
  engine.isReplicated = null; // asked again by the next attempt
  return false;
}

async function isReplicatedNow(engine: Engine, settings: Settings, signal: AbortSignal): Promise<boolean> {
  if (engine.role !== null) await mark(engine, signal);
  if (engine.isReplicated !== null) return engine.isReplicated;
  const value = await settings.read(NAME, signal);
  if (value === YES.value) engine.isReplicated = true;
  else if (await hasTraces(engine.dialect, signal)) await mark(engine, signal);
  // Set where no migration has, so that the commit can lock it. If another process was faster, the commit is refused.
  else if (value === null) await settings.replace(NAME, null, NO.value, signal);
  engine.isReplicated ??= false;
  return engine.isReplicated;
}

/**
 * Returns whether a database that is not marked shows that it is replicated. An earlier version marks nothing, and may be used
 * beside this one: where it has a backup, it leaves tombstones and pending rows.
 */
async function hasTraces(dialect: Dialect, signal: AbortSignal): Promise<boolean> {
  if ((await dialect.list({ agentId: NO_AGENT, limit: 1 }, signal)).length > 0) return true;
  const pending = await dialect.outbox?.pending(Number.MAX_SAFE_INTEGER, 1, signal);
  return pending !== undefined && pending.length > 0;
}

/** Asks an open database whether it is replicated, for its status. `null`: it was not opened yet, or does not answer. */
export async function askReplicated(engine: Engine, signal: AbortSignal): Promise<boolean | null> {
  const { dialect, session } = engine;
  const { settings } = dialect;
  if (settings === undefined || dialect.outbox === undefined) return false;
  if (!session.wasOpened || session.circuit !== "closed") return null;
  try {
    return await session.run("read settings", signal, async (deadline) => {
      return (await settings.read(NAME, deadline)) === YES.value || (await hasTraces(dialect, deadline));
    });
  } catch {
    return null;
  }
}

/** Takes back that the database is replicated. Removals leave no tombstones from then on. */
export async function unmarkReplicated(engine: Engine, signal: AbortSignal | undefined): Promise<void> {
  await engine.session.run("end replication", signal, async (deadline) => {
    const { settings } = engine.dialect;
    if (settings !== undefined && !(await trySet(settings, NO, deadline))) throw changedTooOften();
  });
  engine.isReplicated = null;
}

/** Returns whether the database says that it is not replicated, and shows no trace of it. */
export async function isUnmarked(engine: Engine, signal: AbortSignal | undefined): Promise<boolean> {
  return await engine.session.run("end replication", signal, async (deadline) => {
    const { dialect } = engine;
    return (await dialect.settings?.read(NAME, deadline)) !== YES.value && !(await hasTraces(dialect, deadline));
  });
}
