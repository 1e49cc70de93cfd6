import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, vi } from "vitest";
import type { ProviderConfig } from "../../src/config/define.ts";
import { type ConfiguredStorage, type OpenOptions, openCheckpointStorage } from "../../src/config/open.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";

/** A folder of a program: its config files and its installed packages. */

export const CANARY = "hunter2-canary";

/** A new folder for each test: a module that is imported from it was never imported before. */
export let folder: string;

/** Makes the folder before each test of a file, and removes it afterwards. */
export function useFolder(): void {
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-open-")));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
}

export function write(path: string, content: string | object): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

/** A result of an installed package's factory: no storage, but it has the options, and the URL of its package. */
export interface Made extends CheckpointStorage {
  readonly options: Readonly<Record<string, unknown>>;
  readonly from: string;
}

/** Installs a package: of a short name, or another author's. */
export function install(type: string, into = ".", urlSchemes: readonly string[] = []): void {
  const name = /(?:^|\/)waymark-/.test(type) ? type : `@waymark/${type}`;
  const exported = { types: "./index.d.ts", default: "./index.js" };
  write(`${into}/node_modules/${name}/package.json`, { name, type: "module", exports: { ".": exported } });
  const factory = `(options) => ({ options, from: import.meta.url, storeCheckpoint: async () => "stored", close: async () => {} })`;
  const schemes = `export const urlSchemes = ${JSON.stringify(urlSchemes)};`;
  write(`${into}/node_modules/${name}/index.js`, `export const createCheckpointStorage = ${factory};\n${schemes}\n`);
}

export const made = (storage: ConfiguredStorage, name = "main") => storage.provider(name) as Made;

/** Opens with an empty environment. */
export const open = (options: OpenOptions = {}) => openCheckpointStorage({ cwd: folder, env: {}, ...options });

/** Returns the message that opening is refused with. */
export async function refusal(options: OpenOptions = {}): Promise<string> {
  const outcome = await open(options).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(CheckpointError);
  expect(outcome).toMatchObject({ code: "INVALID_CONFIG", retryable: false });
  expect(inspect(outcome, { showHidden: true, depth: 20 })).not.toContain(CANARY);
  return (outcome as CheckpointError).message;
}

export const config = (main: ProviderConfig = { type: "sqlite", databasePath: "./x.db" }) => ({
  checkpoint: { providers: { main } },
});

export const exporting = (main?: ProviderConfig) => `export default ${JSON.stringify(config(main))};\n`;
