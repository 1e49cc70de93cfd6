import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { rejection, startNode } from "@waymark/conformance";
import { expect, it, onTestFinished } from "vitest";
import { lockFolder } from "../src/folder-lock.ts";

const dist = new URL("../dist/", import.meta.url).href;

/** A process that locks a folder when it is told to, and says what came of it; `release` ends the lock. */
const LOCKS = `
  const alive = setInterval(() => {}, 60_000); // a lock keeps no process alive that waits for its next line
  const { lockFolder } = await import(args[0]);
  let lock = null;
  console.log(process.pid);
  for (let line = await nextLine(); line !== "end"; line = await nextLine()) {
    if (line === "release") lock?.release();
    else lock = await lockFolder(args[1]).catch((error) => error);
    console.log(line === "release" ? "released" : (lock.message ?? "locked"));
    if (lock?.message !== undefined) lock = null;
  }
  clearInterval(alive);`;

async function startLocker(folder: string) {
  const child = startNode(`${dist}index.js`, LOCKS, `${dist}folder-lock.js`, folder);
  const pid = await child.nextLine();
  const ask = async (line: string) => {
    child.send(line);
    return await child.nextLine();
  };
  return { ...child, pid, ask };
}

function newFolder(...below: string[]): string {
  const parent = realpathSync(mkdtempSync(join(tmpdir(), "waymark-lock-")));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const folder = join(parent, ...below);
  mkdirSync(folder, { recursive: true });
  return folder;
}

it("refuses a folder that another process has, naming it, until that process releases it or is killed", async () => {
  const folder = newFolder();
  const [first, second] = await Promise.all([startLocker(folder), startLocker(folder)]);
  expect(await first.ask("lock")).toBe("locked");
  const refused = `process ${first.pid} has ${folder} open, and only one process can`;
  expect(await second.ask("lock")).toBe(refused);
  expect(await rejection(lockFolder(folder))).toMatchObject({ code: "FOLDER_IN_USE", message: refused });
  expect(await first.ask("release")).toBe("released");
  expect(readdirSync(folder)).toEqual([]);

  expect(await second.ask("lock")).toBe("locked");
  second.kill();
  await second.exit;
  expect(readdirSync(folder)).toHaveLength(1);
  const lock = await lockFolder(folder);
  expect(readdirSync(folder)).toHaveLength(1);
  expect(await first.ask("lock")).toContain(`process ${process.pid} has`);
  lock.release();
  first.send("end");
  expect(await first.exit).toMatchObject({ code: 0 });
});

it("refuses a folder whose process has stopped and answers nothing", async () => {
  const folder = newFolder();
  const holder = await startLocker(folder);
  expect(await holder.ask("lock")).toBe("locked");
  process.kill(Number(holder.pid), "SIGSTOP");
  expect((await rejection(lockFolder(folder))).message).toContain(`process ${holder.pid} has`);
  holder.kill();
  await holder.exit;
  (await lockFolder(folder)).release();
});

it("is taken over from a process that is killed while it is asked", async () => {
  const folder = newFolder();
  const holder = await startLocker(folder);
  expect(await holder.ask("lock")).toBe("locked");
  process.kill(Number(holder.pid), "SIGSTOP"); // so that it does not answer
  const taken = lockFolder(folder);
  while (readdirSync(folder).filter((name) => !name.endsWith(".new")).length < 2) await setImmediate(); // then it has asked
  holder.kill();
  (await taken).release();
  expect(readdirSync(folder)).toEqual([]);
});

it("is had by exactly one of several processes that race for it, over and over", async () => {
  const folder = newFolder();
  const racers = await Promise.all(Array.from({ length: 4 }, () => startLocker(folder)));
  for (let round = 0; round < 40; round++) {
    const answers = await Promise.all(racers.map((racer) => racer.ask("lock")));
    expect(answers.filter((answer) => answer === "locked")).toHaveLength(1);
    await Promise.all(racers.map((racer) => racer.ask("release")));
  }
});

it("takes over the locks of processes that were killed while others race for it", async () => {
  const folder = newFolder();
  for (let round = 0; round < 2; round++) {
    const racers = await Promise.all(Array.from({ length: 3 }, () => startLocker(folder)));
    const answers = await Promise.all(racers.map((racer) => racer.ask("lock")));
    expect(answers.filter((answer) => answer === "locked")).toHaveLength(1);
    for (const racer of racers) racer.kill();
    await Promise.all(racers.map((racer) => racer.exit));
  }
  (await lockFolder(folder)).release();
  expect(readdirSync(folder)).toEqual([]);
});

it("works in a folder whose path is too long for a socket", async () => {
  const folder = newFolder("x".repeat(120));
  const other = await startLocker(folder);
  const lock = await lockFolder(folder);
  expect(readdirSync(folder)).toHaveLength(1);
  expect(await other.ask("lock")).toContain(`process ${process.pid} has`);
  lock.release();
  expect(await other.ask("lock")).toBe("locked");
});

it("waits within a thread until it is released", async () => {
  const folder = newFolder();
  const order: string[] = [];
  const first = await lockFolder(folder);
  const waiting = lockFolder(folder).then((lock) => {
    order.push("locked again");
    return lock;
  });
  order.push("released");
  first.release();
  (await waiting).release();
  expect(order).toEqual(["released", "locked again"]);
});

it("is gone when its folder was deleted", async () => {
  const folder = newFolder("deleted");
  const lock = await lockFolder(folder);
  expect(lock.isThere()).toBe(true);
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  expect(lock.isThere()).toBe(false);
  lock.release();
});
