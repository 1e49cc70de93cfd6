import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createStorage } from "../../src/checkpoints/storage.ts";
import type { CheckpointConfig, ProviderConfig } from "../../src/config/define.ts";
import { type ConfiguredStorage, type OpenOptions, openCheckpointStorage } from "../../src/config/open.ts";
import { createRegistry, type StorageFactory } from "../../src/config/registry.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

const CANARY = "hunter2-canary";

/** A folder of its own for each test: what is imported from it is a module that nobody has imported before. */
let folder: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-open-")));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function write(path: string, content: string | object): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

/** What the packages of these tests make: no storage, but what tells of which package it is, and with which options. */
interface Made extends CheckpointStorage {
  readonly options: Readonly<Record<string, unknown>>;
  readonly from: string;
}

function install(type: string, into = "."): void {
  const exported = { types: "./index.d.ts", default: "./index.js" };
  write(`${into}/node_modules/@waymark/${type}/package.json`, {
    name: `@waymark/${type}`,
    type: "module",
    exports: { ".": exported },
  });
  const factory = `(options) => ({ options, from: import.meta.url, storeCheckpoint: async () => "stored", close: async () => {} })`;
  write(`${into}/node_modules/@waymark/${type}/index.js`, `export const createCheckpointStorage = ${factory};\n`);
}

const made = (storage: ConfiguredStorage, name = "main") => storage.provider(name) as Made;
const placeOf = ({ from }: Made) => fileURLToPath(from).slice(folder.length);

/** Opens with no environment but this test's. */
const open = (options: OpenOptions = {}) => openCheckpointStorage({ cwd: folder, env: {}, ...options });

async function refusal(options: OpenOptions = {}): Promise<string> {
  const outcome = await open(options).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(CheckpointError);
  expect(outcome).toMatchObject({ code: "INVALID_CONFIG", retryable: false });
  expect(inspect(outcome, { showHidden: true, depth: 20 })).not.toContain(CANARY);
  return (outcome as CheckpointError).message;
}

