import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Program } from "../programs.ts";

/** Settings that MySQL and MariaDB have in common. */
export const settings = [
  // Each commit is handed to the operating system, but nothing is synced: only a power cut loses commits.
  "--innodb-flush-log-at-trx-commit=2",
  "--loose-innodb-flush-method=nosync",
  "--performance-schema=OFF",
  "--max-connections=400",
];

/** Settings in common with which every commit is synced. */
export const durableSettings = [
  "--innodb-flush-log-at-trx-commit=1",
  "--innodb-buffer-pool-size=1G",
  "--performance-schema=OFF",
  "--max-connections=400",
];

/** Returns arguments with the paths of the server's files. They must come before all others. */
export function pathArgs(program: Program, dataFolder: string): string[] {
  const args = ["--no-defaults", `--datadir=${dataFolder}`, `--tmpdir=${dirname(dataFolder)}`];
  if (program.root === "/") return args;

  const prefix = join(program.root, "usr");
  const named = join(prefix, "share/mariadb"); // since MariaDB 11
  const share = existsSync(named) ? named : join(prefix, "share/mysql");
  return [
    ...args,
    `--basedir=${prefix}`,
    `--lc-messages-dir=${share}`,
    `--character-sets-dir=${join(share, "charsets")}`,
    `--plugin-dir=${join(prefix, "lib/mysql/plugin")}`,
  ];
}

/** Returns arguments for TCP on the loopback interface, without a socket file. */
export function listenArgs(port: number): string[] {
  return ["--bind-address=127.0.0.1", `--port=${port}`, "--socket=", "--pid-file=server.pid"];
}
