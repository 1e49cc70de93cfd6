import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isReachable, open, waitUntilClosed, waitUntilGone } from "./observe.ts";

const home = fileURLToPath(new URL("..", import.meta.url));

// The tests start processes, which need the package as JavaScript. It is built here, so that it is never out of date.
let built: string;
beforeAll(async () => {
  await mkdir(join(home, ".cache"), { recursive: true });
  built = await mkdtemp(join(home, ".cache/built-"));
  await promisify(execFile)(join(home, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--outDir", built], {
    cwd: home,
  });
});
afterAll(() => rm(built, { recursive: true }));

const program = `
  import { startServer } from "./index.js";
  const { execute } = await import("./client.js");
  const server = await startServer("postgres", { from: ["program", "archive"] });
  const [row] = await execute(server.url, "select current_setting('data_directory') as folder");
  console.log(JSON.stringify({ url: server.url, folder: row.folder }));
`;

/** Programs that start several servers or a disk, by what they start. `report` then prints the URLs and data folders. */
const others = {
  standby: `
    import { startServer, startStandby } from "./index.js";
    const killable = ["program", "archive"];
    const primary = await startServer("postgres", { from: killable });
    const servers = [primary, await startStandby(primary, { synchronous: true })];
    const query = "select current_setting('data_directory') as folder";
  `,
  cluster: `
    import { startGalera } from "./index.js";
    const servers = (await startGalera({ nodes: 2 })).nodes;
    const query = "select @@datadir as folder";
  `,
  disk: `
    import { startServer } from "./index.js";
    const servers = [await startServer("mariadb", { from: ["program", "archive"], diskBytes: 300 * 2 ** 20 })];
    const query = "select @@datadir as folder";
    await servers[0].fillDisk();
  `,
};
const report = `
  const { execute } = await import("./client.js");
  const folders = await Promise.all(servers.map(async ({ url }) => (await execute(url, query))[0].folder));
  console.log(JSON.stringify({ urls: servers.map(({ url }) => url), folders }));
  setInterval(() => {}, 1000);
`;

describe.skipIf(process.platform !== "linux")("when a process is killed", () => {
  it.for(["standby", "cluster", "disk"] as const)("its %s is removed", async (what, { skip }) => {
    if (what === "disk" && process.getuid?.() !== 0) skip("a small disk needs root");
    const child = spawn(process.execPath, ["--input-type=module", "-e", others[what] + report], {
      cwd: built,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const { urls, folders } = JSON.parse((await lines.next()).value) as { urls: string[]; folders: string[] };
    child.kill("SIGKILL");
    for (const folder of folders) await waitUntilGone(dirname(folder.replace(/\/$/, "")));
    for (const url of urls) expect(await isReachable(url)).toBe(false);
    const mounts = await readFile("/proc/mounts", "utf8");
    for (const folder of folders) expect(mounts).not.toContain(folder.replace(/\/$/, ""));
  });
});

describe.skipIf(process.platform !== "linux")("a server", () => {
  const start = async (then: string) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program + then], {
      cwd: built,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const { url, folder } = JSON.parse((await lines.next()).value) as { url: string; folder: string };
    return { child, lines, url, folder: dirname(folder) };
  };

  it("ends when its process is killed, and its folder is removed", async () => {
    const { child, url, folder } = await start("setInterval(() => {}, 1000);");
    const witness = waitUntilClosed(await open(url));
    child.kill("SIGKILL");
    await witness;
    await waitUntilGone(folder);
    expect(await isReachable(url)).toBe(false);
  });

  it("ends when its process is killed, even while it is paused", async () => {
    const { child, lines, url, folder } = await start(
      "await server.pause(); console.log(1); setInterval(() => {}, 1000);",
    );
    await lines.next();
    child.kill("SIGKILL");
    await waitUntilGone(folder);
    expect(await isReachable(url)).toBe(false);
  });

  it("does not keep a process alive that forgets to stop it", async () => {
    const { child, folder } = await start("");
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
    await waitUntilGone(folder);
  });

  it("can be used by a child process through its URL, and is not stopped by it", async () => {
    const inner = `${program.replace('["program", "archive"]', '["url"]')} await server.stop();`;
    const { child, url, folder } = await start(`
      import { execFileSync } from "node:child_process";
      const env = { ...process.env, WAYMARK_TEST_POSTGRES_URL: server.url };
      execFileSync(process.execPath, ["--input-type=module", "-e", ${JSON.stringify(inner)}], { env });
      await execute(server.url, "select 1");
      await server.stop();
    `);
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
    expect(await isReachable(url)).toBe(false);
    await waitUntilGone(folder);
  });
});
