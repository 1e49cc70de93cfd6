import { setImmediate } from "node:timers/promises";
import type { Rewrite, Row, RowHead, RowVersion, TaskWriteRow } from "../checkpoints/dialect.ts";
import type { Engine } from "../checkpoints/engine.ts";
import { listHeads } from "../checkpoints/read.ts";
import { engineOf } from "../checkpoints/storage.ts";
import { isTombstone } from "../checkpoints/tombstones.ts";
import type { CallOptions, CheckpointStorage } from "../contract/checkpoints.ts";
import { CheckpointError, describe, property } from "../contract/errors.ts";
import { checkProgressOptions } from "../database/arguments.ts";
import { encryptState, isEncryptedWith, ownerOf, ownerOfWrite, sequentially } from "./ciphertext.ts";
import { decryptRow, decryptWrite, type Encryption, encryptionOf, keysFor } from "./encrypted-dialect.ts";
import type { DerivedKeys } from "./key-ring.ts";

export interface ReencryptOptions extends CallOptions {
  /** Called after each batch with the counts so far. An error that it throws ends the work, and is rethrown as it is. */
  readonly onProgress?: ((progress: ReencryptResult) => void) | undefined;
}

export interface ReencryptResult {
  /** Checkpoints that were examined. */
  readonly examined: number;
  /** Checkpoints that were encrypted anew. */
  readonly rewritten: number;
  /** Checkpoints that cannot be read, or with writes that cannot: damaged, or their key is not here. They are left as they are. */
  readonly unreadable: number;
}

/** Rows and bytes of one commit. */
const ROWS_AT_ONCE = 64;
const BYTES_AT_ONCE = 8_000_000;
/** Assumed size of a delta, whose length as stored is not in the head. */
const MAX_DELTA_BYTES = 128_000;
/** Attempts at a row that other clients change meanwhile. */
const MAX_ATTEMPTS = 20;

const OPERATION = "re-encrypt checkpoints";

/**
 * Encrypts with the current key every checkpoint that is encrypted with another key or, with `encryption.migrate`, not at
 * all. Stores, reads, deletes and prunes go on meanwhile, in any process. Can be repeated if it was ended: checkpoints that
 * are done are skipped.
 *
 * Of a storage of `openCheckpointStorage` it does so in all providers that encrypt.
 *
 * Once it has ended without `unreadable`, and if all processes had the new key ring before it began, no checkpoint needs an
 * older key any more.
 * @throws CheckpointError `INVALID_ARGUMENT` if the storage does not encrypt; and the codes of a database
 */
export async function reencryptCheckpoints(
  storage: CheckpointStorage,
  options: ReencryptOptions = {},
): Promise<ReencryptResult> {
  const { signal, onProgress } = checkProgressOptions<ReencryptResult>(options);
  const counts = { examined: 0, rewritten: 0, unreadable: 0 };
  for (const [engine, encryption] of encryptedEngines(storage)) {
    for await (const batch of reencryptAll(engine, encryption, signal)) {
      counts.examined += batch.examined;
      counts.rewritten += batch.rewritten;
      counts.unreadable += batch.unreadable;
      onProgress?.({ ...counts });
    }
  }
  return counts;
}

/** A storage of `openCheckpointStorage`, as far as it matters here. */
interface WithProviders {
  readonly providers: readonly string[];
  provider(name: string): CheckpointStorage;
}

/** Returns what encrypts in a storage. @throws CheckpointError `INVALID_ARGUMENT` if nothing does */
export function encryptedEngines(storage: CheckpointStorage): [Engine, Encryption][] {
  const storages = Array.isArray(property(storage, "providers"))
    ? (storage as unknown as WithProviders).providers.map((name) =>
        (storage as unknown as WithProviders).provider(name),
      )
    : [storage];
  const found = storages.flatMap((one): [Engine, Encryption][] => {
    const engine = engineOf(one);
    const encryption = engine === null ? null : encryptionOf(engine.dialect);
    return engine === null || encryption === null ? [] : [[engine, encryption]];
  });
  if (found.length > 0) return found;
  const got = typeof storage === "object" && storage !== null ? "one without it" : describe(storage);
  throw new CheckpointError("INVALID_ARGUMENT", `expected storage to be one with options.encryption, got ${got}`);
}

