import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bytes } from "../print.ts";
import type { Table } from "../report.ts";

/** Bytes on disk of packages, and of what they install beside ElizaOS. */

interface Manifest {
  readonly name: string;
  readonly files?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A way to install an adapter. */
export interface SizeFigures {
  /** The packages that are named to the package manager; the first one has the adapter. */
  readonly packages: readonly string[];
  /** The adapter's package itself, as it is published. */
  readonly itself: number;
  /** All that comes with the packages, themselves too, and not with core. */
  readonly installed: number;
  readonly count: number;
}

const WAYS: readonly (readonly string[])[] = [
  ["@elizaos/plugin-sql"],
  ["@waymark/elizaos", "@waymark/sqlite"],
  ["@waymark/elizaos", "@waymark/postgres"],
  ["@waymark/elizaos", "@waymark/postgres", "@electric-sql/pglite"],
  ["@waymark/elizaos", "@waymark/mysql"],
];

export function measureSizes(): SizeFigures[] {
  const here = fileURLToPath(new URL("../..", import.meta.url));
  const core = new Set<string>();
  collect("@elizaos/core", here, core);
  return WAYS.map((packages) => {
    const folders = new Set<string>();
    for (const name of packages) collect(name, here, folders);
    const own = [...folders].filter((folder) => !core.has(folder));
    return {
      packages,
      itself: sizeOf(own[0] ?? ""),
      installed: own.reduce((total, folder) => total + sizeOf(folder), 0),
      count: own.length,
    };
  });
}

/** Adds the folder of a package, as `from` would import it, and those of all that it depends on. */
function collect(name: string, from: string, folders: Set<string>): void {
  const folder = folderOf(name, from);
  if (folder === undefined || folders.has(folder)) return; // undefined: an optional one that is not installed
  folders.add(folder);
  const { dependencies, optionalDependencies } = manifestOf(folder);
  for (const needed of Object.keys({ ...dependencies, ...optionalDependencies })) collect(needed, folder, folders);
}

function folderOf(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const found = join(folder, "node_modules", name);
    if (existsSync(join(found, "package.json"))) return realpathSync(found);
    if (folder === dirname(folder)) return undefined;
  }
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/** Bytes of the files of a package: here those of its own are there too that are not published, and what its compiler has left. */
function sizeOf(folder: string): number {
  const isOwn = manifestOf(folder).name.startsWith("@waymark/");
  const names = isOwn ? ["package.json", "README.md", "LICENSE", ...(manifestOf(folder).files ?? [])] : [""];
  return [...new Set(names)].reduce((total, name) => total + bytesIn(join(folder, name)), 0);
}

function bytesIn(path: string): number {
  if (!existsSync(path)) return 0;
  const status = statSync(path);
  if (!status.isDirectory()) return status.size;
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.isSymbolicLink() && !LEFT_OVERS.includes(entry.name))
    .reduce((total, { name }) => total + bytesIn(join(path, name)), 0);
}

/** Packages that were installed within, and objects of a compiler, in place of which users get a file that was compiled. */
const LEFT_OVERS = ["node_modules", "obj", "obj.target"];

export function tableOfSizes(sizes: readonly SizeFigures[]): Table {
  return {
    title: "Size on disk, unpacked",
    head: ["packages", "the adapter's package itself", "with all that is installed beside core", "packages in all"],
    rows: sizes.map(({ packages, itself, installed, count }) => [
      packages.join(" "),
      bytes(itself),
      bytes(installed),
      String(count),
    ]),
  };
}
