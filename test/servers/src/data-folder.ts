import { createHash, randomUUID } from "node:crypto";
import { copyFile, mkdir, readFile, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Enclosure } from "./enclosure.ts";
import type { Engine } from "./engines/engine.ts";
import { cacheFolder } from "./fetch.ts";
import type { Program } from "./programs.ts";

/** Makes a data folder, or unpacks one that an earlier run made for this version and these settings. */
export async function initialiseDataFolder(
  engine: Engine,
  program: Program,
  enclosure: Enclosure,
  dataFolder: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  await enclosure.run({ program: "mkdir", args: ["-p", "-m", "700", dataFolder] });
  const command = await engine.initialise(program, dataFolder);
  if (!engine.keepsDataFolder) return enclosure.run(command);

  const settings = [program.path, ...command.args].join("\n").replaceAll(enclosure.folder, "");
  const digest = createHash("sha256").update(settings).digest("hex").slice(0, 8);
  const cached = join(cacheFolder(env), `${engine.kind}-${program.version}-${digest}.tar.gz`);
  const input = await readFile(cached).catch(() => undefined);
  if (input) return enclosure.run({ program: "tar", args: ["-xz"], input });

  await enclosure.run(command);
  const packed = join(enclosure.folder, "data.tar.gz");
  await enclosure.run({ program: "tar", args: ["-czf", packed, basename(dataFolder)] });
  // The rename is atomic: under its name the archive is always complete, even if several processes make it at the same time.
  const partial = `${cached}.${randomUUID()}`;
  await mkdir(dirname(cached), { recursive: true });
  await copyFile(packed, partial);
  await rename(partial, cached);
}
