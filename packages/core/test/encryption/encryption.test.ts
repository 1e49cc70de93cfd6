import { createHash, randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { beforeEach, describe, expect, it } from "vitest";
import { digestSpace, type Row, type RowHead, standsFor, type WriteRow } from "../../src/checkpoints/dialect.ts";
import { createStorage, engineOf } from "../../src/checkpoints/storage.ts";
import { tombstoneOf } from "../../src/checkpoints/tombstones.ts";
import type {
  CheckpointStorage,
  EncryptionOptions,
  KeyRing,
  NamedAgentCheckpoint,
} from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { sealedDialect } from "../../src/encryption/encrypted-dialect.ts";
import { reencryptCheckpoints } from "../../src/encryption/reencrypt.ts";
import { idOf, noise } from "../rows.ts";
import { type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

const KEY = randomBytes(32);
const NEXT_KEY = randomBytes(32);
const DIGEST_KEY = randomBytes(32);
const CANARY = "canary-77f3a0b1";

const ringOf = (current = "one", keys: KeyRing["keys"] = { one: KEY, two: NEXT_KEY }): KeyRing => ({
  current,
  keys,
  digestKey: DIGEST_KEY,
});

const checkpoint = (members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint => ({
  agentId: "agent",
  name: "turn",
  state: { secret: CANARY },
  createdAt: 7,
  ...members,
});

/** A growing state, long enough to be stored as differences. */
const turns = (count: number) => ({
  turns: Array.from({ length: count }, (_, turn) => ({ turn, text: noise(turn, 900) })),
});

const { signal } = new AbortController();

let dialect: ScriptedDialect;
beforeEach(() => {
  dialect = scriptedDialect();
});

const open = (encryption: EncryptionOptions | undefined = { keys: ringOf() }, on = dialect) =>
  createStorage(on, { encryption, cacheBytes: 0, operationTimeoutMs: 5_000 });
const rowOf = (id: string) => dialect.rows.get(id) as Row;
const change = (id: string, members: Partial<Row>) => dialect.rows.set(id, { ...rowOf(id), ...members });
const flipped = (bytes: Uint8Array, at: number) => {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] as number) ^ 1;
  return changed;
};

async function failure(call: Promise<unknown>): Promise<CheckpointError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

/** A line of five: one whole, four differences. */
async function storeLine(
  storage = createStorage(dialect, { encryption: { keys: ringOf() } }),
  agentId = "agent",
): Promise<string[]> {
  const ids: string[] = [];
  for (let turn = 1; turn <= 5; turn++) {
    ids.push(await storage.storeCheckpoint(checkpoint({ agentId, state: turns(turn + 10) })));
  }
  expect(rowOf(ids[4] as string).baseId).not.toBeNull();
  return ids;
}

describe("an encrypted row", () => {
  it("comes back as it was, and shows nothing of its state", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    const { encoding, state, digest } = rowOf(id);
    expect(encoding).toBe("json+sealed");
    expect(Buffer.from(state).toString("latin1")).not.toContain(CANARY);
    expect(Buffer.from(digest).toString("hex")).not.toBe(
      createHash("sha256")
        .update(JSON.stringify({ secret: CANARY }))
        .digest("hex"),
    );
    expect(await open().retrieveCheckpoint(id)).toMatchObject({ id, state: { secret: CANARY } });
  });

  it("comes back as it was, also when it is a difference, or so long that another thread encrypts it", async () => {
    const ids = await storeLine();
    for (const [index, id] of ids.entries()) {
      expect((await open().retrieveCheckpoint(id))?.state).toEqual(turns(index + 11));
    }
    const large = { text: noise("large", 900_000) };
    const id = await open().storeCheckpoint(checkpoint({ state: large }));
    expect(rowOf(id).state.byteLength).toBeGreaterThan(600_000);
    expect((await open().retrieveCheckpoint(id))?.state).toEqual(large);
    const { state } = rowOf(id);
    const same = await open().storeCheckpoint(checkpoint({ agentId: "another", state: large }));
    for (const damaged of [flipped(state, 300_000), rowOf(same).state]) {
      change(id, { state: damaged });
      expect((await failure(open().retrieveCheckpoint(id))).code).toBe("CORRUPT_CHECKPOINT");
    }
  });

  it("is another one each time, and its digest the same: a store that is repeated is known", async () => {
    const storage = open();
    const first = checkpoint({ id: idOf(1) });
    await storage.storeCheckpoint(first);
    const before = rowOf(idOf(1));
    await storage.storeCheckpoint(first);
    expect(rowOf(idOf(1))).toBe(before);
    expect((await failure(storage.storeCheckpoint({ ...first, state: 8 }))).code).toBe("CONFLICT");
    const other = await storage.storeCheckpoint(checkpoint());
    expect(rowOf(other).digest).toEqual(before.digest);
    const encrypted = ({ state }: Row) =>
      Buffer.from(state).toString("hex", 2 + "one".length + 8 + 12, state.length - 16);
    expect(encrypted(rowOf(other))).toHaveLength(encrypted(before).length);
    expect(encrypted(rowOf(other))).not.toBe(encrypted(before));
  });

  it("is told when any byte of it is another, or it is cut short or longer", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    const { state } = rowOf(id);
    const all = Array.from(state, (_, at) => flipped(state, at));
    const cut = Array.from(state, (_, at) => state.subarray(0, at));
    for (const damaged of [...all, ...cut, Buffer.concat([state, Buffer.of(0)])]) {
      change(id, { state: damaged });
      const error = await failure(open().retrieveCheckpoint(id));
      expect([error.code, error.message.includes(id)]).toEqual(["CORRUPT_CHECKPOINT", true]);
    }
    change(id, { state });
    expect(await open().retrieveCheckpoint(id)).toMatchObject({ state: { secret: CANARY } });
  });

  it("is told when it is another row's, another agent's, another namespace's or another encoding's", async () => {
    const storage = open();
    const [one, same] = [await storage.storeCheckpoint(checkpoint()), await storage.storeCheckpoint(checkpoint())];
    const { state } = rowOf(one);
    change(one, { state: rowOf(same).state }); // of the same content, for the same agent
    expect((await failure(storage.retrieveCheckpoint(one))).code).toBe("CORRUPT_CHECKPOINT");
    for (const members of [
      { agentId: "another" },
      { namespace: "another" },
      { encoding: "tagged+sealed" },
      { digest: rowOf(await storage.storeCheckpoint(checkpoint({ state: 2 }))).digest },
      {
        digest: createHash("sha256")
          .update(JSON.stringify({ secret: CANARY }))
          .digest(),
      },
      { digest: new Uint8Array(3) },
    ]) {
      const right = rowOf(one);
      change(one, { state, ...members });
      expect((await failure(storage.retrieveCheckpoint(one))).code).toBe("CORRUPT_CHECKPOINT");
      dialect.rows.set(one, right);
    }
    // Also where the content would be the same.
    change(one, { state, encoding: "json+anchor+sealed" });
    const [unreadable] = await sealedDialect(dialect, { keys: ringOf(), migrate: false }).readRows([one], signal);
    expect(unreadable).toHaveProperty("unreadable");
    change(one, { encoding: "json+sealed" });
    // Lengths are authenticated too: what moves from one text to the next is noticed.
    const moved = await storage.storeCheckpoint(checkpoint({ agentId: "ab", namespace: "c" }));
    change(moved, { agentId: "a", namespace: "bc" });
    expect((await failure(storage.retrieveCheckpoint(moved))).code).toBe("CORRUPT_CHECKPOINT");
  });

  it("is told by its id where others build on it, which are lost with it; those before are not", async () => {
    const ids = await storeLine();
    const [first, second, third, , last] = ids as [string, string, string, string, string];
    change(third, { state: flipped(rowOf(third).state, 90) });
    const error = await failure(open().retrieveCheckpoint(last));
    expect(error.message).toContain(`${last}, which builds on ${third}`);
    for (const id of [first, second]) expect(await open().retrieveCheckpoint(id)).toMatchObject({ id });
    expect(await open().listCheckpoints({ agentId: "agent" })).toHaveLength(5);
  });

  it("with the state of a base that was put back to what it once was is told too", async () => {
    const [first, second] = (await storeLine()) as [string, string];
    const storage = open();
    change(second, { baseId: null }); // as if it were whole
    expect((await failure(storage.retrieveCheckpoint(second))).code).toBe("CORRUPT_CHECKPOINT");
    expect(await storage.retrieveCheckpoint(first)).toMatchObject({ id: first });
  });

  it("has no name or label of its own: those are not encrypted", async () => {
    const id = await open().storeCheckpoint(checkpoint({ name: "a name", metadata: { label: "x" }, state: 1 }));
    expect(rowOf(id)).toMatchObject({ agentId: "agent", name: "a name" });
    expect(await open().listCheckpoints({ agentId: "agent", metadata: { label: "x" } })).toHaveLength(1);
  });
});

