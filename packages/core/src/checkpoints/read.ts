import { setImmediate } from "node:timers/promises";
import { decodeMetadata } from "../codec/metadata.ts";
import { decodeSnapshot } from "../codec/snapshot.ts";
import type { AgentCheckpointListItem, StoredAgentCheckpoint } from "../contract/checkpoints.ts";
import { CheckpointError } from "../contract/errors.ts";
import type { StorageStats } from "../contract/status.ts";
import { idClock } from "../database/ids.ts";
import type { ListedQuery, LookUp } from "./arguments.ts";
import { type ChainState, isAlwaysFull, timelineOf, unpackChain } from "./chain.ts";
import type { RowHead, RowQuery } from "./dialect.ts";
import type { Engine } from "./engine.ts";
import { hasContent } from "./equality.ts";
import { unreadable } from "./failures.ts";
import { PAGE } from "./paging.ts";
import { isTombstone } from "./tombstones.ts";

/** Reading: one checkpoint by its id, the latest, lists, ancestors, counts. */

/** Reads a checkpoint; `id` is `null` for a text that is no id of ours. */
export async function retrieveCheckpoint(
  engine: Engine,
  id: string | null,
  signal: AbortSignal | undefined,
): Promise<StoredAgentCheckpoint | null> {
  return await engine.session.run("retrieve checkpoint", signal, async (deadline) => {
    const found = await findCheckpoint(engine, "retrieve checkpoint", id, deadline);
    return found === null ? null : toCheckpoint(engine, found);
  });
}

/** A checkpoint as it is stored, its state not yet decoded. */
export interface FoundCheckpoint {
  readonly head: RowHead;
  readonly state: ChainState;
  /** Set where the state was in the cache, which may have its text. */
  readonly isCached: boolean;
}

/** Finds a checkpoint in the cache, or reads it. `null`: there is none. */
export async function findCheckpoint(
  engine: Engine,
  operation: string,
  id: string | null,
  signal: AbortSignal,
): Promise<FoundCheckpoint | null> {
  if (id === null) return null;
  const cached = engine.cache.find(id);
  if (cached !== undefined) {
    // Only the database knows whether it is still there, and its metadata.
    const [head] = await engine.dialect.list({ id, limit: 1 }, signal);
    const found = fromCache(engine, head, cached);
    if (found !== null) return found;
  }
  return await readCheckpoint(engine, operation, id, signal);
}

/** Reads the latest checkpoint of a timeline: one statement if its state is cached, else two. */
export async function retrieveLatestCheckpoint(
  engine: Engine,
  timeline: Pick<RowQuery, "agentId" | "namespace">,
  signal: AbortSignal | undefined,
): Promise<StoredAgentCheckpoint | null> {
  const operation = "retrieve latest checkpoint";
  return await engine.session.run(operation, signal, async (deadline) => {
    let missing: string | null = null;
    for (;;) {
      const [head] = await engine.dialect.list({ ...timeline, limit: 1 }, deadline);
      if (head === undefined) return null;
      const cached = engine.cache.find(head.id);
      const found =
        (cached === undefined ? null : fromCache(engine, head, cached)) ??
        (await readCheckpoint(engine, operation, head.id, deadline));
      if (found !== null) return toCheckpoint(engine, found);
      if (head.id === missing) {
        throw new CheckpointError("CORRUPT_CHECKPOINT", `${operation}: ${missing} is listed, but is not there`);
      }
      missing = head.id;
      deadline.throwIfAborted(); // deleted between the two statements: another one is the latest now
    }
  });
}

/** Returns a cached checkpoint if it is what the database has; else drops it from the cache, and returns `null`. */
function fromCache({ cache, digests }: Engine, head: RowHead | undefined, cached: ChainState): FoundCheckpoint | null {
  if (head !== undefined && hasContent(digests, head, cached.snapshot.digest)) {
    return { head, state: cached, isCached: true };
  }
  cache.forget(cached.id);
  return null;
}

async function readCheckpoint(
  { dialect, cache }: Engine,
  operation: string,
  id: string,
  signal: AbortSignal,
): Promise<FoundCheckpoint | null> {
  const rows = await dialect.readChain(id, signal);
  const [row] = rows;
  if (row === undefined || isTombstone(row)) return null;
  try {
    const state = (await unpackChain(rows))[0] as ChainState;
    if (!isAlwaysFull(state.snapshot)) cache.put(timelineOf(row), state, null);
    return { head: row, state, isCached: false };
  } catch (error) {
    throw unreadable(operation, id, error);
  }
}

function toCheckpoint({ cache }: Engine, { head, state, isCached }: FoundCheckpoint): StoredAgentCheckpoint {
  idClock.observe(head.id);
  const text = isCached ? cache.textOf(state) : undefined;
  try {
    return { ...toItem(head, metadataOf(head)), state: decodeSnapshot(state.snapshot, text) };
  } catch (error) {
    throw unreadable("retrieve checkpoint", head.id, error);
  }
}

