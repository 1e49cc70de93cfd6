import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { account } from "./account.ts";
import { findProgram, type Program, type ProgramSpec } from "./programs.ts";
import type { Absent } from "./server.ts";

/** Returns the folder that keeps fetched servers between runs: WAYMARK_TEST_CACHE, else `.cache/servers` in the repository. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  return env["WAYMARK_TEST_CACHE"] ?? fileURLToPath(new URL("../../../.cache/servers", import.meta.url));
}

/** Fetches a program from the archive of this machine's distribution, or returns the one that was fetched earlier. */
export async function fetchProgram(spec: ProgramSpec, env: NodeJS.ProcessEnv): Promise<Program | Absent> {
  const distribution = await distributionName();
  if (distribution !== "debian" && distribution !== "ubuntu") return { absent: "this is neither Debian nor Ubuntu" };

  const { suite, package: name } = spec.archive[distribution];
  const script = fileURLToPath(new URL("../fetch.sh", import.meta.url));
  let root: string;
  try {
    const { stdout } = await promisify(execFile)("bash", [script, suite, name, cacheFolder(env)], { env });
    root = stdout.trim();
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    return { absent: `fetching ${name} of ${suite} failed: ${stderr?.trim() || error}` };
  }
  const program = await findProgram(spec, root);
  if (program) return program;
  const user = account ? "user nobody" : "you";
  return {
    absent: `${user} cannot run ${spec.name} in ${root}; set WAYMARK_TEST_CACHE to a folder where that is possible`,
  };
}

async function distributionName(): Promise<string | undefined> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  return /^ID="?(\w+)/m.exec(release)?.[1];
}
