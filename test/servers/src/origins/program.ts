import type { Engine } from "../engines/engine.ts";
import { startOwnServer } from "../own-server.ts";
import { findProgram } from "../programs.ts";
import type { Absent, Request, Server } from "../server.ts";

/** Starts a server program that is installed on this machine. */
export async function fromProgram(engine: Engine, request: Request): Promise<Server | Absent> {
  if (process.platform !== "linux") return { absent: "servers of this package run only on Linux" };
  const program = await findProgram(engine.program, "/", request.env["PATH"]);
  if (program) return startOwnServer(engine, program, "program", request);
  const { name, folder } = engine.program;
  return { absent: `no ${name} of ${engine.title} in /${folder} or on the PATH` };
}