const config = (main: ProviderConfig = { type: "sqlite", databasePath: "./x.db" }) => ({
  checkpoint: { providers: { main } },
});
const exporting = (main?: ProviderConfig) => `export default ${JSON.stringify(config(main))};\n`;

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
  ])("it is found in the folder by its name: waymark.config.%s", async (extension, content) => {
    write("package.json", { type: "module" });
    write(`waymark.config.${extension}`, content);
    const storage = await open();
    expect(storage.providers).toEqual(["main"]);
    expect(made(storage).options).toEqual({ type: "sqlite", databasePath: join(folder, "x.db") });
    expect(await storage.storeCheckpoint({ agentId: "a", name: "n", state: 1, createdAt: 0 })).toBe("stored");
  });

  test.each(["deep/in/some.mjs", "some.config.js", "waymark.json", "some.cts", "some.ts"])(
    "it is taken from any path that is given: %s",
    async (path) => {
      write("package.json", { type: "module" });
      const content = path.endsWith("json")
        ? JSON.stringify(config())
        : exporting().replace("export default", path.endsWith("cts") ? "module.exports =" : "export default");
      const file = write(path, content);
      const databasePath = join(dirname(file), "x.db");
      for (const configFile of [path, file]) {
        expect(made(await open({ configFile })).options).toEqual({ type: "sqlite", databasePath });
      }
    },
  );

  test("it may wait for something, and may be compiled to CommonJS", async () => {
    const waiting = write(
      "a.mjs",
      `const type = await Promise.resolve("sqlite");\nexport default { checkpoint: { providers: { main: { type } } } };`,
    );
    const compiled = write(
      "b.cjs",
      `Object.defineProperty(exports, "__esModule", { value: true });\nexports.default = ${JSON.stringify(config())};`,
    );
    expect(made(await open({ configFile: waiting })).options).toEqual({ type: "sqlite" });
    expect(made(await open({ configFile: compiled })).options).toHaveProperty("databasePath");
  });

  test("it is not the one of another folder", async () => {
    write("waymark.config.mjs", exporting({ type: "nobody" }));
    mkdirSync(join(folder, "sub"));
    expect(made(await open({ cwd: join(folder, "sub") })).options).toMatchObject({
      databasePath: join(folder, "sub", "agent_state.db"),
    });
  });

  test.each(["mjs", "ts"])(
    "it is all there is to it: no rc file, package.json, .env, NODE_ENV or base has a say (%s)",
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
      expect(made(storage).options["type"]).toBe("sqlite");
      expect(process.env["WAYMARK_URL"]).toBeUndefined();
      for (const key of ["extends", "$production", "$env", "$meta"]) {
        const content = JSON.stringify({
          ...config(),
          [key]: key === "extends" ? "./base.mjs" : config({ type: "evil" }),
        });
        const configFile = write(`with-${key}.${extension}`, `export default ${content};`);
        expect(await refusal({ configFile })).toBe(
          `read config ${configFile}: expected config to have the members checkpoint, got "${key}"`,
        );
      }
    },
  );

  test("it leaves no compiled copy of itself", async () => {
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

  test("it is refused when there are two", async () => {
    write("waymark.config.ts", exporting());
    write("waymark.config.json", config());
    expect(await refusal()).toMatch(
      /waymark\.config\.ts: there is waymark\.config\.json beside it: keep one of them, or name one/,
    );
    expect(made(await open({ configFile: "waymark.config.json" })).options["type"]).toBe("sqlite");
  });

  test("it is refused when it is not there, or of no kind that we know", async () => {
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
    ["e.json", `{ "password": "${CANARY}" `, "it is not valid JSON"],
    ["f.mjs", `\n\n  throw new RangeError("${CANARY}");`, "it threw RangeError at line 3, column "],
    [
      "f.ts",
      `\n\nconst text: string = "${CANARY}";\nthrow new RangeError(text);`,
      "it threw RangeError at line 4, column ",
    ],
    [
      "g.mjs",
      `\nthrow Object.assign(new Error("${CANARY}"), { code: "EWRONG" });`,
      "it threw Error (EWRONG) at line 2",
    ],
    ["h.mjs", `throw "${CANARY}";`, "it threw a string of 14 characters"],
    ["i.ts", `\nconst text: = "${CANARY}";`, "at line 2"],
    ["j.cjs", `\nconst text = "${CANARY}";\nnull.x;`, "it threw TypeError at line 3"],
    ["k.cjs", `import x from "nonesuch-package";\nexport default x;`, ""],
    ["l.mjs", `import x from "nonesuch-package";\nexport default x;`, "nonesuch-package"],
    ["l.ts", `import x from "nonesuch-package";\nexport default x;`, "it imports nonesuch-package"],
    ["m.mjs", `export default { get checkpoint() { throw new Error("${CANARY}"); } };`, "reading it threw an error"],
  ])("it is refused by its name and the place, not by what it holds: %s %#", async (name, content, message) => {
    const file = write(name, content);
    const refused = await refusal({ configFile: name });
    expect(refused.startsWith(`read config ${file}: `)).toBe(true);
    expect(refused).toContain(message);
  });

  test("it may hold passwords: none is in any message", async () => {
    write("own.mjs", `export default { checkpoint: { providers: { main: { type: "${CANARY}/x" } } } };`);
    await refusal({ configFile: "own.mjs" });
    write("other.mjs", `export default { checkpoint: { providers: { main: "${CANARY}" } } };`);
    await refusal({ configFile: "other.mjs" });
  });
});

