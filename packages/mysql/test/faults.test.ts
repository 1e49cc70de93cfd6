import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { killable, type Server, startProxy, startServer, type TestDatabase } from "waymark-test-servers";
import { isLate } from "../../core/test/lateness.ts";
import { untilDone } from "../../core/test/until-done.ts";
import { CheckpointError, type CheckpointStorage } from "../src/index.ts";
import { startNode } from "./node.ts";
import { checkpoint, connect, emptyDatabase, open, rejection, run, servers } from "./on-server.ts";

const DEADLINE_MS = 1_500;
/** For calls that nobody is to notice a fault by: where a deadline is not what is tested. */
const PATIENCE_MS = 20_000;
/** Far less than the 30 seconds for which an idle connection would keep a process. */
const EXIT_MS = 15_000;

let ids = 0;
const newId = () => `01890000-0000-7000-8000-${String(++ids).padStart(12, "0")}`;

/** Only there can a server be killed and paused, see test/servers. */
describe.runIf(process.platform === "linux").each(servers)("$title", ({ kind }) => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable });
  });
  afterAll(() => server.stop());

  async function openDatabase(operationTimeoutMs = DEADLINE_MS): Promise<[CheckpointStorage, TestDatabase]> {
    const database = await emptyDatabase(server.url);
    await open({ connectionString: database.url }).migrate(); // which may take its time
    return [open({ connectionString: database.url, operationTimeoutMs }), database];
  }

  const id = "01890000-0000-7000-8000-000000000000";
  const calls: Readonly<Record<string, (storage: CheckpointStorage) => Promise<unknown>>> = {
    storeCheckpoint: (storage) => storage.storeCheckpoint(checkpoint()),
    "storeCheckpoint with ifLatest": (storage) => storage.storeCheckpoint(checkpoint(), { ifLatest: null }),
    retrieveCheckpoint: (storage) => storage.retrieveCheckpoint(id),
    retrieveLatestCheckpoint: (storage) => storage.retrieveLatestCheckpoint("agent"),
    listCheckpoints: (storage) => storage.listCheckpoints(),
    iterateCheckpoints: (storage) => storage.iterateCheckpoints().next(),
    listAgents: (storage) => storage.listAgents(),
    deleteCheckpoint: (storage) => storage.deleteCheckpoint(id),
    deleteAgent: (storage) => storage.deleteAgent("agent"),
    pruneCheckpoints: (storage) => storage.pruneCheckpoints({ keepLast: 1 }),
    stats: (storage) => storage.stats(),
    migrate: (storage) => storage.migrate("verify"),
  };

  /** That every call fails in time, and says that it may be made again. */
  async function expectFailures(storage: CheckpointStorage): Promise<void> {
    const outcomes = Object.entries(calls).map(async ([name, call]) => {
      const failing = call(storage);
      const [error, late] = await Promise.all([rejection(failing), isLate(failing, DEADLINE_MS)]);
      return { name, error: error.name, retryable: error["retryable"], late };
    });
    const expected = Object.keys(calls).map((name) => ({
      name,
      error: "CheckpointError",
      retryable: true,
      late: false,
    }));
    expect(await Promise.all(outcomes)).toEqual(expected);
    expect(await storage.health()).toMatchObject({ ok: false, error: { retryable: true } });
  }

  /** That it works again by itself, within a few calls, on all connections. */
  async function expectRecovery(storage: CheckpointStorage): Promise<void> {
    let attempts = 0;
    for (let ok = false; !ok; attempts++) ok = (await storage.health()).ok;
    expect(attempts).toBeLessThanOrEqual(20); // each takes a deadline at most, and on a busy machine may well take it
    const agentId = randomUUID();
    const stored = Array.from({ length: 50 }, newId);
    await Promise.all(stored.map((id) => untilDone(() => storage.storeCheckpoint(checkpoint({ id, agentId })))));
    const listed = await untilDone(() => storage.listCheckpoints({ agentId }));
    expect(listed.map(({ id }) => id).sort()).toEqual(stored.sort());
  }

  it("fails in time while the server is down, and works again when it is back", async () => {
    const [used, database] = await openDatabase();
    await untilDone(() => used.storeCheckpoint(checkpoint()));
    const fresh = open({ connectionString: database.url, operationTimeoutMs: DEADLINE_MS });
    await server.kill();
    await Promise.all([expectFailures(used), expectFailures(fresh)]);
    await server.start();
    await Promise.all([expectRecovery(used), expectRecovery(fresh)]);
  });

  it("fails in time while the server is stopped and never answers, and works again when it goes on", async () => {
    const [used, database] = await openDatabase();
    await Promise.all(Array.from({ length: 20 }, () => untilDone(() => used.storeCheckpoint(checkpoint()))));
    const fresh = open({ connectionString: database.url, operationTimeoutMs: DEADLINE_MS });
    await server.pause();
    await Promise.all([expectFailures(used), expectFailures(fresh)]);
    await server.resume();
    await Promise.all([expectRecovery(used), expectRecovery(fresh)]);
  });

  it("fails in time while the network swallows everything, and works again after it", async () => {
    const [, database] = await openDatabase();
    const proxy = await startProxy(database.url);
    onTestFinished(() => proxy.stop());
    const [used, fresh] = [1, 2].map(() => open({ connectionString: proxy.url, operationTimeoutMs: DEADLINE_MS })) as [
      CheckpointStorage,
      CheckpointStorage,
    ];
    await untilDone(() => used.storeCheckpoint(checkpoint()));
    proxy.blackhole(true);
    await Promise.all([expectFailures(used), expectFailures(fresh)]);
    proxy.blackhole(false);
    await Promise.all([expectRecovery(used), expectRecovery(fresh)]);
  });

  it("gives up what hangs on connections that only it has lost, whether the other side notices or not", async () => {
    const [, database] = await openDatabase();
    const proxy = await startProxy(database.url);
    onTestFinished(() => proxy.stop());
    const storage = open({ connectionString: proxy.url, operationTimeoutMs: DEADLINE_MS, poolSize: 2 });
    await untilDone(() => storage.storeCheckpoint(checkpoint()));
    proxy.intercept((_, direction) => (direction === "to-client" ? "drop" : "forward"));
    await expectFailures(storage);
    proxy.intercept();
    await expectRecovery(storage);
  });

  it("ends a call that hangs when its signal is aborted, and the next one works", async () => {
    const [, database] = await openDatabase();
    const proxy = await startProxy(database.url);
    onTestFinished(() => proxy.stop());
    const storage = open({ connectionString: proxy.url, poolSize: 1 });
    await storage.storeCheckpoint(checkpoint());

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

    const never = storage.storeCheckpoint(checkpoint(), { signal: AbortSignal.abort() });
    await expect(never).rejects.toMatchObject({ code: "ABORTED" });
    expect(await storage.listCheckpoints()).toHaveLength(1);
  });

  interface Load {
    readonly acknowledged: Map<string, string>;
    readonly failures: unknown[];
    /** Resolves when so many stores more are acknowledged. */
    more(count: number): Promise<void>;
    stop(): Promise<void>;
  }

  /** Eight writers that store one checkpoint after the other, each of its own name, and never the same one again. */
  function load(storage: CheckpointStorage): Load {
    const acknowledged = new Map<string, string>();
    const failures: unknown[] = [];
    const waiting = new Set<{ count: number; resolve: () => void }>();
    let stopped = false;
    let number = 0;
    const writer = async () => {
      while (!stopped) {
        const name = `store ${++number}`;
        try {
          acknowledged.set(await storage.storeCheckpoint(checkpoint({ name, state: "x".repeat(1_000) })), name);
        } catch (error) {
          failures.push(error);
          await storage.health(); // a server that is left alone refuses at once, and this tells when it is back
          continue;
        }
        for (const one of waiting) {
          one.count -= 1;
          if (one.count > 0) continue;
          waiting.delete(one);
          one.resolve();
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

  /** That what was acknowledged is there once, and that nothing is there twice, as the administrator counts. */
  async function expectNothingLost({ acknowledged, failures }: Load, url: string): Promise<void> {
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(CheckpointError);
      expect(failure).toMatchObject({ retryable: true });
    }
    const rows = await run(url, "select lower(hex(id)) as id, cast(name as char) as name from agent_checkpoints");
    const stored = new Map(rows.map(({ id, name }) => [id as string, name as string]));
    expect(new Set(stored.values()).size).toBe(rows.length);
    expect([...acknowledged].filter(([id, name]) => stored.get(id.replaceAll("-", "")) !== name)).toEqual([]);
  }

  it("loses no acknowledged store when the server is killed under load, and stores none twice", async () => {
    const [storage, database] = await openDatabase();
    const stores = load(storage);
    for (let kill = 0; kill < 3; kill++) {
      await stores.more(100);
      await server.kill();
      await server.start();
    }
    await stores.more(100);
    await stores.stop();
    await expectNothingLost(stores, database.url);
    await expectRecovery(storage);
  });

  async function endConnections({ name }: TestDatabase): Promise<void> {
    const admin = await connect(server.url);
    const [threads] = await admin.query(`select id as id from information_schema.processlist where db = '${name}'`);
    for (const { id } of threads as { id: number }[]) {
      await admin.query(`kill ${id}`).catch((error) => {
        if (error.code !== "ER_NO_SUCH_THREAD") throw error; // it has just ended by itself
      });
    }
    admin.destroy();
  }

  it("cures the loss of all connections by itself, and stores nothing twice", async () => {
    const [storage, database] = await openDatabase(PATIENCE_MS);
    const stores = load(storage);
    for (let round = 0; round < 20; round++) {
      await stores.more(20);
      await endConnections(database);
    }
    await stores.more(100);
    await stores.stop();
    await expectNothingLost(stores, database.url);
    expect(stores.failures.length).toBeLessThan(stores.acknowledged.size / 10);
    await expectRecovery(storage);
  });

  it("works on after its idle connections were ended", async () => {
    const [storage, database] = await openDatabase(PATIENCE_MS);
    await Promise.all(Array.from({ length: 20 }, () => storage.storeCheckpoint(checkpoint())));
    await endConnections(database);
    expect(await storage.listCheckpoints()).toHaveLength(20);
    await expectRecovery(storage);
  });

  const program = `
    for (const event of ["unhandledRejection", "uncaughtException"]) {
      process.on(event, (error) => {
        console.log(event, error);
        process.exitCode = 1;
      });
    }
    const storage = createMySQLStorage({ connectionString: args[0], operationTimeoutMs: 4000 });
    const store = () => storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 0 });
    const storeUntilDone = () => store().catch((error) => {
      if (!error.retryable) throw error;
      return storeUntilDone();
    });
    await Promise.all(Array.from({ length: 20 }, storeUntilDone));
    console.log("stored");
    await line();
    for (const { status, reason } of await Promise.allSettled(Array.from({ length: 20 }, store))) {
      if (status === "rejected" && !reason.retryable) throw reason;
    }
    await storage.close().catch((error) => {
      if (!error.retryable) throw error;
    });
    console.log("closed");`;

  it.each(["nothing", "refused connections", "lost connections", "swallowed packets"])(
    "lets its process end by itself after close, and after %s",
    async (outage) => {
      const [, database] = await openDatabase();
      const proxy = await startProxy(database.url);
      onTestFinished(() => proxy.stop());
      const child = startNode(program, proxy.url);
      expect(await child.line()).toBe("stored");
      if (outage === "refused connections") await proxy.refuse(true);
      if (outage === "refused connections" || outage === "lost connections") proxy.dropAll();
      if (outage === "swallowed packets") proxy.blackhole(true);
      child.send("go");
      expect(await child.line()).toBe("closed");
      const closed = performance.now();
      expect(await child.exit).toEqual({ code: 0, signal: null, output: "stored\nclosed\n" });
      expect(performance.now() - closed).toBeLessThan(EXIT_MS);
    },
  );
});
