// The pinned pnpm for whoever has only Node and npm: `node scripts/pnpm.mjs exec turbo run lint`.
import { spawnSync } from "node:child_process";
import { install, pinnedPnpm, root } from "./setup.mjs";

const args = process.argv.slice(2);
// `install` itself must work when the lockfile is behind, where installing first would fail.
const env = ["install", "add", "update", "remove"].includes(args[0]) ? await pinnedPnpm() : await install();
const { status } = spawnSync("pnpm", args, { cwd: root, env, stdio: "inherit", shell: process.platform === "win32" });
process.exitCode = status ?? 1;
