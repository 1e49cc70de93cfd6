import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { CANARY, config, exporting, folder, install, made, open, refusal, useFolder, write } from "./program-folder.ts";

useFolder();

describe("a config file", () => {
  beforeEach(() => install("sqlite"));

  test.each([
    [
      "ts",
      `import type { Server } from "node:http";\nconst main: { type: string; of?: Server } = { type: "sqlite", databasePath: "./x.db" };\nexport default { checkpoint: { providers: { main } } } as const;`,
    ],
    [
      "mts",
      `enum Type { Main = "sqlite" }\nexport default { checkpoint: { providers: { main: { type: Type.Main, databasePath: "./x.db" } } } };`,
    ],
    ["js", exporting()],
    ["mjs", exporting()],
    ["cjs", exporting().replace("export default", "module.exports =")],
    ["json", JSON.stringify(config())],
  ])("is found in the folder by its name: waymark.config.%s", async (extension, content) => {
    write("package.json", { type: "module" });
    write(`waymark.config.${extension}`, content);
    const storage = await open();
    expect(storage.providers).toEqual(["main"]);
    expect(made(storage).options).toEqual({ databasePath: join(folder, "x.db") });
    expect(await storage.storeCheckpoint({ agentId: "a", name: "n", state: 1, createdAt: 0 })).toBe("stored");
  });

  test.each(["deep/in/some.mjs", "some.config.js", "waymark.json", "some.cts", "some.ts"])(
    "is loaded from any given path: %s",
    async (path) => {
      write("package.json", { type: "module" });
      const content = path.endsWith("json")
        ? JSON.stringify(config())
        : exporting().replace("export default", path.endsWith("cts") ? "module.exports =" : "export default");
      const file = write(path, content);
      const databasePath = join(dirname(file), "x.db");
      for (const configFile of [path, file]) {
        expect(made(await open({ configFile })).options).toEqual({ databasePath });
      }
    },
  );

  test("may have a top-level await, and may be compiled to CommonJS", async () => {
    const waiting = write(
      "a.mjs",
      `const type = await Promise.resolve("sqlite");\nexport default { checkpoint: { providers: { main: { type } } } };`,
    );
    const compiled = write(
      "b.cjs",
      `Object.defineProperty(exports, "__esModule", { value: true });\nexports.default = ${JSON.stringify(config())};`,
    );
    expect(made(await open({ configFile: waiting })).options).toEqual({});
    expect(made(await open({ configFile: compiled })).options).toHaveProperty("databasePath");
  });

  test("is not looked for in other folders", async () => {
    write("waymark.config.mjs", exporting({ type: "nobody" }));
    mkdirSync(join(folder, "sub"));
    expect(made(await open({ cwd: join(folder, "sub") })).options).toMatchObject({
      databasePath: join(folder, "sub", "agent_state.db"),
    });
  });

  test.each(["mjs", "ts"])(
    "is the whole config: no rc file, package.json, .env, NODE_ENV or base adds to it (%s)",
    async (extension) => {
      vi.stubEnv("NODE_ENV", "production");
      write(".waymarkrc", "checkpoint.providers.main.type=evil\ncheckpoint.providers.rogue.type=evil\n");
      write("package.json", { waymark: { checkpoint: { providers: { rogue: { type: "evil" } } } } });
      write(".env", "WAYMARK_URL=evil://evil\nDATABASE_URL=evil://evil\n");
      write(".config/waymark.mjs", exporting({ type: "evil" }));
      write("waymark.config.yaml", "checkpoint: {}");
      write("base.mjs", exporting({ type: "evil" }));
      write(`waymark.config.${extension}`, exporting());
      const storage = await open();
      expect(storage.providers).toEqual(["main"]);
      expect(made(storage).from).toContain("@waymark/sqlite/");
      expect(process.env["WAYMARK_URL"]).toBeUndefined();
      for (const key of ["extends", "$production", "$env", "$meta"]) {
        const content = JSON.stringify({
          ...config(),
          [key]: key === "extends" ? "./base.mjs" : config({ type: "evil" }),
        });
        const configFile = write(`with-${key}.${extension}`, `export default ${content};`);
        expect(await refusal({ configFile })).toBe(
          `read config ${configFile}: expected config to have the members checkpoint, memory, got "${key}"`,
        );
      }
    },
  );

  test("leaves no compiled copy on disk", async () => {
    mkdirSync(join(folder, "node_modules/.cache"));
    write(
      "waymark.config.ts",
      `export default { checkpoint: { providers: { main: { type: "sqlite", key: "${CANARY}" } } } };`,
    );
    await open();
    expect(readdirSync(join(folder, "node_modules/.cache"))).toEqual([]);
    expect(
      existsSync(join(tmpdir(), "jiti")) &&
        readdirSync(join(tmpdir(), "jiti")).some((name) => name.includes("waymark-open")),
    ).toBe(false);
  });

  test("is refused if there are two", async () => {
    write("waymark.config.ts", exporting());
    write("waymark.config.json", config());
    expect(await refusal()).toMatch(
      /waymark\.config\.ts: there is waymark\.config\.json beside it: keep one of them, or name one/,
    );
    expect(made(await open({ configFile: "waymark.config.json" })).from).toContain("@waymark/sqlite/");
  });

  test("is refused if it does not exist, or has another extension", async () => {
    expect(await refusal({ configFile: "nowhere.mjs" })).toBe(
      `read config ${join(folder, "nowhere.mjs")}: there is no such file`,
    );
    expect(await refusal({ configFile: "." })).toBe(`read config ${folder}: there is no such file`);
    write("waymark.toml", "");
    expect(await refusal({ configFile: "waymark.toml" })).toMatch(
      /expected its name to end in \.ts, \.mts, \.cts, \.js, \.mjs, \.cjs, \.json$/,
    );
  });

  test.each([
    ["a.mjs", "export const checkpoint = {};", "expected it to have a default export, got none"],
    ["a.ts", "export const checkpoint: object = {};", "expected it to have a default export, got none"],
    ["b.mjs", "export default null;", "expected config to be an object, got null"],
    ["b.ts", "export default undefined;", "expected config to be an object, got undefined"],
    ["c.mjs", "export default () => ({});", "expected config to be an object, got a function"],
    ["d.json", "[]", "expected config to be an object, got an array"],
    ["e.json", `{ "password": "${CANARY}" `, "it is not valid JSON at line 1, column "],
    ["e.json", `{\n "a": [1, {}, "\\u00e4"],\n "password": ${CANARY} }`, "it is not valid JSON at line 3, column 14"],
    ["e.json", `{ "a": [true, -1.5e3, null],\r\n}`, "it is not valid JSON at line 2, column 1"],
    ["e.json", `{}\n\n  "${CANARY}"`, "it is not valid JSON at line 3, column 3"],
    ["f.mjs", `\n\n  throw new RangeError("${CANARY}");`, "it threw RangeError at line 3, column "],
    [
      "f.ts",
      `\n\nconst text: string = "${CANARY}";\nthrow new RangeError(text);`,
      /it threw RangeError at line 4$/, // the column would be that of compiled code
    ],
    [
      "g.mjs",
      `\nthrow Object.assign(new Error("${CANARY}"), { code: "EWRONG" });`,
      "it threw Error (EWRONG) at line 2",
    ],
    ["h.mjs", `throw "${CANARY}";`, "it threw a string of 14 characters"],
    ["i.ts", `\nconst text: = "${CANARY}";`, "it has a syntax error at line 2, column 13"],
    ["i.ts", `\nconst text: string = JSON.parse("${CANARY}");`, /it threw SyntaxError at line 2$/],
    ["i.ts", `throw new Error("ParseError: ${CANARY} \\n ${CANARY}:1:2");`, /it threw Error at line 1$/],
    ["j.cjs", `\nconst text = "${CANARY}";\nnull.x;`, "it threw TypeError at line 3"],
    ["k.cjs", `import x from "nonesuch-package";\nexport default x;`, ""],
    ["l.mjs", `import x from "nonesuch-package";\nexport default x;`, "nonesuch-package"],
    ["l.ts", `import x from "nonesuch-package";\nexport default x;`, "it imports nonesuch-package"],
    ["m.mjs", `export default { get checkpoint() { throw new Error("${CANARY}"); } };`, "reading it threw an error"],
  ])(
    "is refused with its path and the position of the error, without its content: %s %#",
    async (name, content, message) => {
      const file = write(name, content);
      const refused = await refusal({ configFile: name });
      expect(refused.startsWith(`read config ${file}: `)).toBe(true);
      expect(refused).toEqual(
        typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
      );
    },
  );

  test("is refused with the name of a file that it imports and that has a syntax error", async () => {
    const imported = write("imported.ts", `export const password: = "${CANARY}";`);
    write("importing.ts", `import { password } from "./imported.ts";\nexport default { password };`);
    const refused = await refusal({ configFile: "importing.ts" });
    expect(refused).toMatch(/: it imports .*, which has a syntax error at line 1, column 24$/);
    expect(refused).toContain(imported);
  });

  test("may hold passwords, which no message shows", async () => {
    write("own.mjs", `export default { checkpoint: { providers: { main: { type: "evil://${CANARY}/x" } } } };`);
    await refusal({ configFile: "own.mjs" });
    write("other.mjs", `export default { checkpoint: { providers: { main: "${CANARY}" } } };`);
    await refusal({ configFile: "other.mjs" });
  });
});
