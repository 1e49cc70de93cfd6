import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("child.mjs", import.meta.url));

/** A task of child.mjs, in a process that is ready and waits for `go`. */
export interface Child {
  readonly process: ChildProcess;
  /** Lets it run to its end, and gives its result. @throws what the task has thrown, or that the process was killed */
  go(): Promise<unknown>;
}

export async function start(task: string, args: object): Promise<Child> {
  // No flags of vitest's: the child runs what was built, as an application does.
  const child = fork(script, [task, JSON.stringify(args)], { execArgv: [] });
  await once(child, "message");
  return {
    process: child,
    go: async () => {
      const messages: { readonly result?: unknown; readonly error?: string }[] = [];
      child.on("message", (message: object) => messages.push(message));
      child.send("go");
      // A process that has ended may still have messages on their way; behind the last one is the end of the channel.
      const [[code, signal]] = await Promise.all([once(child, "exit"), once(child, "disconnect")]);
      const last = messages.at(-1);
      if (last?.error !== undefined) throw new Error(last.error);
      if (code !== 0) throw new Error(`the process ended with ${signal ?? code}`);
      return last?.result;
    },
  };
}

/** Runs a task in a process of its own. */
export async function run(task: string, args: object): Promise<unknown> {
  return await (await start(task, args)).go();
}
