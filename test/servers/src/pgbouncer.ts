import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { account } from "./account.ts";
import { execute } from "./client.ts";
import { createEnclosure } from "./enclosure.ts";
import { fetchProgram } from "./fetch.ts";
import { startListener } from "./listener.ts";
import { findProgram, type ProgramSpec } from "./programs.ts";

export interface Pgbouncer {
  /** The database of that name on the server behind, through the pooler. */
  url(databaseName: string): string;
  stop(): Promise<void>;
}

export interface PgbouncerOptions {
  /** Connections to the server for each database. Default: 4, so that clients share them soon. */
  readonly poolSize?: number;
  /** Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

const pgbouncer: ProgramSpec = {
  name: "pgbouncer",
  folder: "usr/sbin",
  // From 1.21 on, prepared statements work in transaction mode.
  version: /PgBouncer (1\.(?:2[1-9]|[3-9]\d)\S*)/,
  archive: {
    debian: { suite: "trixie", package: "pgbouncer" },
    ubuntu: { suite: "own", package: "pgbouncer" },
  },
};

/**
 * Starts pgbouncer in transaction mode before the server that the URL names: the machine's own, else the one of
 * the distribution's archive. It logs in as the URL's user, whoever its client says it is.
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
    const listener = await startListener(enclosure, {
      title: "pgbouncer",
      async command(port) {
        await writeFile(configuration, settings(new URL(postgresUrl), port, poolSize), { mode: 0o600 });
        if (account) await chown(configuration, account.uid, account.gid);
        return { program: program.path, args: [configuration] };
      },
      async ask(port) {
        const rows = await execute(urlAt(port, "pgbouncer"), "show config");
        const file = rows.find((row) => row["key"] === "conffile")?.["value"];
        if (file !== configuration)
          throw new Error(`expected the pgbouncer of ${configuration}, got the one of ${file}`);
      },
    });
    return { url: (databaseName) => urlAt(listener.port, databaseName), stop: enclosure.remove };
  } catch (error) {
    await enclosure.remove();
    throw error;
  }
}

function settings(server: URL, port: number, poolSize: number): string {
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
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
max_prepared_statements = 100
`;
}
