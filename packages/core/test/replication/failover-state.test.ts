import { afterEach, describe, expect, test, vi } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointError } from "../../src/contract/errors.ts";
import { idClock } from "../../src/database/ids.ts";
import { intercept } from "../scripted-dialect.ts";
import { codeOf } from "../scripted-storage.ts";
import {
  closeAfterEach,
  copyOf,
  type Database,
  database,
  live,
  open,
  pending,
  turn,
  until,
  values,
  write,
} from "./databases.ts";

closeAfterEach();
afterEach(() => {
  vi.useRealTimers();
});

/**
 * Lets the relay deliver to main within a comparison: after it has listed main, which lacks a checkpoint then, and before it has
 * listed the backup.
 */
function deliveringWithinComparison(backup: Database, main: Database): Database {
  const { dialect } = backup;
  const { list, outbox } = dialect;
  let [listed, isDelivered] = [0, false];
  const isFailover = () => live(backup).length > 1;
  return {
    ...backup,
    dialect: {
      ...dialect,
      async list(query, signal) {
        if (isFailover() && query.limit !== 1 && query.agentId === undefined) listed += 1;
        if (listed === 2) await until(() => isDelivered);
        return await list(query, signal);
      },
      outbox: {
        ...outbox,
        async pending(...args) {
          if (isFailover()) await until(() => listed >= 2);
          return await outbox.pending(...args);
        },
        async backlog(signal) {
          const found = await outbox.backlog(signal);
          isDelivered ||= live(main).length > 1 && found.rows === 0;
          return found;
        },
      },
    },
  };
}