describe("a store with keys, and one without", () => {
  const codeAndWords = async (call: Promise<unknown>) => {
    const { code, message } = await failure(call);
    return `${code}: ${message}`;
  };

  it("refuse each other's rows", async () => {
    const plain = createStorage(dialect, { cacheBytes: 0 });
    const keyed = open();
    await Promise.all([plain.listCheckpoints(), keyed.listCheckpoints()]); // both before there was anything
    const id = await plain.storeCheckpoint(checkpoint());
    expect(await codeAndWords(keyed.retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*not encrypted/);
    const sealed = await keyed.storeCheckpoint(checkpoint());
    expect(await codeAndWords(plain.retrieveCheckpoint(sealed))).toMatch(/^ENCRYPTION_MISMATCH: .*no keys/);
    expect(await codeAndWords(plain.retrieveLatestCheckpoint("agent"))).toContain(sealed);
  });

  it("refuse each other's rows also while the state is at hand", async () => {
    const storage = createStorage(dialect, { encryption: { keys: ringOf() } });
    const state = { ...turns(12), secret: CANARY };
    const id = await storage.storeCheckpoint(checkpoint({ state }));
    expect(await storage.retrieveCheckpoint(id)).toMatchObject({ state });
    const other = scriptedDialect();
    await createStorage(other).storeCheckpoint(checkpoint({ id, state }));
    dialect.rows.set(id, other.rows.get(id) as Row);
    expect((await failure(storage.retrieveCheckpoint(id))).code).toBe("ENCRYPTION_MISMATCH");
  });

  it("tell a wrong key from damage, and name a key that is missing", async () => {
    const id = await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    const missing = { keys: ringOf("one", { one: KEY }) };
    expect(await codeAndWords(open(missing).retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*the key two/);
    const wrong = { keys: ringOf("two", { two: randomBytes(32) }) };
    expect(await codeAndWords(open(wrong).retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*another key/);
    const otherDigests = { keys: { ...ringOf("two"), digestKey: randomBytes(32) } };
    expect(await codeAndWords(open(otherDigests).retrieveCheckpoint(id))).toMatch(/^ENCRYPTION_MISMATCH: .*digest key/);
  });

  it("say of what a newer version wrote that it is newer, encrypted or not", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    change(id, { encoding: "json9+later" });
    expect((await failure(open().retrieveCheckpoint(id))).code).toBe("UNSUPPORTED_FORMAT");
  });

  it("go on where there are rows that cannot be read: they are listed, stored after and deleted", async () => {
    const storage = open({ keys: ringOf("three", { three: randomBytes(32) }) });
    await storage.listCheckpoints(); // opened before
    const [first, ...others] = await storeLine();
    const next = await storage.storeCheckpoint(checkpoint({ state: turns(30) }));
    expect(rowOf(next).baseId).toBeNull();
    expect(await storage.retrieveLatestCheckpoint("agent")).toMatchObject({ id: next });
    expect(await storage.deleteAgent("agent")).toBe(others.length + 2);
    expect(dialect.rows.has(first as string)).toBe(false);
  });

  it("with `migrate` read both, and write what is encrypted; what builds on plain rows goes on doing so", async () => {
    const ids = await storeLine(createStorage(dialect));
    const storage = createStorage(dialect, { encryption: { keys: ringOf(), migrate: true } });
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(ids[4]);
    const next = await storage.storeCheckpoint(checkpoint({ state: turns(16) }));
    expect(rowOf(next)).toMatchObject({ baseId: ids[4], encoding: expect.stringMatching(/\+sealed$/) });
    const repeated = checkpoint({ id: ids[4] as string, state: turns(15) });
    expect(await storage.storeCheckpoint(repeated)).toBe(ids[4]);
    expect((await open({ keys: ringOf(), migrate: true }).retrieveCheckpoint(next))?.state).toEqual(turns(16));
  });
});

describe("opening looks at the newest checkpoint, and", () => {
  const keyless = (on = dialect) => createStorage(on, { cacheBytes: 0 });
  const opened = async (storage: CheckpointStorage) =>
    await storage.storeCheckpoint(checkpoint()).then(
      () => "opened",
      ({ code, message }: CheckpointError) => `${code}: ${message}`,
    );

  it("without keys refuses a database whose newest is encrypted, whatever the call; nothing is stored", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    const storage = keyless();
    expect(await opened(storage)).toMatch(new RegExp(`^ENCRYPTION_MISMATCH: open database: .*${id}: .*no keys`));
    expect((await failure(storage.listCheckpoints())).code).toBe("ENCRYPTION_MISMATCH");
    expect((await failure(storage.deleteAgent("agent"))).code).toBe("ENCRYPTION_MISMATCH");
    expect(await storage.health()).toMatchObject({ ok: false, error: { code: "ENCRYPTION_MISMATCH" } });
    expect([...dialect.rows.keys()]).toEqual([id]);
    expect(await storage.migrate("verify")).toEqual([]);
    dialect.rows.clear();
    expect(await opened(storage)).toBe("opened"); // it is looked at again, by each call until it is right
  });

  it("with keys refuses one whose newest is not, unless it migrates", async () => {
    await keyless().storeCheckpoint(checkpoint());
    expect(await opened(open())).toMatch(/^ENCRYPTION_MISMATCH: open database: .*not encrypted/);
    expect(await opened(open({ keys: ringOf(), migrate: true }))).toBe("opened");
    expect(await opened(open())).toBe("opened");
  });

  it("with other keys refuses it, also if it migrates; with more of them it does not", async () => {
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
    expect(await opened(open())).toBe("opened"); // which stores with `one`, and has both
  });

  it("with a function asks for the keys again if one is missing, before it refuses", async () => {
    await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    const rings = [ringOf("one", { one: KEY })];
    const storage = open({ keys: () => rings.shift() ?? ringOf() });
    expect(await opened(storage)).toBe("opened");
  });

  it("asks for a row only where it is encrypted, and once", async () => {
    const calls = async (storage: CheckpointStorage) => {
      dialect.calls.length = 0;
      await Promise.all([storage.stats(), storage.stats()]);
      await storage.stats();
      return dialect.calls.filter((call) => call !== "stats");
    };
    expect(await calls(keyless())).toEqual(["open", "list"]);
    expect(await calls(open())).toEqual(["open", "list"]);
    const id = await keyless().storeCheckpoint(checkpoint());
    expect(await calls(keyless())).toEqual(["open", "list"]);
    dialect.rows.delete(id);
    await open().storeCheckpoint(checkpoint());
    expect(await calls(open())).toEqual(["open", "list", "readRows"]);
  });

  it("passes over what only a reader can tell: damage, newer versions, a row that is gone, tables that are missing", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    const right = rowOf(id);
    change(id, { state: flipped(right.state, 3) });
    expect(await opened(open())).toBe("opened");
    change(id, { ...right, encoding: "json9+later" });
    dialect.rows.delete([...dialect.rows.keys()].at(-1) as string);
    for (const storage of [open(), keyless()]) expect(await storage.stats()).toHaveProperty("checkpoints");
    dialect.rows.set(id, right);
    const gone = scriptedDialect({ list: (query, limit) => dialect.list(query, limit), readRows: async () => [] });
    expect(await opened(open({ keys: ringOf() }, gone))).toBe("opened");
    const missing = scriptedDialect({ list: () => Promise.reject(new ScriptedError("schema")) });
    expect(await keyless(missing).health()).toMatchObject({ ok: true });
    const broken = scriptedDialect({ list: () => Promise.reject(new ScriptedError("other")) });
    expect(await keyless(broken).health()).toMatchObject({ ok: false, error: { code: "DATABASE_ERROR" } });
  });
});

