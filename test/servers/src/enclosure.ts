import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, open, readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { account } from "./account.ts";

/** A program to run: its file, its arguments, and what it reads from standard input. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly input?: string | Uint8Array;
}

/**
 * A temporary folder and all processes that work in it. Both are gone after `remove`, and also when this
 * process dies without a word, whatever kills it. Linux alone has the /proc that this takes.
 */
export interface Enclosure {
  readonly folder: string;
  /** Runs the command to its end; rejects with the end of the log if it fails. */
  run(command: Command): Promise<void>;
  /** Starts the command and leaves it running. */
  start(command: Command): Promise<ChildProcess>;
  /** The end of what the commands wrote. */
  logTail(): Promise<string>;
  /** SIGKILL to every process in the folder; fulfilled when all are gone. */
  kill(): Promise<void>;
  /** SIGSTOP to every process in the folder; fulfilled when all stand still. */
  pause(): Promise<void>;
  /** SIGCONT to every process in the folder. */
  resume(): Promise<void>;
  remove(): Promise<void>;
}

const LOG_TAIL_LINES = 30;

// PostgreSQL's backends have a session each, and a busy one outlives its postmaster: neither a process group
// nor parentage finds them all, but their working directory does. $0 is the folder.
const processes = `
processes() {
  ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -F -- "-> $0" | sed 's,.*/proc/\\([0-9]*\\)/cwd -> .*,\\1,'
}
signal() { kill -s "$1" $(processes) 2>/dev/null || true; }
kill_all() { while [ -n "$(processes)" ]; do signal KILL; done; }
`;

const scripts = {
  kill: `${processes} kill_all`,
  // Until all stand still, also those that were forked meanwhile.
  pause: `${processes}
    moving() { for pid in $(processes); do grep '^State:' /proc/$pid/status 2>/dev/null; done | grep -v '[TZ] ('; }
    while moving >/dev/null; do signal STOP; done`,
  resume: `${processes} signal CONT`,
  // The pipe from the process that made the enclosure closes at remove(), or with that process. $1 tidies up.
  keep: `${processes}
    while read -r line; do :; done
    kill_all
    eval "$1" 2>/dev/null
    rm -rf "$0"`,
};

/**
 * @param name begins the folder's name, for whoever looks into /tmp
 * @param tidyUp a shell command for what dead processes leave elsewhere; $0 is the folder
 */
export async function createEnclosure(name: string, tidyUp = ""): Promise<Enclosure> {
  if (process.platform !== "linux") throw new Error(`keep processes together: expected Linux, got ${process.platform}`);
  const folder = await mkdtemp(join(tmpdir(), `waymark-${name}-`));
  if (account) await chown(folder, account.uid, account.gid);

  // The keeper has the servers' account too: only a process's own user may look where it works, since in a
  // container even root has lost that right. Detached, or a Ctrl-C in the terminal would end it with us.
  const keeper = spawn("/bin/sh", ["-c", scripts.keep, folder, tidyUp], {
    ...account,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  await once(keeper, "spawn");
  // Nothing here keeps a process alive that forgot to remove its enclosure: the keeper does it then.
  keeper.unref();
  (keeper.stdin as Socket).unref();

  const children: ChildProcess[] = [];
  const log = join(folder, "server.log");
  const logTail = async () => (await readFile(log, "utf8")).trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n");

  const start = async ({ program, args, input }: Command) => {
    const output = await open(log, "a");
    try {
      const child = spawn(program, args, {
        ...account,
        cwd: folder,
        env: { PATH: process.env["PATH"], LC_ALL: "C" },
        stdio: [input === undefined ? "ignore" : "pipe", output.fd, output.fd],
      });
      await once(child, "spawn");
      children.push(child);
      child.stdin?.on("error", () => {}); // it ended without reading all, which its exit code tells better
      child.stdin?.end(input);
      child.unref();
      return child;
    } finally {
      await output.close();
    }
  };

  const signal = async (script: string) => {
    await promisify(execFile)("/bin/sh", ["-c", script, folder], { ...account, cwd: "/" });
  };

  return {
    folder,
    logTail,
    start,
    async run(command) {
      const child = await start(command);
      await exitOf(child);
      if (child.exitCode !== 0) {
        const ending = child.exitCode ?? child.signalCode;
        throw new Error(`${command.program} ended with ${ending}, expected 0. Its log ends:\n${await logTail()}`);
      }
    },
    kill: () => signal(scripts.kill),
    pause: () => signal(scripts.pause),
    resume: () => signal(scripts.resume),
    async remove() {
      keeper.stdin.end();
      await Promise.all([keeper, ...children].map(exitOf));
    },
  };
}

/** True from the moment the system has told us so, which is soon after the process's end. */
export function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

export async function exitOf(child: ChildProcess): Promise<void> {
  if (hasExited(child)) return;
  child.ref(); // now somebody waits for it
  await once(child, "exit");
}
