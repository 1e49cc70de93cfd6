import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  countEncryptionKeys,
  createSQLiteStorage,
  type EncryptionOptions,
  openCheckpointStorage,
  reencryptCheckpoints,
} from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { answerOf, checkpoint, failure, keyRing, newFile } from "./fixtures.ts";

const CANARIES = ["canary-in-a-member", "canary in a text", "Kanarienvögel"];
const KEYS: EncryptionOptions = { keys: keyRing("one") };

/** Makes a state that has canaries in every turn: some are stored in full, some in deltas. */
const conversation = (turns: number) => ({
  [CANARIES[0] as string]: true,
  turns: Array.from({ length: turns }, (_, turn) => ({ turn, text: `${CANARIES[1]} ${turn}`, note: CANARIES[2] })),
});

/** Reads all files that SQLite has of a database now. */
function filesOf(databasePath: string): Buffer {
  const files = ["", "-wal", "-shm", "-journal"].map((ending) => `${databasePath}${ending}`).filter(existsSync);
  return Buffer.concat(files.map((file) => readFileSync(file)));
}

const canariesIn = (bytes: Buffer) => CANARIES.filter((canary) => bytes.includes(canary));

async function storeTurns(databasePath: string, encryption: EncryptionOptions | null, turns: number) {
  await using storage = createSQLiteStorage({ databasePath, encryption });
  const ids: string[] = [];
  for (let turn = 1; turn <= turns; turn++) ids.push(await storage.storeCheckpoint(checkpoint(conversation(turn * 5))));
  return ids;
}

const idOf = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");

describe("an encrypted SQLite file", () => {
  it("has no part of a state in its files, while it is open and afterwards", async () => {
    const plain = newFile();
    await using open = createSQLiteStorage({ databasePath: plain });
    await open.storeCheckpoint(checkpoint({ text: CANARIES.join() })); // not compressed
    expect(canariesIn(filesOf(plain))).toEqual(CANARIES);

    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath, encryption: KEYS });
    for (let turn = 1; turn <= 60; turn++) await storage.storeCheckpoint(checkpoint(conversation(turn * 2)));
    await storage.storeCheckpoint(checkpoint({ text: CANARIES.join() }));
    await storage.storeCheckpoint(checkpoint(CANARIES[1]));
    await storage.pruneCheckpoints({ keepLast: 9 });
    expect(existsSync(`${databasePath}-wal`)).toBe(true);
    expect(filesOf(databasePath).byteLength).toBeGreaterThan(10_000);
    expect(canariesIn(filesOf(databasePath))).toEqual([]);
    await storage.close();
    expect(canariesIn(filesOf(databasePath))).toEqual([]);
    // No plain digest either, by which a small state could be guessed.
    const digest = createHash("sha256").update(JSON.stringify(CANARIES[1])).digest();
    expect(filesOf(databasePath).includes(digest)).toBe(false);
  });

  it("has no part of a state in its files any more after it is encrypted and vacuumed", async () => {
    const databasePath = newFile();
    const ids = await storeTurns(databasePath, null, 20);
    await using small = createSQLiteStorage({ databasePath });
    await small.storeCheckpoint(checkpoint({ text: CANARIES.join() }));
    await small.close();
    expect(canariesIn(filesOf(databasePath))).toEqual(CANARIES);

    await using storage = createSQLiteStorage({ databasePath, encryption: { ...KEYS, migrate: true } });
    expect(await storage.retrieveCheckpoint(ids[19] as string)).toMatchObject({ state: conversation(100) });
    expect(await reencryptCheckpoints(storage)).toEqual({ examined: 21, rewritten: 21, unreadable: 0 });
    await storage.close();
    const database = new Database(databasePath);
    database.exec("vacuum");
    database.pragma("wal_checkpoint(truncate)");
    database.close();
    expect(canariesIn(filesOf(databasePath))).toEqual([]);
    await using reader = createSQLiteStorage({ databasePath, encryption: KEYS });
    for (const [index, id] of ids.entries()) {
      expect((await reader.retrieveCheckpoint(id))?.state).toEqual(conversation((index + 1) * 5));
    }
  });

  it("rejects states that were changed, cut, swapped between rows or agents, or replaced by plain text", async () => {
    const databasePath = newFile();
    const [one, two] = (await storeTurns(databasePath, KEYS, 2)) as [string, string];
    await using storage = createSQLiteStorage({ databasePath, encryption: KEYS, cacheBytes: 0 });
    const other = await storage.storeCheckpoint(checkpoint(conversation(5), "another agent"));
    const handle = new Database(databasePath);
    const set = (change: string, ...values: unknown[]) => {
      handle.exec("savepoint before");
      handle.prepare(`update agent_checkpoints set ${change} where id = ?`).run(...values, idOf(one));
      handle.exec("release before");
    };
    const row = handle.prepare("select * from agent_checkpoints where id = ?").get(idOf(one)) as Record<string, Buffer>;
    const put = () => {
      const names = ["agent_id", "encoding", "state", "digest"];
      set(names.map((name) => `${name} = ?`).join(), ...names.map((name) => row[name]));
    };
    const from = (column: string, id: string) => {
      return handle.prepare(`select ${column} from agent_checkpoints where id = ?`).pluck().get(idOf(id));
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
    handle.close();
  });

  it.each(["auto", "verify", "off"] as const)(
    "is refused without its keys and with other keys, and a plain file is refused with keys (migrate: %s)",
    async (migrate) => {
      const [databasePath, plain] = [newFile(), newFile()];
      await storeTurns(databasePath, KEYS, 1);
      await storeTurns(plain, null, 1);
      const codeOf = async (path: string, encryption: EncryptionOptions | null) => {
        await using storage = createSQLiteStorage({ databasePath: path, encryption, migrate });
        return (await failure(storage.storeCheckpoint(checkpoint(CANARIES[0])))).code;
      };
      expect(await codeOf(databasePath, null)).toBe("ENCRYPTION_MISMATCH");
      expect(await codeOf(databasePath, { keys: keyRing("two") })).toBe("ENCRYPTION_MISMATCH");
      expect(await codeOf(plain, KEYS)).toBe("ENCRYPTION_MISMATCH");
      expect(canariesIn(filesOf(databasePath))).toEqual([]);
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
      expect(await codeOf(plain, null)).toBe("ENCRYPTION_MISMATCH"); // as a process of an older deploy would open it
    },
  );

  it("is opened by a config, each provider with its own keys", async () => {
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
    for (const file of [main, backup]) expect(canariesIn(filesOf(file))).toEqual([]);
    expect(await reencryptCheckpoints(configured)).toMatchObject({ rewritten: 0, unreadable: 0 });
    await configured.reconcile(); // now main has what was stored in the backup alone
    const { keys: counts } = await countEncryptionKeys(configured); // of both: each provider has its own key
    expect(counts).toEqual({ one: { checkpoints: 2, writes: 0 }, two: { checkpoints: 2, writes: 0 } });
    const wrong = { ...providers, main: provider(main, { keys: { ...keyRing("one"), current: "secret" } }) };
    const error = await failure(openCheckpointStorage({ config: { checkpoint: { providers: wrong } } }));
    expect(error.message).toContain("checkpoint.providers.main.encryption.keys.current");
  });
});

