import { setImmediate } from "node:timers/promises";
import type { Base, Rewrite, Row, RowHead, WriteRow } from "../checkpoints/dialect.ts";
import { type DialectStorage, engineOf } from "../checkpoints/storage.ts";
import { isTombstone } from "../checkpoints/tombstones.ts";
import type { ConfiguredStorage } from "../config/open.ts";
import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
import { members } from "../contract/checks.ts";
import { CheckpointError, describe, invalidArgument, property } from "../contract/errors.ts";
import { inTurns, isSealedWith, ownerOf, ownerOfWrite, sealState } from "./ciphertext.ts";
import { openRow, openWrite, ringFor, type Sealing, sealingOf } from "./encrypted-dialect.ts";
import type { SealingRing } from "./key-ring.ts";

export interface ReencryptOptions extends CallOptions {
  /** Called after each batch, with the counts so far. What it throws ends the work and comes back as it is. */
  readonly onProgress?: (progress: ReencryptResult) => void;
}

export interface ReencryptResult {
  /** Checkpoints that were looked at. */
  readonly examined: number;
  /** Those that were not encrypted with the current key, and are now. */
  readonly rewritten: number;
  /** Those that could not be read, or with writes that could not: damaged, or their key is not here. They are left as they are. */
  readonly unreadable: number;
}

/** Heads of one page. */
const PAGE = 1_000;
/** What one commit rewrites: as many rows, and bytes, about. */
const ROWS_AT_ONCE = 64;
const BYTES_AT_ONCE = 8_000_000;
/** For a difference, whose length as stored is not in the head. */
const MAX_DIFFERENCE_BYTES = 128_000;
/** How often a row is read again because other clients have changed it. */
const MAX_TRIES = 20;

/**
 * Encrypts with the current key whatever a storage has that is encrypted with another, or, with `encryption.migrate`, not
 * at all. Stores, reads, deletes and prunes go on beside it, in any process. Ended early, it can be called again: what is
 * done is passed over.
 *
 * Of a storage of `openCheckpointStorage`, with all of its providers that encrypt.
 *
 * When it has ended without `unreadable`, and all processes had the new key ring before it began, no checkpoint needs an
 * older key any more.
 * @throws CheckpointError `INVALID_ARGUMENT` if the storage does not encrypt; and what the database may answer
 */
export async function reencryptCheckpoints(
  storage: CheckpointStorage,
  options: ReencryptOptions = {},
): Promise<ReencryptResult> {
  const { signal, onProgress } = checkOptions(options);
  const counts = { examined: 0, rewritten: 0, unreadable: 0 };
  for (const [engine, sealing] of encryptedOf(storage)) {
    for await (const batch of reencryptAll(engine, sealing, signal)) {
      counts.examined += batch.examined;
      counts.rewritten += batch.rewritten;
      counts.unreadable += batch.unreadable;
      onProgress?.({ ...counts });
    }
  }
  return counts;
}

function checkOptions(value: ReencryptOptions): ReencryptOptions {
  const { signal, onProgress } = members("options", value, ["signal", "onProgress"]);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalidArgument("options.signal", "an AbortSignal", signal);
  }
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw invalidArgument("options.onProgress", "a function", onProgress);
  }
  return value;
}

function encryptedOf(storage: CheckpointStorage): [DialectStorage, Sealing][] {
  const names = property(storage, "providers");
  const storages = Array.isArray(names)
    ? names.map((name) => (storage as ConfiguredStorage).provider(name as string))
    : [storage];
  const found = storages.flatMap((one): [DialectStorage, Sealing][] => {
    const engine = engineOf(one);
    const sealing = engine === null ? null : sealingOf(engine.dialect);
    return engine === null || sealing === null ? [] : [[engine, sealing]];
  });
  if (found.length > 0) return found;
  const got = typeof storage === "object" && storage !== null ? "one that does not" : describe(storage);
  throw new CheckpointError("INVALID_ARGUMENT", `expected storage to be one with options.encryption, got ${got}`);
}

/** Newest first, in bounded steps. */
async function* reencryptAll(
  { session }: DialectStorage,
  sealing: Sealing,
  signal: AbortSignal | undefined,
): AsyncGenerator<ReencryptResult> {
  const { dialect, keys } = sealing;
  await session.run(OPERATION, signal, (limit) => keys.refresh(limit)); // which key is the current one, is known now
  let before: string | undefined;
  for (;;) {
    const query = { ...(before === undefined ? {} : { before }), limit: PAGE };
    const heads = await session.run(OPERATION, signal, (limit) => dialect.list(query, limit));
    for (const batch of batchesOf(heads)) {
      yield await session.run(OPERATION, signal, (limit) => reencryptSome(sealing, batch, limit));
      await setImmediate(); // some databases answer before anything else has its turn
    }
    if (heads.length < PAGE) return;
    before = heads.at(-1)?.id;
  }
}

