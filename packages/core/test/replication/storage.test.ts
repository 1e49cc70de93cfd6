import { afterEach, describe, expect, test, vi } from "vitest";
import { NO_AGENT, type Row } from "../../src/checkpoints/dialect.ts";
import { idClock } from "../../src/checkpoints/ids.ts";
import { createStorage } from "../../src/checkpoints/storage.ts";
import type { CheckpointStorage, StorageEvents } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { createReplicatedStorage, type ReplicatedStorageOptions } from "../../src/replication/storage.ts";
import { type ScriptedDialect, ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

/** A database that can be taken away. */
interface Database {
  readonly dialect: ScriptedDialect;
  readonly rows: Map<string, Row>;
  down: boolean;
  readOnly: boolean;
}

const QUICK = {
  operationTimeoutMs: 20_000,
  retry: { maxRetries: 0, baseDelayMs: 1, maxDelayMs: 1, jitterMaxMs: 0 },
  circuit: { failureThreshold: 3, resetTimeoutMs: 50, halfOpenMaxAttempts: 1 },
};

const opened: CheckpointStorage[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const storage of opened.splice(0)) await storage.close({ timeoutMs: 500 }).catch(() => {});
});

function database(rows = new Map<string, Row>()): Database {
  const dialect = scriptedDialect();
  for (const [id, row] of rows) dialect.rows.set(id, row);
  const made = { dialect, rows: dialect.rows, down: false, readOnly: false };
  const guarded = Object.entries(dialect).map(([name, member]: [string, unknown]) => {
    if (typeof member !== "function" || ["classify", "close"].includes(name)) return [name, member];
    const call = async (...given: unknown[]) => {
      if (made.down) throw new ScriptedError("connection");
      if (made.readOnly && name === "commit") throw new ScriptedError("read-only");
      return (await member(...given)) as unknown;
    };
    return [name, call];
  });
  return Object.assign(made, { dialect: Object.fromEntries(guarded) as ScriptedDialect });
}

function open(
  main: Database,
  backup: Database,
  policy: Omit<ReplicatedStorageOptions, "main" | "backup"> = {},
  seen?: Partial<Record<keyof StorageEvents, unknown[]>>,
) {
  const storage = createReplicatedStorage({
    main: createStorage(main.dialect, QUICK),
    backup: createStorage(backup.dialect, QUICK),
    ...policy,
  });
  for (const [name, events] of Object.entries(seen ?? {})) {
    storage.on(name as keyof StorageEvents, (event) => void events.push(event));
  }
  opened.push(storage);
  return storage;
}

const turn = (number: number, more: object = {}) => ({
  agentId: "agent",
  name: `turn ${number}`,
  createdAt: number,
  state: { number, messages: Array.from({ length: number }, (_, at) => `${"a message ".repeat(50)}${at}`) },
  ...more,
});

const live = ({ rows }: Database) => [...rows.values()].filter(({ agentId }) => agentId !== NO_AGENT);
const ids = (one: Database) =>
  live(one)
    .map(({ id }) => id)
    .sort();
const buried = ({ rows }: Database) =>
  [...rows.values()].filter(({ agentId }) => agentId === NO_AGENT).map(({ id }) => id);
const pending = ({ rows }: Database) => [...rows.values()].filter((row) => row.pending !== null).length;

