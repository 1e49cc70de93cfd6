import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  CANARY,
  config,
  exporting,
  folder,
  install,
  type Made,
  made,
  open,
  refusal,
  useFolder,
  write,
} from "./program-folder.ts";

useFolder();

/** Returns the path of a package within the folder. */
const pathOf = ({ from }: Made) => fileURLToPath(from).slice(folder.length);

// Packages with names that are not installed here: pnpm starts programs with a NODE_PATH to all packages of this workspace.
describe("a storage package", () => {
  test("is resolved from the config file's folder, before cwd", async () => {
    install("lone", "app");
    install("lone", "elsewhere");
    write("app/config/waymark.mjs", exporting({ type: "lone" }));
    const storage = await open({ cwd: join(folder, "elsewhere"), configFile: "../app/config/waymark.mjs" });
    expect(pathOf(made(storage))).toBe("/app/node_modules/@waymark/lone/index.js");
  });

  test("is resolved from cwd if it is not found from the config file's folder", async () => {
    install("lone", "app");
    write("etc/waymark.mjs", exporting({ type: "lone" }));
    const storage = await open({ cwd: join(folder, "app"), configFile: "../etc/waymark.mjs" });
    expect(pathOf(made(storage))).toBe("/app/node_modules/@waymark/lone/index.js");
  });

  test("is resolved from the program's folder, wherever it was started", async () => {
    install("lone", "app");
    const program = write("app/dist/server.mjs", "");
    const [node, script = ""] = process.argv;
    process.argv.splice(0, 2, node as string, program);
    try {
      expect(pathOf(made(await open({ env: {}, config: config({ type: "lone" }) })))).toBe(
        "/app/node_modules/@waymark/lone/index.js",
      );
    } finally {
      process.argv.splice(0, 2, node as string, script);
    }
  });

  test("may be any package of the scope @waymark", async () => {
    install("own-thing2");
    write("waymark.config.json", config({ type: "own-thing2", a: [1] }));
    expect(made(await open()).options).toEqual({ a: [1] });
  });

  test.each(["waymark-own", "@acme/waymark-own"])("may be another author's, named in full: %s", async (type) => {
    install(type);
    write("waymark.config.json", config({ type, a: [1] }));
    const storage = made(await open());
    expect([pathOf(storage), storage.options]).toEqual([`/node_modules/${type}/index.js`, { a: [1] }]);
  });

  test.each([
    ["sqllite", 'did you mean the type "sqlite"?'],
    ["waymark-onw", 'did you mean the type "waymark-own"?'],
    ["nonesuch", "types of this project are postgres, mysql, sqlite; other packages are named in full"],
    ["waymark-nonesuch", "types of this project are postgres, mysql, sqlite; other packages are named in full"],
  ])("is reported without a command to install it if it may be a stranger's: %s", async (type, advice) => {
    install("waymark-own");
    write("waymark.config.json", config({ type, connectionString: CANARY }));
    const message = await refusal();
    const name = type.startsWith("waymark-") ? type : `@waymark/${type}`;
    expect(message).toContain(`checkpoint.providers.main: the package ${name} is not installed: ${advice}`);
    expect(message).not.toContain("npm install");
  });

  test("is reported with the right type if its type is the scheme of a URL", async () => {
    write("waymark.config.json", config({ type: "postgresql" }));
    expect(await refusal()).toMatch(
      /the package @waymark\/postgresql is not installed: did you mean the type "postgres"\?$/,
    );
  });

  test.each([
    "../../evil",
    "@evil/x",
    "evil/../../x",
    "@evil/waymark-../x",
    "Evil",
    "evil@1",
    "file:evil",
    "",
    "x".repeat(65),
  ])("is not looked for by a type that is no name: %j", async (type) => {
    write("waymark.config.json", config({ type }));
    expect(await refusal()).toContain(
      "expected checkpoint.providers.main.type to be a factory function, or 1 to 64 of",
    );
  });

  test("is refused if it exports no factory, or fails to load", async () => {
    install("sqlite");
    write("waymark.config.json", config());
    write("node_modules/@waymark/sqlite/index.js", "export const createSqlite = () => 1;");
    expect(await refusal()).toMatch(/@waymark\/sqlite\/index\.js exports no function createCheckpointStorage$/);
    install("mysql");
    write("waymark.config.json", config({ type: "mysql" }));
    write("node_modules/@waymark/mysql/index.js", `import "nonesuch-package";\nthrow new Error("${CANARY}");`);
    expect(await refusal()).toMatch(/checkpoint\.providers\.main: loading .*@waymark\/mysql\/index\.js failed/);
  });

  test("has the option names in its errors replaced by config paths", async () => {
    install("sqlite");
    const error = `Object.assign(new Error("expected options.poolSize to be a number, got true"), { code: "INVALID_ARGUMENT", [Symbol.for("waymark.CheckpointError")]: true })`;
    write("node_modules/@waymark/sqlite/index.js", `export const createCheckpointStorage = () => { throw ${error}; };`);
    write("waymark.config.json", config({ type: "sqlite", poolSize: true }));
    expect(await refusal()).toMatch(/: expected checkpoint\.providers\.main\.poolSize to be a number, got true$/);
  });
});
