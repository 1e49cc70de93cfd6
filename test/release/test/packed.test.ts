import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BuildOptions, build } from "esbuild";
import ts from "typescript-5";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";
import { compiledVersion, copyCompiled, manifest, packAll, root, run, runScript } from "./commands.ts";
import { snippets } from "./snippets.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-packed-")));
const project = join(folder, "project");
const databases: TestDatabase[] = [];
let tarballs: Readonly<Record<string, string>> = {};

const INSTALL = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];

beforeAll(async () => {
  tarballs = await packAll(folder);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "a-user", private: true }));
  const names = ["core", "sqlite", "postgres", "mysql"].map((name) => tarballs[`@waymark/${name}`] ?? name);
  const others = ["zod@4", `better-sqlite3@${compiledVersion}`];
  await run("npm", [...INSTALL, ...names, ...others], { cwd: project });
  copyCompiled(join(project, "node_modules/better-sqlite3"));
}, 300_000);

afterAll(async () => {
  await Promise.all(databases.map((database) => database.drop()));
  rmSync(folder, { recursive: true, force: true });
});

/** A program that stores a checkpoint, and prints what another storage on the same database reads. */
const USE = `
  const open = () => createCheckpointStorage(JSON.parse(process.env.OPTIONS));
  const state = { turn: 1, text: "é😀", when: new Date(0), seen: new Set([1n]) };
  const writer = open();
  const id = await writer.storeCheckpoint({ agentId: "a", name: "turn 1", state, createdAt: 5 });
  await writer.close();
  const reader = open();
  const found = await reader.retrieveCheckpoint(id);
  const listed = await reader.listCheckpoints();
  await reader.close();
  console.log(JSON.stringify({
    text: found.state.text,
    when: found.state.when.getTime(),
    seen: [...found.state.seen].map(String),
    listed: listed.map((checkpoint) => [checkpoint.id === id, checkpoint.name]),
  }));
`;
const USED = { text: "é😀", when: 0, seen: ["1"], listed: [[true, "turn 1"]] };

/** A program that adds an item, and prints what another memory on the same database finds. */
const REMEMBER = `
  const open = () => createMemoryStorage(JSON.parse(process.env.OPTIONS));
  const writer = open();
  await writer.addItems([{ owner: "a", collection: "memories", text: "green tea", embedding: [1, 0] }]);
  await writer.close();
  const reader = open();
  const hits = await reader.search({ owner: "a", collections: ["memories"], text: "TEA", vector: [1, 0] });
  await reader.close();
  console.log(JSON.stringify(hits.map(({ item, similarity }) => [item.text, similarity])));
`;

async function optionsOf(dialect: string): Promise<string> {
  if (dialect === "sqlite") {
    const databasePath = join(mkdtempSync(join(folder, "data-")), "agent_state.db");
    return JSON.stringify({ type: dialect, databasePath });
  }
  const servers = inject("waymarkServers");
  const server = dialect === "postgres" ? servers.postgres : (servers.mysql ?? servers.mariadb);
  const database = await createDatabase(server?.url ?? "");
  databases.push(database);
  return JSON.stringify({ type: dialect, connectionString: database.url });
}

const dialects = ["sqlite", "postgres", "mysql"];
const adapters = ["langgraph", "openai-agents", "elizaos"];

