import type {
  Acknowledgement,
  Base,
  Change,
  Dialect,
  HeadDigests,
  Rewrite,
  Row,
  RowHead,
  WriteRow,
} from "../checkpoints/dialect.ts";
import { isTombstone } from "../checkpoints/tombstones.ts";
import { DamagedState, EncryptionMismatch, parseEncoding, UnknownEncoding } from "../codec/format.ts";
import { CheckpointError } from "../contract/errors.ts";
import {
  inTurns,
  isSealed,
  keyIdOf,
  keyOf,
  MAX_OVERHEAD_BYTES,
  type OpenedRow,
  type OpenedWrite,
  openSealed,
  ownerOf,
  ownerOfWrite,
  sealState,
} from "./ciphertext.ts";
import { Keys, type ResolvedEncryption, type SealingRing } from "./key-ring.ts";

/**
 * A dialect whose states are encrypted in the database. Whoever stands above it hands in rows, and is handed rows, as if
 * they were not; only heads, which come without a state, have the digests of the database: see `HeadDigests`.
 *
 * A row that cannot be decrypted is handed on all the same, with the reason: a chain has to tell which of its rows it was,
 * and lists, deletes and prunes go on.
 */

/** As many rows as one commit brings, each of which gets longer. */
const ROWS_OF_A_COMMIT = 128;

const NO_DIGEST = new Uint8Array(32);

/** What stands behind a dialect of {@link sealedDialect}. */
export interface Sealing {
  /** As it stands in the database. */
  readonly dialect: Dialect;
  readonly keys: Keys;
  /** Whether rows that are not encrypted are read all the same. */
  readonly migrate: boolean;
}

const sealings = new WeakMap<Dialect, Sealing>();

/** `null`: it does not encrypt. */
export function sealingOf(dialect: Dialect): Sealing | null {
  return sealings.get(dialect) ?? null;
}

export function sealedDialect(dialect: Dialect, { keys: given, migrate }: ResolvedEncryption): Dialect {
  const keys = new Keys(given);
  const sealing: Sealing = { dialect, keys, migrate };
  const { system, collection } = dialect;
  const sealed: Dialect = {
    name: dialect.name,
    ...(system === undefined ? {} : { system }),
    ...(collection === undefined ? {} : { collection }),
    apiVersion: 1,
    headDigests: headDigestsOf(sealing),
    async open(signal) {
      await keys.get(signal); // without keys nothing works: so the first call says it, whatever it is
      const { maxStatementBytes, ...opened } = await dialect.open(signal);
      const reserve = Math.min(ROWS_OF_A_COMMIT * MAX_OVERHEAD_BYTES, maxStatementBytes >> 1);
      return { ...opened, maxStatementBytes: maxStatementBytes - reserve };
    },
    migrate: (mode, signal) => dialect.migrate(mode, signal),
    commit: (change, signal) => commit(sealing, change, signal),
    readChain: async (id, signal) => await openRows(sealing, await dialect.readChain(id, signal), signal),
    readRows: async (ids, signal) => await openRows(sealing, await dialect.readRows(ids, signal), signal),
    readWrites: async (ids, signal) => await openWrites(sealing, await dialect.readWrites(ids, signal), signal),
    writeKeys: (range, signal) => dialect.writeKeys(range, signal),
    list: (query, signal) => dialect.list(query, signal),
    pending: (until, limit, signal) => dialect.pending(until, limit, signal),
    backlog: (signal) => dialect.backlog(signal),
    count: (range, signal) => dialect.count(range, signal),
    dependents: (ids, signal) => dialect.dependents(ids, signal),
    agents: (after, limit, signal) => dialect.agents(after, limit, signal),
    stats: (agentId, signal) => dialect.stats(agentId, signal),
    reclaim: (signal) => dialect.reclaim(signal),
    ping: (signal) => dialect.ping(signal),
    classify: (error) => dialect.classify(error),
    close: () => dialect.close(),
  };
  sealings.set(sealed, sealing);
  return sealed;
}

/**
 * Looks at the newest checkpoint, before anything is stored. A process that has lost its keys, or was given others, would
 * store beside it what the right ones cannot read, and in plain text what should not be. Of one that is damaged, or that a
 * newer version wrote, nothing is said here: to read it does.
 * @throws CheckpointError `ENCRYPTION_MISMATCH`
 */
