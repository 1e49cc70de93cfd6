import { dirname, join } from "node:path";
import type { Engine } from "./engine.ts";

export const postgres: Engine = {
  kind: "postgres",
  title: "PostgreSQL",
  package: "postgresql",
  program: {
    name: "postgres",
    folder: "usr/lib/postgresql/*/bin",
    version: /\(PostgreSQL\) (\S+)/,
    archive: { debian: { suite: "own", package: "postgresql" }, ubuntu: { suite: "own", package: "postgresql" } },
  },
  container: {
    image: "pgvector/pgvector:pg17",
    port: 5432,
    environment: { POSTGRES_HOST_AUTH_METHOD: "trust" },
  },
  // Without fsync, each commit is still handed to the operating system: SIGKILL loses none, only a power cut does.
  settings: ["-c", "fsync=off", "-c", "max_connections=400"],
  durableSettings: ["-c", "max_connections=400"],
  // Removes a segment of System V shared memory, whose number is limited. Line 7 of the file has its key and its id.
  cleanUp: `ipcrm -m $(awk 'NR == 7 { print $2 }' "$0/data/postmaster.pid")`,
  keepsDataFolder: false,
  adminUrl: (host, port) => `postgres://postgres@${host}:${port}/postgres`,
  versionQuery: "select current_setting('server_version') as version",
  folderQuery: "select current_setting('data_directory') as folder",
  isVersion: () => true,
  async initialise(program, dataFolder) {
    const args = ["-D", dataFolder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    // Text sorts by language, as in users' databases: tests find queries that need the order of bytes and do not ask for it.
    if (Number.parseInt(program.version, 10) >= 15) args.push("--locale-provider=icu", "--icu-locale=en-US");
    return { program: join(dirname(program.path), "initdb"), args };
  },
  limit: (maxConnections) => ["-c", `max_connections=${maxConnections}`],
  serve(program, dataFolder, port) {
    const place = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="];
    // In the data folder, not in /dev/shm, where files would stay after a SIGKILL.
    const memory = ["-c", "dynamic_shared_memory_type=mmap"];
    return { program: program.path, args: ["-D", dataFolder, "-p", `${port}`, ...place, ...memory, ...this.settings] };
  },
};
