import { createHmac, createSecretKey, hkdfSync, type KeyObject, webcrypto } from "node:crypto";
import { isUint8Array } from "node:util/types";
import { crc32 } from "node:zlib";
import { boolean, type Given, objectWithKeys, plainObject } from "../contract/checks.ts";
import { CheckpointError, describe, invalidArgument, withoutValues } from "../contract/errors.ts";
import type { EncryptionOptions, KeyRing } from "../contract/options.ts";

/**
 * The key ring of a storage that encrypts: checked, keys derived for each use, and fetched again when another process has
 * rotated them. No message ever holds a key.
 */

/** The option, checked; the result of a function is checked when it comes. */
export type ResolvedEncryption = Given<EncryptionOptions>;

const KEY_BYTES = 32;
/** Names of keys, which are stored in each row. */
const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$/;
const KEY_ID_RULE = "1 to 64 letters, digits and . _ : / -, starting with a letter or digit";

/** The first byte of an encrypted state. */
export const VERSION = 1;
export const CHECK_BYTES = 4;
export const CRC_BYTES = 4;

/** Time before a key ring is fetched again for a key that it lacked: a key service is no part of every read. */
const FETCH_AGAIN_AFTER_MS = 5_000;
const MAX_REMEMBERED = 1_000;

/** Checks the option `encryption`. `null`: there is none. @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveEncryption(value: unknown): ResolvedEncryption | null {
  if (value === undefined || value === null) return null;
  const { keys, migrate = false } = objectWithKeys("options.encryption", value, ["keys", "migrate"]);
  return {
    keys: typeof keys === "function" ? (keys as ResolvedEncryption["keys"]) : checkKeyRing(keys),
    migrate: boolean("options.encryption.migrate", migrate),
  };
}

/** Checks a key ring and copies it: the caller's later changes to its bytes do not reach it. */
function checkKeyRing(value: unknown): KeyRing {
  const field = "options.encryption.keys";
  const { current, keys, digestKey } = objectWithKeys(field, value, ["current", "keys", "digestKey"]);
  const checked = Object.entries(plainObject(`${field}.keys`, keys)).map(([id, key]) => {
    // A wrong name may be a key: it is not shown.
    if (!KEY_ID.test(id)) throw invalidArgument(`each name in ${field}.keys`, KEY_ID_RULE, id);
    return [id, keyBytes(`${field}.keys[${JSON.stringify(id)}]`, key)] as const;
  });
  if (typeof current !== "string" || !checked.some(([id]) => id === current)) {
    throw invalidArgument(`${field}.current`, `one of the names in ${field}.keys`, current);
  }
  return { current, keys: Object.fromEntries(checked), digestKey: keyBytes(`${field}.digestKey`, digestKey) };
}

