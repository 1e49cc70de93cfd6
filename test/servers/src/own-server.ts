import { join } from "node:path";
import { execute } from "./client.ts";
import { initialiseDataFolder } from "./data-folder.ts";
import { type Command, createEnclosure, type Enclosure } from "./enclosure.ts";
import type { Engine } from "./engines/engine.ts";
import { startListener } from "./listener.ts";
import type { Program } from "./programs.ts";
import type { Origin, Request, Server } from "./server.ts";

/** Runs the program as a child process with a data folder of its own. */
export async function startOwnServer(
  engine: Engine,
  program: Program,
  origin: Origin,
  { env, diskBytes, args }: Request,
): Promise<Server> {
  const enclosure = await createEnclosure(engine.kind, engine.cleanUp, diskBytes);
  try {
    await initialiseDataFolder(engine, program, enclosure, join(enclosure.folder, "data"), env);
    return await serveIn(enclosure, {
      engine,
      program,
      origin,
      command: (dataFolder, port) => withArgs(engine.serve(program, dataFolder, port), args),
      async expectReady() {},
    });
  } catch (error) {
    await enclosure.remove();
    throw error;
  }
}

export function withArgs(command: Command, args: readonly string[]): Command {
  return { ...command, args: [...command.args, ...args] };
}

export interface Service {
  readonly engine: Engine;
  readonly program: Program;
  readonly origin: Origin;
  command(dataFolder: string, port: number): Command | Promise<Command>;
  /** Rejects while the server answers, but is not ready yet. */
  expectReady(url: string): Promise<void>;
}

/** Runs a server on the enclosure's data folder. */
export async function serveIn(enclosure: Enclosure, service: Service): Promise<Server> {
  const { engine, program, origin } = service;
  const dataFolder = join(enclosure.folder, "data");
  const urlAt = (port: number) => engine.adminUrl("127.0.0.1", port);
  const listener = await startListener(enclosure, {
    title: engine.title,
    command: (port) => service.command(dataFolder, port),
    async ask(port) {
      const [row] = await execute(urlAt(port), engine.folderQuery);
      const folder = String(row?.["folder"]).replace(/\/$/, "");
      if (folder !== dataFolder) throw new Error(`expected the server of ${dataFolder}, got the one of ${folder}`);
      await service.expectReady(urlAt(port));
    },
  });

  const { disk } = enclosure;
  const unfillable = (action: string) => async () => {
    throw new Error(
      `${action} the disk of ${engine.title}: expected a server with a disk of its own, got one on the machine's; ` +
        `start it with { diskBytes }`,
    );
  };
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
    canBeFilled: disk !== undefined,
    fillDisk: disk ? disk.fill : unfillable("fill"),
    async freeDisk() {
      if (!disk) return unfillable("free")();
      await disk.free();
      await listener.revive();
    },
    stop: enclosure.remove,
  };
}
