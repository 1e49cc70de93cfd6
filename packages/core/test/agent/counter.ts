import { setImmediate } from "node:timers/promises";
import type { AgentCheckpoint } from "../../src/agent/contract.ts";
import { CheckpointService } from "../../src/agent/service.ts";
import type { Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage, StoredAgentCheckpoint } from "../../src/contract/checkpoints.ts";
import { createStorage } from "../../src/create-storage.ts";
import { ScriptedError, scriptedDialect } from "../scripted-dialect.ts";

/** An agent, and storages to save it to. */

/** The built package, for child processes: not every Node can run TypeScript. */
export const INDEX = new URL("../../dist/index.js", import.meta.url).href;

export const UNKNOWN_ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";

/** An agent that counts its turns. Its checkpoints have its state object itself. */
export class Counter {
  state = { turn: 0 };
  readonly more: Partial<AgentCheckpoint>;
  constructor(more: Partial<AgentCheckpoint> = {}) {
    this.more = more;
  }
  generateCheckpoint(): AgentCheckpoint {
    return { agentId: "counter", state: this.state, ...this.more };
  }
  restoreCheckpoint({ state }: StoredAgentCheckpoint): void {
    this.state = state as { turn: number };
  }
  takeTurn(): void {
    this.state = { turn: this.state.turn + 1 };
  }
}

/** A storage whose commits wait. */
export interface Gated {
  readonly storage: CheckpointStorage;
  readonly rows: Map<string, Row>;
  /** The waiting commits, oldest first. */
  readonly waiting: { pass(): void; fail(): void }[];
  /** The most stores that were under way at once. */
  most: number;
}

/** Makes a storage whose commits wait until the test lets them pass or fail. */
export function gated(): Gated {
  const tables = scriptedDialect();
  const waiting: Gated["waiting"] = [];
  const commit: typeof tables.commit = async (change, signal) => {
    await new Promise<void>((pass, fail) => {
      waiting.push({ pass, fail: () => fail(new ScriptedError("other")) });
    });
    return await tables.commit(change, signal);
  };
  const storage = createStorage(scriptedDialect({ commit }, tables));
  const all: Gated = { storage, rows: tables.rows, waiting, most: 0 };
  const storeCheckpoint = storage.storeCheckpoint.bind(storage);
  let running = 0; // stores, not commits: several stores may share a commit
  storage.storeCheckpoint = async (checkpoint) => {
    running += 1;
    all.most = Math.max(all.most, running);
    try {
      return await storeCheckpoint(checkpoint);
    } finally {
      running -= 1;
    }
  };
  return all;
}

export function serviceOf(provider: CheckpointStorage): CheckpointService {
  const service = new CheckpointService();
  service.registerProvider("main", provider);
  return service;
}

/** Lets all work proceed that waits only for its turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

/** Returns the turns that are stored, oldest first. */
export async function storedTurns(storage: CheckpointStorage, agentId = "counter"): Promise<number[]> {
  const turns: number[] = [];
  for (const { id } of (await storage.listCheckpoints({ agentId })).reverse()) {
    const { state } = (await storage.retrieveCheckpoint(id)) as StoredAgentCheckpoint;
    turns.push((state as { turn: number }).turn);
  }
  return turns;
}