function keyBytes(field: string, value: unknown): Uint8Array {
  if (isUint8Array(value) && value.byteLength === KEY_BYTES) return Uint8Array.from(value);
  if (typeof value === "string") {
    if (/^[0-9a-fA-F]{64}$/.test(value)) return Buffer.from(value, "hex");
    const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(value) ? Buffer.from(value, "base64") : null;
    if (bytes?.byteLength === KEY_BYTES) return bytes;
  }
  const received = isUint8Array(value)
    ? `${value.byteLength} bytes`
    : typeof value === "number"
      ? "a number"
      : describe(value);
  const expected = `${KEY_BYTES} bytes, as a Uint8Array or in hex or base64`;
  throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}, got ${received}`);
}

/** A derived key that encrypts states. */
export interface EncryptionKey {
  readonly id: string;
  readonly key: KeyObject;
  /** The same key for Web Crypto, which works in other threads. */
  readonly webKey: () => Promise<webcrypto.CryptoKey>;
  /** Beginning of every state that it encrypts, see `ciphertext.ts`. */
  readonly header: Buffer;
}

/** The keys derived from a key ring. */
export interface DerivedKeys {
  readonly current: EncryptionKey;
  readonly keys: ReadonlyMap<string, EncryptionKey>;
  /** Id of the digest key: digests compare only under the same one. */
  readonly digestKeyId: string;
  /** Computes the digest that is stored, an HMAC: without its key nobody can try out what a state might be. */
  keyedDigest(digest: Uint8Array): Uint8Array;
}

/**
 * Derives a key for each use by HKDF-SHA256 (RFC 5869): so it does no harm if the same bytes are given for two uses, or
 * serve another program as well. The labels are part of the stored format.
 */
function deriveKeys({ current, keys, digestKey }: KeyRing): DerivedKeys {
  const digestBytes = keyBytes("options.encryption.keys.digestKey", digestKey);
  const digestSecret = createSecretKey(derive(digestBytes, "waymark digest"));
  const digestKeyId = derive(digestBytes, "waymark digest space").toString("hex", 0, 16);
  const derived = Object.entries(keys).map(([id, given]) => {
    const key = keyBytes("options.encryption.keys.keys", given);
    const bytes = derive(key, "waymark seal");
    let webKey: Promise<webcrypto.CryptoKey> | null = null;
    const encryptionKey: EncryptionKey = {
      id,
      key: createSecretKey(bytes),
      webKey: () => {
        webKey ??= webcrypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
        return webKey;
      },
      header: headerOf(id, derive(key, `waymark key check ${digestKeyId}`).subarray(0, CHECK_BYTES)),
    };
    return [id, encryptionKey] as const;
  });
  const byId = new Map(derived);
  return {
    current: byId.get(current) as EncryptionKey,
    keys: byId,
    digestKeyId,
    keyedDigest: (digest) => createHmac("sha256", digestSecret).update(digest).digest(),
  };
}

function derive(key: Uint8Array, use: string): Buffer {
  return Buffer.from(hkdfSync("sha256", key, "", use, KEY_BYTES));
}

/** Makes the header of a key. `check` distinguishes another key under the same id from a damaged state. */
function headerOf(id: string, check: Uint8Array): Buffer {
  const name = Buffer.from(id, "latin1");
  const header = Buffer.concat([Uint8Array.of(VERSION, name.byteLength), name, check, new Uint8Array(CRC_BYTES)]);
  header.writeUInt32LE(crc32(header.subarray(0, -CRC_BYTES)), header.byteLength - CRC_BYTES);
  return header;
}

/** Source of one storage's keys: a key ring, or a function that fetches it at first use, and again when it lacks a key. */
export class KeySource {
  readonly #fetch: (() => KeyRing | Promise<KeyRing>) | null;
  #current: DerivedKeys | null = null;
  #fetching: Promise<DerivedKeys> | null = null;
  /** Key ids that the ring lacked, and when it was fetched for them. */
  readonly #missing = new Map<string, number>();

  constructor(keys: EncryptionOptions["keys"]) {
    this.#fetch = typeof keys === "function" ? keys : null;
    if (typeof keys !== "function") this.#current = deriveKeys(keys);
  }

  /** The keys at hand; `null`: none were fetched yet. */
  get current(): DerivedKeys | null {
    return this.#current;
  }

  async get(signal: AbortSignal): Promise<DerivedKeys> {
    return this.#current ?? (await this.refresh(signal));
  }

  /** Fetches the keys. Concurrent callers share one fetch. */
  refresh(signal: AbortSignal): Promise<DerivedKeys> {
    if (this.#fetch === null) return Promise.resolve(this.#current as DerivedKeys);
    const fetching = this.#fetching ?? this.#refresh(this.#fetch);
    this.#fetching = fetching;
    const forget = () => {
      if (this.#fetching === fetching) this.#fetching = null;
    };
    // Later calls must not wait for a service that never answers.
    signal.addEventListener("abort", forget, { once: true });
    const done = () => {
      forget();
      signal.removeEventListener("abort", forget);
    };
    fetching.then(done, done);
    return fetching;
  }

  /** Returns the keys, fetched again if one of these is missing: another process may have rotated them. */
  async withKeys(ids: Iterable<string>, signal: AbortSignal): Promise<DerivedKeys> {
    const derived = await this.get(signal);
    const now = performance.now();
    const missing = [...ids].filter((id) => {
      const fetchedAt = this.#missing.get(id) ?? Number.NEGATIVE_INFINITY;
      return !derived.keys.has(id) && now - fetchedAt > FETCH_AGAIN_AFTER_MS;
    });
    if (missing.length === 0 || this.#fetch === null) return derived;
    const newer = await this.refresh(signal);
    if (this.#missing.size > MAX_REMEMBERED) this.#missing.clear();
    for (const id of missing) if (!newer.keys.has(id)) this.#missing.set(id, performance.now());
    return newer;
  }

  async #refresh(fetch: () => KeyRing | Promise<KeyRing>): Promise<DerivedKeys> {
    let ring: unknown;
    try {
      ring = await fetch();
    } catch (error) {
      const cause = withoutValues(error);
      throw new CheckpointError("UNAVAILABLE", "read keys: options.encryption.keys threw an error", { cause });
    }
    const derived = deriveKeys(checkKeyRing(ring));
    if (this.#current !== null && this.#current.digestKeyId !== derived.digestKeyId) {
      const field = "options.encryption.keys.digestKey";
      throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to stay as it was: it is never rotated`);
    }
    this.#current = derived;
    return derived;
  }
}
