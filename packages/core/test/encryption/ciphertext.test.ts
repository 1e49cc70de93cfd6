import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { Row, TaskWriteRow } from "../../src/checkpoints/dialect.ts";
import { createStorage } from "../../src/create-storage.ts";
import { encryptDialect } from "../../src/encryption/encrypted-dialect.ts";
import { idOf, noise } from "../rows.ts";
import {
  CANARY,
  change,
  checkpoint,
  dialect,
  failure,
  flipped,
  NEXT_KEY,
  open,
  ringOf,
  rowOf,
  storeTurns,
  turns,
  useDatabase,
} from "./encrypted-storage.ts";

const { signal } = new AbortController();

useDatabase();

describe("an encrypted row", () => {
  it("is decrypted to its state, and shows nothing of it", async () => {
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

  it("is decrypted to its state if it is a delta, or so long that another thread encrypts it", async () => {
    const ids = await storeTurns();
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

  it("has another ciphertext each time and the same digest, so that a repeated store is recognised", async () => {
    const storage = open();
    const first = checkpoint({ id: idOf(1) });
    await storage.storeCheckpoint(first);
    const before = rowOf(idOf(1));
    await storage.storeCheckpoint(first);
    expect(rowOf(idOf(1))).toBe(before);
    expect((await failure(storage.storeCheckpoint({ ...first, state: 8 }))).code).toBe("CONFLICT");
    const other = await storage.storeCheckpoint(checkpoint());
    expect(rowOf(other).digest).toEqual(before.digest);
    const ciphertext = ({ state }: Row) =>
      Buffer.from(state).toString("hex", 2 + "one".length + 8 + 12, state.length - 16);
    expect(ciphertext(rowOf(other))).toHaveLength(ciphertext(before).length);
    expect(ciphertext(rowOf(other))).not.toBe(ciphertext(before));
  });

  it("is refused if any byte of it is changed, missing or added", async () => {
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

  it("is refused with the id, agent, namespace, encoding or digest of another row", async () => {
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
    // Even if the content would be the same.
    change(one, { state, encoding: "json+anchor+sealed" });
    const { dialect: encrypted } = encryptDialect(dialect, { keys: ringOf(), migrate: false });
    const [unreadable] = await encrypted.readRows([one], signal);
    expect(unreadable).toHaveProperty("unreadable");
    change(one, { encoding: "json+sealed" });
    // Lengths are authenticated too: a character that moves from one text to the next is noticed.
    const moved = await storage.storeCheckpoint(checkpoint({ agentId: "ab", namespace: "c" }));
    change(moved, { agentId: "a", namespace: "bc" });
    expect((await failure(storage.retrieveCheckpoint(moved))).code).toBe("CORRUPT_CHECKPOINT");
  });

  it("is named by its id if it is damaged and others build on it; those before can be read", async () => {
    const ids = await storeTurns();
    const [first, second, third, , last] = ids as [string, string, string, string, string];
    change(third, { state: flipped(rowOf(third).state, 90) });
    const error = await failure(open().retrieveCheckpoint(last));
    expect(error.message).toContain(`${last}, which builds on ${third}`);
    for (const id of [first, second]) expect(await open().retrieveCheckpoint(id)).toMatchObject({ id });
    expect(await open().listCheckpoints({ agentId: "agent" })).toHaveLength(5);
  });

  it("is refused if its base was taken away", async () => {
    const [first, second] = (await storeTurns()) as [string, string];
    const storage = open();
    change(second, { baseId: null }); // as if it were full
    expect((await failure(storage.retrieveCheckpoint(second))).code).toBe("CORRUPT_CHECKPOINT");
    expect(await storage.retrieveCheckpoint(first)).toMatchObject({ id: first });
  });

  it("has its name and labels in plain text", async () => {
    const id = await open().storeCheckpoint(checkpoint({ name: "a name", metadata: { label: "x" }, state: 1 }));
    expect(rowOf(id)).toMatchObject({ agentId: "agent", name: "a name" });
    expect(await open().listCheckpoints({ agentId: "agent", metadata: { label: "x" } })).toHaveLength(1);
  });
});

describe("an encrypted write", () => {
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

  it("is decrypted to its value, and shows nothing of it", async () => {
    const id = await twoWrites();
    const stored = inspect([...dialect.writes.values()].map(({ state }) => Buffer.from(state).toString("latin1")));
    expect(stored).not.toContain(CANARY);
    expect(written(0).encoding).toBe("json+sealed");
    expect(await open().listWrites(id)).toEqual([write({ secret: CANARY }), write({ secret: CANARY }, { index: 1 })]);
  });

  it("is refused if a byte of it or of its other columns is changed, or if it is that of another write", async () => {
    const id = await twoWrites();
    const [first, second] = [written(0), written(1)];
    const damages: Partial<TaskWriteRow>[] = [
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

  it("is refused in plain text, and with a missing key", async () => {
    const id = await twoWrites();
    changed(0, { encoding: "json", state: Buffer.from("1") });
    expect((await failure(open().listWrites(id))).code).toBe("ENCRYPTION_MISMATCH");
    dialect.writes.delete(keys()[0] as string);
    expect((await failure(open({ keys: ringOf("two", { two: NEXT_KEY }) }).listWrites(id))).code).toBe(
      "ENCRYPTION_MISMATCH",
    );
    expect((await failure(createStorage(dialect).listWrites(id))).code).toBe("ENCRYPTION_MISMATCH");
  });
});
