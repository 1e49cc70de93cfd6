import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { MemoryStorage } from "@waymark/core/memory";
import type { RemoteMemory } from "./target.ts";

/** Methods whose arguments and results can be sent to another process. */
export type RemoteMethod = Exclude<keyof MemoryStorage, "on" | "reembed" | typeof Symbol.asyncDispose>;

/** A call of one method of the worker's memory. */
export interface WorkerCall {
  readonly call: number;
  readonly method: RemoteMethod;
  readonly args: readonly unknown[];
}

export type WorkerAnswer =
  | { readonly ready: true }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: { readonly code: string; readonly message: string } };

/** The error that a call in a worker rejected with, or `GONE`: the process ended before it answered. */
class MemoryWorkerError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A memory in a process of its own. */
export interface MemoryWorker {
  readonly memory: Pick<MemoryStorage, RemoteMethod>;
  /** Closes the channel, waits until the process exits by itself, and returns its exit code. */
  leave(): Promise<number | null>;
  kill(): Promise<void>;
}

/** Built file of the worker: not every supported Node runs TypeScript, so workers always run from `dist`. */
const WORKER = fileURLToPath(new URL("../../../dist/memory/storage/worker.js", import.meta.url));

/** Starts a worker. Resolves once the process has imported the module; its memory opens the database at the first call. */
export async function startMemoryWorker(remote: RemoteMemory): Promise<MemoryWorker> {
  // Without this process's execArgv and NODE_OPTIONS: the test runner's import conditions would resolve to sources.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(WORKER, [JSON.stringify(remote)], { env, execArgv: [], serialization: "advanced" });
  const exited: Promise<number | null> = once(child, "exit").then(([code]) => code as number | null);
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let last = 0;
  const ready = new Promise<void>((resolve, reject) => {
    child.on("message", (answer: WorkerAnswer) => {
      if ("ready" in answer) {
        resolve();
        return;
      }
      const call = waiting.get(answer.call);
      waiting.delete(answer.call);
      if ("value" in answer) call?.resolve(answer.value);
      else call?.reject(new MemoryWorkerError(answer.error.code, answer.error.message));
    });
    child.on("exit", (code, signal) => {
      const error = new MemoryWorkerError("GONE", `the worker ended with ${signal ?? `exit code ${code}`}`);
      reject(error);
      for (const call of waiting.values()) call.reject(error);
      waiting.clear();
    });
  });
  await ready;
  const send = (method: RemoteMethod, args: readonly unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      child.send({ call: last, method, args } satisfies WorkerCall);
    });
  const memory = new Proxy({} as Pick<MemoryStorage, RemoteMethod>, {
    get:
      (_target, method) =>
      (...args: readonly unknown[]) =>
        send(method as RemoteMethod, args),
  });
  return {
    memory,
    leave: async () => {
      child.disconnect();
      return await exited;
    },
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
