// `npm run demo`: installs and builds if needed, then lets an agent crash and resume on SQLite.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setUp } from "./setup.mjs";

await setUp();
const demo = fileURLToPath(new URL("../examples/resume-after-crash/demo.mjs", import.meta.url));
const { status } = spawnSync(process.execPath, [demo, ...process.argv.slice(2)], { stdio: "inherit" });
process.exitCode = status ?? 1;
