import {
  type Acknowledgement,
  type Change,
  type Dialect,
  OUTBOX_READS,
  type Outbox,
  type OutboxChange,
  type Rewrite,
  type Row,
  type RowHead,
  type RowVersion,
  type TaskWriteRow,
} from "../checkpoints/dialect.ts";
import type { HeadDigests } from "../checkpoints/equality.ts";
import { isTombstone, NO_DIGEST } from "../checkpoints/tombstones.ts";
import { DamagedState, EncryptionMismatch, UnknownEncoding } from "../codec/damage.ts";
import { parseEncoding } from "../codec/format.ts";
import { CheckpointError } from "../contract/errors.ts";
import { forward } from "../database/forward.ts";
import {
  type DecryptedRow,
  type DecryptedWrite,
  decryptState,
  encryptState,
  isEncrypted,
  keyIdOf,
  keyOf,
  MAX_OVERHEAD_BYTES,
  ownerOf,
  ownerOfWrite,
  sequentially,
} from "./ciphertext.ts";
import { type DerivedKeys, KeySource, type ResolvedEncryption } from "./key-ring.ts";

/**
 * A dialect around a dialect: states are encrypted in the database, and plain above it. Only heads, which come without a
 * state, have the keyed digests of the database, see `HeadDigests`.
 *
 * A row that cannot be decrypted is returned all the same, with the reason: the reader of a chain has to name the row, and
 * lists, deletes and prunes go on.
 */

/** Rows of one commit, each of which gets longer. */
const ROWS_OF_A_COMMIT = 128;

/** The encryption behind a dialect of {@link encryptDialect}. */
export interface Encryption {
  /** The dialect of the database, whose states are encrypted. */
  readonly dialect: Dialect;
  readonly keys: KeySource;
  /** Set where rows that are not encrypted are read too. */
  readonly migrate: boolean;
}

const encryptions = new WeakMap<Dialect, Encryption>();

/** Returns the encryption behind a dialect; `null`: it does not encrypt. */
export function encryptionOf(dialect: Dialect): Encryption | null {
  return encryptions.get(dialect) ?? null;
}

const FORWARDED = [
  "migrate",
  "taskWriteKeys",
  "writeKeysOfTasks",
  "areWrittenSince",
  "list",
  "dependents",
  "agents",
  "stats",
  "vacuum",
  "ping",
  "classify",
  "close",
] as const satisfies readonly (keyof Dialect)[];

/** Wraps a dialect, and returns it with the digests of its heads. */
export function encryptDialect(
  dialect: Dialect,
  { keys: given, migrate }: ResolvedEncryption,
): { dialect: Dialect; digests: HeadDigests } {
  const keys = new KeySource(given);
  const encryption: Encryption = { dialect, keys, migrate };
  const { name, apiVersion, system, location, collection, isSynchronous, settings, labels, outbox } = dialect;
  const encrypted: Dialect = {
    name,
    apiVersion,
    ...(system === undefined ? {} : { system }),
    ...(location === undefined ? {} : { location }),
    ...(collection === undefined ? {} : { collection }),
    ...(isSynchronous === undefined ? {} : { isSynchronous }),
    ...forward(dialect, FORWARDED),
    async open(signal) {
      await keys.get(signal); // without keys nothing works: so the first call fails, whatever it is
      const { maxStatementBytes, ...opened } = await dialect.open(signal);
      const reserve = Math.min(ROWS_OF_A_COMMIT * MAX_OVERHEAD_BYTES, maxStatementBytes >> 1);
      return { ...opened, maxStatementBytes: maxStatementBytes - reserve };
    },
    commit: (change, signal) => commit(encryption, dialect, change, signal),
    readChain: async (id, signal) => await decryptRows(encryption, await dialect.readChain(id, signal), signal),
    readRows: async (ids, signal) => await decryptRows(encryption, await dialect.readRows(ids, signal), signal),
    readTaskWrites: async (ids, signal) =>
      await decryptWrites(encryption, await dialect.readTaskWrites(ids, signal), signal),
    ...(settings === undefined ? {} : { settings }),
    ...(labels === undefined ? {} : { labels }),
    ...(outbox === undefined
      ? {}
      : {
          outbox: {
            ...forward(outbox, OUTBOX_READS),
            commit: (change, signal) => commit(encryption, outbox, change, signal),
          },
        }),
  };
  encryptions.set(encrypted, encryption);
  return { dialect: encrypted, digests: digestsOf(encryption) };
}