/** Until it holds; the test's own deadline is the limit. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "none",
    (error: unknown) => (error instanceof CheckpointError ? error.code : String(error)),
  );
}

describe("while both are there", () => {
  test("what main acknowledges comes to the backup, byte for byte, and is pending no more", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    for (let number = 1; number <= 40; number++) await storage.storeCheckpoint(turn(number));
    await until(() => live(backup).length === 40 && pending(main) === 0);
    for (const [id, row] of main.rows) {
      expect({ ...backup.rows.get(id), pending: 0 }).toEqual({ ...row, pending: 0 });
    }
    expect((await storage.retrieveLatestCheckpoint("agent"))?.source).toBe("main");
    expect((await storage.status()).providers["main"]?.backlog).toEqual({ rows: 0, bytes: 0, ageMs: 0 });
  });

  test("required: a store is acknowledged when both have it", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { replication: "required" });
    const id = await storage.storeCheckpoint(turn(3));
    expect(ids(backup)).toEqual([id]);
    backup.down = true;
    expect(await codeOf(storage.storeCheckpoint(turn(4)))).toBe("UNAVAILABLE");
    backup.down = false;
    await until(() => live(backup).length === 2); // it was in main, and pending
  });

  test("deletes and prunes travel, and what was deleted is never stored again", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const stored: string[] = [];
    for (let number = 1; number <= 10; number++) stored.push(await storage.storeCheckpoint(turn(number)));
    expect(await storage.deleteCheckpoint(stored[4] as string)).toBe(true);
    expect(await storage.pruneCheckpoints({ keepLast: 3 })).toMatchObject({ removed: 6 });
    await until(() => live(backup).length === 3 && pending(main) === 0);
    expect(buried(backup).sort()).toEqual([...stored].sort().slice(0, 7));
    expect(ids(backup)).toEqual(ids(main));
    expect(await codeOf(storage.storeCheckpoint(turn(5, { id: stored[4] })))).toBe("CONFLICT");
    expect(await storage.retrieveCheckpoint(stored[4] as string)).toBeNull();
    expect(await storage.deleteCheckpoint(stored[4] as string)).toBe(false);
    expect(await storage.listCheckpoints()).toHaveLength(3);
    expect(await storage.listAgents()).toEqual(["agent"]);
    expect(await storage.deleteAgent("agent")).toBe(3);
    await until(() => live(backup).length === 0);
    expect((await storage.stats()).checkpoints).toBe(0);
  });

  test("a backup that is away catches up by itself, and holds up no store", async () => {
    const [main, backup] = [database(), database()];
    backup.down = true;
    const storage = open(main, backup);
    for (let number = 1; number <= 300; number++)
      await storage.storeCheckpoint(turn(number % 20, { namespace: `${number % 7}` }));
    expect((await storage.status()).providers["main"]?.backlog?.rows).toBe(300);
    backup.down = false;
    await until(() => live(backup).length === 300 && pending(main) === 0);
    expect(ids(backup)).toEqual(ids(main));
  }, 30_000);
});

describe("while main is away", () => {
  test("the backup takes stores, and main gets them when it is back", async () => {
    const [main, backup] = [database(), database()];
    const seen = { failover: [] as unknown[], mode: [] as { mode: string }[] };
    const storage = open(main, backup, {}, seen);
    for (let number = 1; number <= 5; number++) await storage.storeCheckpoint(turn(number));
    await until(() => live(backup).length === 5);
    main.down = true;
    const stored: string[] = [];
    for (let number = 6; number <= 12; number++) stored.push(await storage.storeCheckpoint(turn(number)));
    expect(live(backup)).toHaveLength(12);
    expect(seen.failover).toHaveLength(7);

    const found = await storage.retrieveCheckpoint(stored[0] as string);
    expect([found?.source, found?.state]).toEqual(["backup", turn(6).state]);
    expect(await codeOf(storage.retrieveLatestCheckpoint("agent"))).toBe("STALE");
    expect(await codeOf(storage.listCheckpoints({ agentId: "agent" }))).toBe("STALE");
    expect(await codeOf(storage.retrieveCheckpoint(idClock.next()))).toBe("STALE");
    const latest = await storage.retrieveLatestCheckpoint("agent", { allowStale: true });
    expect([latest?.id, latest?.source]).toEqual([stored.at(-1), "backup"]);
    expect(await codeOf(storage.storeCheckpoint(turn(13), { ifLatest: latest?.id ?? null }))).toBe("UNAVAILABLE");
    expect(await codeOf(storage.deleteCheckpoint(stored[0] as string))).toBe("UNAVAILABLE");
    expect(await codeOf(storage.deleteAgent("agent"))).toBe("UNAVAILABLE");
    expect(await codeOf(storage.pruneCheckpoints({ keepLast: 1 }))).toBe("UNAVAILABLE");

    main.down = false;
    await until(async () => live(main).length === 12 && (await storage.status()).mode === "main");
    expect(seen.mode.map(({ mode }) => mode).at(-1)).toBe("main");
    expect(pending(backup)).toBe(0);
    const back = await storage.retrieveLatestCheckpoint("agent");
    expect([back?.id, back?.source, back?.state]).toEqual([stored.at(-1), "main", turn(12).state]);
    expect(await storage.deleteCheckpoint(stored[0] as string)).toBe(true);
  }, 20_000);

  test("while main does not take stores but answers, reads see what the backup took", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    await storage.storeCheckpoint(turn(1));
    main.readOnly = true;
    const id = await storage.storeCheckpoint(turn(2));
    expect(live(main)).toHaveLength(1);
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
    expect((await storage.retrieveCheckpoint(id))?.source).toBe("backup");
    expect((await storage.listCheckpoints()).map(({ source }) => source)).toEqual(["backup", "main"]);
    expect((await storage.status()).mode).toBe("draining");
    main.readOnly = false;
    await until(() => live(main).length === 2);
  });

  test("a process that starts anew finds what the one before left in the backup", async () => {
    const [main, backup] = [database(), database()];
    const first = open(main, backup);
    await first.storeCheckpoint(turn(1));
    main.down = true;
    const id = await first.storeCheckpoint(turn(2));
    main.down = false;
    // Nothing is closed: the first process is gone.
    const [mainAgain, backupAgain] = [database(main.rows), database(backup.rows)];
    const second = open(mainAgain, backupAgain);
    expect((await second.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
    await until(() => mainAgain.rows.has(id) && pending(backupAgain) === 0);
  });

  test("another process, which never missed main, sees what the backup took for the first", async () => {
    const rows = { main: new Map<string, Row>(), backup: new Map<string, Row>() };
    const shared = (name: "main" | "backup") => {
      const made = database();
      for (const method of ["get", "set", "has", "delete", "values", "keys", "entries", "clear"] as const) {
        Object.defineProperty(made.rows, method, { value: rows[name][method].bind(rows[name]) });
      }
      return made;
    };
    const [mainOfOne, mainOfOther, backup] = [shared("main"), shared("main"), shared("backup")];
    const one = open(mainOfOne, backup);
    const other = open(mainOfOther, shared("backup"));
    await other.storeCheckpoint(turn(1));
    expect((await other.retrieveLatestCheckpoint("agent"))?.name).toBe("turn 1");
    mainOfOne.down = true;
    await one.storeCheckpoint(turn(2));
    const latest = await other.retrieveLatestCheckpoint("agent");
    expect(latest?.name).toBe("turn 2");
    expect((await other.listCheckpoints()).map(({ name }) => name)).toEqual(["turn 2", "turn 1"]);
    await until(() => rows.main.has(latest?.id as string)); // the other one can reach main
  });

  test("read-only: it answers, and takes nothing; off: it does not answer", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { failover: "read-only", staleReads: "allow" });
    const id = await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1);
    main.down = true;
    expect(await codeOf(storage.storeCheckpoint(turn(2)))).toBe("UNAVAILABLE");
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
    const off = open(main, backup, { failover: "off" });
    expect(await codeOf(off.retrieveCheckpoint(id))).toBe("UNAVAILABLE");
  });

  test("both away: one error that holds both causes", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    main.down = true;
    backup.down = true;
    const error: unknown = await storage.storeCheckpoint(turn(1)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    const { cause } = error as { cause: AggregateError };
    expect(cause.errors.map(({ code }: CheckpointError) => code)).toEqual(["UNAVAILABLE", "UNAVAILABLE"]);
    expect(await codeOf(storage.retrieveLatestCheckpoint("agent"))).toBe("UNAVAILABLE");
  });
});

describe("main that is another one now", () => {
  /** Without a connection that was seen to be lost. */
  async function replaceMain(rows: Map<string, Row>) {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    for (let number = 1; number <= 3; number++) await storage.storeCheckpoint(turn(number));
    const old = new Map(main.rows);
    for (let number = 4; number <= 5; number++) await storage.storeCheckpoint(turn(number));
    await until(() => live(backup).length === 5 && pending(main) === 0);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 2_000 }); // longer than main counts as the one that it was
    main.rows.clear();
    for (const [id, row] of rows === FROM_DUMP ? old : rows) main.rows.set(id, row);
    return { main, backup, storage };
  }
  const FROM_DUMP = new Map<string, Row>();
  const EMPTY = new Map<string, Row>();

  test.each([
    ["empty", EMPTY],
    ["from a dump", FROM_DUMP],
  ])("%s: is noticed by what it lacks, before it answers", async (_, rows) => {
    const { main, storage } = await replaceMain(rows);
    expect((await storage.listCheckpoints()).map(({ name }) => name)).toEqual(
      [5, 4, 3, 2, 1].map((one) => `turn ${one}`),
    );
    expect((await storage.retrieveLatestCheckpoint("agent"))?.name).toBe("turn 5");
    await until(() => live(main).length === 5);
  });

  test("does not let a compare-and-store begin anew", async () => {
    const { main, storage } = await replaceMain(EMPTY);
    expect(await codeOf(storage.storeCheckpoint(turn(6), { ifLatest: null }))).toBe("CONFLICT");
    expect(live(main)).toHaveLength(5);
    const latest = await storage.retrieveLatestCheckpoint("agent");
    await storage.storeCheckpoint(turn(6), { ifLatest: latest?.id ?? null });
  });
});

