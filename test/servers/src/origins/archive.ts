import type { Engine } from "../engines/engine.ts";
import { fetchProgram } from "../fetch.ts";
import { startOwnServer } from "../own-server.ts";
import type { Absent, Request, Server } from "../server.ts";

/** Starts a server program from the archive of this machine's distribution. */
export async function fromArchive(engine: Engine, request: Request): Promise<Server | Absent> {
  const program = await fetchProgram(engine.program, request.env);
  return "absent" in program ? program : startOwnServer(engine, program, "archive", request);
}