/**
 * Checks the newest checkpoint when a database is opened. A process that has lost its keys, or was given others, would store
 * beside it what the right keys cannot read, and in plain what should be encrypted. A checkpoint that is damaged, or that a
 * newer version wrote, passes here: reading it reports that. `dialect`: that of the database.
 * @throws CheckpointError `ENCRYPTION_MISMATCH`
 */
export async function checkNewest(dialect: Dialect, encryption: Encryption | null, signal: AbortSignal): Promise<void> {
  const head = await newestOf(dialect, signal);
  if (head === null) return;
  try {
    await checkKeys(encryption, head, signal);
  } catch (error) {
    if (error instanceof EncryptionMismatch) {
      const message = `open database: its newest checkpoint is ${head.id}: ${error.message}`;
      throw new CheckpointError("ENCRYPTION_MISMATCH", message);
    }
    if (!(error instanceof DamagedState || error instanceof UnknownEncoding)) throw error;
  }
}

async function newestOf(dialect: Dialect, signal: AbortSignal): Promise<RowHead | null> {
  try {
    const [head] = await dialect.list({ limit: 1 }, signal);
    return head ?? null;
  } catch (error) {
    if (dialect.classify(error) !== "schema") throw error;
    return null; // opened with `migrate: "off"` and no tables: the first statement that uses them fails
  }
}

/** @throws EncryptionMismatch, DamagedState, UnknownEncoding */
async function checkKeys(encryption: Encryption | null, head: RowHead, signal: AbortSignal): Promise<void> {
  if (encryption === null) parseEncoding(head.encoding);
  else if (!isEncrypted(head)) checkPlain(head, encryption.migrate);
  else {
    const [row] = await encryption.dialect.readRows([head.id], signal);
    if (row === undefined || !isEncrypted(row)) return; // removed meanwhile
    const keyId = keyIdOf(row);
    keyOf(await encryption.keys.withKeys(keyId === null ? [] : [keyId], signal), row);
  }
}

/** @throws EncryptionMismatch, UnknownEncoding */
function checkPlain({ encoding }: Pick<RowHead, "encoding">, migrate: boolean): void {
  parseEncoding(encoding); // an unknown encoding is reported as that
  if (!migrate) throw new EncryptionMismatch("it is not encrypted, and this storage reads encrypted checkpoints only");
}

/** Without `migrate` every head counts as encrypted: a plain one matches no content. */
function digestsOf({ keys, migrate }: Encryption): HeadDigests {
  const isPlain = (encoding: string) => migrate && !isEncrypted({ encoding });
  const derived = (): DerivedKeys => {
    if (keys.current !== null) return keys.current;
    throw new CheckpointError("UNAVAILABLE", "read keys: the storage was not opened yet");
  };
  return {
    of: (digest, encoding) => (isPlain(encoding) ? digest : storedDigest(derived(), digest)),
    keyId: (encoding) => (isPlain(encoding) ? "" : derived().digestKeyId),
  };
}

/** Returns a content digest as it is stored. Tombstones have no content, and keep theirs. */
function storedDigest(keys: DerivedKeys, digest: Uint8Array): Uint8Array {
  return Buffer.compare(digest, NO_DIGEST) === 0 ? digest : keys.keyedDigest(digest);
}

