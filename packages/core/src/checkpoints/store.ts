import { snapshotOf } from "../codec/failures.ts";
import type { Snapshot } from "../codec/snapshot.ts";
import type { NamedAgentCheckpoint } from "../contract/checkpoints.ts";
import { CheckpointError, invalidArgument } from "../contract/errors.ts";
import { idClock } from "../database/ids.ts";
import type { CheckedCheckpoint, CheckedStoreOptions } from "./arguments.ts";
import { type ChainState, isAlwaysFull, type PackedNext, packFull, packNext, readState, timelineOf } from "./chain.ts";
import { NIL_ID, type Row, type RowHead, type RowVersion, type RowWithBase, rowBytes } from "./dialect.ts";
import { type Engine, insertRows } from "./engine.ts";
import { hasContent, sameCheckpoint, sameHead } from "./equality.ts";
import { tooLarge } from "./failures.ts";
import { isTombstone } from "./tombstones.ts";

/** Storing: a checkpoint is prepared at once, packed as a delta to a base, and inserted. */

/** Smaller states are stored full if none is cached to go on from: reading one would cost more than it saves. */
const READ_PREVIOUS_FROM_BYTES = 16_384;

/** A checked checkpoint with its id and guard. */
type NewCheckpoint = CheckedCheckpoint & { readonly id: string; readonly afterId: string | null };
/** A new row's head, but for the facts about its state. */
type NewHead = NewCheckpoint & { readonly pending: number | null };

