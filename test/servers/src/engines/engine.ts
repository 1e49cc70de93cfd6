import { execute } from "../client.ts";
import type { Command } from "../enclosure.ts";
import type { Program, ProgramSpec } from "../programs.ts";
import type { ServerKind } from "../server.ts";

/** All differences between the kinds of server. */
export interface Engine {
  readonly kind: ServerKind;
  /** As its makers write it. */
  readonly title: string;
  /** The package to install, for the error that says so. */
  readonly package: string;
  readonly program: ProgramSpec;
  readonly container: {
    readonly image: string;
    readonly port: number;
    readonly environment: Readonly<Record<string, string>>;
  };
  /** Arguments of the server wherever we run it: fast, SIGKILL loses nothing that was committed, many connections. */
  readonly settings: readonly string[];
  /** Instead of `settings`, where a commit must be on the disk when it is acknowledged. */
  readonly durableSettings: readonly string[];
  /** A shell command that removes what a killed server leaves elsewhere; $0/data is its data folder. */
  readonly tidyUp: string;
  /** Making a data folder is slow enough to keep a fresh one in the cache. */
  readonly keepsDataFolder: boolean;

  adminUrl(host: string, port: number): string;
  /** Selects `version`, whatever else the server writes after the number. */
  readonly versionQuery: string;
  /** Selects `folder`, where the server keeps its data. */
  readonly folderQuery: string;
  /** False for the version of another make that speaks the same protocol. */
  isVersion(version: string): boolean;
  /** Fills the data folder, which is there and empty. */
  initialise(program: Program, dataFolder: string): Promise<Command>;
  /** Arguments that come after the settings and change the number of connections. */
  limit(maxConnections: number): readonly string[];
  /** Runs the server in the foreground. */
  serve(program: Program, dataFolder: string, port: number): Command;
}

/** @throws if the server is of another make */
export async function versionAt(url: string, engine: Engine): Promise<string> {
  const [row] = await execute(url, engine.versionQuery);
  const version = String(row?.["version"]);
  if (!engine.isVersion(version)) throw new Error(`expected a server of ${engine.title}, got version ${version}`);
  return /^[\d.]+/.exec(version)?.[0] ?? version;
}
