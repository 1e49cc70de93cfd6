import type { CheckpointStorage, NamedAgentCheckpoint } from "@waymark/core";
import { onTestFinished } from "vitest";
import { type NodeProcess, startNode } from "./node.ts";
import type { ServerDatabase, ServerProxy, ServerStorageOptions, ServerTarget } from "./target.ts";

/** Time for calls whose deadline is not what is tested. */
const OPERATION_TIMEOUT_MS = 20_000;

/** Makes databases, storages, proxies and processes for the tests of one target. All of them go when their test is over. */
export class ServerBench {
  readonly #target: ServerTarget;

  constructor(target: ServerTarget) {
    this.#target = target;
  }

  /** Makes an empty database, on the shared server or on this one. */
  async createDatabase(serverUrl: string = this.#target.url): Promise<ServerDatabase> {
    const database = await this.#target.createDatabase(serverUrl);
    onTestFinished(() => database.drop());
    return database;
  }

  open(options: ServerStorageOptions): CheckpointStorage {
    const storage = this.#target.open({ operationTimeoutMs: OPERATION_TIMEOUT_MS, ...options });
    onTestFinished(async () => void (await storage.close()));
    return storage;
  }

  async startProxy(url: string): Promise<ServerProxy> {
    const proxy = await this.#target.startProxy(url);
    onTestFinished(() => proxy.stop());
    return proxy;
  }

  startNode(program: string, ...args: readonly unknown[]): NodeProcess {
    return startNode(this.#target.module, program, ...args);
  }
}

export function newCheckpoint(members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId: "agent", name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...members };
}
