import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Engine } from "./engine.ts";
import { durableSettings, listenArgs, pathArgs, settings } from "./mysqld.ts";

export const mariadb: Engine = {
  kind: "mariadb",
  title: "MariaDB",
  package: "mariadb-server",
  program: {
    name: "mariadbd",
    folder: "usr/sbin",
    version: /Ver (\d+\.\d+\.\d+)-MariaDB/,
    archive: {
      debian: { suite: "own", package: "mariadb-server-core" },
      ubuntu: { suite: "own", package: "mariadb-server-core" },
    },
  },
  container: { image: "mariadb:11.8", port: 3306, environment: { MARIADB_ALLOW_EMPTY_ROOT_PASSWORD: "yes" } },
  // The character set that all packages of MariaDB configure. The program's own default was latin1 until 11.6.
  settings: [...settings, "--character-set-server=utf8mb4"],
  durableSettings: [...durableSettings, "--character-set-server=utf8mb4"],
  cleanUp: "",
  keepsDataFolder: false,
  adminUrl: (host, port) => `mysql://root@${host}:${port}/mysql`,
  versionQuery: "select version() as version",
  folderQuery: "select @@datadir as folder",
  isVersion: (version) => version.includes("MariaDB"),
  async initialise(program, dataFolder) {
    // Does the work of mariadb-install-db. That script would run the machine's mariadbd, not a fetched one.
    const args = [...pathArgs(program, dataFolder), ...this.settings, "--bootstrap", "--enforce-storage-engine="];
    return { program: program.path, args, input: await systemTables(dirname(dirname(program.path))) };
  },
  limit: (maxConnections) => [`--max-connections=${maxConnections}`],
  serve(program, dataFolder, port) {
    const args = [...pathArgs(program, dataFolder), ...this.settings];
    return { program: program.path, args: [...args, ...listenArgs(port)] };
  },
};

/** Reads the SQL that makes the system tables, with an administrator root@localhost without a password. */
async function systemTables(prefix: string): Promise<string> {
  const texts = await Promise.all([
    readAny(prefix, ["mariadb_system_tables.sql", "mysql_system_tables.sql"]),
    readAny(prefix, ["mariadb_performance_tables.sql", "mysql_performance_tables.sql"]),
    readAny(prefix, ["mariadb_system_tables_data.sql", "mysql_system_tables_data.sql"]),
    readAny(prefix, ["maria_add_gis_sp_bootstrap.sql"]),
    readAny(prefix, ["mariadb_sys_schema.sql", "mysql_sys_schema.sql"]),
  ]);
  return ["create database if not exists mysql;", "use mysql;", "set @auth_root_socket=NULL;", ...texts].join("\n");
}

/** Reads the first of these files that exists. Before MariaDB 11, the folder and the scripts were named after MySQL. */
async function readAny(prefix: string, names: string[]): Promise<string> {
  const files = ["mariadb", "mysql"].flatMap((folder) => names.map((name) => join(prefix, "share", folder, name)));
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return text;
  }
  throw new Error(`initialise MariaDB: expected one of ${files.join(", ")}, found none`);
}
