import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  CheckpointError,
  createSQLiteStorage,
  type EncryptionOptions,
  openCheckpointStorage,
  reencryptCheckpoints,
} from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { answerOf, checkpoint, keyRing, newFile } from "./fixtures.ts";

const CANARIES = ["canary-in-a-member", "canary in a text", "Kanarienvögel"];
const KEYS: EncryptionOptions = { keys: keyRing("one") };

/** A state whose every turn has canaries in it: some are stored whole, some in differences. */
const conversation = (turns: number) => ({
  [CANARIES[0] as string]: true,
  turns: Array.from({ length: turns }, (_, turn) => ({ turn, text: `${CANARIES[1]} ${turn}`, note: CANARIES[2] })),
});

/** All that SQLite keeps of a database on disk, now. */
function filesOf(databasePath: string): Buffer {
  const files = ["", "-wal", "-shm", "-journal"].map((ending) => `${databasePath}${ending}`).filter(existsSync);
  return Buffer.concat(files.map((file) => readFileSync(file)));
}

const found = (bytes: Buffer) => CANARIES.filter((canary) => bytes.includes(canary));

async function failure(call: Promise<unknown>): Promise<CheckpointError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

async function storeTurns(databasePath: string, encryption: EncryptionOptions | undefined, turns: number) {
  await using storage = createSQLiteStorage({ databasePath, encryption });
  const ids: string[] = [];
  for (let turn = 1; turn <= turns; turn++) ids.push(await storage.storeCheckpoint(checkpoint(conversation(turn * 5))));
  return ids;
}

const idOf = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");