describe("re-encryption", () => {
  it("takes the current key for all, and passes over what has it", async () => {
    const ids = await storeLine();
    const digests = ids.map((id) => rowOf(id).digest);
    const storage = open({ keys: ringOf("two") });
    const latest = await storage.storeCheckpoint(checkpoint({ state: turns(16) }));
    const seen: number[] = [];
    const onProgress = ({ examined }: { examined: number }) => seen.push(examined);
    expect(await reencryptCheckpoints(storage, { onProgress })).toEqual({ examined: 6, rewritten: 5, unreadable: 0 });
    expect(seen.at(-1)).toBe(6);
    expect(ids.map((id) => rowOf(id).digest)).toEqual(digests);
    expect(await reencryptCheckpoints(storage)).toEqual({ examined: 6, rewritten: 0, unreadable: 0 });
    const retired = open({ keys: ringOf("two", { two: NEXT_KEY }) });
    for (const [index, id] of [...ids, latest].entries()) {
      expect((await retired.retrieveCheckpoint(id))?.state).toEqual(turns(index + 11));
    }
  });

  it("goes on where it was ended", async () => {
    const storage = open();
    for (let turn = 0; turn < 150; turn++) await storage.storeCheckpoint(checkpoint({ state: turn }));
    const rotated = open({ keys: ringOf("two") });
    const onProgress = () => {
      throw new RangeError("enough");
    };
    await expect(reencryptCheckpoints(rotated, { onProgress })).rejects.toThrow("enough");
    const call = reencryptCheckpoints(rotated, { signal: AbortSignal.abort() });
    expect((await failure(call)).code).toBe("ABORTED");
    expect(await reencryptCheckpoints(rotated)).toEqual({ examined: 150, rewritten: 150 - 64, unreadable: 0 });
  });

  it("encrypts what was not, while it is told to, so that afterwards nothing else is needed", async () => {
    const ids = await storeLine(createStorage(dialect));
    const migrating = { keys: ringOf(), migrate: true };
    const half = await open(migrating).storeCheckpoint(checkpoint({ agentId: "another" })); // so that others open it
    expect(await reencryptCheckpoints(open())).toEqual({ examined: 6, rewritten: 0, unreadable: 5 });
    expect(await reencryptCheckpoints(open(migrating))).toEqual({ examined: 6, rewritten: 5, unreadable: 0 });
    expect(await open().retrieveCheckpoint(half)).not.toBeNull();
    for (const [index, id] of ids.entries()) {
      expect(rowOf(id).encoding).toMatch(/\+sealed$/);
      expect((await open().retrieveCheckpoint(id))?.state).toEqual(turns(index + 11));
    }
  });

  it("leaves a base alone that is encrypted while a difference to it is on its way: the store finds it", async () => {
    await storeLine(createStorage(dialect));
    const storage = createStorage(dialect, { encryption: { keys: ringOf(), migrate: true } });
    await storage.retrieveLatestCheckpoint("agent"); // which is at hand now, as it was
    await reencryptCheckpoints(open({ keys: ringOf(), migrate: true }));
    const id = await storage.storeCheckpoint(checkpoint({ state: turns(16) }));
    expect(rowOf(id).baseId).not.toBeNull();
    expect((await open().retrieveCheckpoint(id))?.state).toEqual(turns(16));
  });

  it("counts what it cannot read, and leaves it as it is", async () => {
    const ids = await storeLine();
    const damaged = ids[2] as string;
    change(damaged, { state: flipped(rowOf(damaged).state, 90) });
    const before = rowOf(damaged);
    expect(await reencryptCheckpoints(open({ keys: ringOf("two") }))).toMatchObject({ rewritten: 4, unreadable: 1 });
    expect(rowOf(damaged)).toBe(before);
  });

  it("reads a row again that somebody has changed in between", async () => {
    const ids = await storeLine();
    let inTheWay = 3;
    const meddled = scriptedDialect({
      commit: (given, limit) => (inTheWay-- > 0 ? Promise.resolve(false) : dialect.commit(given, limit)),
      readRows: (given, limit) => dialect.readRows(given, limit),
      list: (query, limit) => dialect.list(query, limit),
    });
    const result = await reencryptCheckpoints(open({ keys: ringOf("two") }, meddled));
    expect(result).toEqual({ examined: 5, rewritten: 5, unreadable: 0 });
    expect(await open({ keys: ringOf("two", { two: NEXT_KEY }) }).retrieveCheckpoint(ids[4] as string)).not.toBeNull();
  });

  it("is refused for a storage that does not encrypt", async () => {
    expect((await failure(reencryptCheckpoints(createStorage(dialect)))).code).toBe("INVALID_ARGUMENT");
    expect((await failure(reencryptCheckpoints(open(), { onprogress: 1 } as object))).code).toBe("INVALID_ARGUMENT");
  });

  it("does not undo what a prune has rewritten, and is not undone by it", async () => {
    const ids = await storeLine();
    const storage = open({ keys: ringOf("two") });
    const last = ids[4] as string;
    const rewrites = sealedDialect(dialect, { keys: ringOf("two"), migrate: false });
    const [row] = await rewrites.readChain(last, signal);
    const { id, baseId, encoding, state, digest } = row as Row;
    const bases = [{ id, digest }];
    const rewrite = [{ id, fromBaseId: baseId, baseId, encoding, state }];
    expect(await rewrites.commit({ bases, rewrite }, signal)).toBe(true);
    expect(await rewrites.commit({ rewrite }, signal)).toBe(true); // who does not say the digest has it looked up
    expect(await storage.retrieveCheckpoint(last)).toMatchObject({ state: turns(15) });
    expect(await rewrites.commit({ bases: [{ id, digest: new Uint8Array(32) }], rewrite }, signal)).toBe(false);
    const ofAnother = rewrite.map((one) => ({ ...one, digest: new Uint8Array(32).fill(1) }));
    expect(await rewrites.commit({ rewrite: ofAnother }, signal)).toBe(false);
    expect(
      await rewrites.commit({ rewrite: [{ ...(rewrite[0] as never as object), id: idOf(9) } as never] }, signal),
    ).toBe(false);
  });
});