export async function checkNewest(dialect: Dialect, signal: AbortSignal): Promise<void> {
  const sealing = sealingOf(dialect);
  const head = await newestOf(sealing?.dialect ?? dialect, signal);
  if (head === null) return;
  try {
    await checkKeys(sealing, head, signal);
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
    return null; // opened without a look at the schema: whoever uses the tables is told
  }
}

/** @throws EncryptionMismatch, DamagedState, UnknownEncoding */
async function checkKeys(sealing: Sealing | null, head: RowHead, signal: AbortSignal): Promise<void> {
  if (sealing === null) parseEncoding(head.encoding);
  else if (!isSealed(head)) checkPlain(head, sealing.migrate);
  else {
    const [row] = await sealing.dialect.readRows([head.id], signal);
    if (row === undefined || !isSealed(row)) return; // removed meanwhile
    const keyId = keyIdOf(row);
    keyOf(await sealing.keys.having(keyId === null ? [] : [keyId], signal), row);
  }
}

/** @throws EncryptionMismatch, UnknownEncoding */
function checkPlain({ encoding }: Pick<RowHead, "encoding">, migrate: boolean): void {
  parseEncoding(encoding); // one that is not known is told as that
  if (!migrate) throw new EncryptionMismatch("it is not encrypted, and this storage reads only what is");
}

/** In a store that is to have no other rows every head counts as encrypted: one that is not stands for nothing. */
function headDigestsOf({ keys, migrate }: Sealing): HeadDigests {
  const isPlain = (encoding: string) => migrate && !isSealed({ encoding });
  const ring = (): SealingRing => {
    if (keys.known !== null) return keys.known;
    throw new CheckpointError("UNAVAILABLE", "read keys: the storage was not opened yet");
  };
  return {
    of: (digest, encoding) => (isPlain(encoding) ? digest : digestIn(ring(), digest)),
    space: (encoding) => (isPlain(encoding) ? "" : ring().digestSpace),
  };
}

/** Tombstones, which have no state, keep theirs. */
function digestIn(ring: SealingRing, digest: Uint8Array): Uint8Array {
  return Buffer.compare(digest, NO_DIGEST) === 0 ? digest : ring.digestOf(digest);
}

async function openRows(sealing: Sealing, rows: readonly Row[], signal: AbortSignal): Promise<OpenedRow[]> {
  const ring = await ringFor(sealing, rows, signal);
  return await inTurns(rows, (row) => openRow(ring, row, sealing.migrate));
}

async function openWrites(sealing: Sealing, rows: readonly WriteRow[], signal: AbortSignal): Promise<OpenedWrite[]> {
  const ring = await ringFor(sealing, rows, signal);
  return await inTurns(rows, (row) => openWrite(ring, row, sealing.migrate));
}

/** With the keys that these name. */
export async function ringFor(
  { keys }: Sealing,
  rows: readonly Pick<Row, "encoding" | "state">[],
  signal: AbortSignal,
): Promise<SealingRing> {
  const ids = rows.map((row) => (isSealed(row) ? keyIdOf(row) : null));
  return await keys.having(new Set(ids.filter((id) => id !== null)), signal);
}

/** With the member `unreadable` if it cannot be opened. */
export async function openRow(ring: SealingRing, row: Row, migrate: boolean): Promise<OpenedRow> {
  return isTombstone(row) ? row : await open(ring, ownerOf(row), row, migrate);
}

/** The same. */
export async function openWrite(ring: SealingRing, row: WriteRow, migrate: boolean): Promise<OpenedWrite> {
  return await open(ring, ownerOfWrite(row), row, migrate);
}

async function open<Stored extends Row | WriteRow>(
  ring: SealingRing,
  owner: readonly string[],
  row: Stored,
  migrate: boolean,
): Promise<Stored & Pick<OpenedRow, "unreadable">> {
  try {
    if (isSealed(row)) return { ...row, ...(await openSealed(ring, owner, row)) } as Stored;
    checkPlain(row, migrate);
    return row;
  } catch (error) {
    if (!(error instanceof DamagedState || error instanceof UnknownEncoding)) throw error;
    return { ...row, unreadable: error };
  }
}

