import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";

/** Beside these sources their build: Node cannot run TypeScript everywhere. */
const INDEX = new URL("../dist/index.js", import.meta.url).href;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

export interface NodeProcess {
  /** What it prints next. */
  line(): Promise<string>;
  send(line: string): void;
  kill(): void;
  readonly exit: Promise<Exit>;
}

/**
 * Runs a program in a process of its own: the body of a module that has `args`, `createMySQLStorage`, and `line()`,
 * which waits for the next one that we send.
 */
export function startNode(program: string, ...args: readonly unknown[]): NodeProcess {
  const prologue = `
    import { createMySQLStorage } from ${JSON.stringify(INDEX)};
    import { createInterface } from "node:readline";
    const args = JSON.parse(process.argv[1]);
    const line = () => new Promise((resolve) => createInterface(process.stdin).once("line", (text) => {
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
    async line() {
      const next = await reader.next();
      if (next.done) throw new TypeError(`expected a line of the process, got its end: ${output}`);
      return next.value;
    },
    send: (text) => void child.stdin.write(`${text}\n`),
    kill: () => void child.kill("SIGKILL"),
    exit: once(child, "close").then(([code, signal]) => ({ code, signal, output })),
  };
}
