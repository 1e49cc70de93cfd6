import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { CloseReport, ReconcileResult, StorageStatus, StoredAgentCheckpoint } from "@waymark/core";
import type { Habit, Method, Notice, Order, Request } from "./order.ts";

/** Path of the worker's build: not every supported Node runs TypeScript, so workers always run from `dist`. */
const WORKER = fileURLToPath(new URL("../dist/worker.js", import.meta.url));

/** A worker process, and the agents in it. */
export interface Worker {
  /** Number of acknowledged turns of its agents, including those in earlier workers. */
  readonly acknowledged: number;
  /** Reason why an agent cannot go on, or why the process ended although it was not killed. */
  readonly stuck: string | null;
  readonly isRunning: boolean;
  /** Sets the number of turns that each agent may make in total, and its habit. */
  allow(turns: number, habit: Habit): void;
  /** Lets these agents work in this worker. */
  take(agents: readonly string[]): void;
  /** Lets these agents finish their turn, then stops them; they are then in `released`. */
  release(agents: readonly string[]): void;
  readonly released: ReadonlySet<string>;
  retrieveLatest(agentId: string, query: object): Promise<StoredAgentCheckpoint | null>;
  status(): Promise<StorageStatus>;
  reconcile(): Promise<ReconcileResult>;
  close(): Promise<CloseReport>;
  /** Closes the channel, so that the process ends by itself, and returns its exit code. */
  leave(): Promise<number | null>;
  /** Ends the process with SIGKILL. */
  kill(): Promise<void>;
}

/** Starts a worker, and waits until its agents work. Calls `notify` whenever its state changes. */
export async function startWorker(order: Order, notify: () => void): Promise<Worker> {
  // Without this process's execArgv and NODE_OPTIONS: the test runner's export conditions would select sources, not builds.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(WORKER, [JSON.stringify(order)], { env, execArgv: [] });
  const exited: Promise<number | null> = once(child, "exit").then(([code]) => code as number | null);
  let acknowledged = 0;
  const released = new Set<string>();
  let stuck: string | null = null;
  let isRunning = true;
  let isExpected = false;
  const ask = createCaller(child);

  const ready = new Promise<void>((resolve, reject) => {
    child.on("message", (notice: Notice) => {
      if ("ready" in notice) resolve();
      if ("acknowledged" in notice) acknowledged = notice.acknowledged;
      if ("released" in notice) released.add(notice.released);
      if ("stuck" in notice) stuck ??= notice.stuck;
      notify();
    });
    child.on("exit", (code, signal) => {
      isRunning = false;
      const text = `a worker ended unexpectedly with ${signal ?? `exit code ${code}`}`;
      if (!isExpected) stuck ??= text;
      reject(new Error(text));
      notify();
    });
  });
  await ready;

  return {
    get acknowledged() {
      return acknowledged;
    },
    get stuck() {
      return stuck;
    },
    get isRunning() {
      return isRunning;
    },
    allow: (turns, habit) => void child.send({ turns, habit } satisfies Request),
    take: (agents) => {
      for (const agent of agents) released.delete(agent);
      child.send({ take: agents } satisfies Request);
    },
    release: (agents) => void child.send({ release: agents } satisfies Request),
    released,
    retrieveLatest: (...args) => ask("retrieveLatestCheckpoint", args) as ReturnType<Worker["retrieveLatest"]>,
    status: () => ask("status", []) as Promise<StorageStatus>,
    reconcile: () => ask("reconcile", []) as Promise<ReconcileResult>,
    close: () => ask("close", []) as Promise<CloseReport>,
    leave: async () => {
      isExpected = true;
      if (child.connected) child.disconnect();
      return await exited;
    },
    kill: async () => {
      isExpected = true;
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function createCaller(child: ChildProcess): (method: Method, args: readonly unknown[]) => Promise<unknown> {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let last = 0;
  child.on("message", (notice: Notice) => {
    if (!("call" in notice)) return;
    const call = waiting.get(notice.call);
    waiting.delete(notice.call);
    if ("error" in notice) call?.reject(Object.assign(new Error(notice.error), { retryable: notice.retryable }));
    else call?.resolve(notice.value);
  });
  child.on("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error("the worker has ended"));
    waiting.clear();
  });
  return (method, args) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      child.send({ call: last, method, args } satisfies Request);
    });
}