const OPERATION = "re-encrypt checkpoints";

function batchesOf(heads: readonly RowHead[]): string[][] {
  const batches: string[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { id, baseId, stateBytes } of heads) {
    const more = baseId === null ? stateBytes : Math.min(stateBytes, MAX_DIFFERENCE_BYTES);
    const last = batches.at(-1);
    if (last === undefined || last.length === ROWS_AT_ONCE || bytes + more > BYTES_AT_ONCE) {
      batches.push([id]);
      bytes = more;
    } else {
      last.push(id);
      bytes += more;
    }
  }
  return batches;
}

async function reencryptSome(sealing: Sealing, ids: readonly string[], signal: AbortSignal): Promise<ReencryptResult> {
  for (let tries = 1; ; tries++) {
    const done = await tryReencrypt(sealing, ids, signal);
    if (done !== null) return done;
    signal.throwIfAborted();
    // Somebody has changed or removed one of them in between: the others need not wait for that.
    if (ids.length > 1) {
      const each: ReencryptResult[] = [];
      for (const id of ids) each.push(await reencryptSome(sealing, [id], signal));
      const sum = (name: keyof ReencryptResult) => each.reduce((total, one) => total + one[name], 0);
      return { examined: sum("examined"), rewritten: sum("rewritten"), unreadable: sum("unreadable") };
    }
    if (tries === MAX_TRIES) {
      throw new CheckpointError("CONTENTION", `${OPERATION}: other clients keep on changing ${String(ids[0])}`);
    }
  }
}

/** `null`: other clients have changed one of the rows since it was read. */
async function tryReencrypt(
  sealing: Sealing,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReencryptResult | null> {
  const { dialect, migrate } = sealing;
  const unreadable = await reencryptWrites(sealing, ids, signal);
  if (unreadable === null) return null;
  const rows = (await dialect.readRows(ids, signal)).filter((row) => !isTombstone(row));
  const ring = await ringFor(sealing, rows, signal);
  const due = rows.filter((row) => !isSealedWith(ring.current, row));
  const rewrites = await inTurns(due, (row) => reseal(ring, row, migrate));
  const rewrite = rewrites.filter((one) => one !== null);
  for (const [at, { id }] of due.entries()) if (rewrites[at] === null) unreadable.add(id);
  const result = { examined: rows.length, rewritten: rewrite.length, unreadable: unreadable.size };
  if (rewrite.length === 0) return result;
  const rewritten = new Set(rewrite.map(({ id }) => id));
  const bases: Base[] = rows.filter(({ id }) => rewritten.has(id)).map(({ id, digest }) => ({ id, digest }));
  return (await dialect.commit({ bases, rewrite }, signal)) ? result : null;
}

/** The checkpoints with writes that cannot be read, which are left as they are. `null`: one was removed meanwhile. */
async function reencryptWrites(
  sealing: Sealing,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<Set<string> | null> {
  const { dialect, migrate } = sealing;
  const writes = await dialect.readWrites(ids, signal);
  const ring = await ringFor(sealing, writes, signal);
  const due = writes.filter((write) => !isSealedWith(ring.current, write));
  const opened = await inTurns(due, (write) => openWrite(ring, write, migrate));
  const readable = opened.filter(({ unreadable }) => unreadable === undefined);
  const append = await inTurns(readable, async (write): Promise<WriteRow> => {
    const sealed = await sealState(ring.current, ownerOfWrite(write), write);
    return { ...write, ...sealed, digest: ring.digestOf(write.digest) };
  });
  if (append.length > 0 && !(await dialect.commit({ append }, signal))) return null;
  return new Set(opened.filter((write) => write.unreadable !== undefined).map(({ checkpointId }) => checkpointId));
}

/** The row as it is to stand in the database; `null`: it cannot be read. */
async function reseal(ring: SealingRing, row: Row, migrate: boolean): Promise<Rewrite | null> {
  const opened = await openRow(ring, row, migrate);
  if (opened.unreadable !== undefined) return null;
  const { id, baseId } = row;
  const digest = ring.digestOf(opened.digest);
  return { id, fromBaseId: baseId, baseId, ...(await sealState(ring.current, ownerOf(opened), opened)), digest };
}
