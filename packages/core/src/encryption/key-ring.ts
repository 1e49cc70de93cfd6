import { createHmac, createSecretKey, hkdfSync, type KeyObject, webcrypto } from "node:crypto";
import { crc32 } from "node:zlib";
import type { EncryptionOptions, KeyRing } from "../contract/checkpoints.ts";
import { boolean, members, plainObject } from "../contract/checks.ts";
import { CheckpointError, describe, invalidArgument, withoutValues } from "../contract/errors.ts";

/**
 * The keys of a storage that encrypts: checked, told apart, and asked for again when another process has taken a new one.
 * No message ever holds a key.
 */

/** What is checked at the door; a function's answer is checked when it comes. */
export type ResolvedEncryption = Required<EncryptionOptions>;

const KEY_BYTES = 32;
/** Keys are named in each row. */
const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$/;
const KEY_ID_RULE = "1 to 64 letters, digits and . _ : / -, starting with a letter or digit";

/** The first byte of what is sealed. */
export const VERSION = 1;
export const CHECK_BYTES = 4;
export const CRC_BYTES = 4;

/** A key id that is in no ring is not asked for again before: a key service is no part of every read. */
const ASK_AGAIN_AFTER_MS = 5_000;
const MAX_REMEMBERED = 1_000;

export function resolveEncryption(value: unknown): ResolvedEncryption | undefined {
  if (value === undefined) return undefined;
  const { keys, migrate = false } = members("options.encryption", value, ["keys", "migrate"]);
  return {
    keys: typeof keys === "function" ? (keys as ResolvedEncryption["keys"]) : checkKeyRing(keys),
    migrate: boolean("options.encryption.migrate", migrate),
  };
}

/** A copy: what the owner does with its bytes later changes nothing. */
function checkKeyRing(value: unknown): KeyRing {
  const field = "options.encryption.keys";
  const { current, keys, digestKey } = members(field, value, ["current", "keys", "digestKey"]);
  const checked = Object.entries(plainObject(`${field}.keys`, keys)).map(([id, key]) => {
    // What stands where an id should be may be a key.
    if (!KEY_ID.test(id)) throw invalidArgument(`each name in ${field}.keys`, KEY_ID_RULE, id);
    return [id, keyBytes(`${field}.keys[${JSON.stringify(id)}]`, key)] as const;
  });
  if (typeof current !== "string" || !checked.some(([id]) => id === current)) {
    throw invalidArgument(`${field}.current`, `one of the names in ${field}.keys`, current);
  }
  return { current, keys: Object.fromEntries(checked), digestKey: keyBytes(`${field}.digestKey`, digestKey) };
}

