import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import type { KeyRing } from "../../src/contract/options.ts";
import { encryptDialect } from "../../src/encryption/encrypted-dialect.ts";
import { reencryptCheckpoints } from "../../src/encryption/reencrypt.ts";
import {
  CANARY,
  checkpoint,
  DIGEST_KEY,
  dialect,
  failure,
  KEY,
  open,
  ringOf,
  rowOf,
  useDatabase,
} from "./encrypted-storage.ts";

const { signal } = new AbortController();

useDatabase();

describe("keys", () => {
  const HEX = KEY.toString("hex");

  it("are accepted as bytes, in hex and in base64", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    for (const key of [
      HEX,
      HEX.toUpperCase(),
      KEY.toString("base64"),
      KEY.toString("base64url"),
      Uint8Array.from(KEY),
      runInNewContext("Uint8Array.from(bytes)", { bytes: [...KEY] }) as Uint8Array, // of another realm
    ]) {
      expect(await open({ keys: ringOf("one", { one: key }) }).retrieveCheckpoint(id)).not.toBeNull();
    }
  });

  it("are copied, so that the caller may wipe them afterwards", async () => {
    const key = Buffer.from(KEY);
    const storage = open({ keys: ringOf("one", { one: key }) });
    key.fill(0);
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await open().retrieveCheckpoint(id)).not.toBeNull();
  });

  const wrong: Readonly<Record<string, readonly [field: string, keys: unknown]>> = {
    "no ring": ["options.encryption.keys", undefined],
    "a single key": ["options.encryption.keys", HEX],
    "a current key that is not in it": ["options.encryption.keys.current", { ...ringOf(), current: HEX }],
    "a key that is too short": ['options.encryption.keys.keys["one"]', ringOf("one", { one: HEX.slice(2) })],
    "a key that is a number": ['options.encryption.keys.keys["one"]', ringOf("one", { one: 4_711 as never })],
    "a key with too few bytes": ['options.encryption.keys.keys["one"]', ringOf("one", { one: KEY.subarray(1) })],
    "a key in the place of its name": ["options.encryption.keys.keys", ringOf("x", { [`${HEX}=`]: "one" })],
    "no digest key": ["options.encryption.keys.digestKey", { ...ringOf(), digestKey: undefined }],
    "an unknown member": ["options.encryption.keys", { ...ringOf(), digestkey: DIGEST_KEY }],
  };
  it.each(Object.entries(wrong))(
    "are refused with the name of the member, and never shown: %s",
    async (_, [field, keys]) => {
      const refusals = [
        await failure((async () => open({ keys: keys as KeyRing }))()),
        await failure(open({ keys: () => keys as KeyRing }).listCheckpoints()),
      ];
      for (const error of refusals) {
        expect(error.code).toBe("INVALID_ARGUMENT");
        expect(error.message).toContain(field);
        expect(inspect(error)).not.toMatch(new RegExp(`${HEX.slice(4, 20)}|4711`));
      }
    },
  );

  it("of a function are fetched at first use, once", async () => {
    let fetched = 0;
    const keys = async () => {
      fetched += 1;
      return await Promise.resolve(ringOf());
    };
    const storage = open({ keys });
    expect(fetched).toBe(0);
    await Promise.all(Array.from({ length: 5 }, () => storage.storeCheckpoint(checkpoint())));
    expect(fetched).toBe(1);
  });

  it("of a function are fetched again if a row names a missing one, but not for each row", async () => {
    let ring = ringOf("one", { one: KEY });
    let fetched = 0;
    const storage = open({
      keys: () => {
        fetched += 1;
        return ring;
      },
    });
    await storage.storeCheckpoint(checkpoint());
    ring = ringOf("two");
    const rotated = await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    await Promise.all(Array.from({ length: 5 }, () => storage.retrieveCheckpoint(rotated)));
    expect(fetched).toBe(2);
    expect(Buffer.from(rowOf(await storage.storeCheckpoint(checkpoint())).state).toString("latin1", 2, 5)).toBe("two");

    const foreign = { keys: ringOf("lost", { ...ring.keys, lost: randomBytes(32) }) };
    const lost = await open(foreign).storeCheckpoint(checkpoint());
    for (let time = 0; time < 5; time++) {
      expect((await failure(storage.retrieveCheckpoint(lost))).code).toBe("ENCRYPTION_MISMATCH");
    }
    expect(fetched).toBe(3);
  });

  it("of a function that fails are fetched again by the next call, and its error is not shown", async () => {
    let fails = true;
    const keys = () => {
      if (fails) throw new TypeError(`no key ${CANARY}`);
      return ringOf();
    };
    const storage = open({ keys });
    const error = await failure(storage.storeCheckpoint(checkpoint()));
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(CANARY);
    fails = false;
    await storage.storeCheckpoint(checkpoint());
  });

  it("of a function that does not answer are fetched again by the next call", async () => {
    let hangs = true;
    const keys = () => (hangs ? new Promise<never>(() => {}) : Promise.resolve(ringOf()));
    const { dialect: encrypted } = encryptDialect(dialect, { keys, migrate: false });
    const impatient = new AbortController();
    encrypted.open(impatient.signal).catch(() => {});
    impatient.abort();
    hangs = false;
    expect(await encrypted.open(signal)).toHaveProperty("maxStatementBytes");
  });

  it("have a digest key that must not change", async () => {
    let ring = ringOf();
    const storage = open({ keys: () => ring });
    await storage.storeCheckpoint(checkpoint());
    ring = { ...ring, digestKey: randomBytes(32) };
    expect((await failure(reencryptCheckpoints(storage))).message).toContain("digestKey");
  });

  it("are not shown if a storage is printed", async () => {
    const storage = open();
    await storage.storeCheckpoint(checkpoint());
    const shown = inspect(storage, { depth: Number.POSITIVE_INFINITY, showHidden: true });
    for (const key of [KEY, DIGEST_KEY]) {
      expect(shown).not.toContain(key.toString("hex", 0, 8));
      expect(shown).not.toContain(
        key
          .subarray(0, 8)
          .toString("hex")
          .replace(/(..)(?=.)/g, "$1 "),
      );
    }
  });
});
