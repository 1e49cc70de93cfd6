import type { StateParser } from "./state-parser.ts";

/** Options that every dialect takes, as users write them. */

/** Retries of a call that failed because the database was unreachable. */
export interface RetryOptions {
  /** Number of retries. 0: none. Default 3. */
  readonly maxRetries?: number | undefined;
  /** Delay before the first retry, in milliseconds; it doubles with each retry. Default 1,000. */
  readonly baseDelayMs?: number | undefined;
  /** Longest delay, in milliseconds. Default 10,000. */
  readonly maxDelayMs?: number | undefined;
  /** Random extra delay of up to this many milliseconds. Default 1,000. */
  readonly jitterMaxMs?: number | undefined;
}

/** Circuit breaker: while it is open, calls fail at once instead of waiting for a database that is down. */
export interface CircuitOptions {
  /** Number of consecutive calls that must fail, because the database is unreachable, before the circuit opens. Default 5. */
  readonly failureThreshold?: number | undefined;
  /** Time that the circuit stays open before the database is probed, in milliseconds. Default 60,000. */
  readonly resetTimeoutMs?: number | undefined;
  /** Number of probes before the circuit opens again. A probe that succeeds closes it. Default 3. */
  readonly halfOpenMaxAttempts?: number | undefined;
}

/** Encryption keys by name: 32 bytes each, as bytes, in hex (64 digits) or in base64, from a good random source. */
export interface KeyRing {
  /** Name of the key that encrypts from now on. */
  readonly current: string;
  /** The current key, and every key that stored data was encrypted with. Names are not secret: they are stored in plain. */
  readonly keys: Readonly<Record<string, Uint8Array | string>>;
  /** Key for the digests of states, which would otherwise let a reader guess small states. It is never rotated. */
  readonly digestKey: Uint8Array | string;
}

export interface EncryptionOptions {
  /**
   * A key ring, or a function that fetches it from a key service. The function is called at first use, and again when a
   * checkpoint names a key that the ring lacks, since another process may have rotated keys.
   */
  readonly keys: KeyRing | (() => KeyRing | Promise<KeyRing>);
  /**
   * Read checkpoints that are not encrypted: while an existing store is being encrypted, see `reencryptCheckpoints`.
   * Default `false`: they are refused with `ENCRYPTION_MISMATCH`.
   */
  readonly migrate?: boolean | undefined;
}

/** Options of a database, whatever is stored in it. */
export interface DatabaseOptions {
  /** Deadline of one call in milliseconds, opening and retries included. Default 30,000. */
  readonly operationTimeoutMs?: number | undefined;
  /**
   * Schema handling when the database is opened: `"auto"` creates or upgrades it, `"verify"` only checks it (for roles
   * without DDL rights), `"off"` trusts it unseen. Default `"auto"`.
   */
  readonly migrate?: "auto" | "verify" | "off" | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly circuit?: CircuitOptions | undefined;
  /** Prefix of table names: up to 24 letters, digits and `_`, not starting with a digit. Default `""`. */
  readonly tablePrefix?: string | undefined;
}

/** Options of a checkpoint storage that every dialect takes. */
export interface CommonStorageOptions<State = unknown> extends DatabaseOptions {
  /**
   * Memory for recent states, in bytes: with them a store writes only what has changed, and a retrieve reads nothing twice.
   * 0: none, each store then reads the state before it from the database. Default 64 MB (64,000,000).
   */
  readonly cacheBytes?: number | undefined;
  /**
   * Deep-freeze the plain objects and arrays of every state that is stored, for good (as Immer does). A frozen value is
   * recognised by identity in the next state, so a store costs only what is new. Values that you have deep-frozen yourself
   * are recognised without this option. Default `false`.
   */
  readonly freeze?: boolean | undefined;
  /**
   * Parses every state that `retrieveCheckpoint` and `retrieveLatestCheckpoint` return, and gives it its type: a schema of Zod,
   * Valibot, ArkType or another library of https://standardschema.dev, or a function. A state that does not match rejects with
   * `STATE_MISMATCH`. States are stored as they are. Default: none, and the type is taken on trust. `undefined` is refused: states
   * that should be checked would not be.
   */
  readonly parse?: StateParser<State>;
  /**
   * Names of labels by which lists, `listAgents` and `deleteAgents` find checkpoints across agents. A name has 1 to 128 bytes. One
   * database takes 8, those of `indexedNames` included. Each costs a row of an index for every checkpoint that has it. The database remembers them: they stay
   * indexed, also by storages without this option. Existing checkpoints are indexed in the background from the first use on.
   * Default: none.
   */
  readonly indexedLabels?: readonly string[] | undefined;
  /** Names of checkpoints by which lists find them across agents, as by `indexedLabels`: `["waits for approval"]`. Default: none. */
  readonly indexedNames?: readonly string[] | undefined;
  /**
   * Encrypt states with AES-256-GCM. Ids, agents, namespaces, names, labels and times stay in plain: lists filter by them.
   * Default: `null`, no encryption. `undefined` is refused: it would store in plain what was meant to be encrypted.
   */
  readonly encryption?: EncryptionOptions | null;
}
