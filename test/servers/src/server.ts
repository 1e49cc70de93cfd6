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
 * Where a server is from: `url`, somebody else runs it; `docker`, a container; `program`, a program of this
 * machine, run by us; `archive`, a program from the distribution's archive, run by us.
 */
export type Origin = "url" | "docker" | "program" | "archive";

/** The origins whose servers can be killed and paused. */
export const killable: readonly Origin[] = ["program", "archive"];

export interface Server {
  readonly kind: ServerKind;
  readonly origin: Origin;
  /** As in "15.20". */
  readonly version: string;
  /** Names an administrator. One of ours listens on 127.0.0.1 alone and asks for no password. */
  readonly url: string;
  /** Whether `kill`, `start`, `pause` and `resume` work; elsewhere they throw. */
  readonly canBeKilled: boolean;
  /** SIGKILL to all of its processes at once; fulfilled when they are gone. What was committed is not lost. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same port and data; fulfilled when it answers. */
  start(): Promise<void>;
  /** SIGSTOP to all of its processes: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** Ends a pause. */
  resume(): Promise<void>;
  /** Whether `fillDisk` and `freeDisk` work, as after `diskBytes`; elsewhere they throw. */
  readonly canBeFilled: boolean;
  /** Takes all that is left on its disk, and again what has become free since. */
  fillDisk(): Promise<void>;
  /** Gives it back, and starts the server again if it has not survived; fulfilled when it answers. */
  freeDisk(): Promise<void>;
  /** Ends it and removes its data. A server of the origin `url` is left alone. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Which origins may serve; they are tried in the order url, docker, program, archive. Default: all. */
  readonly from?: readonly Origin[];
  /** Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Sync every commit to the disk, as it must be to measure. Default: `false`, which is faster. Another's server is as it is. */
  readonly durable?: boolean;
  /** The size of a disk of its own, which can be filled. Takes root, and a server whose processes are ours. Default: none. */
  readonly diskBytes?: number;
  /** Of one of ours. Default: 400. */
  readonly maxConnections?: number;
}

/** The options as an origin is given them. */
export interface Request {
  readonly env: NodeJS.ProcessEnv;
  /** 0: as much as the machine has. */
  readonly diskBytes: number;
  /** Arguments that come after the engine's settings. */
  readonly args: readonly string[];
}

/** Why an origin has no server, as the end of a sentence. */
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
 * Gives a server that answers, from the first origin that has one. One that we run ends with `stop`, and also
 * when this process ends or is killed.
 *
 * @throws if no origin has one, with the reason of each; or if the one found does not start, with the end of its log
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
      reasons.push(`  ${origin}: its disk is not ours to fill`);
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
