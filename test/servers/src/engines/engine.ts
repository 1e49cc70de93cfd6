import { execute } from "../client.ts";
import type { Command } from "../enclosure.ts";
import type { Program, ProgramSpec } from "../programs.ts";
import type { ServerKind } from "../server.ts";

/** Engine: all that differs between the kinds of server. */
export interface Engine {
  readonly kind: ServerKind;
  /** Display name. */
  readonly title: string;
  /** Package to install, as error messages name it. */
  readonly package: string;
  readonly program: ProgramSpec;
  readonly container: {
    readonly image: string;
    readonly port: number;
    readonly environment: Readonly<Record<string, string>>;
  };
  /** Arguments of a server that this package runs: fast, with many connections. SIGKILL loses no commit; a power cut may. */
  readonly settings: readonly string[];
  /** Arguments in place of `settings`, if a commit must be on the disk when it is acknowledged. */
  readonly durableSettings: readonly string[];
  /** Shell command that removes what a killed server leaves outside of its folder; $0/data is its data folder. */
  readonly cleanUp: string;
  /** True if a data folder takes long to make, so that a new one is kept in the cache. */
  readonly keepsDataFolder: boolean;

  adminUrl(host: string, port: number): string;
  /** Query for `version`: a number, and perhaps more after it. */
  readonly versionQuery: string;
  /** Query for `folder`, the server's data folder. */
  readonly folderQuery: string;
  /** False for a version of another engine with the same protocol. */
  isVersion(version: string): boolean;
  /** Returns the command that initialises an empty data folder. */
  initialise(program: Program, dataFolder: string): Promise<Command>;
  /** Returns arguments that limit the number of connections. They come after the settings. */
  limit(maxConnections: number): readonly string[];
  /** Returns the command that runs the server in the foreground. */
  serve(program: Program, dataFolder: string, port: number): Command;
}

/** Reads a server's version number. @throws if it is another engine's */
export async function readVersion(url: string, engine: Engine): Promise<string> {
  const [row] = await execute(url, engine.versionQuery);
  const version = String(row?.["version"]);
  if (!engine.isVersion(version)) throw new Error(`expected a server of ${engine.title}, got version ${version}`);
  return /^[\d.]+/.exec(version)?.[0] ?? version;
}
