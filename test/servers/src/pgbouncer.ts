import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { account } from "./account.ts";
import { execute } from "./client.ts";
import { createEnclosure } from "./enclosure.ts";
import { fetchProgram } from "./fetch.ts";
import { startListener } from "./listener.ts";
import { findProgram, type ProgramSpec } from "./programs.ts";

export interface Pgbouncer {
  /** Returns the URL, through the pooler, of a database on the server. */
  url(databaseName: string): string;
  /**
   * Connects the pooler to another server, as after a failover. Clients stay connected. A transaction that is open on the first
   * server ends there.
   */
  pointTo(postgresUrl: string): Promise<void>;
  stop(): Promise<void>;
}

export interface PgbouncerOptions {
  /** Connections to the server for each database. Default: 4, so few that clients must share them. */
  readonly poolSize?: number;
  /** Environment. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

const pgbouncer: ProgramSpec = {
  name: "pgbouncer",
  folder: "usr/sbin",
  // 1.21 is the first version whose transaction mode supports prepared statements.
  version: /PgBouncer (1\.(?:2[1-9]|[3-9]\d)\S*)/,
  archive: {
    debian: { suite: "trixie", package: "pgbouncer" },
    ubuntu: { suite: "own", package: "pgbouncer" },
  },
};

/**
 * Starts pgbouncer in transaction mode in front of the URL's server: the program of this machine, else of the distribution's
 * archive. It logs in to the server as the URL's user, for all clients.
 */
export async function startPgbouncer(postgresUrl: string, options: PgbouncerOptions = {}): Promise<Pgbouncer> {
  const { poolSize = 4, env = process.env } = options;
  const installed = await findProgram(pgbouncer, "/", env["PATH"]);
  const program = installed ?? (await fetchProgram(pgbouncer, env));
  if ("absent" in program) {
    throw new Error(`start pgbouncer: expected version 1.21 or later on this machine, found none; ${program.absent}`);
  }

  const enclosure = await createEnclosure("pgbouncer");
  try {
    const configuration = join(enclosure.folder, "pgbouncer.ini");
    const urlAt = (port: number, databaseName: string) => {
      const url = new URL(postgresUrl);
      url.host = `127.0.0.1:${port}`;
      url.pathname = `/${databaseName}`;
      return url.href;
    };
    let target = postgresUrl;
    const configure = async (port: number) => {
      await writeFile(configuration, settings(new URL(target), port, poolSize, new URL(postgresUrl).username), {
        mode: 0o600,
      });
      if (account) await chown(configuration, account.uid, account.gid);
    };
    const listener = await startListener(enclosure, {
      title: "pgbouncer",
      async command(port) {
        await configure(port);
        return { program: program.path, args: [configuration] };
      },
      async ask(port) {
        const rows = await execute(urlAt(port, "pgbouncer"), "show config");
        const file = rows.find((row) => row["key"] === "conffile")?.["value"];
        if (file !== configuration)
          throw new Error(`expected the pgbouncer of ${configuration}, got the one of ${file}`);
      },
    });
    return {
      url: (databaseName) => urlAt(listener.port, databaseName),
      async pointTo(url) {
        target = url;
        await configure(listener.port);
        const console = urlAt(listener.port, "pgbouncer");
        await execute(console, "reload");
        await execute(console, "reconnect");
      },
      stop: enclosure.remove,
    };
  } catch (error) {
    await enclosure.remove();
    throw error;
  }
}

function settings(server: URL, port: number, poolSize: number, administrator: string): string {
  const quoted = (text: string) => `'${decodeURIComponent(text).replaceAll("'", "''")}'`;
  const password = server.password && `password=${quoted(server.password)}`;
  return `
[databases]
* = host=${server.hostname} port=${server.port || 5432} user=${quoted(server.username)} ${password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
admin_users = ${decodeURIComponent(administrator)}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
max_prepared_statements = 100
# With the default of 15 seconds, clients are refused for that long after the server has recovered.
server_login_retry = 1
`;
}