describe("main and backup", () => {
  const others: Readonly<Record<string, EncryptionOptions | null>> = {
    "the same keys": KEYS,
    "other keys": { keys: { ...keyRing("two"), digestKey: keyRing("two").keys["two"] as string } },
    "no keys": null,
  };
  it.each(Object.entries(others))("have the same checkpoints where the backup has %s", async (_, encryption) => {
    const [databasePath, backupPath] = [newFile(), newFile()];
    const main = { type: createSQLiteStorage, databasePath, encryption: KEYS };
    const backup = { type: createSQLiteStorage, databasePath: backupPath, encryption };
    const config = { checkpoint: { providers: { main, backup }, replication: "required" } } as const;
    const ids = await storeTurns(databasePath, KEYS, 8); // before there is a backup
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

it("reports a backup whose keys are wrong by an event, while main goes on", async () => {
  const [databasePath, backupPath] = [newFile(), newFile()];
  await storeTurns(backupPath, KEYS, 1);
  const main = { type: createSQLiteStorage, databasePath, encryption: KEYS };
  const backup = { type: createSQLiteStorage, databasePath: backupPath };
  const config = { checkpoint: { providers: { main, backup }, reconcile: false } };
  await using storage = await openCheckpointStorage({ config });
  const reported = new Promise<string>((resolve) => {
    storage.on("replicationFailed", ({ code }) => resolve(code));
  });
  const id = await storage.storeCheckpoint(checkpoint(CANARIES[0]));
  expect(await reported).toBe("ENCRYPTION_MISMATCH");
  expect(await storage.retrieveCheckpoint(id)).toMatchObject({ id });
  expect((await storage.close({ timeoutMs: 100 })).unsent).toMatchObject({ toBackup: 1 });
  expect(canariesIn(filesOf(backupPath))).toEqual([]);
});

describe("keys of an SQLite file in use", () => {
  it.each([
    ["rotate", "one", false],
    ["replace no keys", null, true],
  ] as const)(
    "%s while processes store and prune",
    async (_, first, migrate) => {
      const [databasePath, keyFile] = [newFile(), newFile()];
      const setKeys = (current: string, names: readonly string[]) => {
        writeFileSync(`${keyFile}.new`, JSON.stringify(keyRing(current, names)));
        renameSync(`${keyFile}.new`, keyFile);
      };
      setKeys("one", ["one"]);
      if (first === null) await storeTurns(databasePath, null, 30);
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

      // Encrypts again what was being stored when the last keys came: then the other keys are not needed any more.
      expect((await reencryptCheckpoints(storage)).unreadable).toBe(0);
      const retired = { keys: keyRing("seven") };
      await using reader = createSQLiteStorage({ databasePath, encryption: retired, cacheBytes: 0 });
      for (const [index, agentId] of agents.entries()) {
        const listed = await reader.listCheckpoints({ agentId });
        const { acknowledged } = done[index] as (typeof done)[number];
        expect(acknowledged.length).toBeGreaterThan(2);
        const newest = acknowledged.slice(-10).reverse(); // no prune has removed these
        expect(listed.slice(0, newest.length).map(({ id }) => id)).toEqual(newest);
        for (const { id, name } of listed) {
          const state = (await reader.retrieveCheckpoint(id))?.state;
          if (name === "turn") continue; // stored before the workers began
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

/** Waits until a worker has ended, and returns what it has done. */
async function endOf(worker: ReturnType<typeof start>): Promise<Done> {
  for (;;) {
    const answer = await answerOf(worker);
    if (answer !== "working") return answer as Done;
  }
}

function start(...args: string[]) {
  return fork(fileURLToPath(new URL("./encryption-child.mjs", import.meta.url)), args, {
    execArgv: [], // the built package, not its sources
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}
