import type { Engine } from "../engines/engine.ts";
import type { Origin, Server } from "../server.ts";

/** What a server has in common with every other one whose processes are not ours. */
export function unkillable({ kind, title }: Engine, origin: Origin): Omit<Server, "version" | "url" | "stop"> {
  const refuse = (action: string) => async () => {
    throw new Error(
      `${action} ${title}: expected a server whose processes are ours, got one of the origin ${origin}; ` +
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
