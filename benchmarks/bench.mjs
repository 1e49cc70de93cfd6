// `npm run bench`: sets up what is missing, then measures the packages as they are built, as users run them.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setUp } from "../scripts/setup.mjs";

await setUp();
const main = fileURLToPath(new URL("dist/main.js", import.meta.url));
const child = spawn(process.execPath, ["--expose-gc", main, ...process.argv.slice(2)], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("close", (code) => (process.exitCode = code ?? 1));
