import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, mkdtemp, open, readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { account } from "./account.ts";

/** A program to run: its file, its arguments, and what it reads from standard input. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly input?: string | Uint8Array;
  /** Folders where it finds other programs, before those of $PATH. */
  readonly searchFirst?: readonly string[];
}

/**
 * A temporary folder and all processes that work in it. Both are gone after `remove`, and also when this
 * process dies without a word, whatever kills it. Linux alone has the /proc that this takes.
 */
export interface Enclosure {
  readonly folder: string;
  /** The small disk in the folder, if one was asked for. */
  readonly disk: Disk | undefined;
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

/** A file system of its own. */
export interface Disk {
  /** Takes all that is left. */
  fill(): Promise<void>;
  /** Gives back what `fill` took. */
  free(): Promise<void>;
}

/** Where a disk is mounted in the folder: the data folder is all of it. */
const DISK = "data";

const LOG_TAIL_LINES = 30;

// PostgreSQL's backends have a session each, and a busy one outlives its postmaster: neither a process group nor parentage finds
// them all, but their working directory does. $0 is the folder. A process that is ending loses its working directory before it is
// a zombie, so each that was killed is waited for by its number and start time (fields 3 and 22 of /proc/PID/stat).
const processes = `
processes() {
  ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -F -- "-> $0" | sed 's,.*/proc/\\([0-9]*\\)/cwd -> .*,\\1,'
}
signal() { kill -s "$1" $(processes) 2>/dev/null || true; }
start_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
is_ending() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | grep -q "^[^ZX] \\([^ ]* \\)\\{18\\}$2 "; }
kill_all() {
  killed=
  while found=$(processes); [ -n "$found" ]; do
    kill -s KILL $found 2>/dev/null
    for pid in $found; do killed="$killed $pid:$(start_of "$pid")"; done
  done
  for one in $killed; do while is_ending "\${one%:*}" "\${one#*:}"; do :; done; done
}
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
  // The same where a disk is mounted, which root must do: $2 is the keeper's script, $3 and $4 are its account.
  keepDisk: `
    setpriv --reuid "$3" --regid "$4" --clear-groups sh -c "$2" "$0" "$1"
    umount -l "$0/${DISK}" 2>/dev/null
    rm -rf "$0"`,
  // Until nothing more goes in; what has become free since the last time is taken as well.
  fill: `cat /dev/zero >> "$0/${DISK}/ballast" 2>/dev/null; true`,
  free: `rm -f "$0/${DISK}/ballast"`,
};

/**
 * @param name begins the folder's name, for whoever looks into /tmp
 * @param tidyUp a shell command for what dead processes leave elsewhere; $0 is the folder
 * @param diskBytes the size of a disk, mounted as `data` in the folder; 0 for none. It takes root
 */
export async function createEnclosure(name: string, tidyUp = "", diskBytes = 0): Promise<Enclosure> {
  if (process.platform !== "linux") throw new Error(`keep processes together: expected Linux, got ${process.platform}`);
  if (diskBytes && !account) {
    throw new Error("mount a small disk: expected to be root, which it takes; run this as root, or in a container");
  }
  const folder = await mkdtemp(join(tmpdir(), `waymark-${name}-`));
  if (account) await chown(folder, account.uid, account.gid);

  // The keeper has the servers' account too: only a process's own user may look where it works, since in a
  // container even root has lost that right. Detached, or a Ctrl-C in the terminal would end it with us.
  const keeping =
    diskBytes && account
      ? [scripts.keepDisk, folder, tidyUp, scripts.keep, `${account.uid}`, `${account.gid}`]
      : [scripts.keep, folder, tidyUp];
  const keeper = spawn("/bin/sh", ["-c", ...keeping], {
    ...(diskBytes ? undefined : account),
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  await once(keeper, "spawn");
  // Nothing here keeps a process alive that forgot to remove its enclosure: the keeper does it then.
  keeper.unref();
  (keeper.stdin as Socket).unref();

  const remove = async () => {
    keeper.stdin.end();
    await Promise.all([keeper, ...children].map(exitOf));
  };
  const children: ChildProcess[] = [];
  const log = join(folder, "server.log");
  const logTail = async () => (await readFile(log, "utf8")).trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n");

  const start = async ({ program, args, input, searchFirst = [] }: Command) => {
    const output = await open(log, "a");
    try {
      const child = spawn(program, args, {
        ...account,
        cwd: folder,
        env: { PATH: [...searchFirst, process.env["PATH"]].join(delimiter), LC_ALL: "C" },
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

  const run = async (command: Command) => {
    const child = await start(command);
    await exitOf(child);
    if (child.exitCode !== 0) {
      const ending = child.exitCode ?? child.signalCode;
      throw new Error(`${command.program} ended with ${ending}, expected 0. Its log ends:\n${await logTail()}`);
    }
  };
  const shell = (script: string): Command => ({ program: "/bin/sh", args: ["-c", script, folder] });

  if (diskBytes && account) {
    const place = join(folder, DISK);
    const options = `size=${diskBytes},mode=700,uid=${account.uid},gid=${account.gid}`;
    try {
      await mkdir(place);
      await promisify(execFile)("mount", ["-t", "tmpfs", "-o", options, "waymark", place]);
    } catch (cause) {
      await remove();
      const { stderr } = cause as { stderr?: string };
      const refusal = stderr?.trim() || String(cause);
      throw new Error(
        `mount a small disk: expected root who may mount, got "${refusal}"; ` +
          "a container needs --cap-add SYS_ADMIN for that",
        { cause },
      );
    }
  }

  const signal = async (script: string) => {
    await promisify(execFile)("/bin/sh", ["-c", script, folder], { ...account, cwd: "/" });
  };

  return {
    folder,
    logTail,
    start,
    run,
    kill: () => signal(scripts.kill),
    pause: () => signal(scripts.pause),
    resume: () => signal(scripts.resume),
    disk: diskBytes ? { fill: () => run(shell(scripts.fill)), free: () => run(shell(scripts.free)) } : undefined,
    remove,
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
