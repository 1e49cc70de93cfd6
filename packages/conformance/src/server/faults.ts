import { randomUUID } from "node:crypto";
import type { CheckpointStorage } from "@waymark/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectCheckpointError } from "../storage/errors.ts";
import { newCheckpoint, ServerBench } from "./bench.ts";
import { isLate } from "./lateness.ts";
import { rejection } from "./rejection.ts";
import type { OwnServer, ServerDatabase, ServerTarget } from "./target.ts";
import { untilDone } from "./until-done.ts";

/** Describes storages and their server to the suite of server faults. */
export interface FaultTarget extends ServerTarget {
  /** Starts a server for these tests alone. Absent: no server can be killed and paused here, and the tests are skipped. */
  readonly startServer?: () => Promise<OwnServer>;
  /** Ends all connections to a database, whatever they are doing. */
  endConnections(serverUrl: string, database: ServerDatabase): Promise<unknown>;
  /** Makes sessions of a database read-only that begin from now on, or no longer. Those that are open stay as they are. */
  setReadOnly(serverUrl: string, database: ServerDatabase, on: boolean): Promise<unknown>;
  /** Reads id (in lower case, with hyphens) and name of every checkpoint of a database, without a storage. */
  readNames(url: string): Promise<readonly (readonly [id: string, name: string])[]>;
}

const DEADLINE_MS = 1_500;
/** Deadline where deadlines are not what is tested: no call should fail by it. */
const LONG_DEADLINE_MS = 20_000;
/** Far less than the 30 seconds for which an idle connection would keep a process alive. */
const EXIT_MS = 15_000;

const MISSING_ID = "01890000-0000-7000-8000-000000000000";

const CALLS: Readonly<Record<string, (storage: CheckpointStorage) => Promise<unknown>>> = {
  storeCheckpoint: (storage) => storage.storeCheckpoint(newCheckpoint()),
  "storeCheckpoint with ifLatest": (storage) => storage.storeCheckpoint(newCheckpoint(), { ifLatest: null }),
  retrieveCheckpoint: (storage) => storage.retrieveCheckpoint(MISSING_ID),
  retrieveLatestCheckpoint: (storage) => storage.retrieveLatestCheckpoint("agent"),
  listCheckpoints: (storage) => storage.listCheckpoints(),
  iterateCheckpoints: (storage) => storage.iterateCheckpoints().next(),
  listAgents: (storage) => storage.listAgents(),
  deleteCheckpoint: (storage) => storage.deleteCheckpoint(MISSING_ID),
  deleteAgent: (storage) => storage.deleteAgent("agent"),
  pruneCheckpoints: (storage) => storage.pruneCheckpoints({ keepLast: 1 }),
  stats: (storage) => storage.stats(),
  migrate: (storage) => storage.migrate("verify"),
};

/** Program of a process that stores, waits, stores again, and closes. */
const STORE_AND_CLOSE = `
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (error) => {
      console.log(event, error);
      process.exitCode = 1;
    });
  }
  const storage = createCheckpointStorage({ connectionString: args[0], operationTimeoutMs: 4000 });
  const store = () => storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 0 });
  const storeUntilDone = () => store().catch((error) => {
    if (!error.retryable) throw error;
    return storeUntilDone();
  });
  await Promise.all(Array.from({ length: 20 }, storeUntilDone));
  console.log("stored");
  await nextLine();
  for (const { status, reason } of await Promise.allSettled(Array.from({ length: 20 }, store))) {
    if (status === "rejected" && !reason.retryable) throw reason;
  }
  await storage.close().catch((error) => {
    if (!error.retryable) throw error;
  });
  console.log("closed");`;

/**
 * Registers the tests of a server that is killed, paused, or cut off by the network: calls end in time, storages recover by
 * themselves, and nothing that was acknowledged is lost or stored twice.
 */
