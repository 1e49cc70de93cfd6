import { join } from "node:path";
import type { CheckpointConfig } from "@waymark/core";
import type { Defect } from "./faulty-storage.ts";

/** Options of a worker: its first argument, as JSON. */
export interface Order {
  readonly checkpoint: CheckpointConfig;
  readonly agents: readonly string[];
  /** Folder with the journal of each agent. */
  readonly journals: string;
  readonly seed: number;
  /** Number of turns that each agent may make, including those in earlier workers. A request can raise it. */
  readonly turns: number;
  /** Milliseconds that an agent repeats a store before it gives up. */
  readonly patienceMs: number;
  /** Defect that the worker's storage gets, so that a test can see whether the checker finds it. */
  readonly defect: Defect | null;
}

/**
 * Habit of agents. They store in each turn. Besides, they do random operations, or none, or every operation once, always in the
 * same order.
 */
export type Habit = "random" | "stores only" | "all operations";

export type Request =
  /** Sets the number of turns that each agent may make in total, and its habit. */
  | { readonly turns: number; readonly habit: Habit }
  /** Lets these agents work in this worker, from where their journals end. */
  | { readonly take: readonly string[] }
  /** Lets these agents finish their turn, then stops them. */
  | { readonly release: readonly string[] }
  | { readonly call: number; readonly method: Method; readonly args: readonly unknown[] };

export type Method = "status" | "reconcile" | "close" | "retrieveLatestCheckpoint";

export type Notice =
  | { readonly ready: true }
  /** Number of acknowledged turns of the worker's agents. */
  | { readonly acknowledged: number }
  | { readonly released: string }
  /** Reason why an agent cannot go on. */
  | { readonly stuck: string }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: string; readonly retryable: boolean };

/** Returns an agent's namespace: every second agent has one. */
export function namespaceOf(agentId: string): string {
  return /[13579]$/.test(agentId) ? "research" : "";
}

export function journalOf(folder: string, agentId: string): string {
  return join(folder, `${agentId}.journal`);
}
