import { describe, expect, it } from "vitest";
import type { Row, TaskWriteRow } from "../../src/checkpoints/dialect.ts";
import { createStorage } from "../../src/create-storage.ts";
import { countEncryptionKeys } from "../../src/encryption/count-keys.ts";
import { encryptDialect } from "../../src/encryption/encrypted-dialect.ts";
import { reencryptCheckpoints } from "../../src/encryption/reencrypt.ts";
import { idOf } from "../rows.ts";
import { scriptedDialect } from "../scripted-dialect.ts";
import {
  CANARY,
  change,
  checkpoint,
  dialect,
  failure,
  flipped,
  NEXT_KEY,
  open,
  openCached,
  ringOf,
  rowOf,
  storeTurns,
  turns,
  useDatabase,
} from "./encrypted-storage.ts";

const { signal } = new AbortController();

useDatabase();

describe("re-encryption", () => {
  it("encrypts all rows with the current key, and skips those that are already", async () => {
    const ids = await storeTurns();
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

  it("encrypts plain rows with `migrate`, which is not needed afterwards", async () => {
    const ids = await storeTurns(createStorage(dialect));
    const migrating = { keys: ringOf(), migrate: true };
    const half = await open(migrating).storeCheckpoint(checkpoint({ agentId: "another" })); // the newest is encrypted
    expect(await reencryptCheckpoints(open())).toEqual({ examined: 6, rewritten: 0, unreadable: 5 });
    expect(await reencryptCheckpoints(open(migrating))).toEqual({ examined: 6, rewritten: 5, unreadable: 0 });
    expect(await open().retrieveCheckpoint(half)).not.toBeNull();
    for (const [index, id] of ids.entries()) {
      expect(rowOf(id).encoding).toMatch(/\+sealed$/);
      expect((await open().retrieveCheckpoint(id))?.state).toEqual(turns(index + 11));
    }
  });

  it("does not break a store whose cached base it has encrypted meanwhile", async () => {
    await storeTurns(createStorage(dialect));
    const storage = openCached({ keys: ringOf(), migrate: true });
    await storage.retrieveLatestCheckpoint("agent"); // caches it
    await reencryptCheckpoints(open({ keys: ringOf(), migrate: true }));
    const id = await storage.storeCheckpoint(checkpoint({ state: turns(16) }));
    expect(rowOf(id).baseId).not.toBeNull();
    expect((await open().retrieveCheckpoint(id))?.state).toEqual(turns(16));
  });

  it("counts unreadable rows, and leaves them as they are", async () => {
    const ids = await storeTurns();
    const damaged = ids[2] as string;
    change(damaged, { state: flipped(rowOf(damaged).state, 90) });
    const before = rowOf(damaged);
    expect(await reencryptCheckpoints(open({ keys: ringOf("two") }))).toMatchObject({ rewritten: 4, unreadable: 1 });
    expect(rowOf(damaged)).toBe(before);
  });

  it("reads a row again if another client has changed it meanwhile", async () => {
    const ids = await storeTurns();
    let conflicts = 3;
    const contended = scriptedDialect(
      { commit: async (change, signal) => (conflicts-- > 0 ? false : await dialect.commit(change, signal)) },
      dialect,
    );
    const result = await reencryptCheckpoints(open({ keys: ringOf("two") }, contended));
    expect(result).toEqual({ examined: 5, rewritten: 5, unreadable: 0 });
    expect(await open({ keys: ringOf("two", { two: NEXT_KEY }) }).retrieveCheckpoint(ids[4] as string)).not.toBeNull();
  });

  it("is refused for a storage that does not encrypt", async () => {
    expect((await failure(reencryptCheckpoints(createStorage(dialect)))).code).toBe("INVALID_ARGUMENT");
    expect((await failure(reencryptCheckpoints(open(), { onprogress: 1 } as object))).code).toBe("INVALID_ARGUMENT");
  });

  it("does not conflict with the rewrites of a prune", async () => {
    const ids = await storeTurns();
    const storage = open({ keys: ringOf("two") });
    const last = ids[4] as string;
    const { dialect: rewrites } = encryptDialect(dialect, { keys: ringOf("two"), migrate: false });
    const [row] = await rewrites.readChain(last, signal);
    const { id, baseId, encoding, state, digest } = row as Row;
    const expected = [{ id, digest }];
    const rewrite = [{ id, fromBaseId: baseId, baseId, encoding, state }];
    expect(await rewrites.commit({ expected, rewrite }, signal)).toBe(true);
    expect(await rewrites.commit({ rewrite }, signal)).toBe(true); // without the digest, which is looked up
    expect(await storage.retrieveCheckpoint(last)).toMatchObject({ state: turns(15) });
    expect(await rewrites.commit({ expected: [{ id, digest: new Uint8Array(32) }], rewrite }, signal)).toBe(false);
    const otherDigest = rewrite.map((one) => ({ ...one, digest: new Uint8Array(32).fill(1) }));
    expect(await rewrites.commit({ rewrite: otherDigest }, signal)).toBe(false);
    const missing = rewrite.map((one) => ({ ...one, id: idOf(9) }));
    expect(await rewrites.commit({ rewrite: missing }, signal)).toBe(false);
  });
});

describe("re-encryption of writes", () => {
  const write = (value: unknown, members: object = {}) => ({ taskId: "t", index: 0, channel: "c", value, ...members });
  const keys = () => [...dialect.writes.keys()];
  const written = (at: number) => dialect.writes.get(keys()[at] as string) as TaskWriteRow;
  const changed = (at: number, members: Partial<TaskWriteRow>) =>
    dialect.writes.set(keys()[at] as string, { ...written(at), ...members });
  const twoWrites = async () => {
    const id = await open().storeCheckpoint(checkpoint());
    await open().appendWrites(id, [write({ secret: CANARY }), write({ secret: CANARY }, { index: 1 })]);
    return id;
  };

  it("happens with their checkpoint, and counts unreadable ones", async () => {
    const id = await twoWrites();
    const rotated = open({ keys: ringOf("two") });
    expect(await reencryptCheckpoints(rotated)).toEqual({ examined: 1, rewritten: 1, unreadable: 0 });
    expect(await open({ keys: ringOf("two", { two: NEXT_KEY }) }).listWrites(id)).toHaveLength(2);
    changed(1, { state: flipped(written(1).state, 60) });
    expect(await reencryptCheckpoints(open())).toEqual({ examined: 1, rewritten: 1, unreadable: 1 });
  });

  it("encrypts plain ones with `migrate`", async () => {
    const plain = createStorage(dialect);
    const id = await plain.storeCheckpoint(checkpoint());
    await plain.appendWrites(id, [write({ secret: CANARY })]);
    const migrating = open({ keys: ringOf(), migrate: true });
    expect(await migrating.listWrites(id)).toEqual([write({ secret: CANARY })]);
    await reencryptCheckpoints(migrating);
    expect(await open().listWrites(id)).toEqual([write({ secret: CANARY })]);
  });
});

describe("the counts by key", () => {
  const none = { checkpoints: 0, writes: 0 };

  it("show which key is needed no more: of checkpoints, deltas and writes, and those that the ring lacks", async () => {
    const [first] = await storeTurns(); // with the key "one"
    const write = { taskId: "task", index: 0, channel: "result", value: 1 };
    await open().appendWrites(first as string, [write]);
    const storage = open({ keys: ringOf("two") });
    const last = await storage.storeCheckpoint(checkpoint());
    await storage.appendWrites(last, [write, { ...write, index: 1 }]);
    const two = { checkpoints: 1, writes: 2 };
    const mixed = { keys: { one: { checkpoints: 5, writes: 1 }, two }, plain: none, unreadable: none };
    expect(await countEncryptionKeys(storage)).toEqual(mixed);
    expect(await countEncryptionKeys(open({ keys: ringOf("two", { two: NEXT_KEY }) }))).toEqual(mixed);
    await reencryptCheckpoints(storage);
    const seen: unknown[] = [];
    const counts = await countEncryptionKeys(storage, { onProgress: (progress) => void seen.push(progress) });
    expect(counts).toEqual({ ...mixed, keys: { one: none, two: { checkpoints: 6, writes: 3 } } });
    expect(seen.at(-1)).toEqual(counts);
  });

  it("leave out tombstones, and tell what is plain and what is damaged", async () => {
    await storeTurns(createStorage(dialect));
    const storage = open({ keys: ringOf(), migrate: true });
    const [damaged, deleted] = [
      await storage.storeCheckpoint(checkpoint()),
      await storage.storeCheckpoint(checkpoint()),
    ];
    change(damaged, { state: flipped(rowOf(damaged).state, 3) });
    await storage.deleteCheckpoint(deleted);
    expect(await countEncryptionKeys(storage)).toEqual({
      keys: { one: none, two: none },
      plain: { checkpoints: 5, writes: 0 },
      unreadable: { checkpoints: 1, writes: 0 },
    });
  });

  it("can be cancelled, and are refused for a storage that does not encrypt", async () => {
    expect((await failure(countEncryptionKeys(open(), { signal: AbortSignal.abort() }))).code).toBe("ABORTED");
    expect((await failure(countEncryptionKeys(createStorage(dialect)))).code).toBe("INVALID_ARGUMENT");
  });
});