export function describeServerFaults(target: FaultTarget): void {
  describe.skipIf(target.startServer === undefined)(`${target.name}: a storage on a server with faults`, () => {
    const bench = new ServerBench(target);
    let server: OwnServer;
    beforeAll(async () => {
      server = await (target as Required<FaultTarget>).startServer();
    });
    afterAll(() => server.stop());

    /** Opens a storage on a database that is migrated: that may take longer than a short deadline. */
    async function openDatabase(operationTimeoutMs = DEADLINE_MS): Promise<[CheckpointStorage, ServerDatabase]> {
      const database = await bench.createDatabase(server.url);
      await bench.open({ connectionString: database.url }).migrate();
      return [bench.open({ connectionString: database.url, operationTimeoutMs }), database];
    }

    it("fails in time while the server is down, and works again when it is back", async () => {
      const [used, database] = await openDatabase();
      await untilDone(() => used.storeCheckpoint(newCheckpoint()));
      const fresh = bench.open({ connectionString: database.url, operationTimeoutMs: DEADLINE_MS });
      await server.kill();
      await Promise.all([expectFailures(used), expectFailures(fresh)]);
      await server.start();
      await Promise.all([expectRecovery(used), expectRecovery(fresh)]);
    });

    it("fails in time while the server is paused and never answers, and works again when it goes on", async () => {
      const [used, database] = await openDatabase();
      await Promise.all(Array.from({ length: 20 }, () => untilDone(() => used.storeCheckpoint(newCheckpoint()))));
      const fresh = bench.open({ connectionString: database.url, operationTimeoutMs: DEADLINE_MS });
      await server.pause();
      await Promise.all([expectFailures(used), expectFailures(fresh)]);
      await server.resume();
      await Promise.all([expectRecovery(used), expectRecovery(fresh)]);
    });

    it("fails in time while the network swallows everything, and works again after it", async () => {
      const [, database] = await openDatabase();
      const proxy = await bench.startProxy(database.url);
      const open = () => bench.open({ connectionString: proxy.url, operationTimeoutMs: DEADLINE_MS });
      const [used, fresh] = [open(), open()];
      await untilDone(() => used.storeCheckpoint(newCheckpoint()));
      proxy.blackhole(true);
      await Promise.all([expectFailures(used), expectFailures(fresh)]);
      proxy.blackhole(false);
      await Promise.all([expectRecovery(used), expectRecovery(fresh)]);
    });

    it("gives up calls whose answers never arrive, and works again when answers do", async () => {
      const [, database] = await openDatabase();
      const proxy = await bench.startProxy(database.url);
      const storage = bench.open({ connectionString: proxy.url, operationTimeoutMs: DEADLINE_MS, poolSize: 2 });
      await untilDone(() => storage.storeCheckpoint(newCheckpoint()));
      proxy.intercept((_, direction) => (direction === "to-client" ? "drop" : "forward"));
      await expectFailures(storage);
      proxy.intercept();
      await expectRecovery(storage);
    });

    it("ends a call that hangs when its signal is aborted, and the next one works", async () => {
      const [, database] = await openDatabase();
      const proxy = await bench.startProxy(database.url);
      const storage = bench.open({ connectionString: proxy.url, poolSize: 1 });
      await storage.storeCheckpoint(newCheckpoint());

      const controller = new AbortController();
      const underWay = new Promise<void>((resolve) => {
        proxy.intercept((_, direction) => {
          if (direction === "to-client") return "forward";
          resolve();
          return "hold";
        });
      });
      const listing = rejection(storage.listCheckpoints({ signal: controller.signal }));
      await underWay;
      controller.abort();
      expect(await isLate(listing, 0)).toBe(false);
      expect(await listing).toMatchObject({ name: "CheckpointError", code: "ABORTED", retryable: false });
      proxy.intercept();
      expect(await storage.listCheckpoints()).toHaveLength(1);

      const never = storage.storeCheckpoint(newCheckpoint(), { signal: AbortSignal.abort() });
      await expect(never).rejects.toMatchObject({ code: "ABORTED" });
      expect(await storage.listCheckpoints()).toHaveLength(1);
    });

    it("loses no acknowledged store when the server is killed under load, and stores none twice", async () => {
      const [storage, database] = await openDatabase();
      const load = startLoad(storage);
      for (let kill = 0; kill < 3; kill++) {
        await load.more(100);
        await server.kill();
        await server.start();
      }
      await load.more(100);
      await load.stop();
      expectNothingLost(load, await target.readNames(database.url));
      await expectRecovery(storage);
    });

    it("recovers by itself from the loss of all connections, and stores nothing twice", async () => {
      const [storage, database] = await openDatabase(LONG_DEADLINE_MS);
      const load = startLoad(storage);
      for (let round = 0; round < 20; round++) {
        await load.more(20);
        await target.endConnections(server.url, database);
      }
      await load.more(100);
      await load.stop();
      expectNothingLost(load, await target.readNames(database.url));
      expect(load.failures.length).toBeLessThan(load.acknowledged.size / 10);
      await expectRecovery(storage);
    });

    it("goes on working after its idle connections were ended", async () => {
      const [storage, database] = await openDatabase(LONG_DEADLINE_MS);
      await Promise.all(Array.from({ length: 20 }, () => storage.storeCheckpoint(newCheckpoint())));
      await target.endConnections(server.url, database);
      expect(await storage.listCheckpoints()).toHaveLength(20);
      await expectRecovery(storage);
    });

    it("stores again after its connections were read-only, though it is never idle", async () => {
      const [storage, database] = await openDatabase(LONG_DEADLINE_MS);
      await target.setReadOnly(server.url, database, true);
      await target.endConnections(server.url, database);
      const refused = await untilRefused(storage);
      expect(refused).toMatchObject({ code: "READ_ONLY", retryable: true });
      const reads = Array.from({ length: 10 }, () => storage.listCheckpoints({ limit: 1 })); // on connections of their own
      await Promise.all(reads);
      await target.setReadOnly(server.url, database, false);
      await untilDone(() => storage.storeCheckpoint(newCheckpoint()));
      await expectRecovery(storage);
    });

    it.each(["nothing", "refused connections", "lost connections", "swallowed packets"])(
      "lets its process end by itself after close, and after %s",
      async (outage) => {
        const [, database] = await openDatabase();
        const proxy = await bench.startProxy(database.url);
        const child = bench.startNode(STORE_AND_CLOSE, proxy.url);
        expect(await child.nextLine()).toBe("stored");
        if (outage === "refused connections") await proxy.refuse(true);
        if (outage === "refused connections" || outage === "lost connections") proxy.dropAll();
        if (outage === "swallowed packets") proxy.blackhole(true);
        child.send("go");
        expect(await child.nextLine()).toBe("closed");
        const closed = performance.now();
        expect(await child.exit).toEqual({ code: 0, signal: null, output: "stored\nclosed\n" });
        expect(performance.now() - closed).toBeLessThan(EXIT_MS);
      },
    );
  });
}

