import { join } from "node:path";
import { execute } from "./client.ts";
import { initialiseDataFolder } from "./data-folder.ts";
import { createEnclosure } from "./enclosure.ts";
import type { Engine } from "./engines/engine.ts";
import { startListener } from "./listener.ts";
import type { Program } from "./programs.ts";
import type { Origin, Server } from "./server.ts";

/** Runs the program as a child process with a data folder of its own. */
export async function startOwnServer(
  engine: Engine,
  program: Program,
  origin: Origin,
  env: NodeJS.ProcessEnv,
): Promise<Server> {
  const enclosure = await createEnclosure(engine.kind, engine.tidyUp);
  try {
    const dataFolder = join(enclosure.folder, "data");
    await initialiseDataFolder(engine, program, enclosure, dataFolder, env);
    const urlAt = (port: number) => engine.adminUrl("127.0.0.1", port);
    const listener = await startListener(enclosure, {
      title: engine.title,
      command: (port) => engine.serve(program, dataFolder, port),
      async ask(port) {
        const [row] = await execute(urlAt(port), engine.folderQuery);
        const folder = String(row?.["folder"]).replace(/\/$/, "");
        if (folder !== dataFolder) throw new Error(`expected the server of ${dataFolder}, got the one of ${folder}`);
      },
    });
    return {
      kind: engine.kind,
      origin,
      version: program.version,
      url: urlAt(listener.port),
      canBeKilled: true,
      kill: listener.kill,
      start: listener.start,
      pause: enclosure.pause,
      resume: enclosure.resume,
      stop: enclosure.remove,
    };
  } catch (error) {
    await enclosure.remove();
    throw error;
  }
}
