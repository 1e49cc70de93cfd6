import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Outbox, Row, RowHead } from "../../src/checkpoints/dialect.ts";
import { hasContent, PLAIN_DIGESTS } from "../../src/checkpoints/equality.ts";
import { engineOf } from "../../src/checkpoints/storage.ts";
import { tombstoneOf } from "../../src/checkpoints/tombstones.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import type { CheckpointError } from "../../src/contract/errors.ts";
import { createStorage } from "../../src/create-storage.ts";
import { encryptDialect } from "../../src/encryption/encrypted-dialect.ts";
import { idOf } from "../rows.ts";
import { ScriptedError, scriptedDialect } from "../scripted-dialect.ts";
import {
  CANARY,
  change,
  checkpoint,
  dialect,
  failure,
  flipped,
  KEY,
  open,
  openCached,
  openPlain,
  ringOf,
  rowOf,
  storeTurns,
  turns,
  useDatabase,
} from "./encrypted-storage.ts";

const { signal } = new AbortController();

useDatabase();

describe("storages with and without keys", () => {
  const codeAndMessage = async (call: Promise<unknown>) => {
    const { code, message } = await failure(call);
    return `${code}: ${message}`;
  };

  it("refuse each other's rows", async () => {
    const plain = openPlain();
    const keyed = open();
    await Promise.all([plain.listCheckpoints(), keyed.listCheckpoints()]); // opened while the database is empty
    const id = await plain.storeCheckpoint(checkpoint());
    expect(await codeAndMessage(keyed.retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*not encrypted/);
    const encrypted = await keyed.storeCheckpoint(checkpoint());
    expect(await codeAndMessage(plain.retrieveCheckpoint(encrypted))).toMatch(/^ENCRYPTION_MISMATCH: .*no keys/);
    expect(await codeAndMessage(plain.retrieveLatestCheckpoint("agent"))).toContain(encrypted);
  });

  it("refuse each other's rows even if the state is cached", async () => {
    const storage = openCached();
    const state = { ...turns(12), secret: CANARY };
    const id = await storage.storeCheckpoint(checkpoint({ state }));
    expect(await storage.retrieveCheckpoint(id)).toMatchObject({ state });
    const other = scriptedDialect();
    await createStorage(other).storeCheckpoint(checkpoint({ id, state })); // the same, in plain text
    dialect.rows.set(id, other.rows.get(id) as Row);
    expect((await failure(storage.retrieveCheckpoint(id))).code).toBe("ENCRYPTION_MISMATCH");
  });

  it("distinguish a wrong key from damage, and name a missing key", async () => {
    const id = await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    const missing = { keys: ringOf("one", { one: KEY }) };
    expect(await codeAndMessage(open(missing).retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*the key two/);
    const wrong = { keys: ringOf("two", { two: randomBytes(32) }) };
    expect(await codeAndMessage(open(wrong).retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*another key/);
    const otherDigests = { keys: { ...ringOf("two"), digestKey: randomBytes(32) } };
    expect(await codeAndMessage(open(otherDigests).retrieveCheckpoint(id))).toMatch(
      /^ENCRYPTION_MISMATCH: .*digest key/,
    );
  });

  it("report a row of a newer version as that, encrypted or not", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    change(id, { encoding: "json9+later" });
    expect((await failure(open().retrieveCheckpoint(id))).code).toBe("UNSUPPORTED_FORMAT");
  });

  it("list and delete unreadable rows, and store after them", async () => {
    const storage = open({ keys: ringOf("three", { three: randomBytes(32) }) });
    await storage.listCheckpoints(); // opened before
    const [first, ...others] = await storeTurns();
    const next = await storage.storeCheckpoint(checkpoint({ state: turns(30) }));
    expect(rowOf(next).baseId).toBeNull();
    expect(await storage.retrieveLatestCheckpoint("agent")).toMatchObject({ id: next });
    expect(await storage.deleteAgent("agent")).toBe(others.length + 2);
    expect(dialect.rows.has(first as string)).toBe(false);
  });

  it("read both kinds of rows with `migrate`, and write encrypted ones, also as deltas to plain ones", async () => {
    const ids = await storeTurns(createStorage(dialect));
    const storage = openCached({ keys: ringOf(), migrate: true });
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(ids[4]);
    const next = await storage.storeCheckpoint(checkpoint({ state: turns(16) }));
    expect(rowOf(next)).toMatchObject({ baseId: ids[4], encoding: expect.stringMatching(/\+sealed$/) });
    const repeated = checkpoint({ id: ids[4] as string, state: turns(15) });
    expect(await storage.storeCheckpoint(repeated)).toBe(ids[4]);
    expect((await open({ keys: ringOf(), migrate: true }).retrieveCheckpoint(next))?.state).toEqual(turns(16));
  });
});

describe("opening checks the newest checkpoint, and", () => {
  const opened = async (storage: CheckpointStorage) =>
    await storage.storeCheckpoint(checkpoint()).then(
      () => "opened",
      ({ code, message }: CheckpointError) => `${code}: ${message}`,
    );

  it("refuses it without keys if it is encrypted, for every call, so that nothing is stored", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    const storage = openPlain();
    expect(await opened(storage)).toMatch(new RegExp(`^ENCRYPTION_MISMATCH: open database: .*${id}: .*no keys`));
    expect((await failure(storage.listCheckpoints())).code).toBe("ENCRYPTION_MISMATCH");
    expect((await failure(storage.deleteAgent("agent"))).code).toBe("ENCRYPTION_MISMATCH");
    expect(await storage.health()).toMatchObject({ ok: false, error: { code: "ENCRYPTION_MISMATCH" } });
    expect([...dialect.rows.keys()]).toEqual([id]);
    expect(await storage.migrate("verify")).toEqual([]);
    dialect.rows.clear();
    expect(await opened(storage)).toBe("opened"); // each call checks again until it succeeds
  });

  it("refuses it with keys if it is not encrypted, except with `migrate`", async () => {
    await openPlain().storeCheckpoint(checkpoint());
    expect(await opened(open())).toMatch(/^ENCRYPTION_MISMATCH: open database: .*not encrypted/);
    expect(await opened(open({ keys: ringOf(), migrate: true }))).toBe("opened");
    expect(await opened(open())).toBe("opened");
  });

  it("refuses it with other keys, even with `migrate`, and accepts it with additional ones", async () => {
    await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    for (const migrate of [false, true]) {
      const missing = { keys: ringOf("one", { one: KEY }), migrate };
      expect(await opened(open(missing))).toMatch(/^ENCRYPTION_MISMATCH: .*the key two/);
      const another = { keys: ringOf("two", { two: randomBytes(32) }), migrate };
      expect(await opened(open(another))).toMatch(/^ENCRYPTION_MISMATCH: .*another key/);
      const otherDigests = { keys: { ...ringOf("two"), digestKey: randomBytes(32) }, migrate };
      expect(await opened(open(otherDigests))).toMatch(/^ENCRYPTION_MISMATCH: .*digest key/);
    }
    expect(dialect.rows.size).toBe(1);
    expect(await opened(open())).toBe("opened"); // a ring with both keys
  });

  it("fetches the keys again if one is missing, before it refuses it", async () => {
    await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    const rings = [ringOf("one", { one: KEY })];
    const storage = open({ keys: () => rings.shift() ?? ringOf() });
    expect(await opened(storage)).toBe("opened");
  });

  it("reads its row only if it is encrypted, and once", async () => {
    const calls = async (storage: CheckpointStorage) => {
      dialect.calls.length = 0;
      await Promise.all([storage.stats(), storage.stats()]);
      await storage.stats();
      return dialect.calls.filter((call) => call !== "stats");
    };
    expect(await calls(openPlain())).toEqual(["open", "list"]);
    expect(await calls(open())).toEqual(["open", "list"]);
    const id = await openPlain().storeCheckpoint(checkpoint());
    expect(await calls(openPlain())).toEqual(["open", "list"]);
    dialect.rows.delete(id);
    await open().storeCheckpoint(checkpoint());
    expect(await calls(open())).toEqual(["open", "list", "readRows"]);
  });

  it("accepts it if it is damaged, of a newer version or removed meanwhile, or if the tables are missing", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    const right = rowOf(id);
    change(id, { state: flipped(right.state, 3) });
    expect(await opened(open())).toBe("opened");
    change(id, { ...right, encoding: "json9+later" });
    dialect.rows.delete([...dialect.rows.keys()].at(-1) as string);
    for (const storage of [open(), openPlain()]) expect(await storage.stats()).toHaveProperty("checkpoints");
    dialect.rows.set(id, right);
    const gone = scriptedDialect({ readRows: async () => [] }, dialect);
    expect(await opened(open({ keys: ringOf() }, gone))).toBe("opened");
    const missing = scriptedDialect({ list: () => Promise.reject(new ScriptedError("schema")) });
    expect(await openPlain(missing).health()).toMatchObject({ ok: true });
    const broken = scriptedDialect({ list: () => Promise.reject(new ScriptedError("other")) });
    expect(await openPlain(broken).health()).toMatchObject({ ok: false, error: { code: "DATABASE_ERROR" } });
  });
});