/** Newest first, in bounded steps. */
async function* reencryptAll(
  engine: Engine,
  encryption: Encryption,
  signal: AbortSignal | undefined,
): AsyncGenerator<ReencryptResult> {
  const { session } = engine;
  await session.run(OPERATION, signal, (deadline) => encryption.keys.refresh(deadline)); // for the current key of now
  for await (const heads of listHeads(engine, OPERATION, {}, signal)) {
    for (const batch of batchesOf(heads)) {
      yield await session.run(OPERATION, signal, (deadline) => reencryptSome(encryption, batch, deadline));
      await setImmediate(); // a synchronous driver would otherwise block the event loop
    }
  }
}

/** Divides rows into the batches of one step each. */
export function batchesOf(heads: readonly RowHead[]): string[][] {
  const batches: string[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const { id, baseId, stateBytes } of heads) {
    const more = baseId === null ? stateBytes : Math.min(stateBytes, MAX_DELTA_BYTES);
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

async function reencryptSome(
  encryption: Encryption,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReencryptResult> {
  for (let attempt = 1; ; attempt++) {
    const done = await tryReencrypt(encryption, ids, signal);
    if (done !== null) return done;
    signal.throwIfAborted();
    // Another client has changed or removed one of them in between: the others need not wait for that.
    if (ids.length > 1) {
      const each: ReencryptResult[] = [];
      for (const id of ids) each.push(await reencryptSome(encryption, [id], signal));
      const sum = (name: keyof ReencryptResult) => each.reduce((total, one) => total + one[name], 0);
      return { examined: sum("examined"), rewritten: sum("rewritten"), unreadable: sum("unreadable") };
    }
    if (attempt === MAX_ATTEMPTS) {
      throw new CheckpointError("CONTENTION", `${OPERATION}: other clients keep changing ${String(ids[0])}`);
    }
  }
}

/** `null`: another client has changed one of the rows since it was read. */
async function tryReencrypt(
  encryption: Encryption,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReencryptResult | null> {
  const { dialect, migrate } = encryption;
  const unreadable = await reencryptWrites(encryption, ids, signal);
  if (unreadable === null) return null;
  const rows = (await dialect.readRows(ids, signal)).filter((row) => !isTombstone(row));
  const keys = await keysFor(encryption, rows, signal);
  const due = rows.filter((row) => !isEncryptedWith(keys.current, row));
  const rewrites = await sequentially(due, (row) => reencryptRow(keys, row, migrate));
  const rewrite = rewrites.filter((one) => one !== null);
  for (const [at, { id }] of due.entries()) if (rewrites[at] === null) unreadable.add(id);
  const result = { examined: rows.length, rewritten: rewrite.length, unreadable: unreadable.size };
  if (rewrite.length === 0) return result;
  const rewritten = new Set(rewrite.map(({ id }) => id));
  const expected: RowVersion[] = rows.filter(({ id }) => rewritten.has(id)).map(({ id, digest }) => ({ id, digest }));
  return (await dialect.commit({ expected, rewrite }, signal)) ? result : null;
}

/** Re-encrypts the writes of these rows. Returns the rows with writes that cannot be read; `null`: one was removed meanwhile. */
async function reencryptWrites(
  encryption: Encryption,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<Set<string> | null> {
  const { dialect, migrate } = encryption;
  const writes = await dialect.readTaskWrites(ids, signal);
  const keys = await keysFor(encryption, writes, signal);
  const due = writes.filter((write) => !isEncryptedWith(keys.current, write));
  const decrypted = await sequentially(due, (write) => decryptWrite(keys, write, migrate));
  const readable = decrypted.filter(({ unreadable }) => unreadable === undefined);
  const append = await sequentially(readable, async (write): Promise<TaskWriteRow> => {
    const encrypted = await encryptState(keys.current, ownerOfWrite(write), write);
    return { ...write, ...encrypted, digest: keys.keyedDigest(write.digest) };
  });
  if (append.length > 0 && !(await dialect.commit({ append }, signal))) return null;
  return new Set(decrypted.filter((write) => write.unreadable !== undefined).map(({ checkpointId }) => checkpointId));
}

/** Encrypts a row anew; `null`: it cannot be read. */
async function reencryptRow(keys: DerivedKeys, row: Row, migrate: boolean): Promise<Rewrite | null> {
  const decrypted = await decryptRow(keys, row, migrate);
  if (decrypted.unreadable !== undefined) return null;
  const { id, baseId } = row;
  const encrypted = await encryptState(keys.current, ownerOf(decrypted), decrypted);
  return { id, fromBaseId: baseId, baseId, ...encrypted, digest: keys.keyedDigest(decrypted.digest) };
}
