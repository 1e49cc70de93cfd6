import { execFile } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const home = fileURLToPath(new URL("..", import.meta.url));
const folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-openai-agents-sdk-")));
afterAll(() => rmSync(folder, { recursive: true }));

const manifest = (place: string) => JSON.parse(readFileSync(join(place, "package.json"), "utf8"));

/** Makes an application with the built package and a version of the SDK installed. */
function project(name: string, sdk: string): string {
  const place = join(folder, name);
  const packages = {
    "@openai/agents-core": sdk,
    "@types/node": "@types/node",
    "@waymark/core": "@waymark/core",
    "@waymark/sqlite": "@waymark/sqlite",
    zod: "zod",
  };
  for (const [installed, from] of Object.entries(packages)) {
    const link = join(place, "node_modules", installed);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(realpathSync(join(home, "node_modules", from)), link);
  }
  // A copy: a link would resolve the SDK of this workspace.
  const own = join(place, "node_modules/@waymark/openai-agents");
  cpSync(join(home, "dist"), join(own, "dist"), { recursive: true });
  copyFileSync(join(home, "package.json"), join(own, "package.json"));
  copyFileSync(join(home, "test/usage.ts"), join(place, "usage.ts"));
  writeFileSync(join(place, "package.json"), JSON.stringify({ name, private: true, type: "module" }));
  return place;
}

describe.each([
  ["the current version", "@openai/agents-core"],
  ["the oldest supported version", "openai-agents-core-minimum"],
])("with %s of the SDK", (name, sdk) => {
  // The SDK's own declarations fail under `exactOptionalPropertyTypes`. Without it, errors of our declarations show.
  const nodeNext = ["NodeNext", { exactOptionalPropertyTypes: true, skipLibCheck: true }] as const;
  const bundler = ["Bundler", { exactOptionalPropertyTypes: false, skipLibCheck: false }] as const;
  // Without `skipLibCheck` the compiler takes three times as long: with the oldest version only in `npm run test:all`.
  const isThorough = sdk === "@openai/agents-core" || process.env["WAYMARK_TEST_ALL"];
  it.each(isThorough ? [nodeNext, bundler] : [nodeNext])(
    "compiles in a strict project with the module resolution %s, and runs",
    async (moduleResolution, strictness) => {
      const place = project(`${name} ${moduleResolution}`, sdk);
      const compilerOptions = {
        strict: true,
        noUncheckedIndexedAccess: true,
        ...strictness,
        target: "ES2023",
        lib: ["ES2023", "ESNext.Disposable", "DOM", "DOM.AsyncIterable"],
        types: ["node"],
        module: moduleResolution === "Bundler" ? "ESNext" : "NodeNext",
        moduleResolution,
      };
      writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["usage.ts"] }));
      const tsc = join(home, "node_modules/typescript/bin/tsc");
      await run(process.execPath, [tsc, "-p", "."], { cwd: place }).catch(({ stdout }) => expect(stdout).toBe(""));
      const { stdout } = await run(process.execPath, ["usage.js"], { cwd: place });
      const { refunded, rows, kept, inMemory } = JSON.parse(stdout);
      expect(refunded).toEqual(["7 of Zoë", "7 of Zoë"]);
      expect(kept).toEqual(inMemory);
      expect(JSON.stringify(kept)).not.toContain("secret");
      expect(rows).toContain("applyHistoryTransaction");
    },
    240_000, // the compiler checks the whole SDK
  );
});

describe("the package", () => {
  it("depends on @waymark/core only, and names the SDK versions that are tested here", () => {
    const { dependencies, peerDependencies, devDependencies } = manifest(home);
    expect(Object.keys(dependencies)).toEqual(["@waymark/core"]);
    expect(Object.keys(peerDependencies)).toEqual(["@openai/agents-core"]);
    const minimum = manifest(join(home, "node_modules/openai-agents-core-minimum")).version;
    expect(peerDependencies["@openai/agents-core"]).toBe(`>=${minimum} <1`);
    expect(devDependencies["openai-agents-core-minimum"]).toBe(`npm:@openai/agents-core@${minimum}`);
  });
});
