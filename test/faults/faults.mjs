// `npm run faults`: runs the fault-injection suite at full numbers, and writes its tables to results/.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { install, setUp } from "../../scripts/setup.mjs";

await setUp();
const env = { ...(await install()), WAYMARK_FAULTS: "full" };
const vitest = fileURLToPath(new URL("node_modules/vitest/vitest.mjs", import.meta.url));
const cwd = fileURLToPath(new URL(".", import.meta.url));
const child = spawn(process.execPath, [vitest, "run", ...process.argv.slice(2)], { cwd, env, stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("close", (code) => (process.exitCode = code ?? 1));