/** A checkpoint as it was when it was handed in. */
export interface PreparedCheckpoint {
  readonly head: NewCheckpoint;
  readonly snapshot: Snapshot;
  /** The cached state to go on from: its row, or the skip delta before it, becomes the base. Absent: none is cached. */
  readonly previous: ChainState | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Prepares a checkpoint synchronously: what the caller changes afterwards is not stored. */
export function prepareCheckpoint(
  { cache, freeze }: Engine,
  head: CheckedCheckpoint,
  state: NamedAgentCheckpoint["state"],
  options: CheckedStoreOptions,
): PreparedCheckpoint {
  const previous = cachedState(cache, head);
  const snapshot = snapshotOf("store checkpoint", "state", state, { base: previous?.snapshot, freeze });
  return prepareSnapshot(head, snapshot, previous, options);
}

/** Prepares a checkpoint whose state is a snapshot already. `previous`: a state to go on from. */
export function prepareSnapshot(
  head: CheckedCheckpoint,
  snapshot: Snapshot,
  previous: ChainState | undefined,
  { ifLatest, signal }: CheckedStoreOptions,
): PreparedCheckpoint {
  for (const id of [head.id, head.parentId, ifLatest]) if (typeof id === "string") idClock.observe(id);
  const id = head.id ?? idClock.next();
  const afterId = ifLatest === undefined ? null : (ifLatest ?? NIL_ID);
  if (afterId !== null && id <= afterId) throw invalidArgument("checkpoint.id", "above options.ifLatest", id);
  return { head: { ...head, id, afterId }, snapshot, previous, signal };
}

/**
 * Stores a prepared checkpoint. `pending`: outbox flag of the row, see `RowHead`. Returns the row as it was inserted, with
 * its base; `null`: it was there already.
 */
export async function storeCheckpoint(
  engine: Engine,
  { head, snapshot, previous, signal }: PreparedCheckpoint,
  pending: number | null,
): Promise<RowWithBase | null> {
  const { session } = engine;
  const attempts: Attempts = { outcomeUnknown: false };
  return await session.run(
    "store checkpoint",
    signal,
    async (deadline, { maxStatementBytes }) => {
      try {
        return await attemptStore(
          engine,
          { ...head, pending },
          snapshot,
          previous,
          attempts,
          maxStatementBytes,
          deadline,
        );
      } catch (error) {
        attempts.outcomeUnknown ||= session.isOutcomeUnknown(error);
        throw error;
      }
    },
    { "waymark.state.bytes": snapshot.stateBytes },
  );
}

/** Stores a checkpoint that another engine has prepared: a base in that one's cache may not be stored here. */
export async function storeElsewhere(
  engine: Engine,
  prepared: PreparedCheckpoint,
  pending: number | null,
): Promise<RowWithBase | null> {
  return await storeCheckpoint(engine, { ...prepared, previous: cachedState(engine.cache, prepared.head) }, pending);
}

/** Stores the state of a row that another engine has read, with a base of this one. */
export async function storeSnapshot(
  engine: Engine,
  row: RowHead,
  snapshot: Snapshot,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { agentId, namespace, name, parentId, createdAt, metadata, id } = row;
  const head = { agentId, namespace, name, parentId, createdAt, metadata, id, afterId: null };
  await storeCheckpoint(engine, { head, snapshot, previous: cachedState(engine.cache, head), signal }, null);
}

/** Facts about the attempts of one call so far. */
interface Attempts {
  /** Set once an attempt has failed that may have taken place. */
  outcomeUnknown: boolean;
}

async function attemptStore(
  engine: Engine,
  head: NewHead,
  snapshot: Snapshot,
  cached: ChainState | undefined,
  attempts: Attempts,
  maxBytes: number,
  signal: AbortSignal,
): Promise<RowWithBase | null> {
  const previous = cached ?? (await readPrevious(engine, head, snapshot, signal));
  let packed = await packNext(head.id, snapshot, previous);
  let isStored = await insert(engine, head, packed, maxBytes, signal);
  if (!isStored && packed.base !== null) {
    // Another client has removed the base; or the row is there already, which explainRefusal finds out.
    engine.cache.forgetLatest(timelineOf(head));
    packed = await packNext(head.id, snapshot, await readPrevious(engine, head, snapshot, signal));
    isStored = await insert(engine, head, packed, maxBytes, signal);
  }
  if (!isStored && packed.base !== null) {
    packed = await packFull(head.id, snapshot);
    isStored = await insert(engine, head, packed, maxBytes, signal);
  }
  if (!isStored) {
    await explainRefusal(engine, toRow(head, packed), snapshot, attempts, signal);
    return null;
  }
  if (!isAlwaysFull(snapshot)) engine.cache.put(timelineOf(head), packed.next, packed.base?.id ?? null);
  return { row: toRow(head, packed), base: baseOf(packed) };
}

function cachedState(
  cache: Engine["cache"],
  { parentId, ...head }: Pick<CheckedCheckpoint, "agentId" | "namespace" | "parentId">,
) {
  const timeline = timelineOf(head);
  return (parentId === null ? undefined : cache.getIn(timeline, parentId)) ?? cache.latestOf(timeline);
}

/** Reads the state to go on from, for one that is large enough for that to pay. */
async function readPrevious(
  { dialect }: Engine,
  { agentId, namespace, id }: NewCheckpoint,
  { stateBytes }: Snapshot,
  signal: AbortSignal,
): Promise<ChainState | null> {
  if (stateBytes < READ_PREVIOUS_FROM_BYTES) return null;
  const [latest] = await dialect.list({ agentId, namespace, before: id, limit: 1 }, signal);
  return latest === undefined ? null : await readState(dialect, latest.id, signal);
}

/** Inserts a row. `false`: the row, or another one after the same row, is there; or its base is not. */
async function insert(
  engine: Engine,
  head: NewHead,
  packed: PackedNext,
  maxBytes: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { session, groupCommit } = engine;
  const row = toRow(head, packed);
  const bytes = rowBytes(row);
  if (bytes > maxBytes) throw tooLarge("store checkpoint", bytes, maxBytes);
  const base = baseOf(packed);
  try {
    if (row.afterId === null) return await groupCommit.insert({ row, base }, bytes, maxBytes, signal);
    return await insertRows(engine, { insert: [row], expected: base === null ? [] : [base] }, signal);
  } catch (error) {
    if (session.isDuplicate(error) || session.isForeignKey(error)) return false;
    throw error;
  }
}

/** Throws the reason why a row was not inserted. Returns if it is there: an earlier attempt, whose answer was lost, has stored it. */
async function explainRefusal(
  engine: Engine,
  row: Row,
  snapshot: Snapshot,
  { outcomeUnknown }: Attempts,
  signal: AbortSignal,
): Promise<void> {
  const { dialect, digests } = engine;
  const [stored] = await dialect.list({ id: row.id, limit: 1 }, signal);
  if (stored === undefined) {
    if (row.afterId === null) {
      throw new CheckpointError("CONTENTION", `store checkpoint: ${row.id} was there, and was deleted meanwhile`);
    }
    if (outcomeUnknown) {
      // The row may have been stored and removed since: a caller that stores it again would do it twice.
      const message = `store checkpoint: connection lost; it is unknown whether ${row.id} was stored`;
      throw new CheckpointError("UNAVAILABLE", message);
    }
    const expected = row.afterId === NIL_ID ? "the agent to have no checkpoint" : `${row.afterId} to be the latest`;
    throw new CheckpointError("CONFLICT", `store checkpoint: expected ${expected}, but another one was stored`);
  }
  if (isTombstone(stored)) throw new CheckpointError("CONFLICT", `store checkpoint: ${row.id} was deleted`);
  const isSame =
    (sameHead(stored, row) && hasContent(digests, stored, row.digest)) ||
    (await sameCheckpoint(dialect, stored, row, () => snapshot, signal));
  if (!isSame) {
    throw new CheckpointError("CONFLICT", `store checkpoint: ${row.id} is there with other content`);
  }
}

function toRow(head: NewHead, { base, packed, next: { snapshot } }: PackedNext): Row {
  const { stateBytes, digest } = snapshot;
  return { ...head, ...packed, stateBytes, digest, baseId: base?.id ?? null };
}

function baseOf({ base }: PackedNext): RowVersion | null {
  return base === null ? null : { id: base.id, digest: base.snapshot.digest };
}