describe("keys", () => {
  const HEX = KEY.toString("hex");

  it("are taken as bytes, in hex and in base64, and are the same ones", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    for (const key of [
      HEX,
      HEX.toUpperCase(),
      KEY.toString("base64"),
      KEY.toString("base64url"),
      Uint8Array.from(KEY),
    ]) {
      expect(await open({ keys: ringOf("one", { one: key }) }).retrieveCheckpoint(id)).not.toBeNull();
    }
  });

  it("are copied: whoever wipes them afterwards changes nothing", async () => {
    const key = Buffer.from(KEY);
    const storage = open({ keys: ringOf("one", { one: key }) });
    key.fill(0);
    const id = await storage.storeCheckpoint(checkpoint());
    expect(await open().retrieveCheckpoint(id)).not.toBeNull();
  });

  const wrong: Readonly<Record<string, readonly [field: string, keys: unknown]>> = {
    "no ring": ["options.encryption.keys", undefined],
    "a key alone": ["options.encryption.keys", HEX],
    "a current key that is not in it": ["options.encryption.keys.current", { ...ringOf(), current: HEX }],
    "a key that is too short": ['options.encryption.keys.keys["one"]', ringOf("one", { one: HEX.slice(2) })],
    "a key that is a number": ['options.encryption.keys.keys["one"]', ringOf("one", { one: 4_711 as never })],
    "a key with bytes too few": ['options.encryption.keys.keys["one"]', ringOf("one", { one: KEY.subarray(1) })],
    "a key in the place of its name": ["options.encryption.keys.keys", ringOf("x", { [`${HEX}=`]: "one" })],
    "no key for digests": ["options.encryption.keys.digestKey", { ...ringOf(), digestKey: undefined }],
    "a member that is not known": ["options.encryption.keys", { ...ringOf(), digestkey: DIGEST_KEY }],
  };
  it.each(Object.entries(wrong))("are refused by name, and never shown: %s", async (_, [field, keys]) => {
    const refusals = [
      await failure((async () => open({ keys: keys as KeyRing }))()),
      await failure(open({ keys: () => keys as KeyRing }).listCheckpoints()),
    ];
    for (const error of refusals) {
      expect(error.code).toBe("INVALID_ARGUMENT");
      expect(error.message).toContain(field);
      expect(inspect(error)).not.toMatch(new RegExp(`${HEX.slice(4, 20)}|4711`));
    }
  });

  it("of a function are asked for at first use, once", async () => {
    let asked = 0;
    const keys = async () => {
      asked += 1;
      return await Promise.resolve(ringOf());
    };
    const storage = open({ keys });
    expect(asked).toBe(0);
    await Promise.all(Array.from({ length: 5 }, () => storage.storeCheckpoint(checkpoint())));
    expect(asked).toBe(1);
  });

  it("of a function are asked for again when a row names one that is not there, and not for each row", async () => {
    let ring = ringOf("one", { one: KEY });
    let asked = 0;
    const storage = open({
      keys: () => {
        asked += 1;
        return ring;
      },
    });
    await storage.storeCheckpoint(checkpoint());
    ring = ringOf("two");
    const rotated = await open({ keys: ringOf("two") }).storeCheckpoint(checkpoint());
    await Promise.all(Array.from({ length: 5 }, () => storage.retrieveCheckpoint(rotated)));
    expect(asked).toBe(2);
    expect(Buffer.from(rowOf(await storage.storeCheckpoint(checkpoint())).state).toString("latin1", 2, 5)).toBe("two");

    const foreign = { keys: ringOf("lost", { ...ring.keys, lost: randomBytes(32) }) };
    const lost = await open(foreign).storeCheckpoint(checkpoint());
    for (let time = 0; time < 5; time++) {
      expect((await failure(storage.retrieveCheckpoint(lost))).code).toBe("ENCRYPTION_MISMATCH");
    }
    expect(asked).toBe(3);
  });

  it("of a function that fails are asked for again, and what it threw is not shown", async () => {
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

  it("of a function that does not answer are asked for again by the next call", async () => {
    let hangs = true;
    const keys = () => (hangs ? new Promise<never>(() => {}) : Promise.resolve(ringOf()));
    const between = sealedDialect(dialect, { keys, migrate: false });
    const impatient = new AbortController();
    between.open(impatient.signal).catch(() => {});
    impatient.abort();
    hangs = false;
    expect(await between.open(signal)).toHaveProperty("maxStatementBytes");
  });

  it("have one for digests that stays", async () => {
    let ring = ringOf();
    const storage = open({ keys: () => ring });
    await storage.storeCheckpoint(checkpoint());
    ring = { ...ring, digestKey: randomBytes(32) };
    expect((await failure(reencryptCheckpoints(storage))).message).toContain("digestKey");
  });

  it("do not show in what can be printed of a storage", async () => {
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

describe("an encrypted write", () => {
  const write = (value: unknown, members: object = {}) => ({ taskId: "t", index: 0, channel: "c", value, ...members });
  const keys = () => [...dialect.writes.keys()];
  const written = (at: number) => dialect.writes.get(keys()[at] as string) as WriteRow;
  const changed = (at: number, members: Partial<WriteRow>) =>
    dialect.writes.set(keys()[at] as string, { ...written(at), ...members });
  const twoWrites = async () => {
    const id = await open().storeCheckpoint(checkpoint());
    await open().appendWrites(id, [write({ secret: CANARY }), write({ secret: CANARY }, { index: 1 })]);
    return id;
  };

  it("comes back as it was, and shows nothing of its value", async () => {
    const id = await twoWrites();
    const stored = inspect([...dialect.writes.values()].map(({ state }) => Buffer.from(state).toString("latin1")));
    expect(stored).not.toContain(CANARY);
    expect(written(0).encoding).toBe("json+sealed");
    expect(await open().listWrites(id)).toEqual([write({ secret: CANARY }), write({ secret: CANARY }, { index: 1 })]);
  });

  it("is refused where a byte of it was changed, or what stands beside it, or where it is another one's", async () => {
    const id = await twoWrites();
    const [first, second] = [written(0), written(1)];
    const damages: Partial<WriteRow>[] = [
      ...[0, 20, first.state.byteLength - 1].map((at) => ({ state: flipped(first.state, at) })),
      { state: first.state.subarray(0, -1) },
      { state: second.state },
      { state: rowOf(id).state },
      { digest: flipped(first.digest, 0) },
      { channel: "d" },
      { taskPath: "p" },
      { encoding: "json+pieces+sealed" },
    ];
    for (const damage of damages) {
      changed(0, damage);
      const { code } = await failure(open().listWrites(id));
      expect([code, damage]).toEqual(["CORRUPT_CHECKPOINT", damage]);
      changed(0, first);
    }
    expect(await open().listWrites(id)).toHaveLength(2);
    change(id, { state: first.state });
    expect((await failure(open().retrieveCheckpoint(id))).code).toBe("CORRUPT_CHECKPOINT");
  });

  it("is refused in plain text, and with a key that is not here", async () => {
    const id = await twoWrites();
    changed(0, { encoding: "json", state: Buffer.from("1") });
    expect((await failure(open().listWrites(id))).code).toBe("ENCRYPTION_MISMATCH");
    dialect.writes.delete(keys()[0] as string);
    expect((await failure(open({ keys: ringOf("two", { two: NEXT_KEY }) }).listWrites(id))).code).toBe(
      "ENCRYPTION_MISMATCH",
    );
    expect((await failure(createStorage(dialect).listWrites(id))).code).toBe("ENCRYPTION_MISMATCH");
  });

  it("is encrypted anew with its checkpoint, and what cannot be read is told", async () => {
    const id = await twoWrites();
    const rotated = open({ keys: ringOf("two") });
    expect(await reencryptCheckpoints(rotated)).toEqual({ examined: 1, rewritten: 1, unreadable: 0 });
    expect(await open({ keys: ringOf("two", { two: NEXT_KEY }) }).listWrites(id)).toHaveLength(2);
    changed(1, { state: flipped(written(1).state, 60) });
    expect(await reencryptCheckpoints(open())).toEqual({ examined: 1, rewritten: 1, unreadable: 1 });
  });

  it("becomes one where the store is migrated", async () => {
    const plain = createStorage(dialect);
    const id = await plain.storeCheckpoint(checkpoint());
    await plain.appendWrites(id, [write({ secret: CANARY })]);
    const migrating = open({ keys: ringOf(), migrate: true });
    expect(await migrating.listWrites(id)).toEqual([write({ secret: CANARY })]);
    await reencryptCheckpoints(migrating);
    expect(await open().listWrites(id)).toEqual([write({ secret: CANARY })]);
  });
});

describe("what stands between", () => {
  const keyed = () => sealedDialect(dialect, { keys: ringOf(), migrate: false });

  it("leaves tombstones as they are, and their digest", async () => {
    const between = keyed();
    const tombstone = { ...tombstoneOf(idOf(1), 7, 7), pending: 7 };
    expect(await between.commit({ bury: [tombstone] }, signal)).toBe(true);
    expect(rowOf(idOf(1))).toEqual(tombstone);
    expect(await between.readRows([idOf(1)], signal)).toEqual([tombstone]);
    await between.commit({ acknowledge: [tombstone] }, signal);
    expect(rowOf(idOf(1)).pending).toBeNull();
  });

  it("takes and gives the contents' own digests with states, and maps what acknowledges", async () => {
    const other = scriptedDialect();
    const id = await createStorage(other).storeCheckpoint(checkpoint());
    const row = { ...(other.rows.get(id) as Row), pending: 5 };
    const between = keyed();
    await between.commit({ insert: [row] }, signal);
    expect(rowOf(id).digest).not.toEqual(row.digest);
    expect(await between.readRows([id], signal)).toEqual([row]);
    const [head] = (await between.list({ id, limit: 1 }, signal)) as [RowHead];
    expect(head.digest).toEqual(rowOf(id).digest);
    expect(standsFor(between, head, row.digest)).toBe(true);
    expect(standsFor(other, row, row.digest)).toBe(true);
    expect(standsFor(between, head, head.digest)).toBe(false);
    expect(digestSpace(between, head)).toBe(digestSpace(keyed(), head));
    expect(digestSpace(between, head)).not.toBe(digestSpace(other, row));
    await between.commit({ acknowledge: [{ id, digest: row.digest, pending: 5 }] }, signal);
    expect(rowOf(id).pending).toBeNull();
  });

  it("refuses to store what could not be read: it must not become what looks as if it could", async () => {
    const id = await open().storeCheckpoint(checkpoint());
    change(id, { state: flipped(rowOf(id).state, 40) });
    const [row] = await keyed().readRows([id], signal);
    const elsewhere = sealedDialect(scriptedDialect(), { keys: ringOf(), migrate: false });
    expect((await failure(elsewhere.commit({ insert: [row as Row] }, signal))).code).toBe("ENCRYPTION_MISMATCH");
    expect((await failure(elsewhere.commit({ insert: [rowOf(id)] }, signal))).code).toBe("ENCRYPTION_MISMATCH");
  });

  it("leaves room for what each row of a commit gets longer by", async () => {
    for (const maxStatementBytes of [1_000, 1_000_000]) {
      const between = sealedDialect(scriptedDialect({ open: async () => ({ maxStatementBytes }) }), {
        keys: ringOf(),
        migrate: false,
      });
      const opened = await between.open(signal);
      expect(opened.maxStatementBytes).toBeLessThan(maxStatementBytes);
      expect(opened.maxStatementBytes).toBeGreaterThanOrEqual(maxStatementBytes / 2);
    }
  });

  it("is not there where nothing is to be encrypted", () => {
    expect(engineOf(createStorage(dialect))?.dialect).toBe(dialect);
  });
});
