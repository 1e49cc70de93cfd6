/** The last two have vectors; a test gets them only if its project, or the test itself, names them. */
export type ServerKind = "postgres" | "mysql" | "mariadb" | "postgres-vector" | "mariadb-vector";

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