/** Expects that every call fails in time, with an error that says that the call may be made again. */
async function expectFailures(storage: CheckpointStorage): Promise<void> {
  const outcomes = Object.entries(CALLS).map(async ([name, call]) => {
    const failing = call(storage);
    const [error, late] = await Promise.all([rejection(failing), isLate(failing, DEADLINE_MS)]);
    return { name, error: error.name, retryable: error["retryable"], late };
  });
  const expected = Object.keys(CALLS).map((name) => ({ name, error: "CheckpointError", retryable: true, late: false }));
  expect(await Promise.all(outcomes)).toEqual(expected);
  expect(await storage.health()).toMatchObject({ ok: false, error: { retryable: true } });
}

/** Stores until a store is refused by the database: a connection of before is ended a moment after the call that ends it. */
async function untilRefused(storage: CheckpointStorage): Promise<unknown> {
  for (;;) {
    const error = await storage.storeCheckpoint(newCheckpoint()).then(
      () => ({ code: "UNAVAILABLE" }),
      (reason: { code: string }) => reason,
    );
    if (error.code !== "UNAVAILABLE") return error;
  }
}

/** Expects that a storage works again by itself, within a few calls, on all of its connections. */
async function expectRecovery(storage: CheckpointStorage): Promise<void> {
  let attempts = 0;
  for (let ok = false; !ok; attempts++) ok = (await storage.health()).ok;
  expect(attempts).toBeLessThanOrEqual(20); // each takes up to a deadline, and on a busy machine often a whole one
  const agentId = randomUUID();
  const ids = Array.from({ length: 50 }, newId);
  await Promise.all(ids.map((id) => untilDone(() => storage.storeCheckpoint(newCheckpoint({ id, agentId })))));
  const listed = await untilDone(() => storage.listCheckpoints({ agentId }));
  expect(listed.map(({ id }) => id).sort()).toEqual(ids.sort());
}

let ids = 0;
const newId = () => `01890000-0000-7000-8000-${String(++ids).padStart(12, "0")}`;

interface Load {
  /** Names of the checkpoints that were acknowledged, by their ids. */
  readonly acknowledged: ReadonlyMap<string, string>;
  readonly failures: readonly unknown[];
  /** Resolves when this many stores more are acknowledged. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts eight writers that store one checkpoint after the other. Each has a name of its own, and is stored once. */
function startLoad(storage: CheckpointStorage): Load {
  const acknowledged = new Map<string, string>();
  const failures: unknown[] = [];
  const waiting = new Set<{ count: number; resolve: () => void }>();
  let stopped = false;
  let number = 0;
  const writer = async () => {
    while (!stopped) {
      const name = `store ${++number}`;
      try {
        acknowledged.set(await storage.storeCheckpoint(newCheckpoint({ name, state: "x".repeat(1_000) })), name);
      } catch (error) {
        failures.push(error);
        await storage.health(); // an open circuit refuses at once; health tries the server
        continue;
      }
      for (const waiter of waiting) {
        waiter.count -= 1;
        if (waiter.count > 0) continue;
        waiting.delete(waiter);
        waiter.resolve();
      }
    }
  };
  const writers = Array.from({ length: 8 }, writer);
  return {
    acknowledged,
    failures,
    more: (count) => new Promise((resolve) => waiting.add({ count, resolve })),
    async stop() {
      stopped = true;
      await Promise.all(writers);
    },
  };
}

/** Expects that every acknowledged checkpoint is there, and none is there twice. */
function expectNothingLost(
  { acknowledged, failures }: Load,
  rows: readonly (readonly [id: string, name: string])[],
): void {
  for (const failure of failures) {
    expectCheckpointError(failure);
    expect(failure).toMatchObject({ retryable: true });
  }
  const stored = new Map(rows);
  expect(new Set(stored.values()).size).toBe(rows.length);
  expect([...acknowledged].filter(([id, name]) => stored.get(id) !== name)).toEqual([]);
}
