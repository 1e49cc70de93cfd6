import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("child.mjs", import.meta.url));

/** A task of child.mjs in a child process, which is ready and waits for `go`. */
export interface Child {
  readonly process: ChildProcess;
  /** Runs the task to its end and returns its result. @throws the error of the task, or that the process was killed */
  go(): Promise<unknown>;
}

export async function start(task: string, args: object): Promise<Child> {
  // Without vitest's flags: the child runs the built package, as an application does.
  const child = fork(script, [task, JSON.stringify(args)], { execArgv: [] });
  await once(child, "message");
  return {
    process: child,
    go: async () => {
      const messages: { readonly result?: unknown; readonly error?: string }[] = [];
      child.on("message", (message: object) => messages.push(message));
      child.send("go");
      // After a process has exited, messages may still arrive. The last one comes before `disconnect`.
      const [[code, signal]] = await Promise.all([once(child, "exit"), once(child, "disconnect")]);
      const last = messages.at(-1);
      if (last?.error !== undefined) throw new Error(last.error);
      if (code !== 0) throw new Error(`the process ended with ${signal ?? code}`);
      return last?.result;
    },
  };
}

/** Runs a task in a child process. */
export async function run(task: string, args: object): Promise<unknown> {
  return await (await start(task, args)).go();
}