describe("while main is unreachable", () => {
  test("the backup takes stores, and main receives them once it is reachable", async () => {
    const [main, backup] = [database(), database()];
    const seen = { failover: [] as unknown[], mode: [] as { mode: string }[] };
    const storage = open(main, backup, {}, seen);
    for (let number = 1; number <= 5; number++) await storage.storeCheckpoint(turn(number));
    await until(() => live(backup).length === 5);
    main.isDown = true;
    const stored: string[] = [];
    for (let number = 6; number <= 12; number++) stored.push(await storage.storeCheckpoint(turn(number)));
    expect(live(backup)).toHaveLength(12);
    const begin = { phase: "begin", operation: "store checkpoint", code: "UNAVAILABLE" };
    expect(seen.failover).toEqual([begin]);

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

    main.isDown = false;
    await until(async () => live(main).length === 12 && (await storage.status()).mode === "main");
    expect(seen.mode.map(({ mode }) => mode).at(-1)).toBe("main");
    expect(seen.failover).toEqual([begin, { phase: "end", calls: 9 }]); // seven stores, and two reads
    expect(pending(backup)).toBe(0);
    const back = await storage.retrieveLatestCheckpoint("agent");
    expect([back?.id, back?.source, back?.state]).toEqual([stored.at(-1), "main", turn(12).state]);
    expect(await storage.deleteCheckpoint(stored[0] as string)).toBe(true);
  }, 20_000);

  test("the mode is first failover, then draining, then main, once each", async () => {
    const [main, backup] = [database(), database()];
    const events: unknown[] = [];
    const storage = open(main, deliveringWithinComparison(backup, main), {}, { mode: events, failover: events });
    await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1 && pending(main) === 0);
    await storage.retrieveLatestCheckpoint("agent"); // waits for the first comparison
    main.isDown = true;
    await storage.storeCheckpoint(turn(2));
    const begin = { phase: "begin", operation: "store checkpoint", code: "UNAVAILABLE" };
    expect(events).toEqual([{ mode: "failover" }, begin]);
    main.isDown = false;
    await until(async () => (await storage.status()).mode === "main");
    await storage.reconcile(); // after the comparison
    const end = { phase: "end", calls: 1 };
    expect(events).toEqual([{ mode: "failover" }, begin, { mode: "draining" }, { mode: "main" }, end]);
    expect(live(main)).toHaveLength(2);
  });

  test("the mode is failover, not draining, while the backup is unreachable too", async () => {
    const [main, backup] = [database(), database()];
    const events: unknown[] = [];
    const storage = open(main, backup, {}, { mode: events });
    await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1 && pending(main) === 0);
    main.isDown = true;
    backup.isDown = true;
    expect(await codeOf(storage.storeCheckpoint(turn(2)))).toBe("UNAVAILABLE");
    expect(events).toEqual([{ mode: "failover" }]);
    main.isDown = false;
    backup.isDown = false;
    await until(async () => (await storage.status()).mode === "main");
  });

  test("main receives what the backup takes while main recovers", async () => {
    const [main, backup] = [database(), database()];
    const dialect = intercept(backup.dialect, async (name, call) => {
      if (name === "commit" && main.isDown) {
        main.isDown = false;
        await until(async () => (await storage.status()).mode !== "failover");
        await storage.reconcile(); // all that a recovery starts has ended, and has found nothing
      }
      return await call();
    });
    const storage = open(main, { ...backup, dialect });
    await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1 && pending(main) === 0);
    await storage.reconcile();
    main.isDown = true;
    await storage.storeCheckpoint(turn(2));
    await until(() => live(main).length === 2);
    await until(async () => (await storage.status()).mode === "main");
  });

  test("reads ask both if main is read-only, and the backup has taken stores", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    await storage.storeCheckpoint(turn(1));
    main.isReadOnly = true;
    const id = await storage.storeCheckpoint(turn(2));
    expect(live(main)).toHaveLength(1);
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
    expect((await storage.retrieveCheckpoint(id))?.source).toBe("backup");
    expect((await storage.listCheckpoints()).map(({ source }) => source)).toEqual(["backup", "main"]);
    expect((await storage.status()).mode).toBe("draining");
    main.isReadOnly = false;
    await until(() => live(main).length === 2);
  });

  test("a new process finds the checkpoints that a killed one left in the backup", async () => {
    const [main, backup] = [database(), database()];
    const first = open(main, backup);
    await first.storeCheckpoint(turn(1));
    main.isDown = true;
    const id = await first.storeCheckpoint(turn(2));
    main.isDown = false;
    // The first storage is not closed: its process was killed.
    const [mainAgain, backupAgain] = [copyOf(main), copyOf(backup)];
    const second = open(mainAgain, backupAgain);
    expect((await second.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
    await until(() => mainAgain.rows.has(id) && pending(backupAgain) === 0);
  });

  test("another process, which reaches main, sees the checkpoints that the backup took from the first", async () => {
    const [main, backup] = [database(), database()];
    const unreachable = database(main); // the same database, as the first process sees it
    const one = open(unreachable, backup);
    const other = open(main, database(backup));
    await other.storeCheckpoint(turn(1));
    expect((await other.retrieveLatestCheckpoint("agent"))?.name).toBe("turn 1");
    unreachable.isDown = true;
    await one.storeCheckpoint(turn(2));
    const latest = await other.retrieveLatestCheckpoint("agent");
    expect(latest?.name).toBe("turn 2");
    expect((await other.listCheckpoints()).map(({ name }) => name)).toEqual(["turn 2", "turn 1"]);
    await until(() => main.rows.has(latest?.id as string)); // the other process can reach main
  });

  test("the backup only answers with failover read-only, and does not answer with failover off", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { failover: "read-only", staleReads: "allow" });
    const id = await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1);
    main.isDown = true;
    expect(await codeOf(storage.storeCheckpoint(turn(2)))).toBe("UNAVAILABLE");
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(id);
    const off = open(main, backup, { failover: "off" });
    expect(await codeOf(off.retrieveCheckpoint(id))).toBe("UNAVAILABLE");
  });

  test("status reports that main answers again, though no other call has asked main since", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1 && pending(main) === 0);
    await storage.retrieveLatestCheckpoint("agent"); // waits for the first comparison: each failure counts for the circuit
    await storage.reconcile();
    main.isDown = true;
    const latest = await storage.retrieveLatestCheckpoint("agent", { allowStale: true });
    expect([latest?.id, latest?.source]).toEqual([id, "backup"]);
    const during = await storage.status();
    expect([during.mode, during.providers.main.backlog]).toEqual(["failover", null]);
    main.isDown = false;
    const after = await storage.status();
    expect([after.mode, after.providers.main.backlog?.rows]).toEqual(["main", 0]);
  });

  test("a call fails with the errors of both if the backup is unreachable too", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    main.isDown = true;
    backup.isDown = true;
    const error: unknown = await storage.storeCheckpoint(turn(1)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    const { cause } = error as { cause: AggregateError };
    expect(cause.errors.map(({ code }: CheckpointError) => code)).toEqual(["UNAVAILABLE", "UNAVAILABLE"]);
    expect(await codeOf(storage.retrieveLatestCheckpoint("agent"))).toBe("UNAVAILABLE");
  });
});