test("deleteAgent takes what the backup alone has, and nothing that is stored after it, under whatever id", async () => {
  const [main, backup] = [database(), database()];
  const alone = createStorage(backup.dialect, QUICK);
  opened.push(alone);
  await alone.storeCheckpoint(turn(1));
  const storage = open(main, backup, { reconcile: false });
  const old = idClock.next();
  await storage.storeCheckpoint(turn(2));
  expect(await storage.deleteAgent("agent")).toBe(2);
  await storage.storeCheckpoint(turn(3, { id: old }));
  await storage.reconcile();
  expect([ids(main), ids(backup)]).toEqual([[old], [old]]);
  backup.down = true;
  expect(await codeOf(storage.deleteAgent("agent"))).toBe("UNAVAILABLE");
});

test("required: a caller's signal ends the wait for the backup", async () => {
  const [main, backup] = [database(), database()];
  const storage = open(main, backup, { replication: "required" });
  await storage.storeCheckpoint(turn(1));
  backup.dialect.commit = () => new Promise(() => {});
  const ending = new AbortController();
  const call = storage.storeCheckpoint(turn(2), { signal: ending.signal });
  await until(() => live(main).length === 2);
  ending.abort();
  expect(await codeOf(call)).toBe("ABORTED");
});

test("what is wrong with a call stays so when the backup says it", async () => {
  const [main, backup] = [database(), database()];
  const storage = open(main, backup);
  const id = await storage.storeCheckpoint(turn(1));
  await until(() => live(backup).length === 1);
  main.down = true;
  expect(await codeOf(storage.storeCheckpoint(turn(2, { id })))).toBe("CONFLICT");
});