async function decryptRows(encryption: Encryption, rows: readonly Row[], signal: AbortSignal): Promise<DecryptedRow[]> {
  const keys = await keysFor(encryption, rows, signal);
  return await sequentially(rows, (row) => decryptRow(keys, row, encryption.migrate));
}

async function decryptWrites(
  encryption: Encryption,
  rows: readonly TaskWriteRow[],
  signal: AbortSignal,
): Promise<DecryptedWrite[]> {
  const keys = await keysFor(encryption, rows, signal);
  return await sequentially(rows, (row) => decryptWrite(keys, row, encryption.migrate));
}

/** Returns the keys, fetched again if these rows name one that is missing. */
export async function keysFor(
  { keys }: Encryption,
  rows: readonly Pick<Row, "encoding" | "state">[],
  signal: AbortSignal,
): Promise<DerivedKeys> {
  const ids = rows.map((row) => (isEncrypted(row) ? keyIdOf(row) : null));
  return await keys.withKeys(new Set(ids.filter((id) => id !== null)), signal);
}

/** Decrypts a row; one that cannot be decrypted gets the member `unreadable`. */
export async function decryptRow(keys: DerivedKeys, row: Row, migrate: boolean): Promise<DecryptedRow> {
  return isTombstone(row) ? row : await decryptOne(keys, ownerOf(row), row, migrate);
}

/** Decrypts a write, in the same way. */
export async function decryptWrite(keys: DerivedKeys, row: TaskWriteRow, migrate: boolean): Promise<DecryptedWrite> {
  return await decryptOne(keys, ownerOfWrite(row), row, migrate);
}

async function decryptOne<Stored extends Row | TaskWriteRow>(
  keys: DerivedKeys,
  owner: readonly string[],
  row: Stored,
  migrate: boolean,
): Promise<Stored & Pick<DecryptedRow, "unreadable">> {
  try {
    if (isEncrypted(row)) return { ...row, ...(await decryptState(keys, owner, row)) } as Stored;
    checkPlain(row, migrate);
    return row;
  } catch (error) {
    if (!(error instanceof DamagedState || error instanceof UnknownEncoding)) throw error;
    return { ...row, unreadable: error };
  }
}

/** Encrypts a change and commits it. `target`: the dialect of the database, or its outbox. */
async function commit(
  encryption: Encryption,
  target: Pick<Outbox, "commit">,
  change: OutboxChange,
  signal: AbortSignal,
): Promise<boolean> {
  const { keys: source, migrate } = encryption;
  const keys = await source.get(signal);
  const rewrite = await encryptRewrites(encryption, keys, change, signal);
  if (rewrite === null) return false;
  const { expected, insert, acknowledge, append } = change;
  const encrypted: OutboxChange = {
    ...change,
    ...(expected === undefined ? {} : { expected: expected.map((base) => keyedBase(keys, base)) }),
    ...(insert === undefined ? {} : { insert: await sequentially(insert, (row) => encryptRow(keys, row)) }),
    ...(change.rewrite === undefined ? {} : { rewrite }),
    ...(acknowledge === undefined
      ? {}
      : { acknowledge: acknowledge.flatMap((row) => keyedAcknowledgements(keys, row, migrate)) }),
    ...(append === undefined ? {} : { append: await sequentially(append, (write) => encryptWrite(keys, write)) }),
  };
  if (await target.commit(encrypted, signal)) return true;
  if (!migrate || expected === undefined || expected.length === 0) return false;
  // A base may not be encrypted yet, and then has its plain digest.
  const stored = await Promise.all(expected.map((base) => storedBase(encryption, keys, base, signal)));
  const isOther = stored.some(({ digest }, index) => digest === expected[index]?.digest);
  return isOther && (await target.commit({ ...encrypted, expected: stored }, signal));
}

function keyedBase(keys: DerivedKeys, { id, digest }: RowVersion): RowVersion {
  return { id, digest: storedDigest(keys, digest) };
}

