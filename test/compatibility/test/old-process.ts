import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type {
  CheckpointStorage,
  CommonStorageOptions,
  ReencryptResult,
  ReplicatedStorage,
  ReplicationOptions,
} from "@waymark/core";
import { unpackOldPackages } from "../src/old-packages.mjs";
import type { Place } from "./databases.ts";

/** Methods of a storage that the tests call, on today's or on one of the old process. */
export type Storage = Pick<
  CheckpointStorage,
  | "storeCheckpoint"
  | "retrieveCheckpoint"
  | "retrieveLatestCheckpoint"
  | "listCheckpoints"
  | "iterateAncestors"
  | "appendWrites"
  | "listWrites"
  | "listAgents"
  | "deleteCheckpoint"
  | "deleteAgent"
  | "pruneCheckpoints"
  | "stats"
  | "migrate"
  | "close"
>;

/** A storage of the old process. */
export interface OldStorage extends Storage, Pick<ReplicatedStorage, "reconcile"> {
  readonly number: number;
}

/** A process of commit 793ce5e. */
export interface OldProcess {
  open(place: Place, options: CommonStorageOptions): Promise<OldStorage>;
  replicate(main: OldStorage, backup: OldStorage, options: ReplicationOptions): Promise<OldStorage>;
  reencrypt(storage: OldStorage): Promise<ReencryptResult>;
  stop(): Promise<void>;
}

interface Answer {
  readonly number: number;
  readonly answer?: unknown;
  readonly error?: { readonly code?: string; readonly message: string };
}

/** Starts a process with the packages of that commit. Its answers are structured clones. */
export async function startOldProcess(): Promise<OldProcess> {
  const folder = unpackOldPackages();
  const child = fork(fileURLToPath(new URL("../src/old-process.mjs", import.meta.url)), [folder], {
    execArgv: [],
    serialization: "advanced", // for maps, sets, bigints and bytes
  });
  const exited = once(child, "exit");
  await Promise.race([once(child, "message"), exited.then(([code]) => Promise.reject(endedBy(code)))]);
  const ask = createAsk(child);

  async function storageOf(number: number): Promise<OldStorage> {
    const call =
      (method: string) =>
      (...args: unknown[]) =>
        ask("call", number, method, args);
    const methods = CALLS.map((method) => [method, call(method)]);
    async function* iterateAncestors(...args: unknown[]) {
      yield* (await call("iterateAncestors")(...args)) as unknown[];
    }
    return { ...Object.fromEntries(methods), iterateAncestors, number };
  }

  return {
    open: async ({ factory, options: place }, options) =>
      storageOf((await ask("open", factory, { ...place, ...options })) as number),
    replicate: async (main, backup, options) =>
      storageOf((await ask("replicate", main.number, backup.number, options)) as number),
    reencrypt: async ({ number }) => (await ask("reencrypt", number)) as ReencryptResult,
    async stop() {
      if (child.connected) child.disconnect();
      await exited;
      rmSync(folder, { recursive: true });
    },
  };
}

const CALLS = [
  "storeCheckpoint",
  "retrieveCheckpoint",
  "retrieveLatestCheckpoint",
  "listCheckpoints",
  "appendWrites",
  "listWrites",
  "listAgents",
  "deleteCheckpoint",
  "deleteAgent",
  "pruneCheckpoints",
  "stats",
  "migrate",
  "reconcile",
  "close",
] as const;

function createAsk(child: ChildProcess): (command: string, ...args: unknown[]) => Promise<unknown> {
  const asked = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  child.on("message", (message) => {
    const { number, answer, error } = message as Answer;
    const waiting = asked.get(number);
    asked.delete(number);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(Object.assign(new Error(`793ce5e: ${error.message}`), { code: error.code }));
  });
  child.on("exit", (code, signal) => {
    for (const { reject } of asked.values()) reject(endedBy(signal ?? code));
  });
  return (command, ...args) =>
    new Promise((resolve, reject) => {
      last += 1;
      asked.set(last, { resolve, reject });
      child.send({ number: last, command, args }, (error) => error && reject(error));
    });
}

function endedBy(reason: unknown): Error {
  return new Error(`the process of 793ce5e has ended: ${reason}`);
}