test("main and backup are two databases", async () => {
  const main = database();
  const one = createStorage(main.dialect, QUICK);
  expect(() => createReplicatedStorage({ main: one, backup: one })).toThrow("got one twice");
  const seen = { replicationFailed: [] as { code: string }[] };
  const storage = open(main, main, { replication: "required" }, seen);
  expect(await codeOf(storage.storeCheckpoint(turn(1)))).toBe("UNAVAILABLE");
  await until(() => seen.replicationFailed.some(({ code }) => code === "INVALID_CONFIG"));
  expect(() => storage.on("failovers" as "failover", () => {})).toThrow("event");
});

test("a listener that fails, at once or later, is nobody's affair", async () => {
  const [main, backup] = [database(), database()];
  const storage = open(main, backup);
  storage.on("replicated", () => {
    throw new TypeError("at once");
  });
  storage.on("replicated", async () => {
    throw new TypeError("later");
  });
  await storage.storeCheckpoint(turn(1));
  await until(() => pending(main) === 0);
});

describe("reconcile", () => {
  test("fills a new backup, and a new main, with equal digests", async () => {
    const main = database();
    const alone = createStorage(main.dialect, QUICK);
    opened.push(alone);
    for (let number = 1; number <= 60; number++) await alone.storeCheckpoint(turn(number));
    const backup = database();
    const storage = open(main, backup, { reconcile: false });
    expect(await storage.reconcile()).toMatchObject({ compared: 60, copiedToBackup: 60, copiedToMain: 0 });
    expect(ids(backup)).toEqual(ids(main));
    await storage.close();

    const anew = database();
    const later = open(anew, database(backup.rows));
    const latest = await later.retrieveLatestCheckpoint("agent");
    expect(latest?.state).toEqual(turn(60).state);
    await until(() => live(anew).length === 60);
    for (const [id, row] of main.rows) expect(anew.rows.get(id)?.digest).toEqual(row.digest);
  });

  test("brings nothing back that was deleted, whichever side knows it", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const stored: string[] = [];
    for (let number = 1; number <= 8; number++) stored.push(await storage.storeCheckpoint(turn(number)));
    await storage.close();
    const old = new Map(main.rows); // a dump, from before the deletions
    const [again, itsBackup] = [database(main.rows), database(backup.rows)];
    const second = open(again, itsBackup, { replication: "required" });
    for (const id of stored.slice(0, 3)) await second.deleteCheckpoint(id);
    await second.close();
    const restored = database(old);
    const third = open(restored, database(itsBackup.rows));
    expect(await third.reconcile()).toMatchObject({ conflicts: 0, copiedToMain: 0 });
    expect(ids(restored)).toEqual([...stored].sort().slice(3));
  });

  test("tells of what differs, and of what is damaged, and leaves both as they are", async () => {
    const [main, backup] = [database(), database()];
    const seen = { conflict: [] as { id: string }[] };
    const id = idClock.next();
    const [one, other] = [createStorage(main.dialect, QUICK), createStorage(backup.dialect, QUICK)];
    opened.push(one, other);
    await one.storeCheckpoint(turn(1, { id }));
    await other.storeCheckpoint(turn(2, { id }));
    const sameState = idClock.next();
    await one.storeCheckpoint(turn(3, { id: sameState }));
    await other.storeCheckpoint(turn(3, { id: sameState, name: "of somebody else" }));
    const broken = await one.storeCheckpoint(turn(30));
    const row = main.rows.get(broken) as Row;
    main.rows.set(broken, { ...row, state: row.state.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) });
    const storage = open(main, backup, { reconcile: false }, seen);
    expect(await storage.reconcile()).toMatchObject({ conflicts: 2, damaged: 1, copiedToBackup: 0 });
    expect(seen.conflict.map((event) => event.id).sort()).toEqual([id, sameState]);
    expect(live(backup)).toHaveLength(2);
  });
});

