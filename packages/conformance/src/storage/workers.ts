import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { CheckpointStorage } from "@waymark/core";
import type { Remote } from "./target.ts";

/** What a worker is started with, as JSON in its first argument. */
export interface WorkerOrder extends Remote {
  /** Added to what `Date.now()` says there. */
  readonly skewMs: number;
}

/** What a worker is asked: one method of its storage. */
export interface WorkerCall {
  readonly call: number;
  readonly method: RemoteMethod;
  readonly args: readonly unknown[];
}

export type WorkerAnswer =
  | { readonly ready: true }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: { readonly code: string; readonly message: string } };

/** What a call rejected with in another process, or that the process is gone. */
export class WorkerError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The methods whose arguments and results can be sent to another process. */
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
  /** Ends the channel, which is all that the process waits for, and returns its exit code. */
  leave(): Promise<number | null>;
  /** SIGKILL: no chance to finish anything. */
  kill(): Promise<void>;
}

/** Ends the processes, which nobody kills: each closes its storage and has nothing left to wait for. */
export async function closeAll(workers: readonly Worker[]): Promise<(number | null)[]> {
  await Promise.all(workers.map((worker) => worker.close()));
  return await Promise.all(workers.map((worker) => worker.leave()));
}

/** Beside this module's build: Node cannot run TypeScript everywhere, so workers always run from `dist`. */
const WORKER = fileURLToPath(new URL("../../dist/storage/worker.js", import.meta.url));

/** Resolves once the process has imported the module; its storage opens the store at the first call. */
export async function startWorker(order: WorkerOrder): Promise<Worker> {
  // Without this process's execArgv and NODE_OPTIONS: a test runner's conditions would lead to sources.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(WORKER, [JSON.stringify(order)], { env, execArgv: [], serialization: "advanced" });
  const exited: Promise<number | null> = once(child, "exit").then(([code]) => code as number | null);
  const call = caller(child);
  await call.ready;
  return {
    storeCheckpoint: (...args) => call.send("storeCheckpoint", args) as ReturnType<Worker["storeCheckpoint"]>,
    retrieveCheckpoint: (...args) => call.send("retrieveCheckpoint", args) as ReturnType<Worker["retrieveCheckpoint"]>,
    retrieveLatestCheckpoint: (...args) =>
      call.send("retrieveLatestCheckpoint", args) as ReturnType<Worker["retrieveLatestCheckpoint"]>,
    listCheckpoints: (...args) => call.send("listCheckpoints", args) as ReturnType<Worker["listCheckpoints"]>,
    deleteCheckpoint: (...args) => call.send("deleteCheckpoint", args) as ReturnType<Worker["deleteCheckpoint"]>,
    pruneCheckpoints: (...args) => call.send("pruneCheckpoints", args) as ReturnType<Worker["pruneCheckpoints"]>,
    close: () => call.send("close", []) as ReturnType<Worker["close"]>,
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

function caller(child: ChildProcess) {
  const waiting = new Map<number, Waiting>();
  const { promise: ready, resolve: isReady, reject: isDead } = withResolvers<void>();
  let last = 0;
  child.on("message", (answer: WorkerAnswer) => {
    if ("ready" in answer) {
      isReady();
      return;
    }
    const { resolve, reject } = waiting.get(answer.call) as Waiting;
    waiting.delete(answer.call);
    if ("value" in answer) resolve(answer.value);
    else reject(new WorkerError(answer.error.code, answer.error.message));
  });
  child.on("exit", (code, signal) => {
    const error = new WorkerError("GONE", `the worker ended with ${signal ?? `exit code ${code}`}`);
    isDead(error);
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