describe("an encrypted SQLite file", () => {
  it("has no piece of a state in it, nor beside it, while it is open and afterwards", async () => {
    const plain = newFile();
    await using open = createSQLiteStorage({ databasePath: plain });
    await open.storeCheckpoint(checkpoint({ text: CANARIES.join() })); // not compressed
    expect(found(filesOf(plain))).toEqual(CANARIES);

    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath, encryption: KEYS });
    for (let turn = 1; turn <= 60; turn++) await storage.storeCheckpoint(checkpoint(conversation(turn * 2)));
    await storage.storeCheckpoint(checkpoint({ text: CANARIES.join() }));
    await storage.storeCheckpoint(checkpoint(CANARIES[1]));
    await storage.pruneCheckpoints({ keepLast: 9 });
    expect(existsSync(`${databasePath}-wal`)).toBe(true);
    expect(filesOf(databasePath).byteLength).toBeGreaterThan(10_000);
    expect(found(filesOf(databasePath))).toEqual([]);
    await storage.close();
    expect(found(filesOf(databasePath))).toEqual([]);
    // Nor the digests by which a small state could be found out.
    const digest = createHash("sha256").update(JSON.stringify(CANARIES[1])).digest();
    expect(filesOf(databasePath).includes(digest)).toBe(false);
  });

  it("has no piece of a state any more once it was encrypted and cleaned", async () => {
    const databasePath = newFile();
    const ids = await storeTurns(databasePath, undefined, 20);
    await using small = createSQLiteStorage({ databasePath });
    await small.storeCheckpoint(checkpoint({ text: CANARIES.join() }));
    await small.close();
    expect(found(filesOf(databasePath))).toEqual(CANARIES);

    await using storage = createSQLiteStorage({ databasePath, encryption: { ...KEYS, migrate: true } });
    expect(await storage.retrieveCheckpoint(ids[19] as string)).toMatchObject({ state: conversation(100) });
    expect(await reencryptCheckpoints(storage)).toEqual({ examined: 21, rewritten: 21, unreadable: 0 });
    await storage.close();
    const database = new Database(databasePath);
    database.exec("vacuum");
    database.pragma("wal_checkpoint(truncate)");
    database.close();
    expect(found(filesOf(databasePath))).toEqual([]);
    await using reader = createSQLiteStorage({ databasePath, encryption: KEYS });
    for (const [index, id] of ids.entries()) {
      expect((await reader.retrieveCheckpoint(id))?.state).toEqual(conversation((index + 1) * 5));
    }
  });

  it("rejects what was changed, cut, swapped between rows or agents, or put there as plain text", async () => {
    const databasePath = newFile();
    const [one, two] = (await storeTurns(databasePath, KEYS, 2)) as [string, string];
    await using storage = createSQLiteStorage({ databasePath, encryption: KEYS, cacheBytes: 0 });
    const other = await storage.storeCheckpoint(checkpoint(conversation(5), "another agent"));
    const around = new Database(databasePath);
    const set = (change: string, ...values: unknown[]) => {
      around.exec("savepoint before");
      around.prepare(`update agent_checkpoints set ${change} where id = ?`).run(...values, idOf(one));
      around.exec("release before");
    };
    const row = around.prepare("select * from agent_checkpoints where id = ?").get(idOf(one)) as Record<string, Buffer>;
    const put = () => {
      const names = ["agent_id", "encoding", "state", "digest"];
      set(names.map((name) => `${name} = ?`).join(), ...names.map((name) => row[name]));
    };
    const from = (column: string, id: string) => {
      return around.prepare(`select ${column} from agent_checkpoints where id = ?`).pluck().get(idOf(id));
    };
    const state = row["state"] as Buffer;
    const cases: readonly (readonly [code: string, change: string, ...values: unknown[]])[] = [
      ...[0, 1, 5, 12, 20, 40, state.length >> 1, state.length - 1].map((at) => {
        const changed = Buffer.from(state);
        changed[at] = (changed[at] as number) ^ 0x40;
        return ["CORRUPT_CHECKPOINT", "state = ?", changed] as const;
      }),
      ["CORRUPT_CHECKPOINT", "state = ?", state.subarray(0, -1)],
      ["CORRUPT_CHECKPOINT", "state = ?", state.subarray(0, 20)],
      ["CORRUPT_CHECKPOINT", "state = ?", Buffer.alloc(0)],
      ["CORRUPT_CHECKPOINT", "state = ?", from("state", two)],
      ["CORRUPT_CHECKPOINT", "state = ?, encoding = ?", from("state", two), from("encoding", two)],
      ["CORRUPT_CHECKPOINT", "state = ?", from("state", other)],
      ["CORRUPT_CHECKPOINT", "agent_id = ?", from("agent_id", other)],
      ["CORRUPT_CHECKPOINT", "digest = ?", from("digest", two)],
      ["ENCRYPTION_MISMATCH", "encoding = 'json', state = ?, state_bytes = 4", Buffer.from("true")],
    ];
    for (const [code, change, ...values] of cases) {
      set(change, ...values);
      for (const read of [storage.retrieveCheckpoint(one), storage.retrieveCheckpoint(two)]) {
        const error = await failure(read);
        expect([error.code, error.message.includes(one)], change).toEqual([code, true]);
        if (from("base_id", two) === null) break;
      }
      set("state_bytes = ?", row["state_bytes"]);
      put();
    }
    expect(await storage.retrieveCheckpoint(one)).toMatchObject({ state: conversation(5) });
    around.close();
  });

  it.each(["auto", "verify", "off"] as const)(
    "is not opened without its keys, nor with others, nor a plain one with keys (%s)",
    async (migrate) => {
      const [databasePath, plain] = [newFile(), newFile()];
      await storeTurns(databasePath, KEYS, 1);
      await storeTurns(plain, undefined, 1);
      const codeOf = async (path: string, encryption: EncryptionOptions | undefined) => {
        await using storage = createSQLiteStorage({ databasePath: path, encryption, migrate });
        return (await failure(storage.storeCheckpoint(checkpoint(CANARIES[0])))).code;
      };
      expect(await codeOf(databasePath, undefined)).toBe("ENCRYPTION_MISMATCH");
      expect(await codeOf(databasePath, { keys: keyRing("two") })).toBe("ENCRYPTION_MISMATCH");
      expect(await codeOf(plain, KEYS)).toBe("ENCRYPTION_MISMATCH");
      expect(found(filesOf(databasePath))).toEqual([]);
      await using keyless = createSQLiteStorage({ databasePath, migrate });
      expect(await keyless.migrate("verify")).toEqual([]);
      await using storage = createSQLiteStorage({ databasePath, encryption: KEYS, migrate });
      expect(await storage.stats()).toMatchObject({ checkpoints: 1 });
      await using coming = createSQLiteStorage({
        databasePath: plain,
        encryption: { ...KEYS, migrate: true },
        migrate,
      });
      await coming.storeCheckpoint(checkpoint(1));
      expect(await codeOf(plain, undefined)).toBe("ENCRYPTION_MISMATCH"); // of a deploy that was forgotten
    },
  );

  it("is opened by a config, with keys of its own for each provider", async () => {
    const [main, backup] = [newFile(), newFile()];
    const provider = (databasePath: string, encryption: EncryptionOptions) => {
      return { type: createSQLiteStorage, databasePath, encryption };
    };
    const keys = async () => await Promise.resolve(keyRing("two", ["one", "two"]));
    const providers = { main: provider(main, KEYS), backup: provider(backup, { keys }) };
    await using configured = await openCheckpointStorage({ config: { checkpoint: { providers } } });
    const id = await configured.storeCheckpoint(checkpoint({ text: CANARIES.join() }));
    await configured.provider("backup").storeCheckpoint(checkpoint({ text: CANARIES.join() }, "of its own"));
    expect(await configured.retrieveCheckpoint(id)).toMatchObject({ state: { text: CANARIES.join() } });
    for (const file of [main, backup]) expect(found(filesOf(file))).toEqual([]);
    expect(await reencryptCheckpoints(configured)).toMatchObject({ rewritten: 0, unreadable: 0 });
    const wrong = { ...providers, main: provider(main, { keys: { ...keyRing("one"), current: "secret" } }) };
    const error = await failure(openCheckpointStorage({ config: { checkpoint: { providers: wrong } } }));
    expect(error.message).toContain("checkpoint.providers.main.encryption.keys.current");
  });
});

