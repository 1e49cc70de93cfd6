import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProviderConfig } from "@waymark/core";
import {
  createDatabase,
  killable,
  type Server,
  type ServerKind,
  startProxy,
  startServer,
  type TcpProxy,
  type TestDatabase,
} from "waymark-test-servers";
import { PROCESSES, scale } from "./scale.ts";
import type { Stores } from "./scenario.ts";

export interface Pair {
  readonly name: string;
  readonly main: ServerKind;
  readonly backup: "sqlite" | "mysql";
}

/** Databases of one scenario, and the proxies between them and the processes. */
export interface Arena {
  readonly server: Server;
  readonly database: TestDatabase;
  /** Proxy between main and all processes, or the first process. */
  readonly proxy: TcpProxy | null;
  /** Proxy between the processes and their shared backup, if that is a server. */
  readonly backupProxy: TcpProxy | null;
  readonly stores: Stores;
  readonly direct: Stores;
  dispose(): Promise<void>;
}

export interface ArenaOptions {
  /** True if each process has a backup of its own. */
  readonly ownBackups: boolean;
  /** Processes that connect to main through the proxy. */
  readonly viaProxy: "all" | "first" | "none";
  /** Milliseconds that a process waits for a locked SQLite backup. Default: 1,000. */
  readonly busyTimeoutMs?: number;
}

/** Connections of a server: enough for the processes, and few enough to be exhausted quickly. */
const MAX_CONNECTIONS = 80;

export async function startMain(kind: ServerKind, diskBytes?: number): Promise<Server> {
  const disk = diskBytes === undefined ? {} : { diskBytes };
  return await startServer(kind, { from: killable, maxConnections: MAX_CONNECTIONS, ...disk });
}

/** @param backups server of the backups; `null`: they are SQLite files */
export async function openArena(server: Server, backups: Server | null, options: ArenaOptions): Promise<Arena> {
  const folder = await mkdtemp(join(tmpdir(), "waymark-faults-backup-"));
  // A user of its own: read-only mode and connection limits do not apply to administrators.
  const database = await createDatabase(server.url, { ownUser: true });
  const proxy = options.viaProxy === "none" ? null : await startProxy(database.url);
  const count = options.ownBackups ? PROCESSES : 1;
  const backupDatabases =
    backups === null
      ? []
      : await Promise.all(Array.from({ length: count }, () => createDatabase(backups.url, { ownUser: true })));
  const files = Array.from({ length: count }, (_, place) => join(folder, `backup-${place}.db`));
  const kept =
    backups === null
      ? files.map((file) => fileProvider(file, options.busyTimeoutMs))
      : backupDatabases.map(({ url }) => serverProvider(url));
  const [shared] = proxy !== null && !options.ownBackups ? backupDatabases : [];
  const backupProxy = shared === undefined ? null : await startProxy(shared.url);
  const first = serverProvider(proxy?.url ?? database.url);
  return {
    server,
    database,
    proxy,
    backupProxy,
    stores: {
      mains: options.viaProxy === "first" ? [first, serverProvider(database.url)] : [first],
      backups: backupProxy === null ? kept : [serverProvider(backupProxy.url)],
    },
    direct: { mains: [serverProvider(database.url)], backups: kept },
    async dispose() {
      await Promise.all([proxy?.stop(), backupProxy?.stop()]);
      await Promise.all([database, ...backupDatabases].map((each) => each.drop()));
      await rm(folder, { recursive: true });
    },
  };
}

/** Options with which a process notices a fault, and recovers from it, within seconds. */
const common = {
  operationTimeoutMs: scale.operationTimeoutMs,
  retry: { maxRetries: 3, baseDelayMs: 20, maxDelayMs: 200, jitterMaxMs: 20 },
  circuit: { failureThreshold: 5, resetTimeoutMs: 300, halfOpenMaxAttempts: 2 },
};

export function serverProvider(url: string): ProviderConfig {
  const type = new URL(url).protocol === "mysql:" ? "mysql" : "postgres";
  return { type, connectionString: url, poolSize: 8, connectTimeoutMs: 1_000, ...common };
}

export function fileProvider(databasePath: string, busyTimeoutMs = 1_000): ProviderConfig {
  // With NORMAL, SIGKILL loses no commit; only a power cut could.
  return { type: "sqlite", databasePath, synchronous: "NORMAL", busyTimeoutMs, ...common };
}