// Names that nobody else uses: pnpm starts programs with a NODE_PATH to all packages of this workspace.
describe("a storage package", () => {
  test("it is taken from the config file's place, before the folder's", async () => {
    install("lone", "app");
    install("lone", "elsewhere");
    write("app/config/waymark.mjs", exporting({ type: "lone" }));
    const storage = await open({ cwd: join(folder, "elsewhere"), configFile: "../app/config/waymark.mjs" });
    expect(placeOf(made(storage))).toBe("/app/node_modules/@waymark/lone/index.js");
  });

  test("it is taken from the folder, where the config stands alone", async () => {
    install("lone", "app");
    write("etc/waymark.mjs", exporting({ type: "lone" }));
    const storage = await open({ cwd: join(folder, "app"), configFile: "../etc/waymark.mjs" });
    expect(placeOf(made(storage))).toBe("/app/node_modules/@waymark/lone/index.js");
  });

  test("it is taken from the program's place, when it was started from anywhere", async () => {
    install("lone", "app");
    const program = write("app/dist/server.mjs", "");
    const [node, script = ""] = process.argv;
    process.argv.splice(0, 2, node as string, program);
    try {
      expect(placeOf(made(await open({ env: {}, config: config({ type: "lone" }) })))).toBe(
        "/app/node_modules/@waymark/lone/index.js",
      );
    } finally {
      process.argv.splice(0, 2, node as string, script);
    }
  });

  test("it is any package in our scope, of ours or not", async () => {
    install("own-thing2");
    write("waymark.config.json", config({ type: "own-thing2", a: [1] }));
    expect(made(await open()).options).toEqual({ type: "own-thing2", a: [1] });
  });

  test("it is asked for by the command to install it, when it is missing", async () => {
    write("waymark.config.json", config({ type: "nonesuch", connectionString: CANARY }));
    const file = join(folder, "waymark.config.json");
    const message =
      "checkpoint.providers.main: the package @waymark/nonesuch is not installed: npm install @waymark/nonesuch";
    expect(await refusal()).toBe(`read config ${file}: ${message}`);
    expect(await refusal({ configFile: file, cwd: "/" })).toContain("npm install @waymark/nonesuch");
  });

  test("it is not asked for by a name that is likely a slip", async () => {
    write("waymark.config.json", config({ type: "postgresql" }));
    expect(await refusal()).toMatch(
      /the package @waymark\/postgresql is not installed: did you mean the type "postgres"\?$/,
    );
  });

  test.each(["../../evil", "@evil/x", "evil/../../x", "Evil", "evil@1", "file:evil", "", "x".repeat(65)])(
    "it is not looked for under a name that is none: %j",
    async (type) => {
      write("waymark.config.json", config({ type }));
      expect(await refusal()).toContain(
        "expected checkpoint.providers.main.type to be a factory function, or 1 to 64 of",
      );
    },
  );

  test("it is refused when it makes no storages, or does not load", async () => {
    install("sqlite");
    write("waymark.config.json", config());
    write("node_modules/@waymark/sqlite/index.js", "export const createSqlite = () => 1;");
    expect(await refusal()).toMatch(/@waymark\/sqlite\/index\.js exports no function createCheckpointStorage$/);
    install("mysql");
    write("waymark.config.json", config({ type: "mysql" }));
    write("node_modules/@waymark/mysql/index.js", `import "nonesuch-package";\nthrow new Error("${CANARY}");`);
    expect(await refusal()).toMatch(/checkpoint\.providers\.main: loading .*@waymark\/mysql\/index\.js failed/);
  });

  test("it has its complaints about options told by the config's fields", async () => {
    install("sqlite");
    const error = `Object.assign(new Error("expected options.poolSize to be a number, got true"), { code: "INVALID_ARGUMENT", [Symbol.for("waymark.CheckpointError")]: true })`;
    write("node_modules/@waymark/sqlite/index.js", `export const createCheckpointStorage = () => { throw ${error}; };`);
    write("waymark.config.json", config({ type: "sqlite", poolSize: true }));
    expect(await refusal()).toMatch(/: expected checkpoint\.providers\.main\.poolSize to be a number, got true$/);
  });
});

