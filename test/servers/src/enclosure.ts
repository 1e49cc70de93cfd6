import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, mkdtemp, open, readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { account } from "./account.ts";

/** A program to run: its file, its arguments, and its standard input. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly input?: string | Uint8Array;
  /** Folders that come before $PATH when the program looks for other programs. */
  readonly searchFirst?: readonly string[];
}

/**
 * A temporary folder and all processes whose working directory is in it. `remove` ends and removes both; so does the end of this
 * process, even by SIGKILL. Only on Linux, since it needs /proc.
 */
export interface Enclosure {
  readonly folder: string;
  /** Small disk that is mounted in the folder, if one was requested. */
  readonly disk: Disk | undefined;
  /** Runs the command and waits for its end. Rejects with the end of the log if it fails. */
  run(command: Command): Promise<void>;
  /** Starts the command and leaves it running. */
  start(command: Command): Promise<ChildProcess>;
  /** Returns the last lines of the commands' output. */
  logTail(): Promise<string>;
  /** Sends SIGKILL to every process in the folder, and waits until all have ended. */
  kill(): Promise<void>;
  /** Sends SIGSTOP to every process in the folder, and waits until all have stopped. */
  pause(): Promise<void>;
  /** Sends SIGCONT to every process in the folder. */
  resume(): Promise<void>;
  remove(): Promise<void>;
}

/** A small file system for one server. */
export interface Disk {
  /** Fills all free space. */
  fill(): Promise<void>;
  /** Frees the space that `fill` took. */
  free(): Promise<void>;
}

/** Name of the folder that a disk is mounted as: the data folder. */
const DISK = "data";

const LOG_TAIL_LINES = 30;

// Finds processes by their working directory; $0 is the folder. Neither a process group nor the parent finds all backends of
// PostgreSQL: each is in a session of its own, and a busy one outlives its postmaster. A process that is ending loses its working
// directory before it becomes a zombie. So kill_all waits for each killed process by its pid and start time (field 22 of
// /proc/PID/stat; field 3 is the state).
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
  // Repeats until all have stopped, including processes that were forked meanwhile.
  pause: `${processes}
    moving() { for pid in $(processes); do grep '^State:' /proc/$pid/status 2>/dev/null; done | grep -v '[TZ] ('; }
    while moving >/dev/null; do signal STOP; done`,
  resume: `${processes} signal CONT`,
  // Reads a pipe from the process that made the enclosure. It is closed by remove(), or when that process ends. $1 cleans up.
  keep: `${processes}
    while read -r line; do :; done
    kill_all
    eval "$1" 2>/dev/null
    rm -rf "$0"`,
  // Does the same if a disk is mounted, which only root may unmount. $2 is the script `keep`, $3 and $4 are its user and group.
  keepDisk: `
    setpriv --reuid "$3" --regid "$4" --clear-groups sh -c "$2" "$0" "$1"
    umount -l "$0/${DISK}" 2>/dev/null
    rm -rf "$0"`,
  // Writes until the disk is full. A second call takes the space that has become free since the first.
  fill: `cat /dev/zero >> "$0/${DISK}/ballast" 2>/dev/null; true`,
  free: `rm -f "$0/${DISK}/ballast"`,
};

/**
 * Creates an enclosure.
 * @param name beginning of the folder's name, so that it can be recognised in /tmp
 * @param cleanUp shell command that removes what killed processes leave outside of the folder; $0 is the folder
 * @param diskBytes size of a disk that is mounted as `data` in the folder, which needs root; 0: no disk
 */
export async function createEnclosure(name: string, cleanUp = "", diskBytes = 0): Promise<Enclosure> {
  if (process.platform !== "linux") throw new Error(`create enclosure: expected Linux, got ${process.platform}`);
  if (diskBytes && !account) {
    throw new Error("mount a small disk: expected to be root; run this as root, or in a container");
  }
  const folder = await mkdtemp(join(tmpdir(), `waymark-${name}-`));
  if (account) await chown(folder, account.uid, account.gid);

  // The keeper runs as the servers' user: in a container only a process's own user may read its working directory, not even root
  // may. It is detached: otherwise a Ctrl-C in the terminal would end it together with this process.
  const keeping =
    diskBytes && account
      ? [scripts.keepDisk, folder, cleanUp, scripts.keep, `${account.uid}`, `${account.gid}`]
      : [scripts.keep, folder, cleanUp];
  const keeper = spawn("/bin/sh", ["-c", ...keeping], {
    ...(diskBytes ? undefined : account),
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  await once(keeper, "spawn");
  // A process that forgets to remove its enclosure is not kept alive: the keeper removes it when the process ends.
  keeper.unref();
  (keeper.stdin as Socket).unref();

  const remove = async () => {
    keeper.stdin.end();
    await Promise.all([keeper, ...children].map(waitForExit));
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
      child.stdin?.on("error", () => {}); // it ended before it read all its input: its exit code is the better error
      child.stdin?.end(input);
      child.unref();
      return child;
    } finally {
      await output.close();
    }
  };

  const run = async (command: Command) => {
    const child = await start(command);
    await waitForExit(child);
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
        `mount a small disk: expected root to have the right to mount, got "${refusal}"; ` +
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

/** True once Node has received the process's exit, soon after its end. */
export function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

export async function waitForExit(child: ChildProcess): Promise<void> {
  if (hasExited(child)) return;
  child.ref(); // it must keep this process alive while it is waited for
  await once(child, "exit");
}
