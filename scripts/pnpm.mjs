// Runs the pinned pnpm on a machine that has only Node and npm: `node scripts/pnpm.mjs exec turbo run lint`.
import { spawnSync } from "node:child_process";
import { install, pinnedPnpm, root } from "./setup.mjs";

const args = process.argv.slice(2);
// These commands must work with an outdated lockfile too; install() would fail on one.
const env = ["install", "add", "update", "remove"].includes(args[0]) ? await pinnedPnpm() : await install();
const { status } = spawnSync("pnpm", args, { cwd: root, env, stdio: "inherit", shell: process.platform === "win32" });
process.exitCode = status ?? 1;