function keyBytes(field: string, value: unknown): Uint8Array {
  if (value instanceof Uint8Array && value.byteLength === KEY_BYTES) return Uint8Array.from(value);
  if (typeof value === "string") {
    if (/^[0-9a-fA-F]{64}$/.test(value)) return Buffer.from(value, "hex");
    const bytes = /^[A-Za-z0-9+/_-]{43}=?$/.test(value) ? Buffer.from(value, "base64") : null;
    if (bytes?.byteLength === KEY_BYTES) return bytes;
  }
  const received =
    value instanceof Uint8Array
      ? `${value.byteLength} bytes`
      : typeof value === "number"
        ? "a number"
        : describe(value);
  const expected = `${KEY_BYTES} bytes, as a Uint8Array or in hex or base64`;
  throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}, got ${received}`);
}

/** A key to seal with. */
export interface SealingKey {
  readonly id: string;
  readonly secret: KeyObject;
  /** The same for the crypto that works in other threads. */
  readonly webKey: () => Promise<webcrypto.CryptoKey>;
  /** What each of its sealed states begins with, see `sealed-state.ts`. */
  readonly header: Buffer;
}

/** A key ring, ready for use. */
export interface SealingRing {
  readonly current: SealingKey;
  readonly keys: ReadonlyMap<string, SealingKey>;
  /** What names the digest key: equal where equal digests are the same content. */
  readonly digestSpace: string;
  /** As it stands in the database: who sees only that cannot try out what a state might be. */
  digestOf(digest: Uint8Array): Uint8Array;
}

/**
 * Each use has a key of its own, derived by HKDF-SHA256 (RFC 5869): so it does no harm if the same bytes are given for two
 * purposes, or serve another program as well.
 */
function sealingRing({ current, keys, digestKey }: KeyRing): SealingRing {
  const digestBytes = keyBytes("options.encryption.keys.digestKey", digestKey);
  const digestSecret = createSecretKey(derive(digestBytes, "waymark digest"));
  const digestSpace = derive(digestBytes, "waymark digest space").toString("hex", 0, 16);
  const ready = Object.entries(keys).map(([id, given]) => {
    const key = keyBytes("options.encryption.keys.keys", given);
    const bytes = derive(key, "waymark seal");
    let webKey: Promise<webcrypto.CryptoKey> | null = null;
    const sealing: SealingKey = {
      id,
      secret: createSecretKey(bytes),
      webKey: () => {
        webKey ??= webcrypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
        return webKey;
      },
      header: headerOf(id, derive(key, `waymark key check ${digestSpace}`).subarray(0, CHECK_BYTES)),
    };
    return [id, sealing] as const;
  });
  const known = new Map(ready);
  return {
    current: known.get(current) as SealingKey,
    keys: known,
    digestSpace,
    digestOf: (digest) => createHmac("sha256", digestSecret).update(digest).digest(),
  };
}

function derive(key: Uint8Array, use: string): Buffer {
  return Buffer.from(hkdfSync("sha256", key, "", use, KEY_BYTES));
}

/** `check` tells another key under the same id, and another digest key, from a state that was changed. */
function headerOf(id: string, check: Uint8Array): Buffer {
  const name = Buffer.from(id, "latin1");
  const header = Buffer.concat([Uint8Array.of(VERSION, name.byteLength), name, check, new Uint8Array(CRC_BYTES)]);
  header.writeUInt32LE(crc32(header.subarray(0, -CRC_BYTES)), header.byteLength - CRC_BYTES);
  return header;
}

/** The key ring of one storage. Given as a function it is asked for at first use, and again when it lacks a key. */
export class Keys {
  readonly #ask: (() => KeyRing | Promise<KeyRing>) | null;
  #ring: SealingRing | null = null;
  #asking: Promise<SealingRing> | null = null;
  /** Key ids that the ring did not have, and when it was asked for them. */
  readonly #missing = new Map<string, number>();

  constructor(keys: EncryptionOptions["keys"]) {
    this.#ask = typeof keys === "function" ? keys : null;
    if (typeof keys !== "function") this.#ring = sealingRing(keys);
  }

  /** `null`: it was not asked for yet. */
  get known(): SealingRing | null {
    return this.#ring;
  }

  async get(signal: AbortSignal): Promise<SealingRing> {
    return this.#ring ?? (await this.refresh(signal));
  }

  /** The ring as it is now. One question for all who ask at once. */
  refresh(signal: AbortSignal): Promise<SealingRing> {
    if (this.#ask === null) return Promise.resolve(this.#ring as SealingRing);
    const asking = this.#asking ?? this.#refresh(this.#ask);
    this.#asking = asking;
    const forget = () => {
      if (this.#asking === asking) this.#asking = null;
    };
    // A service that never answers must not be what all later calls wait for.
    signal.addEventListener("abort", forget, { once: true });
    const done = () => {
      forget();
      signal.removeEventListener("abort", forget);
    };
    asking.then(done, done);
    return asking;
  }

  /** The ring, asked for again if it lacks one of these keys: another process may have taken a new one. */
  async having(ids: Iterable<string>, signal: AbortSignal): Promise<SealingRing> {
    const ring = await this.get(signal);
    const now = performance.now();
    const missing = [...ids].filter((id) => {
      return !ring.keys.has(id) && now - (this.#missing.get(id) ?? Number.NEGATIVE_INFINITY) > ASK_AGAIN_AFTER_MS;
    });
    if (missing.length === 0 || this.#ask === null) return ring;
    const newer = await this.refresh(signal);
    if (this.#missing.size > MAX_REMEMBERED) this.#missing.clear();
    for (const id of missing) if (!newer.keys.has(id)) this.#missing.set(id, performance.now());
    return newer;
  }

  async #refresh(ask: () => KeyRing | Promise<KeyRing>): Promise<SealingRing> {
    let answer: unknown;
    try {
      answer = await ask();
    } catch (error) {
      const cause = withoutValues(error);
      throw new CheckpointError("UNAVAILABLE", "read keys: options.encryption.keys threw an error", { cause });
    }
    const ring = sealingRing(checkKeyRing(answer));
    if (this.#ring !== null && this.#ring.digestSpace !== ring.digestSpace) {
      const field = "options.encryption.keys.digestKey";
      throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to stay as it was: it is not rotated`);
    }
    this.#ring = ring;
    return ring;
  }
}
