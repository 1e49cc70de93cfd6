import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Program } from "../programs.ts";

/** The settings that MySQL's and MariaDB's servers still share. */
export const settings = [
  // Each commit reaches the system, though not the disk: only a power cut loses it. Nothing is ever synced.
  "--innodb-flush-log-at-trx-commit=2",
  "--loose-innodb-flush-method=nosync",
  "--performance-schema=OFF",
  "--max-connections=400",
];

/** The same with every commit synced. */
export const durableSettings = [
  "--innodb-flush-log-at-trx-commit=1",
  "--innodb-buffer-pool-size=1G",
  "--performance-schema=OFF",
  "--max-connections=400",
];

/** Where the server finds its files; these arguments come before all others. */
export function places(program: Program, dataFolder: string): string[] {
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

/** TCP on the loopback interface, and no socket file. */
export function listen(port: number): string[] {
  return ["--bind-address=127.0.0.1", `--port=${port}`, "--socket=", "--pid-file=server.pid"];
}