/** In a store that is being migrated either digest may be the stored one; the other acknowledgement is skipped. */
function keyedAcknowledgements(keys: DerivedKeys, row: Acknowledgement, migrate: boolean): Acknowledgement[] {
  const keyed = { ...row, ...keyedBase(keys, row) };
  return migrate && keyed.digest !== row.digest ? [keyed, row] : [keyed];
}

async function storedBase(
  { dialect }: Encryption,
  keys: DerivedKeys,
  base: RowVersion,
  signal: AbortSignal,
): Promise<RowVersion> {
  const [head] = await dialect.list({ id: base.id, limit: 1 }, signal);
  return head === undefined || isEncrypted(head) ? keyedBase(keys, base) : { id: base.id, digest: base.digest };
}

async function encryptRow(keys: DerivedKeys, row: DecryptedRow): Promise<Row> {
  return isTombstone(row) ? row : await encryptOne(keys, ownerOf(row), row);
}

async function encryptWrite(keys: DerivedKeys, write: DecryptedWrite): Promise<TaskWriteRow> {
  return await encryptOne(keys, ownerOfWrite(write), write);
}

async function encryptOne<Stored extends DecryptedRow | DecryptedWrite>(
  keys: DerivedKeys,
  owner: readonly string[],
  row: Stored,
): Promise<Stored> {
  // Ciphertext that could not be decrypted must not be encrypted once more.
  if (isEncrypted(row) || row.unreadable !== undefined) {
    throw new CheckpointError("ENCRYPTION_MISMATCH", `store row: ${owner[0]} is encrypted, and could not be decrypted`);
  }
  return { ...row, ...(await encryptState(keys.current, owner, row)), digest: keys.keyedDigest(row.digest) };
}

/** Encrypts the rewrites of a change. `null`: one of their rows is gone, or is another one now. */
async function encryptRewrites(
  encryption: Encryption,
  keys: DerivedKeys,
  { rewrite = [], expected = [] }: Change,
  signal: AbortSignal,
): Promise<Rewrite[] | null> {
  if (rewrite.length === 0) return [];
  const digests = new Map(expected.map(({ id, digest }) => [id, digest]));
  // Id, agent and namespace are authenticated with the state, and stand in the heads.
  const heads = await Promise.all(rewrite.map(({ id }) => encryption.dialect.list({ id, limit: 1 }, signal)));
  const encrypted = await sequentially(rewrite, async (one, index) => {
    const head = heads[index]?.[0];
    if (head === undefined || isTombstone(head)) return null;
    const digest = one.digest ?? digests.get(one.id) ?? (await readDigest(encryption, one.id, signal));
    return digest === null ? null : await encryptRewrite(encryption, keys, one, head, digest);
  });
  const present = encrypted.filter((one) => one !== null);
  return present.length === encrypted.length ? present : null;
}

async function encryptRewrite(
  { migrate }: Encryption,
  keys: DerivedKeys,
  rewrite: Rewrite,
  head: RowHead,
  digest: Uint8Array,
): Promise<Rewrite | null> {
  const keyed = keys.keyedDigest(digest);
  const expected = migrate && !isEncrypted(head) ? digest : keyed;
  if (Buffer.compare(head.digest, expected) !== 0) return null;
  const { encoding, state } = rewrite;
  return {
    ...rewrite,
    ...(await encryptState(keys.current, ownerOf(head), { encoding, state, digest })),
    digest: keyed,
  };
}

/** Reads a content's own digest. Core hands it over with every rewrite, among `expected`; other callers may not. */
async function readDigest(encryption: Encryption, id: string, signal: AbortSignal): Promise<Uint8Array | null> {
  const rows = await decryptRows(encryption, await encryption.dialect.readRows([id], signal), signal);
  const [row] = rows.filter((one) => one.unreadable === undefined);
  return row?.digest ?? null;
}