/** Lists one page; `query` is `null` where no row can match. */
export async function listCheckpoints(
  engine: Engine,
  operation: string,
  query: ListedQuery | null,
  signal: AbortSignal | undefined,
): Promise<AgentCheckpointListItem[]> {
  return await engine.session.run(operation, signal, async (deadline) =>
    query === null ? [] : await listItems(engine, operation, query, deadline),
  );
}

/** Lists a checkpoint, if it is there, and those before it in its timeline, which most often are its ancestors. */
export async function listWithOlder(
  engine: Engine,
  id: string,
  signal: AbortSignal | undefined,
): Promise<AgentCheckpointListItem[]> {
  return await engine.session.run("iterate ancestors", signal, async (deadline) => {
    const [row] = await engine.dialect.list({ id, limit: 1 }, deadline);
    if (row === undefined || isTombstone(row)) return [];
    const { agentId, namespace } = row;
    const older = await listItems(
      engine,
      "iterate ancestors",
      { agentId, namespace, before: row.id, limit: PAGE },
      deadline,
    );
    return [toItem(row, readableMetadataOf(row)), ...older];
  });
}

async function listItems(
  engine: Engine,
  operation: string,
  query: ListedQuery,
  signal: AbortSignal,
): Promise<AgentCheckpointListItem[]> {
  const rows = await listRows(engine, operation, query, signal);
  const [newest] = rows;
  if (newest !== undefined) idClock.observe(newest.id);
  return rows.map((row) => toItem(row, readableMetadataOf(row)));
}

/** Lists rows: across agents by the index of labels. */
async function listRows(
  { dialect, labels }: Engine,
  operation: string,
  { lookUp, ...query }: ListedQuery,
  signal: AbortSignal,
): Promise<RowHead[]> {
  if (lookUp === undefined) return await dialect.list(query, signal);
  const { index, key } = await labels.find(operation, lookUp, signal);
  return await index.list(key, query, signal);
}

/** Lists all heads that match, newest first, in pages. Rows stored meanwhile are not among them. */
export async function* listHeads(
  { dialect, session }: Engine,
  operation: string,
  query: Omit<RowQuery, "limit">,
  signal: AbortSignal | undefined,
): AsyncIterableIterator<RowHead[]> {
  for (let page: RowQuery = { ...query, limit: PAGE }; ; ) {
    const rows = await session.run(operation, signal, (deadline) => dialect.list(page, deadline));
    if (rows.length > 0) yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    page = { ...page, before: last.id };
    await setImmediate(); // a synchronous driver would otherwise block the event loop
  }
}

export async function listAgents(
  { dialect, session, labels }: Engine,
  operation: string,
  {
    after,
    limit,
    lookUp = null,
  }: { readonly after: string | null; readonly limit: number; readonly lookUp?: LookUp | null },
  signal: AbortSignal | undefined,
): Promise<string[]> {
  return await session.run(operation, signal, async (deadline) => {
    if (lookUp === null) return await dialect.agents(after, limit, deadline);
    const { index, key } = await labels.find(operation, lookUp, deadline);
    return await index.agents(key, after, limit, deadline);
  });
}

/** Iterates over the ids of agents, in the order of their bytes. */
export async function* iterateAgents(
  engine: Engine,
  operation: string,
  lookUp: LookUp | null,
  signal: AbortSignal | undefined,
): AsyncIterableIterator<string> {
  for (let after: string | null = null; ; ) {
    const page = await listAgents(engine, operation, { after, limit: PAGE, lookUp }, signal);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1) ?? null;
  }
}

export async function countCheckpoints(
  { dialect, session }: Engine,
  agentId: string | null,
  signal: AbortSignal | undefined,
): Promise<StorageStats> {
  return await session.run("count checkpoints", signal, async (deadline) => {
    const { rows, ...counts } = await dialect.stats(agentId, deadline);
    return { checkpoints: rows, ...counts };
  });
}

/** Makes a list item. Members that were not given are absent. */
function toItem(row: RowHead, metadata: AgentCheckpointListItem["metadata"]): AgentCheckpointListItem {
  return {
    id: row.id,
    agentId: row.agentId,
    ...(row.namespace === "" ? {} : { namespace: row.namespace }),
    name: row.name,
    createdAt: row.createdAt,
    ...(row.parentId === null ? {} : { parentId: row.parentId }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

function metadataOf(row: RowHead): AgentCheckpointListItem["metadata"] {
  return row.metadata === null ? undefined : decodeMetadata(row.metadata);
}

/** Returns no metadata for a damaged row: it must not break a list. Retrieving it reports the damage. */
function readableMetadataOf(row: RowHead): AgentCheckpointListItem["metadata"] {
  try {
    return metadataOf(row);
  } catch {
    return undefined;
  }
}