describe("main and backup", () => {
  const others: Readonly<Record<string, EncryptionOptions | undefined>> = {
    "the same keys": KEYS,
    "other keys": { keys: { ...keyRing("two"), digestKey: keyRing("two").keys["two"] as string } },
    "no keys": undefined,
  };
  it.each(Object.entries(others))("have the same checkpoints where the backup has %s", async (_, encryption) => {
    const [databasePath, backupPath] = [newFile(), newFile()];
    const main = { type: createSQLiteStorage, databasePath, encryption: KEYS };
    const backup = { type: createSQLiteStorage, databasePath: backupPath, encryption };
    const config = { checkpoint: { providers: { main, backup }, replication: "required" } } as const;
    const ids = await storeTurns(databasePath, KEYS, 8); // of before there was a backup
    await using storage = await openCheckpointStorage({ config });
    for (let turn = 9; turn <= 16; turn++) ids.push(await storage.storeCheckpoint(checkpoint(conversation(turn * 5))));
    await storage.deleteCheckpoint(ids.shift() as string);
    expect(await storage.reconcile()).toMatchObject({ conflicts: 0, damaged: 0 });
    expect(await storage.reconcile()).toMatchObject({ copiedToBackup: 0, copiedToMain: 0, deleted: 0, conflicts: 0 });
    for (const name of ["main", "backup"]) {
      const listed = await storage.provider(name).listCheckpoints({ agentId: "agent" });
      expect(listed.map(({ id }) => id)).toEqual([...ids].reverse());
      for (const [index, id] of ids.entries()) {
        expect((await storage.provider(name).retrieveCheckpoint(id))?.state).toEqual(conversation((index + 2) * 5));
      }
    }
  });
});