describe("a packed package", () => {
  it.each(["core", "conformance", ...dialects, ...adapters])(
    "%s contains its build, its sources, a licence and a README, and nothing else",
    async (name) => {
      const tarball = tarballs[`@waymark/${name}`] ?? "";
      const files = (await run("tar", ["-tzf", tarball], { cwd: folder })).trim().split("\n");
      expect(files).toEqual(expect.arrayContaining(["package/LICENSE", "package/README.md", "package/package.json"]));
      expect(files).toEqual(
        expect.arrayContaining(["package/dist/index.js", "package/dist/index.d.ts", "package/src/index.ts"]),
      );
      const others = files.filter((file) => !/^package\/(dist|src)\//.test(file));
      expect(others.sort()).toEqual(["package/LICENSE", "package/README.md", "package/package.json"]);
      expect(await run("tar", ["-xzOf", tarball, "package/package.json"], { cwd: folder })).not.toContain("workspace:");
    },
  );

  it.each(adapters)("%s depends on core alone: its framework is a peer dependency", async (name) => {
    const text = await run("tar", ["-xzOf", tarballs[`@waymark/${name}`] ?? "", "package/package.json"], {
      cwd: folder,
    });
    const { dependencies, peerDependencies } = JSON.parse(text) as Record<string, Record<string, string>>;
    expect(Object.keys(dependencies ?? {})).toEqual(["@waymark/core"]);
    expect(Object.keys(peerDependencies ?? {}).length).toBeGreaterThan(0);
  });

  it.each(dialects)("%s has its migrations in a module, so bundlers include them", async (name) => {
    const module = ["-xzOf", tarballs[`@waymark/${name}`] ?? "", "package/dist/checkpoints/migrations.js"];
    expect(await run("tar", module, { cwd: folder })).toMatch(/create table/i);
  });
});

describe.each(dialects)("%s, installed by npm in an empty folder", (dialect) => {
  const ways = {
    "an ES module": ["mjs", `import { createCheckpointStorage } from "@waymark/${dialect}";\n${USE}`],
    "require() in CommonJS": [
      "cjs",
      `const { createCheckpointStorage } = require("@waymark/${dialect}");\n(async () => {${USE}})();`,
    ],
    "import() in CommonJS": [
      "cjs",
      `(async () => { const { createCheckpointStorage } = await import("@waymark/${dialect}");\n${USE}})();`,
    ],
  };

  it.each(Object.entries(ways))(
    "stores in %s, and the process exits by itself",
    async (way, [extension, code = ""]) => {
      const file = join(project, `${dialect}-${way.replaceAll(/\W+/g, "-")}.${extension}`);
      writeFileSync(file, code);
      expect(await runScript(file, { cwd: project, env: { OPTIONS: await optionsOf(dialect) } })).toEqual(USED);
    },
  );

  it("remembers, by the module of its memory", async () => {
    const file = join(project, `${dialect}-memory.mjs`);
    writeFileSync(file, `import { createMemoryStorage } from "@waymark/${dialect}/memory";\n${REMEMBER}`);
    const found = await runScript(file, { cwd: project, env: { OPTIONS: await optionsOf(dialect) } });
    expect(found).toEqual([["green tea", 1]]);
  });

  it("has the tables of memory for Drizzle, of the version that its README names", async () => {
    const { dependencies } = manifest(join(project, `node_modules/@waymark/${dialect}`));
    const version = (dependencies as Record<string, string>)["drizzle-orm"];
    const readme = readFileSync(join(project, `node_modules/@waymark/${dialect}/README.md`), "utf8");
    expect(readme).toContain(`npm install drizzle-orm@${version}`);
    const cwd = join(project, `${dialect}-schema`);
    mkdirSync(cwd);
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module" }));
    writeFileSync(
      join(cwd, "schema.ts"),
      `import { memoryItems, memorySpaces, memoryThreads } from "@waymark/${dialect}/memory/schema";
       type Item = typeof memoryItems.$inferSelect;
       export const item: Pick<Item, "text" | "number" | "thread"> = { text: "tea", number: 1, thread: null };
       // @ts-expect-error a text is no number, and not any
       export const wrong: Item["text"] = 1;
       console.log(JSON.stringify([memoryItems, memorySpaces, memoryThreads].map((table) => Object.keys(table).length > 5)));`,
    );
    const tsc = join(import.meta.dirname, "../node_modules/typescript/bin/tsc");
    // Drizzle's declarations ask for all drivers.
    const flags = ["--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--types", ""];
    await run(process.execPath, [tsc, ...flags, "schema.ts"], { cwd });
    expect(await runScript("schema.js", { cwd })).toEqual([true, true, true]);
  });

  it("loads without output on stderr, and opens nothing by itself", async () => {
    const modules = ["", "/memory"].map((module) => `await import("@waymark/${dialect}${module}");`).join(" ");
    const script = `process.on("warning", (warning) => { throw warning; }); ${modules}`;
    await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: project });
  });
});

