import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, type KeyRing } from "@waymark/sqlite";
import { afterAll, expect } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "waymark-sqlite-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;

/** Returns the path of a database file that is not there yet. */
export function newFile(): string {
  files += 1;
  return join(folder, `${files}.db`);
}

export function checkpoint(state: unknown, agentId = "agent") {
  return { agentId, name: "turn", state, createdAt: 1 };
}

/** Starts a process that opens a file through the built package, and does a task. */
export function childProcess(...args: string[]) {
  return fork(fileURLToPath(new URL("./child.mjs", import.meta.url)), args, {
    execArgv: ["--expose-gc"],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}

/** Returns the next message of a child process. */
export async function answerOf(child: ReturnType<typeof childProcess>): Promise<unknown> {
  const [answer] = await once(child, "message");
  return answer;
}

/** Makes keys that are the same in every process, as those of a config file are. */
export function keyRing(current: string, names: readonly string[] = [current]): KeyRing {
  const key = (name: string) => createHash("sha256").update(`key ${name}`).digest("hex");
  return { current, keys: Object.fromEntries(names.map((name) => [name, key(name)])), digestKey: key("of digests") };
}

/** Returns the error that a call rejects with. */
export async function failure(call: Promise<unknown>): Promise<CheckpointError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}
