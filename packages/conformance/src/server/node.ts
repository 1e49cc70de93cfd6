import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/** A child process that talks to its test in lines. */
export interface NodeProcess {
  /** Returns the next line that it prints. */
  nextLine(): Promise<string>;
  send(text: string): void;
  /** SIGKILL. */
  kill(): void;
  readonly exit: Promise<Exit>;
}

/**
 * Runs a program in a process of its own, until the test is over. The program is the body of a module that has `args`,
 * `createCheckpointStorage` of the module with this URL, and `nextLine()`, which waits for the next line that is sent.
 */
export function startNode(module: string, program: string, ...args: readonly unknown[]): NodeProcess {
  const prologue = `
    import { createCheckpointStorage } from ${JSON.stringify(module)};
    import { createInterface } from "node:readline";
    const args = JSON.parse(process.argv[1]);
    const nextLine = () => new Promise((resolve) => createInterface(process.stdin).once("line", (text) => {
      process.stdin.pause().unref();
      resolve(text);
    }));`;
  // Without this process's NODE_OPTIONS: a test runner's conditions would lead to sources.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", prologue + program, JSON.stringify(args)], {
    env,
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  const lines = createInterface(child.stdout);
  lines.on("line", (text) => {
    output += `${text}\n`;
  });
  const reader = lines[Symbol.asyncIterator]();
  return {
    async nextLine() {
      const next = await reader.next();
      if (next.done) throw new TypeError(`expected a line of the process, got its end: ${output}`);
      return next.value;
    },
    send: (text) => void child.stdin.write(`${text}\n`),
    kill: () => void child.kill("SIGKILL"),
    exit: once(child, "close").then(([code, signal]) => ({ code, signal, output })),
  };
}
