import type { Engine } from "../engines/engine.ts";
import type { Origin, Server } from "../server.ts";

/** Returns the members that all servers share whose processes this package does not run. */
export function unkillable({ kind, title }: Engine, origin: Origin): Omit<Server, "version" | "url" | "stop"> {
  const refuse = (action: string) => async () => {
    throw new Error(
      `${action} ${title}: expected a server of the origin program or archive, got one of the origin ${origin}; ` +
        `start it with { from: killable }`,
    );
  };
  return {
    kind,
    origin,
    canBeKilled: false,
    kill: refuse("kill"),
    start: refuse("start"),
    pause: refuse("pause"),
    resume: refuse("resume"),
    canBeFilled: false,
    fillDisk: refuse("fill the disk of"),
    freeDisk: refuse("free the disk of"),
  };
}