describe("an encrypted dialect", () => {
  const encrypt = (target = dialect) => {
    const { dialect: encrypted, digests } = encryptDialect(target, { keys: ringOf(), migrate: false });
    return { encrypted, digests, outbox: encrypted.outbox as Outbox };
  };

  it("keeps tombstones and their digests in plain text", async () => {
    const { encrypted, outbox } = encrypt();
    const tombstone = tombstoneOf(idOf(1), 7, 7);
    expect(await outbox.commit({ insertTombstones: [tombstone] }, signal)).toBe(true);
    expect(rowOf(idOf(1))).toEqual(tombstone);
    expect(await encrypted.readRows([idOf(1)], signal)).toEqual([tombstone]);
    await outbox.commit({ acknowledge: [{ id: tombstone.id, digest: tombstone.digest, pending: 7 }] }, signal);
    expect(rowOf(idOf(1)).pending).toBeNull();
  });

  it("uses the contents' own digests with states, keyed ones in heads, and maps acknowledgements", async () => {
    const other = scriptedDialect();
    const id = await createStorage(other).storeCheckpoint(checkpoint());
    const row = { ...(other.rows.get(id) as Row), pending: 5 };
    const { encrypted, digests, outbox } = encrypt();
    await encrypted.commit({ insert: [row] }, signal);
    expect(rowOf(id).digest).not.toEqual(row.digest);
    expect(await encrypted.readRows([id], signal)).toEqual([row]);
    const [head] = (await encrypted.list({ id, limit: 1 }, signal)) as [RowHead];
    expect(head.digest).toEqual(rowOf(id).digest);
    expect(hasContent(digests, head, row.digest)).toBe(true);
    expect(hasContent(PLAIN_DIGESTS, row, row.digest)).toBe(true);
    expect(hasContent(digests, head, head.digest)).toBe(false);
    expect(digests.keyId(head.encoding)).not.toBe(PLAIN_DIGESTS.keyId(row.encoding));
    expect(digests.keyId(head.encoding)).toBe(encrypt().digests.keyId(head.encoding));
    await outbox.commit({ acknowledge: [{ id, digest: row.digest, pending: 5 }] }, signal);
    expect(rowOf(id).pending).toBeNull();
  });

  it("refuses to store a row that could not be decrypted", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    change(id, { state: flipped(rowOf(id).state, 40) });
    const [row] = await encrypt().encrypted.readRows([id], signal);
    const { encrypted: elsewhere } = encrypt(scriptedDialect());
    expect((await failure(elsewhere.commit({ insert: [row as Row] }, signal))).code).toBe("ENCRYPTION_MISMATCH");
    expect((await failure(elsewhere.commit({ insert: [rowOf(id)] }, signal))).code).toBe("ENCRYPTION_MISMATCH");
  });

  it("reserves room in a statement for the growth of each row", async () => {
    for (const maxStatementBytes of [1_000, 1_000_000]) {
      const { encrypted } = encrypt(scriptedDialect({ open: async () => ({ maxStatementBytes }) }));
      const opened = await encrypted.open(signal);
      expect(opened.maxStatementBytes).toBeLessThan(maxStatementBytes);
      expect(opened.maxStatementBytes).toBeGreaterThanOrEqual(maxStatementBytes / 2);
    }
  });

  it("is not used without the option", () => {
    expect(engineOf(createStorage(dialect))?.dialect).toBe(dialect);
  });

  it("has an outbox only if its dialect has one", () => {
    const { outbox, ...without } = scriptedDialect();
    expect(encrypt().encrypted).toHaveProperty("outbox");
    expect(encryptDialect(without, { keys: ringOf(), migrate: false }).dialect).not.toHaveProperty("outbox");
  });
});
