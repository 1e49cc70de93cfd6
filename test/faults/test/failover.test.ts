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
import { fileProvider, serverProvider } from "../src/arena.ts";
import { full, scale } from "../src/scale.ts";
import { type Fault, runScenario, type ScenarioOptions, under } from "../src/scenario.ts";
import { isNeeded } from "../src/servers.ts";
import { execute } from "../src/sql.ts";
import { type Result, report } from "../src/table.ts";

/** With each of two kinds of address, both with and without a backup in `npm run test:all` and `npm run faults`; else one of them. */
const both = full || process.env["WAYMARK_TEST_ALL"] !== undefined;
const WITH: readonly [words: string, hasBackup: boolean] = ["with a backup", true];
const WITHOUT: readonly [words: string, hasBackup: boolean] = ["without a backup", false];

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
  return fileProvider(join(folder, `${files}.db`));
};

const run = async (options: Omit<ScenarioOptions, "policy">) => {
  const policy = { replication: "async", failover: "automatic", staleReads: "refuse" } as const;
  const result = await runScenario({ ...options, policy });
  results.push(result);
  expect(result.problems).toStrictEqual([]);
};

/** Returns the URL of the same database on another server. */
function urlOn(serverUrl: string, { url }: TestDatabase): string {
  const there = new URL(url);
  there.host = new URL(serverUrl).host;
  return there.href;
}

describe.skipIf(!isNeeded("postgres"))("a PostgreSQL primary that is lost and replaced by its promoted standby", () => {
  let primary: Server;
  let standby: Standby;
  let database: TestDatabase;

  /** Kills the primary for good, once, in the middle of the work. */
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

  it.each(both ? [WITH, WITHOUT] : [WITH])(
    "loses nothing behind an address that is moved, %s",
    async (words, hasBackup) => {
      let address: Address | undefined;
      try {
        await start();
        address = await startAddress(database.url);
        const { pointTo, url } = address;
        const title = `PostgreSQL's primary lost, its standby promoted (${words})`;
        const backups = hasBackup ? [newBackup()] : [];
        const direct = { mains: [serverProvider(urlOn(standby.url, database))], backups };
        await run({
          title,
          stores: { mains: [serverProvider(url)], backups },
          direct,
          work: under(loss(title, pointTo)),
        });
      } finally {
        await address?.stop();
        await stop();
      }
    },
  );

  it.each(both ? [WITH, WITHOUT] : [WITHOUT])("loses nothing through pgbouncer, %s", async (words, hasBackup) => {
    let pgbouncer: Pgbouncer | undefined;
    try {
      await start();
      pgbouncer = await startPgbouncer(database.url);
      const { pointTo } = pgbouncer;
      const title = `PostgreSQL's primary lost, its standby promoted, through pgbouncer (${words})`;
      const backups = hasBackup ? [newBackup()] : [];
      const direct = { mains: [serverProvider(urlOn(standby.url, database))], backups };
      const stores = { mains: [serverProvider(pgbouncer.url(database.name))], backups };
      const move = (standbyUrl: string) => pointTo(urlOn(standbyUrl, database));
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
      // Each of the two processes is connected to one node. First the third node is lost, then also the second process's.
      begin: async () => {
        time += 1;
        await (time === 1 ? third : second).kill();
      },
      end: async () => {
        if (time === 2) await Promise.all([second.start(), third.start()]);
      },
    };
    const mains = [first, second].map((node) => serverProvider(urlOn(node.url, database)));
    const direct = { mains: cluster.nodes.map((node) => serverProvider(urlOn(node.url, database))), backups };
    const healed = under(fault);
    const work: ScenarioOptions["work"] = async (crew, next) => {
      const aftermath = await healed(crew, next);
      // From now on a read on any node sees all that other nodes have acknowledged.
      for (const node of cluster.nodes) await execute(node.url, ["set global wsrep_sync_wait = 15"]);
      return aftermath;
    };
    await run({ title, stores: { mains, backups }, direct, work });
  });
});