describe("main that was replaced by another database", () => {
  /** Replaces main by another database, without a connection that is seen to be lost. */
  async function replaceMain(rows: Map<string, Row>) {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    for (let number = 1; number <= 3; number++) await storage.storeCheckpoint(turn(number));
    const dump = new Map(main.rows);
    for (let number = 4; number <= 5; number++) await storage.storeCheckpoint(turn(number));
    await until(() => live(backup).length === 5 && pending(main) === 0);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 2_000 }); // so that main is verified again
    main.rows.clear();
    for (const [id, row] of rows === FROM_DUMP ? dump : rows) main.rows.set(id, row);
    return { main, backup, storage };
  }
  const FROM_DUMP = new Map<string, Row>();
  const EMPTY = new Map<string, Row>();

  test.each([
    ["an empty one", EMPTY],
    ["one restored from an old dump", FROM_DUMP],
  ])("is noticed by the checkpoints that it lacks, before it answers: %s", async (_, rows) => {
    const { main, storage } = await replaceMain(rows);
    expect((await storage.listCheckpoints()).map(({ name }) => name)).toEqual(
      [5, 4, 3, 2, 1].map((one) => `turn ${one}`),
    );
    expect((await storage.retrieveLatestCheckpoint("agent"))?.name).toBe("turn 5");
    await until(() => live(main).length === 5);
  });

  test("does not accept a store with ifLatest null", async () => {
    const { main, storage } = await replaceMain(EMPTY);
    expect(await codeOf(storage.storeCheckpoint(turn(6), { ifLatest: null }))).toBe("CONFLICT");
    expect(live(main)).toHaveLength(5);
    const latest = await storage.retrieveLatestCheckpoint("agent");
    await storage.storeCheckpoint(turn(6), { ifLatest: latest?.id ?? null });
  });
});

describe("writes while main is unreachable", () => {
  test("are taken by the backup, and delivered to main once it is reachable", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const before = await storage.storeCheckpoint(turn(1));
    await until(() => pending(main) === 0);
    main.isDown = true;
    await storage.appendWrites(before, [write("of the old one")]);
    const meanwhile = await storage.storeCheckpoint(turn(2));
    await storage.appendWrites(meanwhile, [write("of the new one")]);
    expect(values(backup)).toHaveLength(2);
    expect(await codeOf(storage.listWrites(before))).toBe("STALE");
    expect(await storage.listWrites(before, { allowStale: true })).toEqual([write("of the old one")]);
    main.isDown = false;
    await until(() => values(main).length === 2 && pending(backup) === 0);
    expect(await storage.listWrites(meanwhile)).toEqual([write("of the new one")]);
  });

  test("are listed from both while main lacks some, each once", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write("in both"), write("old", -1)]);
    await until(() => pending(main) === 0);
    main.isDown = true;
    await storage.appendWrites(id, [write("in the backup", 1), write("new", -1), write("not this", 0)]);
    main.isDown = false;
    expect(await storage.listWrites(id, { allowStale: true })).toEqual([
      write("new", -1),
      write("in both"),
      write("in the backup", 1),
    ]);
    await until(() => values(main).length === 3 && pending(backup) === 0);
    expect(values(main)).toEqual(values(backup));
  });

  test("of a checkpoint that only the backup has are appended there", async () => {
    const [main, backup] = [database(), database()];
    main.isDown = true;
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    main.isReadOnly = true;
    main.isDown = false;
    await storage.appendWrites(id, [write(1)]);
    main.isReadOnly = false;
    await until(() => values(main).length === 1 && pending(backup) === 0);
    expect(await codeOf(storage.appendWrites("01890000-0000-7000-8000-000000000000", [write(1)]))).toBe("NOT_FOUND");
  });

  test("of a checkpoint that was deleted in main are not listed from a backup that lacks the tombstone", async () => {
    const [main, backup] = [database(), database()];
    const seen = { replicationFailed: [] };
    const storage = open(main, backup, {}, seen);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write(1)]);
    await until(() => values(backup).length === 1 && pending(main) === 0);
    backup.isReadOnly = true;
    await storage.deleteCheckpoint(id);
    await until(() => seen.replicationFailed.length > 0); // else the tombstone may be on its way still
    main.isDown = true;
    backup.isReadOnly = false;
    await storage.storeCheckpoint(turn(2)); // from now on the backup is ahead, and is asked too
    backup.isReadOnly = true;
    main.isDown = false;
    expect(values(backup)).toHaveLength(1);
    expect(await storage.retrieveCheckpoint(id)).toBeNull();
    expect(await storage.listWrites(id)).toEqual([]);
    backup.isReadOnly = false;
    await until(() => values(backup).length === 0);
  });
});