describe("the example memory-joins, on what npm has installed", () => {
  it("compiles, and joins the tables of memory with its own", async () => {
    const example = join(root, "examples/memory-joins");
    const cwd = join(project, "memory-joins");
    cpSync(join(example, "src"), join(cwd, "src"), { recursive: true });
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module" }));
    const types = join(example, "node_modules/@types");
    const compilerOptions = {
      rootDir: "src",
      outDir: "dist",
      customConditions: [],
      types: ["node"],
      typeRoots: [types],
      paths: { "better-sqlite3": [join(types, "better-sqlite3/index.d.ts")] },
    };
    const config = { extends: join(root, "tsconfig.base.json"), compilerOptions, include: ["src"] };
    writeFileSync(join(cwd, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(import.meta.dirname, "../node_modules/typescript/bin/tsc");
    await run(process.execPath, [tsc, "-p", "."], { cwd });
    const printed = await run(process.execPath, ["dist/main.js", "application.db"], { cwd });
    expect(printed).toMatch(/Ann.*Ease the sheet first/);
  });
});

describe("postgres, installed by npm without PGlite", () => {
  it("names the package to install, and creates no folder", async () => {
    const file = join(project, "pglite.mjs");
    const code = `import { createPostgresStorage } from "@waymark/postgres";
      const error = await createPostgresStorage({ pgliteDataDir: "./pglite" }).listAgents().catch((error) => error);
      console.log(JSON.stringify([error.code, error.message]));`;
    writeFileSync(file, code);
    const name = "@electric-sql/pglite";
    const message = `open database: the package ${name} is not installed: npm install ${name}`;
    expect(await runScript(file, { cwd: project })).toEqual(["INVALID_CONFIG", message]);
    expect(existsSync(join(project, "pglite"))).toBe(false);
  });
});

describe("sqlite on Node 24, installed by npm without install scripts", () => {
  it("runs the first example of the README: no native part is compiled or fetched", async () => {
    const cwd = join(folder, "without-scripts");
    mkdirSync(cwd);
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ name: "a-user", private: true, type: "module" }));
    const onNode24 = (...command: string[]) => run("npx", ["--yes", "--package=node@24", "--", ...command], { cwd });
    const own = ["core", "sqlite"].map((name) => tarballs[`@waymark/${name}`] ?? name);
    await onNode24("npm", ...INSTALL, ...own);
    expect(existsSync(join(cwd, "node_modules/better-sqlite3/package.json"))).toBe(true);
    expect(existsSync(join(cwd, "node_modules/better-sqlite3/build"))).toBe(false);
    const [example] = snippets(readFileSync(join(root, "README.md"), "utf8"));
    writeFileSync(join(cwd, "example.ts"), example?.code ?? ""); // Node 24 runs TypeScript as it is
    expect(await onNode24("node", "example.ts")).toMatch(/^\S+ turn 3\n\S+ turn 2\n\S+ turn 1\n$/);
  });
});

describe("bundled by esbuild into one file, without node_modules", () => {
  async function bundle(name: string, code: string, options: BuildOptions): Promise<{ cwd: string; file: string }> {
    const cwd = mkdtempSync(join(folder, `bundle-${name}-`));
    const file = join(cwd, options.format === "cjs" ? "app.cjs" : "app.mjs");
    const stdin = { contents: code, resolveDir: project, loader: "js" as const };
    await build({
      stdin,
      outfile: file,
      bundle: true,
      platform: "node",
      target: "node20",
      logLevel: "silent",
      ...options,
    });
    return { cwd, file };
  }

  const load = (dialect: string) => `import { createCheckpointStorage } from "@waymark/${dialect}";\n`;
  // In an ES module, esbuild leaves `require` of CommonJS packages undefined.
  const banner = {
    js: 'import * as nodeModule from "node:module"; const require = nodeModule.createRequire(import.meta.url);',
  };
  const formats: [string, BuildOptions, (code: string) => string][] = [
    ["an ES module", { format: "esm", banner }, (code) => code],
    ["CommonJS", { format: "cjs" }, (code) => `(async () => {${code}})();`],
  ];

  it.each(formats)("as %s, SQLite stores with the native package left external", async (_, options, wrap) => {
    const { cwd, file } = await bundle("external", load("sqlite") + wrap(USE), {
      ...options,
      external: ["better-sqlite3"],
    });
    for (const name of ["better-sqlite3", "bindings", "file-uri-to-path"]) {
      cpSync(join(project, "node_modules", name), join(cwd, "node_modules", name), { recursive: true });
    }
    expect(await runScript(file, { cwd, env: { OPTIONS: await optionsOf("sqlite") } })).toEqual(USED);
  });

  it.each(formats)(
    "as %s, SQLite stores with everything bundled except the .node file, which nativeBinding names",
    async (_, options, wrap) => {
      const { cwd, file } = await bundle("native", load("sqlite") + wrap(USE), options);
      const nativeBinding = join(cwd, "better_sqlite3.node");
      copyFileSync(join(project, "node_modules/better-sqlite3/build/Release/better_sqlite3.node"), nativeBinding);
      const OPTIONS = JSON.stringify({ ...JSON.parse(await optionsOf("sqlite")), nativeBinding });
      expect(await runScript(file, { cwd, env: { OPTIONS } })).toEqual(USED);
    },
  );

  it.each(["postgres", "mysql"])("%s stores", async (dialect) => {
    const { cwd, file } = await bundle(dialect, load(dialect) + USE, { format: "esm", banner });
    expect(await runScript(file, { cwd, env: { OPTIONS: await optionsOf(dialect) } })).toEqual(USED);
  });
});

