import type { Engine } from "./engines/engine.ts";
import { mariadb } from "./engines/mariadb.ts";
import { mysql } from "./engines/mysql.ts";
import { postgres } from "./engines/postgres.ts";
import { fromArchive } from "./origins/archive.ts";
import { fromDocker } from "./origins/docker.ts";
import { fromProgram } from "./origins/program.ts";
import { fromUrl, urlVariable } from "./origins/url.ts";

export type ServerKind = "postgres" | "mysql" | "mariadb";

/**
 * Origin of a server. `url`: a server that already runs. `docker`: a container. `program`: a program of this machine, run by this
 * package. `archive`: a program of the distribution's archive, run by this package.
 */
export type Origin = "url" | "docker" | "program" | "archive";

/** Origins whose servers can be killed and paused. */
export const killable: readonly Origin[] = ["program", "archive"];

export interface Server {
  readonly kind: ServerKind;
  readonly origin: Origin;
  /** Version, as in "15.20". */
  readonly version: string;
  /** URL of an administrator. A server that this package runs listens only on 127.0.0.1, and needs no password. */
  readonly url: string;
  /** True if `kill`, `start`, `pause` and `resume` work; otherwise they throw. */
  readonly canBeKilled: boolean;
  /** Sends SIGKILL to all processes of the server, and waits until they have ended. Nothing that was committed is lost. */
  kill(): Promise<void>;
  /** Starts the server again after `kill`, with the same port and data, and waits until it answers. */
  start(): Promise<void>;
  /** Sends SIGSTOP to all processes of the server: connections stay open, and nothing answers. */
  pause(): Promise<void>;
  /** Ends a pause. */
  resume(): Promise<void>;
  /** True if `fillDisk` and `freeDisk` work, which needs `diskBytes`; otherwise they throw. */
  readonly canBeFilled: boolean;
  /** Fills the free space of the server's disk. May be called again, for space that has become free since. */
  fillDisk(): Promise<void>;
  /** Frees the space that `fillDisk` took, starts the server again if it has ended, and waits until it answers. */
  freeDisk(): Promise<void>;
  /** Ends the server and removes its data. Does nothing for the origin `url`. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Allowed origins. They are tried in the order url, docker, program, archive. Default: all. */
  readonly from?: readonly Origin[];
  /** Environment. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Syncs every commit to the disk, as benchmarks need it. Default: `false`, which is faster. Ignored for the origin `url`. */
  readonly durable?: boolean;
  /** Size of a disk of the server's own, which can be filled. Needs root, and an origin in `killable`. Default: no disk. */
  readonly diskBytes?: number;
  /** Limit of connections, for a server that this package runs. Default: 400. */
  readonly maxConnections?: number;
}

/** Options that an origin gets. */
export interface Request {
  readonly env: NodeJS.ProcessEnv;
  /** Size of a disk of the server's own; 0: it uses the machine's. */
  readonly diskBytes: number;
  /** Arguments that come after the engine's settings. */
  readonly args: readonly string[];
}

/** Reason why an origin has no server, as the end of a sentence. */
export interface Absent {
  readonly absent: string;
}

const engines: Readonly<Record<ServerKind, Engine>> = { postgres, mysql, mariadb };

const origins: readonly [Origin, (engine: Engine, request: Request) => Promise<Server | Absent>][] = [
  ["url", fromUrl],
  ["docker", fromDocker],
  ["program", fromProgram],
  ["archive", fromArchive],
];

/**
 * Starts a server of the first origin that has one, and waits until it answers. A server that this package runs ends with `stop`,
 * and also when this process ends or is killed.
 *
 * @throws with the reason of each origin if none has a server, and with the end of its log if a server does not start
 */
export async function startServer(kind: ServerKind, options: StartOptions = {}): Promise<Server> {
  const { from = origins.map(([origin]) => origin), env = process.env, durable = false } = options;
  const { diskBytes = 0, maxConnections } = options;
  const engine = durable ? { ...engines[kind], settings: engines[kind].durableSettings } : engines[kind];
  const args = maxConnections === undefined ? [] : engine.limit(maxConnections);
  const reasons: string[] = [];
  for (const [origin, find] of origins) {
    if (!from.includes(origin)) continue;
    if (diskBytes && !killable.includes(origin)) {
      reasons.push(`  ${origin}: its disk cannot be filled`);
      continue;
    }
    const found = await find(engine, { env, diskBytes, args });
    if (!("absent" in found)) return found;
    reasons.push(`  ${origin}: ${found.absent}`);
  }
  throw new Error(
    `start ${engine.title}: expected an administrator's URL in ${urlVariable(engine)}, a Docker engine, or the ` +
      `package ${engine.package} on this machine, found none of them:\n${reasons.join("\n")}`,
  );
}
