import { execFile } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Folders of the published packages. */
export const published: readonly string[] = readdirSync(join(root, "packages"))
  .map((name) => join(root, "packages", name))
  .filter((folder) => existsSync(join(folder, "package.json")) && manifest(folder)["private"] !== true);

export function manifest(folder: string): Readonly<Record<string, unknown>> {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

export interface CommandOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a command and returns its output. @throws an error with its output, if it fails or does not end */
export function run(command: string, args: readonly string[], { cwd, env }: CommandOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...cleanEnvironment(), ...env }, timeout: 240_000, maxBuffer: 1 << 26 };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${command} ${args.join(" ")}\n${stdout}\n${stderr}`, { cause: error }));
      else resolve(stdout);
    });
    child.stdin?.end();
  });
}

/** Runs a script with this Node, and parses the last line of its output as JSON. */
export async function runScript(file: string, options: CommandOptions): Promise<unknown> {
  const stdout = await run(process.execPath, [file], options);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

/** The environment of a user's shell: without variables of vitest, of the package manager and of our test servers. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(npm_|vitest|waymark_|node_|init_cwd$|dev$|prod$|mode$|test$)/i;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
  const prefix = dirname(dirname(process.execPath));
  // The headers of this Node, if they are installed, so that compiling SQLite needs no download.
  const headers = existsSync(join(prefix, "include/node/node.h")) ? { npm_config_nodedir: prefix } : {};
  return { ...env, ...headers, PATH: [dirname(process.execPath), env["PATH"]].join(":") };
}

/** The pinned pnpm. */
export function pnpm(args: readonly string[], options: CommandOptions): Promise<string> {
  return run("npx", ["--yes", String(manifest(root)["packageManager"]), ...args], options);
}

/** The folder and the version of better-sqlite3 that this checkout has compiled. */
const compiled = join(root, "packages/sqlite/node_modules/better-sqlite3");
export const compiledVersion = String(manifest(compiled)["version"]);

/** Gives better-sqlite3 in `folder`, installed without scripts, its native part: to compile it again would take minutes. */
export function copyCompiled(folder: string): void {
  if (manifest(folder)["version"] !== compiledVersion) throw new Error(`expected ${compiledVersion} in ${folder}`);
  const file = "build/Release/better_sqlite3.node";
  cpSync(join(compiled, file), join(folder, file));
}

/** Packs all published packages as for an upload. Returns the paths of the tarballs by package name. */
export async function packAll(folder: string): Promise<Readonly<Record<string, string>>> {
  const packed = published.map(async (cwd): Promise<[string, string]> => {
    const { name, version } = manifest(cwd);
    await pnpm(["pack", "--pack-destination", folder], { cwd });
    return [String(name), join(folder, `${String(name).replace("@", "").replace("/", "-")}-${version}.tgz`)];
  });
  return Object.fromEntries(await Promise.all(packed));
}