describe("the project's first example of use", () => {
  const USAGE = `
    import { createSQLiteStorage } from "@waymark/sqlite";

    const storage = createSQLiteStorage({ type: "sqlite", databasePath: "./agent_state.db" });
    const id: string = await storage.storeCheckpoint({
      agentId: "agent-1",
      name: "checkpoint-1",
      state: { messages: [{ role: "user", content: "hello" }], step: 1 },
      createdAt: Date.now(),
    });
    const checkpoint = await storage.retrieveCheckpoint(id);
    const checkpoints = await storage.listCheckpoints();
    if (checkpoint === null) throw new Error("no checkpoint");
    console.log(JSON.stringify([checkpoint.id === id, checkpoint.agentId, checkpoint.name, checkpoint.state, checkpoints.length]));
  `;

  it.each(["NodeNext", "Bundler"])(
    "compiles in a strict project with the module resolution %s, and runs",
    async (moduleResolution) => {
      const source = join(project, `seed-${moduleResolution}`);
      mkdirSync(source);
      writeFileSync(join(source, "package.json"), JSON.stringify({ type: "module" }));
      writeFileSync(join(source, "seed.ts"), USAGE);
      const compilerOptions = {
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false, // so that errors of our declarations show
        target: "ES2022",
        types: [],
        module: moduleResolution === "Bundler" ? "ESNext" : "NodeNext",
        moduleResolution,
      };
      writeFileSync(join(source, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["seed.ts"] }));
      const tsc = join(import.meta.dirname, "../node_modules/typescript/bin/tsc");
      await run(process.execPath, [tsc, "-p", "."], { cwd: source });
      expect(await runScript("seed.js", { cwd: source })).toEqual([
        true,
        "agent-1",
        "checkpoint-1",
        { messages: [{ role: "user", content: "hello" }], step: 1 },
        1,
      ]);
    },
  );
});

/** The TypeScript of the READMEs whose packages are installed, and of what they say of memory. */
const typed = [
  ...["", "packages/core", ...dialects.map((name) => `packages/${name}`)].map((place) => join(place, "README.md")),
  "docs/memory.md",
].flatMap((file) => {
  const found = snippets(readFileSync(join(root, file), "utf8"));
  return found.filter(({ language, needs }) => language === "ts" && needs !== "vitest").map(({ code }) => code);
});

/** What the snippets use of Node, whose types are not installed. */
const NODE = `
  declare const process: { env: Record<string, string | undefined> };
  declare module "node:timers/promises" { export function setTimeout(ms: number, value?: undefined, options?: object): Promise<void>; }
`;

/** A module that can be CommonJS: it awaits nothing at the top. */
function withoutTopLevelAwait(code: string): string {
  const imports = /^import .*?;$/gms;
  return `${code.match(imports)?.join("\n")}\nasync function main() {${code.replaceAll(imports, "")}}\nvoid main();\n`;
}

