import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
const project = fileURLToPath(new URL("types/tsconfig.json", import.meta.url));

it("has the types that ElizaOS asks for, under the resolution of bundlers", async () => {
  const compiler = fileURLToPath(new URL("bin/tsc", `file://${typescript}`));
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, [compiler, "-p", project], (_, stdout, stderr) => resolve(stdout + stderr));
  });
  expect(output).toBe("");
});
