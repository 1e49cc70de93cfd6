// Rolls the declarations that tsc has written into one file for each entry of a package, so that no internal type is published
// and none of them asks for the types of Node. What the entries share is in shared.d.ts.
//
//   node ../../scripts/roll-types.mjs dist index kit

import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";

const [folder = "dist", ...entries] = process.argv.slice(2);
const directory = resolve(folder);

const bundle = await rollup({
  input: Object.fromEntries(entries.map((entry) => [entry, join(directory, `${entry}.d.ts`)])),
  external: (id) => !id.startsWith(".") && !id.startsWith("/") && !/^[A-Za-z]:\\/.test(id),
  plugins: [dts()],
  onwarn: (warning) => {
    throw new Error(`roll types of ${directory}: ${warning.message}`);
  },
});
// Everything is read before the files of tsc are removed.
const { output } = await bundle.generate({
  format: "es",
  entryFileNames: "[name].d.ts",
  chunkFileNames: "shared.d.ts",
  minifyInternalExports: false,
});
await bundle.close();

for (const file of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
  // The build of CommonJS has its own folder and its own run.
  const isOfAnotherBuild = folder === "dist" && file.startsWith("cjs");
  if (/\.d\.ts(\.map)?$/.test(file) && !isOfAnotherBuild) rmSync(join(directory, file));
}
for (const { fileName, code } of output) {
  // Programs that are compiled for an ES version without `await using` have the name too.
  const lib = /\bAsyncDisposable\b|Symbol\.asyncDispose/.test(code)
    ? '/// <reference lib="esnext.disposable" />\n'
    : "";
  writeFileSync(join(directory, fileName), lib + code);
}
