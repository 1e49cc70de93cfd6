import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { keepWords, property, unref } from "@waymark/core/kit";
import { FOLDER_IN_USE } from "./errors.ts";

/**
 * A lock on a folder, for one process of a machine at a time. The lock is a socket that the process listens on: the operating
 * system closes it with the process, however that ends, so a lock that nobody answers for is stale. A file with the number of a
 * process could not tell: numbers are used again, and those of another container mean nothing here.
 *
 * On POSIX systems it is a Unix socket in the folder, which processes of other containers reach too if they share the folder.
 * On Windows it is a named pipe, which only one process can make. Machines that share a folder over a network do not see each
 * other's.
 */
export interface FolderLock {
  /** Returns whether the lock is still in the folder: without it another process may open what is at the path now. */
  isThere(): boolean;
  release(): void;
}

/** Time for the process that listens to say what it does. One that is busy has the lock. */
const ANSWER_TIMEOUT_MS = 1_000;
/** Delay between two looks at a process that wants the lock too. */
const LOOK_AGAIN_MS = 10;

/** Longest path of a socket, in bytes, that all systems take. */
const MAX_SOCKET_PATH = 100;

const NAME = /^waymark-lock-(\d+)-[0-9a-f]{8}$/;

type Claim = "waits" | "holds";

/** Ends of the locks that this thread has, by folder. */
const held = new Map<string, Promise<void>>();

/**
 * Locks a folder, which exists: `folder` is its real path. Waits while this thread has locked it. If another process has, or wants
 * to and is ahead, it rejects with the code {@link FOLDER_IN_USE}.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  while (held.has(folder)) await held.get(folder);
  let end = () => {};
  held.set(
    folder,
    new Promise((resolve) => {
      end = () => {
        held.delete(folder);
        resolve();
      };
    }),
  );
  try {
    const lock = process.platform === "win32" ? await lockByPipe(folder) : await lockBySocket(folder);
    const release = () => {
      lock.release();
      end();
    };
    return { ...lock, release };
  } catch (error) {
    end();
    throw error;
  }
}

/**
 * Makes a socket of its own, and only then looks for those of others: of two processes at least one sees the other, and if both
 * do, the one whose name comes first goes on. A socket gets its name when it is listened on, and no name is used twice: a socket
 * with a name that refuses connections is one of a process that is gone, and may be removed by anybody.
 */
async function lockBySocket(folder: string): Promise<FolderLock> {
  const name = `waymark-lock-${process.pid}-${randomBytes(4).toString("hex")}`;
  const { path, forget } = shortPathOf(folder);
  let claim: Claim = "waits";
  const server = await listen(join(path, `${name}.new`), () => claim);
  const release = () => {
    rmSync(join(folder, name), { force: true });
    server.close(); // at once: those who ask at this moment get their answer
  };
  try {
    renameSync(join(folder, `${name}.new`), join(folder, name));
    while (claim === "waits") {
      const others = readdirSync(folder).filter((other) => NAME.test(other) && other !== name);
      let isAlone = true;
      for (const other of others) {
        const answer = await ask(join(path, other));
        if (answer === null) rmSync(join(folder, other), { force: true });
        else if (answer === "holds" || other < name) throw inUse(folder, Number(NAME.exec(other)?.[1]));
        else isAlone = false;
      }
      if (isAlone) claim = "holds";
      else await delay(LOOK_AGAIN_MS);
    }
    return { isThere: () => existsSync(join(folder, name)), release };
  } catch (error) {
    release();
    throw error;
  } finally {
    forget();
  }
}

async function lockByPipe(folder: string): Promise<FolderLock> {
  const name = createHash("sha256").update(folder.toLowerCase()).digest("hex");
  const server = await listen(`\\\\.\\pipe\\waymark-lock-${name}`, () => "holds").catch((error: unknown) => {
    const isTaken = property(error, "code") === "EADDRINUSE" || property(error, "code") === "EACCES";
    throw isTaken ? inUse(folder, null) : error;
  });
  return { isThere: () => true, release: () => void server.close() };
}

/** Listens on a path, and tells those who connect about the claim. It does not keep the process alive. */
function listen(path: string, claim: () => Claim): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => {}); // it may be gone already
    unref(socket).end(claim());
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // Exclusive: the workers of a cluster would otherwise share one socket of their primary.
    server.listen({ path, exclusive: true }, () => resolve(unref(server)));
  });
}

/** Asks a process for its claim. `null`: nobody listens any more. */
async function ask(path: string): Promise<Claim | null> {
  let answer: Claim | "closed" | null;
  do answer = await askOnce(path);
  while (answer === "closed"); // now or in a moment nobody listens there
  return answer;
}

/** Asks once. `closed`: the process stopped listening, or ended, before it answered. That says nothing about its claim. */
function askOnce(path: string): Promise<Claim | "closed" | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let answer = "";
    const settle = (claim: Claim | "closed" | null) => {
      socket.destroy();
      resolve(claim);
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => settle("holds"));
    socket.setEncoding("latin1").on("data", (text) => {
      answer += text;
    });
    socket.on("end", () => settle(answer === "" ? "closed" : answer === "waits" ? "waits" : "holds"));
    socket.on("error", (error) => {
      const code = property(error, "code");
      if (code === "ECONNRESET") settle("closed");
      else settle(code === "ECONNREFUSED" || code === "ENOENT" ? null : "holds");
    });
  });
}

function inUse(folder: string, pid: number | null): unknown {
  const own = "another thread, or another copy of this package, in this process";
  const holder = pid === null ? "another process" : pid === process.pid ? own : `process ${pid}`;
  const message = `${holder} has ${folder} open, and only one process can`;
  return keepWords(Object.assign(new TypeError(message), { code: FOLDER_IN_USE }));
}

/** Returns a path of the folder for sockets, by a link in the folder for temporary files if its own is too long. */
function shortPathOf(folder: string): { path: string; forget: () => void } {
  if (Buffer.byteLength(folder) + 40 <= MAX_SOCKET_PATH) return { path: folder, forget: () => {} };
  const path = join(mkdtempSync(join(tmpdir(), "waymark-")), "f");
  symlinkSync(folder, path);
  return { path, forget: () => rmSync(dirname(path), { recursive: true, force: true }) };
}

/** Returns whether a file of a folder is a lock, or one that was about to be. */
export function isLock(name: string): boolean {
  return NAME.test(name.replace(/\.new$/, ""));
}
