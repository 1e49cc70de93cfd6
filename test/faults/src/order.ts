import { join } from "node:path";
import type { CheckpointConfig } from "@waymark/core";
import type { Lie } from "./liar.ts";

/** What a worker is started with, as JSON in its first argument. */
export interface Order {
  readonly checkpoint: CheckpointConfig;
  readonly agents: readonly string[];
  /** A folder with the journal of each agent. */
  readonly journals: string;
  readonly seed: number;
  /** How many turns each agent may make, those of workers before it included; more are given later. */
  readonly turns: number;
  /** How long an agent tries the same store again before it gives up, in milliseconds. */
  readonly patienceMs: number;
  /** Of a storage that breaks its promises, to see whether it is noticed. */
  readonly lie: Lie | null;
}

/**
 * Habit of agents. In each turn they store; and beside that they do what comes to their mind, or nothing, or each thing that
 * they can, always in the same order.
 */
export type Habit = "as it comes" | "stores only" | "each thing";

export type Request =
  /** From now on each agent may make so many turns, in this way. */
  | { readonly turns: number; readonly habit: Habit }
  /** These agents go on here, from where their journals end. */
  | { readonly take: readonly string[] }
  /** These agents finish their turn, and are then at work here no more. */
  | { readonly release: readonly string[] }
  | { readonly call: number; readonly method: Method; readonly args: readonly unknown[] };

export type Method = "status" | "reconcile" | "close" | "retrieveLatestCheckpoint";

export type Notice =
  | { readonly ready: true }
  /** How many turns of its agents are acknowledged. */
  | { readonly acknowledged: number }
  | { readonly released: string }
  /** An agent does not get on. */
  | { readonly stuck: string }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: string; readonly retryable: boolean };

/** Every other agent works in a namespace. */
export function namespaceOf(agentId: string): string {
  return /[13579]$/.test(agentId) ? "research" : "";
}

export function journalOf(folder: string, agentId: string): string {
  return join(folder, `${agentId}.journal`);
}
