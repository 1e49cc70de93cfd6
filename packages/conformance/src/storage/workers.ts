import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { CheckpointStorage } from "@waymark/core";
import type { Remote } from "./target.ts";

/** First argument of a worker, as JSON. */
export interface WorkerOrder extends Remote {
  /** Milliseconds added to `Date.now()` in the worker. */
  readonly skewMs: number;
}

/** A call of one method of the worker's storage. */
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
export class WorkerError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Methods whose arguments and results can be sent to another process. */
export type RemoteMethod =
  | "storeCheckpoint"
  | "retrieveCheckpoint"
  | "retrieveLatestCheckpoint"
  | "listCheckpoints"
  | "deleteCheckpoint"
  | "pruneCheckpoints"
  | "close";

/** A storage in a process of its own. */
export interface Worker extends Pick<CheckpointStorage, RemoteMethod> {
  /** Closes the channel, waits until the process exits by itself, and returns its exit code. */
  leave(): Promise<number | null>;
  /** Kills the process with SIGKILL: it cannot finish anything. */
  kill(): Promise<void>;
}

/** Closes the storages of these workers, waits until the processes exit by themselves, and returns their exit codes. */
export async function closeWorkers(workers: readonly Worker[]): Promise<(number | null)[]> {
  await Promise.all(workers.map((worker) => worker.close()));
  return await Promise.all(workers.map((worker) => worker.leave()));
}

/** Built file of the worker: not every supported Node runs TypeScript, so workers always run from `dist`. */
const WORKER = fileURLToPath(new URL("../../dist/storage/worker.js", import.meta.url));

/** Starts a worker. Resolves once the process has imported the module; its storage opens the store at the first call. */
export async function startWorker(order: WorkerOrder): Promise<Worker> {
  // Without this process's execArgv and NODE_OPTIONS: the test runner's import conditions would resolve to sources.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(WORKER, [JSON.stringify(order)], { env, execArgv: [], serialization: "advanced" });
  const exited: Promise<number | null> = once(child, "exit").then(([code]) => code as number | null);
  const channel = openChannel(child);
  await channel.ready;
  return {
    storeCheckpoint: (...args) => channel.send("storeCheckpoint", args) as ReturnType<Worker["storeCheckpoint"]>,
    retrieveCheckpoint: (...args) =>
      channel.send("retrieveCheckpoint", args) as ReturnType<Worker["retrieveCheckpoint"]>,
    retrieveLatestCheckpoint: (...args) =>
      channel.send("retrieveLatestCheckpoint", args) as ReturnType<Worker["retrieveLatestCheckpoint"]>,
    listCheckpoints: (...args) => channel.send("listCheckpoints", args) as ReturnType<Worker["listCheckpoints"]>,
    deleteCheckpoint: (...args) => channel.send("deleteCheckpoint", args) as ReturnType<Worker["deleteCheckpoint"]>,
    pruneCheckpoints: (...args) => channel.send("pruneCheckpoints", args) as ReturnType<Worker["pruneCheckpoints"]>,
    close: () => channel.send("close", []) as ReturnType<Worker["close"]>,
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

interface Waiting {
  resolve(value: unknown): void;
  reject(error: WorkerError): void;
}

/** Sends calls to a worker and settles them with its answers. */
function openChannel(child: ChildProcess) {
  const waiting = new Map<number, Waiting>();
  const { promise: ready, resolve: markReady, reject: failReady } = withResolvers<void>();
  let last = 0;
  child.on("message", (answer: WorkerAnswer) => {
    if ("ready" in answer) {
      markReady();
      return;
    }
    const { resolve, reject } = waiting.get(answer.call) as Waiting;
    waiting.delete(answer.call);
    if ("value" in answer) resolve(answer.value);
    else reject(new WorkerError(answer.error.code, answer.error.message));
  });
  child.on("exit", (code, signal) => {
    const error = new WorkerError("GONE", `the worker ended with ${signal ?? `exit code ${code}`}`);
    failReady(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  const send = (method: RemoteMethod, args: readonly unknown[]): Promise<unknown> => {
    const { promise, resolve, reject } = withResolvers<unknown>();
    last += 1;
    waiting.set(last, { resolve, reject });
    child.send({ call: last, method, args } satisfies WorkerCall);
    return promise;
  };
  return { ready, send };
}

/** `Promise.withResolvers`, which Node 20 does not have. */
function withResolvers<Value>() {
  let resolve!: (value: Value) => void;
  let reject!: (error: WorkerError) => void;
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
