import { checkCloseOptions } from "../checkpoints/arguments.ts";
import type { CheckpointStorage, CloseOptions } from "../contract/checkpoints.ts";
import { invalidArgument, property } from "../contract/errors.ts";

type Closable = Pick<CheckpointStorage, "close">;

/** Storages to close; one listener serves all of them: Node warns of more than ten. */
const registered = new Map<Closable, CloseOptions>();

/**
 * Closes the storage when the process gets SIGINT or SIGTERM, or has nothing left to do: calls under way are finished, and
 * the backup's backlog is sent within `timeoutMs`. Then the process ends as it would have: by the signal, so that its parent
 * sees that, or as other listeners of the signal decide. A second signal ends it at once. Errors of closing are ignored.
 *
 * A second call for the same storage changes nothing. Returns a function that undoes it.
 */
export function closeOnExit(storage: Closable, options: CloseOptions = {}): () => void {
  if (typeof property(storage, "close") !== "function") throw invalidArgument("storage", "a storage", storage);
  checkCloseOptions(options);
  if (registered.size === 0) listen();
  if (!registered.has(storage)) registered.set(storage, options);
  return () => {
    if (registered.delete(storage) && registered.size === 0) stopListening();
  };
}

function listen(): void {
  process.on("SIGINT", endBy).on("SIGTERM", endBy).on("beforeExit", closeStorages);
}

function stopListening(): void {
  process.off("SIGINT", endBy).off("SIGTERM", endBy).off("beforeExit", closeStorages);
}

async function endBy(signal: NodeJS.Signals): Promise<void> {
  stopListening(); // the next signal ends the process
  await closeStorages();
  // Other listeners may have work of their own to finish: then the signal alone would not have ended the process either.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

async function closeStorages(): Promise<void> {
  stopListening();
  const storages = [...registered];
  registered.clear();
  await Promise.allSettled(storages.map(async ([storage, options]) => await storage.close(options)));
}
