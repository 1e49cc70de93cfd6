import type { StorageEvents } from "../contract/checkpoints.ts";
import { oneOf } from "../contract/checks.ts";
import { invalidArgument } from "../contract/errors.ts";

const EVENTS = [
  "retry",
  "circuit",
  "mode",
  "failover",
  "replicated",
  "replicationFailed",
  "conflict",
  "reconciled",
] as const satisfies readonly (keyof StorageEvents)[];

type Listener<Name extends keyof StorageEvents> = (event: StorageEvents[Name]) => void;

/** Who listens to a storage. */
export class Events {
  readonly #listeners = new Map<string, Set<(event: never) => void>>();

  /** Returns what ends it. */
  on<Name extends keyof StorageEvents>(name: Name, listener: Listener<Name>): () => void {
    oneOf("event", name, EVENTS);
    if (typeof listener !== "function") throw invalidArgument("listener", "a function", listener);
    const own: Listener<Name> = (event) => listener(event); // the same function twice is two listeners
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  /** What a listener throws must not fail the call that is told of. */
  emit<Name extends keyof StorageEvents>(name: Name, event: StorageEvents[Name]): void {
    for (const listener of (this.#listeners.get(name) ?? []) as Iterable<Listener<Name>>) {
      try {
        const result: unknown = listener(event);
        if (result instanceof Promise) result.catch(() => {}); // what an async one throws later
      } catch {
        // the listener's own affair
      }
    }
  }
}