it("a backup whose keys are wrong is told by an event; main goes on", async () => {
  const [databasePath, backupPath] = [newFile(), newFile()];
  await storeTurns(backupPath, KEYS, 1);
  const main = { type: createSQLiteStorage, databasePath, encryption: KEYS };
  const backup = { type: createSQLiteStorage, databasePath: backupPath };
  const config = { checkpoint: { providers: { main, backup }, reconcile: false } };
  await using storage = await openCheckpointStorage({ config });
  const told = new Promise<string>((resolve) => {
    storage.on("replicationFailed", ({ code }) => resolve(code));
  });
  const id = await storage.storeCheckpoint(checkpoint(CANARIES[0]));
  expect(await told).toBe("ENCRYPTION_MISMATCH");
  expect(await storage.retrieveCheckpoint(id)).toMatchObject({ id });
  expect((await storage.close({ timeoutMs: 100 })).unsent).toMatchObject({ toBackup: 1 });
  expect(found(filesOf(backupPath))).toEqual([]);
});

describe("keys of an SQLite file that is in use", () => {
  it.each([
    ["rotate", "one", false],
    ["come to where there were none", null, true],
  ] as const)(
    "%s while processes store and prune",
    async (_, first, migrate) => {
      const [databasePath, keyFile] = [newFile(), newFile()];
      const setKeys = (current: string, names: readonly string[]) => {
        writeFileSync(`${keyFile}.new`, JSON.stringify(keyRing(current, names)));
        renameSync(`${keyFile}.new`, keyFile);
      };
      setKeys("one", ["one"]);
      if (first === null) await storeTurns(databasePath, undefined, 30);
      const suffix = migrate ? " and migrate" : "";
      const agents = ["agent", "second", "third"];
      const workers = [
        ...agents.map((agentId) => start(`store${suffix}`, databasePath, keyFile, agentId)),
        start(`prune${suffix}`, databasePath, keyFile, "none"),
      ];
      await Promise.all(workers.map(async (worker) => expect(await answerOf(worker)).toBe("working")));

      const keys = () => JSON.parse(readFileSync(keyFile, "utf8")) as ReturnType<typeof keyRing>;
      await using storage = createSQLiteStorage({ databasePath, encryption: { keys, migrate } });
      let rewritten = 0;
      const names = ["two", "three", "four", "five", "six", "seven"];
      for (const name of names) {
        setKeys(name, ["one", ...names]);
        const [result] = await Promise.all([
          reencryptCheckpoints(storage),
          ...workers.map(async (worker) => expect(await answerOf(worker)).toBe("working")),
        ]);
        expect(result.unreadable).toBe(0);
        rewritten += result.rewritten;
      }
      expect(rewritten).toBeGreaterThan(0);
      const ends = workers.map(endOf);
      for (const worker of workers) worker.send("stop");
      const done = await Promise.all(ends);
      expect(done.map(({ error }) => error)).toEqual(workers.map(() => undefined));

      // What was on its way when the last keys came; then the others are not needed any more.
      expect((await reencryptCheckpoints(storage)).unreadable).toBe(0);
      const retired = { keys: keyRing("seven") };
      await using reader = createSQLiteStorage({ databasePath, encryption: retired, cacheBytes: 0 });
      for (const [index, agentId] of agents.entries()) {
        const listed = await reader.listCheckpoints({ agentId });
        const { acknowledged } = done[index] as (typeof done)[number];
        expect(acknowledged.length).toBeGreaterThan(2);
        const newest = acknowledged.slice(-10).reverse(); // which no prune has removed
        expect(listed.slice(0, newest.length).map(({ id }) => id)).toEqual(newest);
        for (const { id, name } of listed) {
          const state = (await reader.retrieveCheckpoint(id))?.state;
          if (name === "turn") continue; // of before
          expect(createHash("sha256").update(JSON.stringify(state)).digest("hex")).toBe(name);
        }
      }
    },
    120_000,
  );
});

interface Done {
  readonly acknowledged: string[];
  readonly error?: string;
}

/** What a worker has done, at its end. */
async function endOf(worker: ReturnType<typeof start>): Promise<Done> {
  for (;;) {
    const answer = await answerOf(worker);
    if (answer !== "working") return answer as Done;
  }
}

function start(...args: string[]) {
  return fork(fileURLToPath(new URL("./encryption-child.mjs", import.meta.url)), args, {
    execArgv: [], // not the sources, as here
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}