describe("the environment", () => {
  beforeEach(() => {
    for (const type of ["sqlite", "postgres", "mysql"]) install(type);
  });

  test.each<[string, object]>([
    [
      "postgres://u:p@h:5432/d?sslmode=require",
      { type: "postgres", connectionString: "postgres://u:p@h:5432/d?sslmode=require" },
    ],
    ["postgresql://u:p@h/d", { type: "postgres", connectionString: "postgres://u:p@h/d" }],
    ["PostgreSQL://u:P@H/d", { type: "postgres", connectionString: "postgres://u:P@H/d" }],
    ["mysql://u:p@h/d", { type: "mysql", connectionString: "mysql://u:p@h/d" }],
    ["mariadb://u:p@h/d", { type: "mysql", connectionString: "mysql://u:p@h/d" }],
    ["file:/data/x.db", { type: "sqlite", databasePath: "/data/x.db" }],
    ["file:///data/a%20b.db", { type: "sqlite", databasePath: "/data/a b.db" }],
    ["sqlite:///data/x.db", { type: "sqlite", databasePath: "/data/x.db" }],
    ["sqlite::memory:", { type: "sqlite", databasePath: ":memory:" }],
  ])("it decides by a URL's scheme: %s", async (url, options) => {
    expect(made(await open({ env: { WAYMARK_URL: url } })).options).toEqual(options);
  });

  test.each(["file:./data/x.db", "file:data/x.db", "sqlite:data/x.db", "file:data%2Fx.db"])(
    "it has relative files relative to cwd: %s",
    async (url) => {
      expect(made(await open({ env: { DATABASE_URL: url } })).options).toEqual({
        type: "sqlite",
        databasePath: join(folder, "data/x.db"),
      });
    },
  );

  test("it is read in order, and what is empty is not set", async () => {
    const env: Record<string, string> = { MYSQL_URL: "mysql://4/d" };
    const opened = async () => made(await open({ env })).options["connectionString"];
    expect(await opened()).toBe("mysql://4/d");
    env["POSTGRES_URL"] = "postgres://3/d";
    expect(await opened()).toBe("postgres://3/d");
    env["DATABASE_URL"] = "postgres://2/d";
    expect(await opened()).toBe("postgres://2/d");
    env["WAYMARK_URL"] = "mysql://1/d";
    expect(await opened()).toBe("mysql://1/d");
    env["WAYMARK_URL"] = "";
    expect(await opened()).toBe("postgres://2/d");
  });

  test("it is the process's own where none is given", async () => {
    vi.stubEnv("WAYMARK_URL", "mysql://process/d");
    expect(made(await openCheckpointStorage({ cwd: folder })).options["connectionString"]).toBe("mysql://process/d");
  });

  test("it is not read where there is a config", async () => {
    const env = { WAYMARK_URL: `evil://${CANARY}`, NODE_ENV: "production" };
    expect(made(await open({ env, config: config() })).options["type"]).toBe("sqlite");
    write("waymark.config.json", config());
    expect(made(await open({ env })).options["type"]).toBe("sqlite");
  });

  test.each([
    [`mongodb+srv://u:${CANARY}@h/d`, "got mongodb+srv:"],
    [`https://u:${CANARY}@h/d`, "got https:"],
    [`jdbc:mysql://u:${CANARY}@h/d`, "got another string"],
    [`user:${CANARY}@h/d`, "got another string"],
    [`${CANARY}`, "got another string"],
    [`${CANARY}:x`, "got another string"],
    [` postgres://u:${CANARY}@h/d`, "got another string"],
  ])("it is refused by the variable and the scheme alone: %#", async (url, got) => {
    const schemes = "postgres:, postgresql:, mysql:, mariadb:, file:, sqlite:";
    expect(await refusal({ env: { DATABASE_URL: url } })).toBe(
      `read environment: expected DATABASE_URL to be a URL of ${schemes}, ${got}`,
    );
  });

  test.each([
    `file://${CANARY}/x.db`,
    `file:${CANARY}?mode=ro`,
    `sqlite:///${CANARY}#x`,
    `file:${CANARY}%`,
    "file:",
    "sqlite://",
  ])("it is refused when it is no file's: %#", async (url) => {
    expect(await refusal({ env: { WAYMARK_URL: url } })).toContain("expected WAYMARK_URL to be file: and a path");
  });

  test("it has the complaints of a storage told by the variable", async () => {
    write("node_modules/@waymark/mysql/index.js", `export const createCheckpointStorage = () => 7;`);
    expect(await refusal({ env: { MYSQL_URL: `mysql://${CANARY}/d` } })).toMatch(/^read environment: MYSQL_URL: /);
  });

  test("it is a file in the folder, when it names no database", async () => {
    expect(made(await open()).options).toEqual({ type: "sqlite", databasePath: join(folder, "agent_state.db") });
    expect(made(await open({ env: { NODE_ENV: "test" } })).options["type"]).toBe("sqlite");
    expect(existsSync(join(folder, "agent_state.db"))).toBe(false);
  });

  test("it is never a file of itself in production: it says what to set", async () => {
    const message = await refusal({ env: { NODE_ENV: "production" } });
    expect(message).toContain("NODE_ENV is production, and no database is named: set WAYMARK_URL");
    expect(made(await open({ env: { NODE_ENV: "production", WAYMARK_URL: "file:x.db" } })).options["type"]).toBe(
      "sqlite",
    );
  });
});

