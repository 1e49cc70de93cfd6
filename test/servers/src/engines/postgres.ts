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
  // Without fsync the system still has every commit after a SIGKILL: only a power cut loses them.
  settings: ["-c", "fsync=off", "-c", "max_connections=400"],
  durableSettings: ["-c", "max_connections=400"],
  // A segment of System V shared memory, of which a system has few. Line 7 of the file is its key and its id.
  tidyUp: `ipcrm -m $(awk 'NR == 7 { print $2 }' "$0/data/postmaster.pid")`,
  keepsDataFolder: false,
  adminUrl: (host, port) => `postgres://postgres@${host}:${port}/postgres`,
  versionQuery: "select current_setting('server_version') as version",
  folderQuery: "select current_setting('data_directory') as folder",
  isVersion: () => true,
  async initialise(program, dataFolder) {
    const args = ["-D", dataFolder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    // A human order of text, as users' databases have it: what relies on the order of bytes must ask for it.
    if (Number.parseInt(program.version, 10) >= 15) args.push("--locale-provider=icu", "--icu-locale=en-US");
    return { program: join(dirname(program.path), "initdb"), args };
  },
  limit: (maxConnections) => ["-c", `max_connections=${maxConnections}`],
  serve(program, dataFolder, port) {
    const place = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="];
    // In the data folder and not in /dev/shm, where nobody would tidy up after a SIGKILL.
    const memory = ["-c", "dynamic_shared_memory_type=mmap"];
    return { program: program.path, args: ["-D", dataFolder, "-p", `${port}`, ...place, ...memory, ...this.settings] };
  },
};
