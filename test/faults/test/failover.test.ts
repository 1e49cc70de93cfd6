import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createDatabase,
  type GaleraCluster,
  killable,
  type Pgbouncer,
  type Server,
  type Standby,
  startGalera,
  startPgbouncer,
  startServer,
  startStandby,
  type TestDatabase,
} from "waymark-test-servers";
import { type Address, startAddress } from "../src/address.ts";
import { onFile, onServer } from "../src/arena.ts";
import { scale } from "../src/scale.ts";
import { type Fault, runScenario, type ScenarioOptions, under } from "../src/scenario.ts";
import { isNeeded } from "../src/servers.ts";
import { execute } from "../src/sql.ts";
import { type Result, report } from "../src/table.ts";

const results: Result[] = [];
let folder: string;
let files = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "waymark-faults-failover-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  report("failover", results, 5);
});

const newBackup = () => {
  files += 1;
  return onFile(join(folder, `${files}.db`));
};

const run = async (options: Omit<ScenarioOptions, "policy">) => {
  const policy = { replication: "async", failover: "automatic", staleReads: "refuse" } as const;
  const result = await runScenario({ ...options, policy });
  results.push(result);
  expect(result.problems).toStrictEqual([]);
};

/** The same database on another server. */
function on(serverUrl: string, { url }: TestDatabase): string {
  const there = new URL(url);
  there.host = new URL(serverUrl).host;
  return there.href;
}

describe.skipIf(!isNeeded("postgres"))("a PostgreSQL primary that is lost, and its hot standby promoted", () => {
  let primary: Server;
  let standby: Standby;
  let database: TestDatabase;

  /** Once, in the middle of the work, the primary is gone for good. */
  const loss = (title: string, moveTo: (standbyUrl: string) => void | Promise<void>): Fault => ({
    title,
    times: 1,
    lastsMs: [0, scale.operationTimeoutMs],
    begin: primary.kill,
    end: async () => {
      await standby.promote();
      await moveTo(standby.url);
    },
  });

  const start = async () => {
    primary = await startServer("postgres", { from: killable });
    standby = await startStandby(primary, { synchronous: true });
    database = await createDatabase(primary.url, { ownUser: true });
  };
  const stop = async () => void (await Promise.all([standby?.stop(), primary?.stop()]));

  it.each([
    ["with a backup", true],
    ["without a backup", false],
  ])("loses nothing at an address that moves, %s", async (words, hasBackup) => {
    let address: Address | undefined;
    try {
      await start();
      address = await startAddress(database.url);
      const { pointTo, url } = address;
      const title = `PostgreSQL's primary lost, its standby promoted (${words})`;
      const backups = hasBackup ? [newBackup()] : [];
      const direct = { mains: [onServer(on(standby.url, database))], backups };
      await run({ title, stores: { mains: [onServer(url)], backups }, direct, work: under(loss(title, pointTo)) });
    } finally {
      await address?.stop();
      await stop();
    }
  });

  it.each([
    ["with a backup", true],
    ["without a backup", false],
  ])("loses nothing through pgbouncer, %s", async (words, hasBackup) => {
    let pgbouncer: Pgbouncer | undefined;
    try {
      await start();
      pgbouncer = await startPgbouncer(database.url);
      const { pointTo } = pgbouncer;
      const title = `PostgreSQL's primary lost, its standby promoted, through pgbouncer (${words})`;
      const backups = hasBackup ? [newBackup()] : [];
      const direct = { mains: [onServer(on(standby.url, database))], backups };
      const stores = { mains: [onServer(pgbouncer.url(database.name))], backups };
      const move = (standbyUrl: string) => pointTo(on(standbyUrl, database));
      await run({ title, stores, direct, work: under(loss(title, move)) });
    } finally {
      await pgbouncer?.stop();
      await stop();
    }
  });
});

describe.skipIf(!isNeeded("mariadb"))("a Galera cluster of three nodes", () => {
  let cluster: GaleraCluster;

  beforeAll(async () => {
    cluster = await startGalera();
  });
  afterAll(async () => await cluster?.stop());

  it("loses nothing when it loses a node, then its majority, and heals", async () => {
    const [first, second, third] = cluster.nodes as [Server, Server, Server];
    const database = await createDatabase(first.url, { ownUser: true });
    const title = "a Galera node lost, then the majority, then healed";
    const backups = [newBackup()];
    let time = 0;
    const fault: Fault = {
      title,
      times: 2,
      lastsMs: [0, scale.operationTimeoutMs * 2],
      // Each of the two processes has a node of its own: the third is lost at first, then the second one's too.
      begin: async () => {
        time += 1;
        await (time === 1 ? third : second).kill();
      },
      end: async () => {
        if (time === 2) await Promise.all([second.start(), third.start()]);
      },
    };
    const mains = [first, second].map((node) => onServer(on(node.url, database)));
    const direct = { mains: cluster.nodes.map((node) => onServer(on(node.url, database))), backups };
    const healed = under(fault);
    const work: ScenarioOptions["work"] = async (crew, next) => {
      const aftermath = await healed(crew, next);
      // From now on a node that is asked has all that another one has acknowledged.
      for (const node of cluster.nodes) await execute(node.url, ["set global wsrep_sync_wait = 15"]);
      return aftermath;
    };
    await run({ title, stores: { mains, backups }, direct, work });
  });
});