test.each([2, 3, 5])("%i that close at once send what another one has left, and are done", async (count) => {
  const [main, backup] = [database(), database()];
  backup.down = true;
  const dead = open(main, backup);
  const id = await dead.storeCheckpoint(turn(1));
  await dead.appendWrites(id, [{ taskId: "t", index: 0, channel: "c", value: 1 }]);
  await dead.storeCheckpoint(turn(2));
  const storages = Array.from({ length: count }, () => open(main, backup));
  await Promise.all(storages.map((storage) => storage.listAgents()));
  backup.down = false;
  const reports = await Promise.all(storages.map((storage) => storage.close()));
  for (const { unsent } of reports) expect(unsent).toEqual({ toBackup: 0, toMain: 0 });
  expect([live(backup).length, pending(main)]).toEqual([2, 0]);
});

test("close sends what is left, and says what it could not", async () => {
  const [main, backup] = [database(), database()];
  const storage = open(main, backup);
  for (let number = 1; number <= 20; number++) await storage.storeCheckpoint(turn(number));
  expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
  expect(live(backup)).toHaveLength(20);

  const second = open(database(main.rows), Object.assign(database(), { down: true }));
  for (let number = 21; number <= 23; number++) await second.storeCheckpoint(turn(number));
  expect(await second.close({ timeoutMs: 300 })).toEqual({ unsent: { toBackup: 3, toMain: null } });
  expect(await codeOf(second.storeCheckpoint(turn(24)))).toBe("CLOSED");
});

