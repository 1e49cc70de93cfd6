import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, realpath } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { account } from "./account.ts";

/** How a program is recognised, and where it comes from. */
export interface ProgramSpec {
  readonly name: string;
  /** The folder that packages put it in, below the root; a `*` stands for a version, of which the newest counts. */
  readonly folder: string;
  /** Takes the version from what `--version` prints. No match: another program of that name, or too old. */
  readonly version: RegExp;
  /** The package of a distribution's archive; the suite "own" is the machine's release. */
  readonly archive: {
    readonly [distribution in "debian" | "ubuntu"]: { readonly suite: string; readonly package: string };
  };
}

export interface Program {
  readonly path: string;
  readonly version: string;
  /** "/", or the folder that a package of another machine was unpacked in. */
  readonly root: string;
}

/**
 * @param searchPath folders to look in after the package's own, in the form of $PATH
 */
export async function findProgram(spec: ProgramSpec, root: string, searchPath = ""): Promise<Program | undefined> {
  const folders = [...(await versionsOf(join(root, spec.folder))), ...searchPath.split(delimiter).filter(Boolean)];
  for (const folder of folders) {
    const version = await versionOf(join(folder, spec.name), spec.version);
    // Programs find their neighbours by their own place, which a link to them is not.
    if (version) return { path: await realpath(join(folder, spec.name)), version, root };
  }
  return undefined;
}

async function versionsOf(folder: string): Promise<string[]> {
  const [before, after] = folder.split("*");
  if (before === undefined || after === undefined) return [folder];
  const versions = await readdir(before).catch(() => []);
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(before, version, after));
}

async function versionOf(path: string, pattern: RegExp): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await promisify(execFile)(path, ["--version"], { ...account, cwd: "/" });
    return pattern.exec(stdout)?.[1];
  } catch {
    return undefined; // not there, or not for this machine or account to run
  }
}