describe("a config that is handed over", () => {
  test("it needs no file, and no package where the factory itself is the type", async () => {
    const dialect = scriptedDialect();
    const storage = await open({
      config: config({ type: (() => createStorage(dialect)) satisfies StorageFactory, a: 1 }) as never,
    });
    const id = await storage.storeCheckpoint({ agentId: "a", name: "n", state: 1, createdAt: 0 });
    expect((await storage.retrieveCheckpoint(id))?.state).toBe(1);
    expect([...dialect.rows.keys()]).toEqual([id]);
    await storage.close();
  });

  test("it may name types of a registry, which come before packages", async () => {
    install("sqlite");
    const registry = createRegistry();
    registry.register("sqlite", ((options: object) => ({ options, from: "registry", storeCheckpoint() {} })) as never);
    expect(made(await open({ registry, config: config() })).from).toBe("registry");
    expect(made(await open({ registry })).options).toMatchObject({ databasePath: join(folder, "agent_state.db") });
  });

  test("it keeps its relative files in cwd, and leaves :memory: and other options alone", async () => {
    install("sqlite");
    const paths = async (databasePath: unknown) =>
      made(await open({ config: config({ type: "sqlite", databasePath, other: "./x" }) })).options;
    expect(await paths("./data/x.db")).toEqual({
      type: "sqlite",
      databasePath: join(folder, "data/x.db"),
      other: "./x",
    });
    expect(await paths("/data/x.db")).toMatchObject({ databasePath: "/data/x.db" });
    expect(await paths(":memory:")).toMatchObject({ databasePath: ":memory:" });
    expect(await paths("")).toMatchObject({ databasePath: "" });
    expect(await paths(7)).toMatchObject({ databasePath: 7 });
  });

  test.each<[OpenOptions, string]>([
    [{ configfile: "x" } as never, 'got "configfile"'],
    [{ configFile: 7 } as never, "expected options.configFile to be a string, got 7"],
    [{ cwd: 7 } as never, "expected options.cwd to be a string, got 7"],
    [{ env: CANARY } as never, "expected options.env to be an object, got a string of 14 characters"],
    [
      { registry: new Map().get } as never,
      "expected options.registry to be a registry of createRegistry(), got a function",
    ],
    [{ configFile: "x", config: config() }, "expected options to have configFile or config, got both"],
  ])("it is told what is wrong with the options of opening: %#", async (options, message) => {
    await expect(open(options)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });
});

describe("a storage of several providers", () => {
  /** Providers of a scripted dialect each, whose closing is as said. */
  async function opened(
    closings: Readonly<Record<string, () => Promise<void>>>,
    policy: Omit<CheckpointConfig, "providers"> = {},
  ) {
    const dialects = Object.entries(closings).map(([name, close]) => [name, scriptedDialect({ close })] as const);
    const providers = Object.fromEntries(
      dialects.map(([name, dialect]) => [name, { type: () => createStorage(dialect) }]),
    );
    const storage = await open({ config: { checkpoint: { providers: providers as never, ...policy } } });
    return { storage, dialects: Object.fromEntries(dialects) };
  }

  const well = async () => {};
  const badly = () => Promise.reject(new Error(CANARY));
  const turn = { agentId: "a", name: "n", state: 1, createdAt: 0 };

  test("it is main, and gives each by its name", async () => {
    const { storage, dialects } = await opened({ second: well, main: well, third: well });
    expect(storage.providers).toEqual(["second", "main", "third"]);
    const id = await storage.storeCheckpoint(turn);
    expect((await storage.provider("main").retrieveCheckpoint(id))?.state).toBe(1);
    expect(await storage.provider("second").retrieveCheckpoint(id)).toBeNull();
    expect(await storage.retrieveLatestCheckpoint("a")).toMatchObject({ id });
    expect(await storage.listAgents()).toEqual(["a"]);
    expect((await storage.listCheckpoints({ agentId: "a" })).map((item) => item.id)).toEqual([id]);
    for await (const item of storage.iterateCheckpoints()) expect(item.id).toBe(id);
    expect((await storage.stats({ agentId: "a" })).checkpoints).toBe(1);
    expect((await storage.health()).ok).toBe(true);
    expect(await storage.migrate("verify")).toEqual([]);
    expect(await storage.pruneCheckpoints({ keepLast: 1 })).toEqual({ examined: 1, removed: 0 });
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(await storage.deleteAgent("a")).toBe(0);
    expect(dialects["third"]?.calls).toEqual([]);
  });

  test.each(["Main", "", "toString", "__proto__", 7])(
    "it names those that there are, when it is asked for another: %j",
    async (name) => {
      const { storage } = await opened({ main: well, backup: well });
      expect(() => storage.provider(name as string)).toThrow(
        expect.objectContaining({
          code: "INVALID_ARGUMENT",
          message: expect.stringContaining("expected name to be one of the providers main, backup, got "),
        }),
      );
    },
  );

  test("it connects to nothing while it is opened", async () => {
    const { dialects } = await opened({ main: well, backup: well });
    expect([dialects["main"]?.calls, dialects["backup"]?.calls]).toEqual([[], []]);
  });

  test("it closes all of them, once", async () => {
    const { storage, dialects } = await opened({ main: well, second: well });
    expect(await storage.close()).toEqual({ unsent: null });
    await storage.close();
    await storage[Symbol.asyncDispose]();
    expect([dialects["main"]?.calls, dialects["second"]?.calls]).toEqual([["close"], ["close"]]);
    await expect(storage.storeCheckpoint(turn)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(storage.provider("second").stats()).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("it closes main and backup together, once, when each has what the other has", async () => {
    const { storage, dialects } = await opened({ main: well, backup: well, third: well });
    const id = await storage.storeCheckpoint(turn);
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    await storage[Symbol.asyncDispose]();
    const closings = Object.values(dialects).map(({ calls }) => calls.filter((call) => call === "close").length);
    expect(closings).toEqual([1, 1, 1]);
    expect([...(dialects["backup"]?.rows.keys() ?? [])]).toEqual([id]);
    expect(dialects["third"]?.calls).toEqual(["close"]);
    await expect(storage.storeCheckpoint(turn)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(storage.provider("backup").stats()).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("it closes all of them even if one fails to, and then says so", async () => {
    const { storage, dialects } = await opened({ main: badly, second: well, third: badly });
    await expect(storage.close()).rejects.toMatchObject({ code: "DATABASE_ERROR" });
    expect(Object.values(dialects).map((dialect) => dialect.calls)).toEqual([["close"], ["close"], ["close"]]);
  });

  test.each(["main", "backup"])("it closes all of them even if its %s fails to, and then says so", async (failing) => {
    const { storage, dialects } = await opened({ main: well, backup: well, third: well, [failing]: badly });
    await storage.storeCheckpoint(turn);
    await expect(storage.close()).rejects.toMatchObject({ code: "DATABASE_ERROR" });
    expect(Object.values(dialects).map(({ calls }) => calls.at(-1))).toEqual(["close", "close", "close"]);
  });

  test("it has its backup take what main has, and answer while main does not", async () => {
    const { storage, dialects } = await opened({ main: well, backup: well });
    const id = await storage.storeCheckpoint(turn);
    await expect.poll(() => [...(dialects["backup"]?.rows.keys() ?? [])], { timeout: 60_000 }).toEqual([id]);
    expect((await storage.retrieveCheckpoint(id))?.source).toBe("main");
    const { providers, mode } = await storage.status();
    expect([Object.keys(providers), mode]).toEqual([["main", "backup"], "main"]);
    const reconciled: unknown[] = [];
    storage.on("reconciled", (result) => reconciled.push(result));
    expect(await storage.reconcile()).toMatchObject({ compared: 1, copiedToBackup: 0, copiedToMain: 0 });
    expect(reconciled).toHaveLength(1);
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
  });

  test("it does with its backup what the config says", async () => {
    const refusing = () => Promise.reject(new ScriptedError("connection"));
    const away = createStorage(scriptedDialect({ open: refusing }), { retry: { maxRetries: 0 } });
    const dialect = scriptedDialect();
    const registry = createRegistry();
    registry.register("away", () => away);
    registry.register("there", () => createStorage(dialect));
    const providers = { main: { type: "away" }, backup: { type: "there" } };
    const config = { checkpoint: { providers, failover: "read-only", staleReads: "allow", reconcile: false } as const };
    const storage = await open({ registry, config });
    await expect(storage.storeCheckpoint(turn)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await storage.retrieveLatestCheckpoint("a")).toBeNull();
    await storage.close({ timeoutMs: 50 });
    expect(dialect.rows.size).toBe(0);
  });

  test("it leaves a backup alone where replication is off", async () => {
    const { storage, dialects } = await opened({ main: well, backup: well }, { replication: "off" });
    const id = await storage.storeCheckpoint(turn);
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(dialects["main"]?.rows.size).toBe(0); // nothing is left to be sent
    expect(await storage.provider("backup").retrieveCheckpoint(id)).toBeNull();
    await expect(storage.reconcile()).rejects.toMatchObject({ code: "INVALID_CONFIG" });
    expect(await storage.close()).toEqual({ unsent: null });
  });

  test("it has nothing to reconcile main with where there is no backup", async () => {
    const { storage } = await opened({ main: well, second: well });
    await expect(storage.reconcile()).rejects.toMatchObject({
      code: "INVALID_CONFIG",
      message: "read config: there is no backup to reconcile main with",
    });
  });

  test.each(["main", "backup"])("it is refused when its %s is none of core's storages", async (name) => {
    const own = { type: () => createStorage(scriptedDialect()) };
    const foreign = { type: (() => ({ storeCheckpoint: async () => "stored", close: async () => {} })) as never };
    const config = { checkpoint: { providers: { main: own, backup: own, [name]: foreign } } };
    expect(await refusal({ config })).toBe(
      `read config: checkpoint.providers: expected ${name} to be a storage that core's createStorage has made, got an object`,
    );
    const off = await open({ config: { checkpoint: { ...config.checkpoint, replication: "off" } } });
    expect(off.providers).toEqual(["main", "backup"]);
  });

  test("it closes those that it has made when another one is refused", async () => {
    const dialect = scriptedDialect();
    const providers = { main: { type: () => createStorage(dialect) }, backup: { type: "nobody" } };
    expect(await refusal({ config: { checkpoint: { providers } } })).toContain(
      "checkpoint.providers.backup: the package @waymark/nobody",
    );
    expect(dialect.calls).toEqual(["close"]);
  });
});