describe("a new project of `tsc --init`, without the types of Node", () => {
  const compilers = { "TypeScript 5.9": "typescript-5", "TypeScript 7": "typescript" };
  const kinds = {
    "nodenext, as ES modules and CommonJS": ["--module", "nodenext", "--verbatimModuleSyntax", "false"],
    "a bundler": ["--module", "preserve", "--moduleResolution", "bundler"],
  };
  const cases = Object.entries(compilers).flatMap(([name, compiler]) =>
    Object.entries(kinds).map(([kind, flags]) => ({ name, kind, compiler, flags })),
  );

  it.each(cases)(
    "compiles the READMEs with $name for $kind, and checks our declarations",
    async ({ name, kind, compiler, flags }) => {
      const cwd = join(project, `init-${name}-${kind}`.replaceAll(/\W+/g, "-"));
      const tsc = join(import.meta.dirname, "../node_modules", compiler, "bin/tsc");
      mkdirSync(join(cwd, "commonjs"), { recursive: true });
      await run(process.execPath, [tsc, "--init"], { cwd });
      writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module" }));
      writeFileSync(join(cwd, "commonjs/package.json"), JSON.stringify({ type: "commonjs" }));
      writeFileSync(join(cwd, "node.d.ts"), NODE);
      const modules = ["core/kit", "core/memory/kit", ...["core", ...dialects].map((name) => `${name}/memory`)];
      const kit = modules.map((module, at) => `export type * as module${at} from "@waymark/${module}";\n`);
      writeFileSync(join(cwd, "kit.ts"), kit.join(""));
      expect(typed.length).toBeGreaterThan(9);
      for (const [at, code] of typed.entries()) {
        writeFileSync(join(cwd, `snippet-${at}.ts`), code);
        if (kind !== "a bundler") writeFileSync(join(cwd, `commonjs/snippet-${at}.ts`), withoutTopLevelAwait(code));
      }
      // TypeScript's own declarations are not checked: that takes most of the time.
      const check = ["--noEmit", "--skipLibCheck", "false", "--skipDefaultLibCheck", "true"];
      await run(process.execPath, [tsc, "-p", ".", ...check, ...flags], { cwd });
    },
  );
});

describe("defineConfig in an editor", () => {
  /** Returns what the language service completes at the \`|\` of a text. */
  function complete(text: string): string[] {
    const file = join(project, "waymark.config.ts");
    const code = `import { defineConfig } from "@waymark/sqlite";\nimport type {} from "@waymark/postgres";\n${text}`;
    const service = ts.createLanguageService({
      getScriptFileNames: () => [file],
      getScriptVersion: () => "1",
      getScriptSnapshot(name) {
        const content = name === file ? code.replace("|", "") : ts.sys.readFile(name);
        return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
      },
      getCurrentDirectory: () => project,
      getCompilationSettings: () => ({ strict: true, module: ts.ModuleKind.NodeNext, types: [] }),
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      fileExists: ts.sys.fileExists,
      readFile: ts.sys.readFile,
      directoryExists: ts.sys.directoryExists,
    });
    return service.getCompletionsAtPosition(file, code.indexOf("|"), {})?.entries.map(({ name }) => name) ?? [];
  }
  const main = (members: string) => `defineConfig({ checkpoint: { providers: { main: { ${members} } } } });`;

  it("completes types, options and their words", () => {
    expect(complete(main('type: "|"')).sort()).toEqual(["postgres", "sqlite"]);
    expect(complete(main('type: "sqlite", |'))).toEqual(
      expect.arrayContaining(["databasePath", "synchronous", "operationTimeoutMs", "encryption"]),
    );
    expect(complete(main('type: "sqlite", synchronous: "|"')).sort()).toEqual(["EXTRA", "FULL", "NORMAL"]);
    expect(complete("defineConfig({ checkpoint: { | } });")).toEqual(expect.arrayContaining(["providers", "failover"]));
  });

  it("answers a mistyped option by the name of the right one", async () => {
    const cwd = join(project, "mistyped");
    mkdirSync(cwd);
    const code =
      'import { defineConfig } from "@waymark/sqlite";\nexport default defineConfig({ checkpoint: { providers: { main: { type: "sqlite", databasePaht: "x" } } } });';
    writeFileSync(join(cwd, "config.mts"), code);
    const tsc = join(import.meta.dirname, "../node_modules/typescript/bin/tsc");
    const flags = ["--noEmit", "--strict", "--module", "nodenext", "--types", "", "config.mts"];
    await expect(run(process.execPath, [tsc, ...flags], { cwd })).rejects.toThrow(
      /'databasePaht' does not exist .*Did you mean to write 'databasePath'\?/,
    );
  });
});