async function commit(sealing: Sealing, change: Change, signal: AbortSignal): Promise<boolean> {
  const { dialect, keys, migrate } = sealing;
  const ring = await keys.get(signal);
  const rewrite = await sealRewrites(sealing, ring, change, signal);
  if (rewrite === null) return false;
  const { bases, insert, acknowledge, append } = change;
  const sealed: Change = {
    ...change,
    ...(bases === undefined ? {} : { bases: bases.map((base) => keyed(ring, base)) }),
    ...(insert === undefined ? {} : { insert: await inTurns(insert, (row) => sealRow(ring, row)) }),
    ...(change.rewrite === undefined ? {} : { rewrite }),
    ...(acknowledge === undefined
      ? {}
      : { acknowledge: acknowledge.flatMap((row) => acknowledged(ring, row, migrate)) }),
    ...(append === undefined ? {} : { append: await inTurns(append, (write) => sealWrite(ring, write)) }),
  };
  if (await dialect.commit(sealed, signal)) return true;
  if (!migrate || bases === undefined || bases.length === 0) return false;
  // What it builds on may not be encrypted yet, and then has another digest.
  const standing = await Promise.all(bases.map((base) => asItStands(sealing, ring, base, signal)));
  const changed = standing.some(({ digest }, index) => digest === bases[index]?.digest);
  return changed && (await dialect.commit({ ...sealed, bases: standing }, signal));
}

function keyed(ring: SealingRing, { id, digest }: Base): Base {
  return { id, digest: digestIn(ring, digest) };
}

/** In a store that is being migrated either digest may be the one in the database; the other is passed over. */
function acknowledged(ring: SealingRing, row: Acknowledgement, migrate: boolean): Acknowledgement[] {
  const own = { ...row, ...keyed(ring, row) };
  return migrate && own.digest !== row.digest ? [own, row] : [own];
}

async function asItStands({ dialect }: Sealing, ring: SealingRing, base: Base, signal: AbortSignal): Promise<Base> {
  const [head] = await dialect.list({ id: base.id, limit: 1 }, signal);
  return head === undefined || isSealed(head) ? keyed(ring, base) : { id: base.id, digest: base.digest };
}

async function sealRow(ring: SealingRing, row: OpenedRow): Promise<Row> {
  return isTombstone(row) ? row : await seal(ring, ownerOf(row), row);
}

async function sealWrite(ring: SealingRing, write: OpenedWrite): Promise<WriteRow> {
  return await seal(ring, ownerOfWrite(write), write);
}

async function seal<Stored extends OpenedRow | OpenedWrite>(
  ring: SealingRing,
  owner: readonly string[],
  row: Stored,
): Promise<Stored> {
  // What could not be decrypted, or not here, must not become what looks as if it could.
  if (isSealed(row) || row.unreadable !== undefined) {
    throw new CheckpointError("ENCRYPTION_MISMATCH", `store row: ${owner[0]} is encrypted, and could not be decrypted`);
  }
  return { ...row, ...(await sealState(ring.current, owner, row)), digest: ring.digestOf(row.digest) };
}

/** `null`: one of them is not there any more, or is another one now. */
async function sealRewrites(
  sealing: Sealing,
  ring: SealingRing,
  { rewrite = [], bases = [] }: Change,
  signal: AbortSignal,
): Promise<Rewrite[] | null> {
  if (rewrite.length === 0) return [];
  const digests = new Map(bases.map(({ id, digest }) => [id, digest]));
  // Whose they are belongs to what is authenticated, and stands in their heads.
  const heads = await Promise.all(rewrite.map(({ id }) => sealing.dialect.list({ id, limit: 1 }, signal)));
  const sealed = await inTurns(rewrite, async (one, index) => {
    const head = heads[index]?.[0];
    if (head === undefined || isTombstone(head)) return null;
    const digest = one.digest ?? digests.get(one.id) ?? (await readDigest(sealing, one.id, signal));
    return digest === null ? null : await sealRewrite(sealing, ring, one, head, digest);
  });
  const there = sealed.filter((one) => one !== null);
  return there.length === sealed.length ? there : null;
}

async function sealRewrite(
  { migrate }: Sealing,
  ring: SealingRing,
  rewrite: Rewrite,
  head: RowHead,
  digest: Uint8Array,
): Promise<Rewrite | null> {
  const column = ring.digestOf(digest);
  const stood = migrate && !isSealed(head) ? digest : column;
  if (Buffer.compare(head.digest, stood) !== 0) return null;
  const { encoding, state } = rewrite;
  return { ...rewrite, ...(await sealState(ring.current, ownerOf(head), { encoding, state, digest })), digest: column };
}

/** The content's own digest. Core hands it over with every rewrite, among `bases`; somebody else may not. */
async function readDigest(sealing: Sealing, id: string, signal: AbortSignal): Promise<Uint8Array | null> {
  const rows = await openRows(sealing, await sealing.dialect.readRows([id], signal), signal);
  const [row] = rows.filter((one) => one.unreadable === undefined);
  return row?.digest ?? null;
}
