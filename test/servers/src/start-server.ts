import type { Engine } from "./engines/engine.ts";
import { mariadb } from "./engines/mariadb.ts";
import { mariadbVector } from "./engines/mariadb-vector.ts";
import { mysql } from "./engines/mysql.ts";
import { postgres } from "./engines/postgres.ts";
import { postgresVector } from "./engines/postgres-vector.ts";
import { fromArchive } from "./origins/archive.ts";
import { fromDocker } from "./origins/docker.ts";
import { fromProgram } from "./origins/program.ts";
import { fromUrl, urlVariable } from "./origins/url.ts";
import { type Absent, killable, type Origin, type Request, type Server, type ServerKind } from "./server.ts";

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

const engines: Readonly<Record<ServerKind, Engine>> = {
  postgres,
  mysql,
  mariadb,
  "postgres-vector": postgresVector,
  "mariadb-vector": mariadbVector,
};

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
