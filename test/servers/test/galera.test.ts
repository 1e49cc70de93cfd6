import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { execute } from "../src/client.ts";
import { createDatabase, type GaleraCluster, type Server, startGalera, type TestDatabase } from "../src/index.ts";
import { isReachable, waitUntilGone } from "./observe.ts";

const folderOf = async (server: Server) =>
  dirname(String((await execute(server.url, "select @@datadir as folder"))[0]?.["folder"]).replace(/\/$/, ""));

describe.skipIf(process.platform !== "linux")("a Galera cluster", () => {
  let cluster: GaleraCluster;
  let one: Server;
  let two: Server;
  let three: Server;
  let database: TestDatabase;
  beforeAll(async () => {
    cluster = await startGalera({ nodes: 3 });
    [one, two, three] = cluster.nodes as [Server, Server, Server];
    database = await createDatabase(one.url);
    await execute(database.url, "create table turns (id int primary key)");
  });
  afterAll(() => cluster.stop());

  const on = (server: Server) => {
    const url = new URL(database.url);
    url.host = new URL(server.url).host;
    return url.href;
  };
  const store = (server: Server, id: number) => execute(on(server), `insert into turns values (${id})`);
  const stored = async (server: Server) =>
    // wsrep_sync_wait: the read waits for all commits of other nodes.
    (await execute(on(server), "set statement wsrep_sync_wait = 1 for select id from turns order by id")).map(
      ({ id }) => id,
    );
  const size = async (server: Server) =>
    (await execute(server.url, "show status where variable_name = 'wsrep_cluster_size'"))[0]?.["Value"];

  it("has on every node the rows that were stored on any node", async () => {
    for (const [id, node] of cluster.nodes.entries()) await store(node, id);
    for (const node of cluster.nodes) expect(await stored(node)).toEqual([0, 1, 2]);
  });

  it("works without one node, which gets the rows that it missed when it is started again", async () => {
    await three.kill();
    await vi.waitUntil(async () => (await size(one)) === "2", { timeout: 90_000 });
    await store(two, 3);
    await three.start();
    expect(await stored(three)).toEqual([0, 1, 2, 3]);
    expect(await size(one)).toBe("3");
  });

  it("refuses all statements without a majority, and recovers when the nodes are started again", async () => {
    await Promise.all([two.kill(), three.kill()]);
    const refusal = () =>
      store(one, 4).then(
        () => undefined,
        (error) => error.errno,
      );
    // A commit waits while the node finds out that it has no majority, then fails with another code. Later ones fail with 1047.
    await vi.waitUntil(async () => (await refusal()) === 1047, { timeout: 90_000 });
    await Promise.all([two.start(), three.start()]);
    await store(one, 5);
    for (const node of cluster.nodes) expect(await stored(node)).toContain(5);
  });

  it("takes back a node that was expelled while it was paused", async () => {
    await two.pause();
    await vi.waitUntil(async () => (await size(one)) === "2", { timeout: 90_000 });
    await store(one, 6);
    await two.resume();
    await vi.waitUntil(async () => (await size(one)) === "3", { timeout: 90_000 });
    await vi.waitUntil(async () => (await stored(two).catch((): unknown[] => [])).includes(6), { timeout: 90_000 });
  });

  it("leaves nothing behind when it is stopped", async () => {
    const folders = await Promise.all(cluster.nodes.map(folderOf));
    await cluster.stop();
    await Promise.all(folders.map(waitUntilGone));
    for (const node of cluster.nodes) expect(await isReachable(node.url)).toBe(false);
  });
});

describe("without Galera", () => {
  it("rejects with the reason", async () => {
    await expect(startGalera({ from: [] })).rejects.toThrow("start Galera: expected the packages mariadb-server");
  });
});