describe("writes", () => {
  const write = (value: unknown, index = 0) => ({ taskId: "task", index, channel: "channel", value });
  const values = ({ dialect }: Database) =>
    [...dialect.writes.values()].map(({ index, state }) => `${index} ${Buffer.from(state)}`).sort();

  test("come to the backup after their checkpoint, and with it, and nothing is pending then", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const early = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(early, [write("early")]); // while the checkpoint itself is on its way
    await until(() => live(backup).length === 1 && pending(main) === 0);
    expect(values(backup)).toEqual(['0 "early"']);
    await storage.appendWrites(early, [write("late", 1), write("failed", -1)]);
    await storage.appendWrites(early, [write("failed again", -1)]);
    await until(() => pending(main) === 0);
    expect(values(backup)).toEqual(['-1 "failed again"', '0 "early"', '1 "late"']);
    expect(values(backup)).toEqual(values(main));
    expect(await storage.listWrites(early)).toHaveLength(3);
  });

  test("required: are acknowledged when both have them", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { replication: "required" });
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write(1)]);
    expect(values(backup)).toEqual(["0 1"]);
    await until(() => pending(main) === 0);
    backup.down = true;
    expect(await codeOf(storage.appendWrites(id, [write(2, 1)]))).toBe("UNAVAILABLE");
    backup.down = false;
    await until(() => values(backup).length === 2); // they were in main, and pending
  });

  test("that the backup missed while it was away come when it is back", async () => {
    const [main, backup] = [database(), database()];
    const replicationFailed: unknown[] = [];
    const storage = open(main, backup, {}, { replicationFailed });
    const id = await storage.storeCheckpoint(turn(1));
    await until(() => pending(main) === 0);
    backup.down = true;
    for (let index = 0; index < 5; index++) await storage.appendWrites(id, [write(index, index)]);
    await until(() => replicationFailed.length > 0);
    backup.down = false;
    await until(() => values(backup).length === 5 && pending(main) === 0);
  });

  test("go to the backup while main is out of reach, and come to main when it is back", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const before = await storage.storeCheckpoint(turn(1));
    await until(() => pending(main) === 0);
    main.down = true;
    await storage.appendWrites(before, [write("old one's")]);
    const meanwhile = await storage.storeCheckpoint(turn(2));
    await storage.appendWrites(meanwhile, [write("new one's")]);
    expect(values(backup)).toHaveLength(2);
    expect(await codeOf(storage.listWrites(before))).toBe("STALE");
    expect(await storage.listWrites(before, { allowStale: true })).toEqual([write("old one's")]);
    main.down = false;
    await until(() => values(main).length === 2 && pending(backup) === 0);
    expect(await storage.listWrites(meanwhile)).toEqual([write("new one's")]);
  });

  test("are listed from both while main lacks some, each once", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write("in both"), write("old", -1)]);
    await until(() => pending(main) === 0);
    main.down = true;
    await storage.appendWrites(id, [write("in the backup", 1), write("new", -1), write("not this", 0)]);
    main.down = false;
    expect(await storage.listWrites(id, { allowStale: true })).toEqual([
      write("new", -1),
      write("in both"),
      write("in the backup", 1),
    ]);
    await until(() => values(main).length === 3 && pending(backup) === 0);
    expect(values(main)).toEqual(values(backup));
  });

  test("of a checkpoint that only the backup has so far are appended there", async () => {
    const [main, backup] = [database(), database()];
    main.down = true;
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    main.readOnly = true;
    main.down = false;
    await storage.appendWrites(id, [write(1)]);
    main.readOnly = false;
    await until(() => values(main).length === 1 && pending(backup) === 0);
    expect(await codeOf(storage.appendWrites("01890000-0000-7000-8000-000000000000", [write(1)]))).toBe("NOT_FOUND");
  });

  test("come to a backup that is new, and what two databases lack of each other's is exchanged", async () => {
    const [main, backup] = [database(), database()];
    const alone = createStorage(main.dialect, QUICK);
    const id = await alone.storeCheckpoint(turn(1));
    await alone.appendWrites(id, [write("in main"), write("older", -1)]);
    const storage = open(main, backup);
    await storage.reconcile();
    expect(values(backup)).toEqual(values(main));
    // Around the storage: nothing is pending.
    await createStorage(backup.dialect, QUICK).appendWrites(id, [write("in the backup", 1), write("newer", -1)]);
    await createStorage(main.dialect, QUICK).appendWrites(id, [write("in main too", 2)]);
    await storage.reconcile();
    const all = ['-1 "newer"', '0 "in main"', '1 "in the backup"', '2 "in main too"'];
    expect([values(main), values(backup)]).toEqual([all, all]);
    expect(await storage.reconcile()).toMatchObject({ copiedToBackup: 0, copiedToMain: 0, conflicts: 0 });
  });

  test("go in both with a checkpoint that is deleted, and do not come back with a late copy", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write(1)]);
    await until(() => values(backup).length === 1);
    await storage.deleteCheckpoint(id);
    expect(await codeOf(storage.appendWrites(id, [write(2)]))).toBe("NOT_FOUND");
    await until(() => live(backup).length === 0 && pending(main) === 0);
    await storage.reconcile();
    expect([...values(main), ...values(backup)]).toEqual([]);
  });

  test("come in commits of bounded size, however many there are", async () => {
    const [main, backup] = [database(), database()];
    const alone = createStorage(main.dialect, QUICK);
    for (let number = 1; number <= 40; number++) {
      const id = await alone.storeCheckpoint(turn(0, { createdAt: number }));
      await alone.appendWrites(
        id,
        Array.from({ length: 9 }, (_, index) => write(number, index)),
      );
    }
    const commit = vi.spyOn(backup.dialect, "commit");
    await open(main, backup).reconcile();
    expect(values(backup)).toHaveLength(360);
    const sizes = commit.mock.calls.map(([{ insert = [], append = [] }]) => insert.length + append.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(128);
  });

  test("of a checkpoint that main knows as deleted are not listed from a backup that has not heard of it", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write(1)]);
    await until(() => values(backup).length === 1 && pending(main) === 0);
    backup.readOnly = true;
    await storage.deleteCheckpoint(id);
    main.down = true;
    backup.readOnly = false;
    await storage.storeCheckpoint(turn(2)); // from now on the backup has what main lacks, and is asked too
    backup.readOnly = true;
    main.down = false;
    expect(values(backup)).toHaveLength(1);
    expect(await storage.retrieveCheckpoint(id)).toBeNull();
    expect(await storage.listWrites(id)).toEqual([]);
    backup.readOnly = false;
    await until(() => values(backup).length === 0);
  });

  test("are encrypted in the one and plain in the other, as each has it", async () => {
    const [main, backup] = [database(), database()];
    const keys = { current: "a", keys: { a: "11".repeat(32) }, digestKey: "22".repeat(32) };
    const storage = createReplicatedStorage({
      main: createStorage(main.dialect, { ...QUICK, encryption: { keys } }),
      backup: createStorage(backup.dialect, QUICK),
    });
    opened.push(storage);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write("canary")]);
    await until(() => values(backup).length === 1);
    expect(values(backup)).toEqual(['0 "canary"']);
    expect(values(main)[0]).not.toContain("canary");
    expect(await storage.listWrites(id)).toEqual([write("canary")]);
  });
});
