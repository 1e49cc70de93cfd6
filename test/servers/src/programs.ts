import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, realpath } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { account } from "./account.ts";

/** Specification of a program: where to find it, and how to recognise it. */
export interface ProgramSpec {
  readonly name: string;
  /** Folder of the program in packages, below the root. A `*` stands for a version; the newest one is used. */
  readonly folder: string;
  /** Pattern of the version in the output of `--version`. No match: another program of that name, or one that is too old. */
  readonly version: RegExp;
  /** Checks that a program of this version has all that is needed beside it; otherwise it is passed over. */
  readonly isComplete?: (path: string) => Promise<boolean>;
  /** Package in the distribution's archive. The suite "own" is the machine's release. */
  readonly archive: {
    readonly [distribution in "debian" | "ubuntu"]: { readonly suite: string; readonly package: string };
  };
}

export interface Program {
  readonly path: string;
  readonly version: string;
  /** "/", or the folder that a fetched package was unpacked in. */
  readonly root: string;
}

/**
 * Finds a program below a root.
 * @param searchPath further folders to look in, in the form of $PATH
 */
export async function findProgram(spec: ProgramSpec, root: string, searchPath = ""): Promise<Program | undefined> {
  const folders = [...(await versionsOf(join(root, spec.folder))), ...searchPath.split(delimiter).filter(Boolean)];
  for (const folder of folders) {
    const version = await versionOf(join(folder, spec.name), spec.version);
    if (!version) continue;
    // Programs find other programs beside their own file, but not beside a link to it.
    const path = await realpath(join(folder, spec.name));
    if (!spec.isComplete || (await spec.isComplete(path))) return { path, version, root };
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
    return undefined; // missing, or this machine or user cannot run it
  }
}
