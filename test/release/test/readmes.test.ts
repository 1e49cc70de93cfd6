import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { transform } from "esbuild";
import { afterAll, describe, expect, inject, it } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";
import { published, root, run } from "./commands.ts";
import { type Snippet, snippets } from "./snippets.ts";

const servers = inject("waymarkServers");
const folder = mkdtempSync(join(tmpdir(), "waymark-readme-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const docs = join(root, "docs");

const readmes = ["packages", "examples", "test"]
  .flatMap((parent) => readdirSync(join(root, parent)).map((name) => join(root, parent, name)))
  .concat(root, join(root, "docker"))
  .map((place) => join(place, "README.md"))
  .filter((file) => existsSync(file))
  .concat(
    readdirSync(docs)
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(docs, name)),
  )
  .map((file) => ({ file: relative(root, file), found: snippets(readFileSync(file, "utf8")) }));

/** Runs a snippet in an empty folder with the packages, and with a new database if it needs one. */
async function execute({ language, needs, code }: Snippet): Promise<string> {
  const cwd = mkdtempSync(join(folder, "snippet-"));
  symlinkSync(join(import.meta.dirname, "../node_modules"), join(cwd, "node_modules"));
  const { code: script } = await transform(code, {
    loader: language === "ts" ? "ts" : "js",
    format: "esm",
    target: "node20",
  });
  if (needs === "vitest") {
    writeFileSync(join(cwd, "snippet.test.mjs"), script);
    return await run(process.execPath, [join(cwd, "node_modules/vitest/vitest.mjs"), "run", "--root", cwd], { cwd });
  }
  writeFileSync(join(cwd, "snippet.mjs"), script);
  if (needs === null) return await run(process.execPath, ["snippet.mjs"], { cwd });
  const database = await createDatabase(serverUrl(needs));
  try {
    return await run(process.execPath, ["snippet.mjs"], { cwd, env: { DATABASE_URL: database.url } });
  } finally {
    await database.drop();
  }
}

function serverUrl(kind: string): string {
  const { postgres, mysql = servers.mariadb, mariadb } = servers;
  const server = new Map(Object.entries({ postgres, mysql, mariadb })).get(kind);
  if (server) return server.url;
  throw new Error(`run a snippet: expected the name of an available server after "run", got "${kind}"`);
}

describe.each(readmes.filter(({ found }) => found.length > 0))("$file", ({ found }) => {
  it.each(found)("has a snippet at line $line that runs", async (snippet) => {
    await execute(snippet);
  });
});

// With TypeScript's own settings for a new project, but LangGraph's and OpenAI's declarations are not checked: they have
// errors of their own. What needs no framework is compiled with them checked, in packed.test.ts.
it("the TypeScript of all READMEs compiles", async () => {
  const cwd = mkdtempSync(join(folder, "typescript-"));
  symlinkSync(join(import.meta.dirname, "../node_modules"), join(cwd, "node_modules"));
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module" }));
  const typed = readmes.flatMap(({ found }) => found.filter(({ language }) => language === "ts"));
  for (const [at, { code }] of typed.entries()) writeFileSync(join(cwd, `snippet-${at}.ts`), code);
  const tsc = join(cwd, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [tsc, "--init"], { cwd });
  await run(process.execPath, [tsc, "-p", ".", "--noEmit", "--skipLibCheck", "--types", "node"], { cwd });
  expect(typed.length).toBeGreaterThan(12);
});

describe("a package", () => {
  it.each(published.map((place) => relative(root, place)))("%s has a README with a snippet that runs", (place) => {
    const file = join(root, place, "README.md");
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    // `<!-- nothing to run: reason -->` exempts a README.
    expect(snippets(text).length > 0 || /<!-- nothing to run: \S.* -->/.test(text)).toBe(true);
  });
});

describe("the snippets of a text", () => {
  it("are the blocks marked `run`, with the server that they need and their line", () => {
    const text =
      "# A\n\n```sh\nnpm i\n```\n\n```ts run postgres\nlet a = 1;\n```\n\n```js\nno;\n```\n\n```js run\nyes;\n```\n";
    expect(snippets(text)).toEqual([
      { language: "ts", needs: "postgres", line: 7, code: "let a = 1;\n" },
      { language: "js", needs: null, line: 15, code: "yes;\n" },
    ]);
  });

  it("fail if they throw, or if they use a name that does not exist", async () => {
    const snippet = { language: "ts", needs: null, line: 1 };
    await expect(execute({ ...snippet, code: "const a: number = 1; throw new Error(`no ${a}`);" })).rejects.toThrow(
      "no 1",
    );
    const drifted = 'import { createSqliteStorage } from "@waymark/sqlite"; createSqliteStorage();';
    await expect(execute({ ...snippet, code: drifted })).rejects.toThrow("createSqliteStorage");
  });
});
