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

/** The databases of one scenario, and what stands between them and the processes. */
export interface Arena {
  readonly server: Server;
  readonly database: TestDatabase;
  /** Between the processes and main; or between the first of them and main. */
  readonly proxy: TcpProxy | null;
  /** Between the processes and a backup that they share and that is a server. */
  readonly backupProxy: TcpProxy | null;
  readonly stores: Stores;
  readonly direct: Stores;
  dispose(): Promise<void>;
}

export interface ArenaOptions {
  /** Whether each process has a backup of its own. */
  readonly ownBackups: boolean;
  /** Which processes reach main through a proxy. */
  readonly viaProxy: "all" | "first" | "none";
  /** How long a process waits for a backup that is a locked file, in milliseconds. Default 1,000. */
  readonly busyTimeoutMs?: number;
}

/** Enough for the processes, and few enough to be used up in no time. */
const MAX_CONNECTIONS = 80;

export async function startMain(kind: ServerKind, diskBytes?: number): Promise<Server> {
  const disk = diskBytes === undefined ? {} : { diskBytes };
  return await startServer(kind, { from: killable, maxConnections: MAX_CONNECTIONS, ...disk });
}

/** @param backups the server of backups that are no files */
export async function openArena(server: Server, backups: Server | null, options: ArenaOptions): Promise<Arena> {
  const folder = await mkdtemp(join(tmpdir(), "waymark-faults-backup-"));
  // Not as the administrator, whom a server lets do what it refuses to others.
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
      ? files.map((file) => onFile(file, options.busyTimeoutMs))
      : backupDatabases.map(({ url }) => onServer(url));
  const [shared] = proxy !== null && !options.ownBackups ? backupDatabases : [];
  const backupProxy = shared === undefined ? null : await startProxy(shared.url);
  const first = onServer(proxy?.url ?? database.url);
  return {
    server,
    database,
    proxy,
    backupProxy,
    stores: {
      mains: options.viaProxy === "first" ? [first, onServer(database.url)] : [first],
      backups: backupProxy === null ? kept : [onServer(backupProxy.url)],
    },
    direct: { mains: [onServer(database.url)], backups: kept },
    async dispose() {
      await Promise.all([proxy?.stop(), backupProxy?.stop()]);
      await Promise.all([database, ...backupDatabases].map((each) => each.drop()));
      await rm(folder, { recursive: true });
    },
  };
}

/** Such that a fault is noticed, got over and over again in seconds. */
const common = {
  operationTimeoutMs: scale.operationTimeoutMs,
  retry: { maxRetries: 3, baseDelayMs: 20, maxDelayMs: 200, jitterMaxMs: 20 },
  circuit: { failureThreshold: 5, resetTimeoutMs: 300, halfOpenMaxAttempts: 2 },
};

export function onServer(url: string): ProviderConfig {
  const type = new URL(url).protocol === "mysql:" ? "mysql" : "postgres";
  return { type, connectionString: url, poolSize: 8, connectTimeoutMs: 1_000, ...common };
}

export function onFile(databasePath: string, busyTimeoutMs = 1_000): ProviderConfig {
  // SIGKILL loses nothing that was committed; only a power cut would.
  return { type: "sqlite", databasePath, synchronous: "NORMAL", busyTimeoutMs, ...common };
}
