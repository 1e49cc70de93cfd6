import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compiledVersion, copyCompiled, packAll, pnpm, runScript } from "./commands.ts";

// Packages under pnpm's strict node_modules: the application has only @waymark/core, and the operators' folder has the config
// file and the packages that it names.
const folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-config-")));

beforeAll(async () => {
  const tarballs = await packAll(folder);
  const overrides = Object.entries(tarballs).map(([name, file]) => `  "${name}": "file:${file}"\n`);
  overrides.push(`  "better-sqlite3": "${compiledVersion}"\n`);
  write(
    "pnpm-workspace.yaml",
    `packages: [app, one, operators/conf]\npmOnFail: ignore\noverrides:\n${overrides.join("")}`,
  );
  write("package.json", { private: true });
  write("app/package.json", { name: "app", dependencies: { "@waymark/core": "*" } });
  write("one/package.json", { name: "one", dependencies: { "@waymark/sqlite": "*" } });
  write("operators/conf/package.json", { name: "conf", dependencies: { "@waymark/sqlite": "*" } });
  await pnpm(["install", "--no-frozen-lockfile", "--ignore-scripts", "--prefer-offline"], { cwd: folder });
  copyCompiled(join(folder, `node_modules/.pnpm/better-sqlite3@${compiledVersion}/node_modules/better-sqlite3`));
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, content: string | object): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), typeof content === "string" ? content : JSON.stringify(content));
}

const CONFIG = `export default {
  checkpoint: {
    providers: {
      main: { type: "sqlite", databasePath: "./agent_state.db" },
      backup: { type: "sqlite", databasePath: "./backup_agent_state.db" },
    },
  },
};`;

const use = (from: string, options: object) => `
  import { openCheckpointStorage } from "${from}";
  const storage = await openCheckpointStorage(${JSON.stringify(options)});
  const id = await storage.storeCheckpoint({ agentId: "a", name: "n", state: { turn: 1 }, createdAt: 1 });
  const other = await storage.provider("backup").retrieveCheckpoint(id);
  const main = await storage.retrieveCheckpoint(id);
  await storage.close();
  console.log(JSON.stringify([main.state, other, storage.providers]));
`;
const used = [{ turn: 1 }, null, ["main", "backup"]];

describe("a config file under pnpm's strict node_modules", () => {
  it("may be an .mjs file at any path, and resolves the packages that it names from there", async () => {
    write("operators/conf/deep/down/any-name.mjs", CONFIG);
    write("app/app.mjs", use("@waymark/core", { configFile: "../operators/conf/deep/down/any-name.mjs" }));
    expect(existsSync(join(folder, "app/node_modules/@waymark/sqlite"))).toBe(false);
    expect(await runScript("app.mjs", { cwd: join(folder, "app") })).toEqual(used);
    expect(existsSync(join(folder, "operators/conf/deep/down/agent_state.db"))).toBe(true);
  });

  it("is found in the application's folder, with one dialect package installed", async () => {
    write(
      "one/waymark.config.mjs",
      CONFIG.replace("export default", 'import { defineConfig } from "@waymark/sqlite";\nexport default'),
    );
    write("one/app.mjs", use("@waymark/sqlite", {}));
    expect(existsSync(join(folder, "one/node_modules/@waymark/core"))).toBe(false);
    expect(await runScript("app.mjs", { cwd: join(folder, "one") })).toEqual(used);
  });

  it("reports the command that installs a missing package", async () => {
    write(
      "app/waymark.config.mjs",
      CONFIG.replaceAll('"sqlite"', '"mysql"').replaceAll("databasePath", "connectionString"),
    );
    write("app/missing.mjs", 'import { openCheckpointStorage } from "@waymark/core";\nawait openCheckpointStorage();');
    await expect(runScript("missing.mjs", { cwd: join(folder, "app") })).rejects.toThrow("npm install @waymark/mysql");
  });
});
