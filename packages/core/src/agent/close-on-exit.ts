import { checkCloseOptions } from "../checkpoints/arguments.ts";
import type { CheckpointStorage, CloseOptions } from "../contract/checkpoints.ts";
import { invalidArgument, property } from "../contract/errors.ts";

type Closable = Pick<CheckpointStorage, "close">;

/** One listener for all of them: Node warns of more than ten. */
const registered = new Map<Closable, CloseOptions>();

/**
 * Closes the storage when the process is asked to end (SIGINT, SIGTERM) or has nothing left to do: what was accepted is
 * finished, and what a backup lacks is sent within `timeoutMs`. Then the process ends as it would have: by the signal, so
 * that whoever waits for it sees that, or as other listeners of the signal see fit. A second signal ends it at once. What
 * fails meanwhile is dropped, since nobody is left to tell.
 *
 * Asked for twice, it happens once, with the options of the first. Returns what undoes it.
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
  process.on("SIGINT", endBy).on("SIGTERM", endBy).on("beforeExit", closeAll);
}

function stopListening(): void {
  process.off("SIGINT", endBy).off("SIGTERM", endBy).off("beforeExit", closeAll);
}

async function endBy(signal: NodeJS.Signals): Promise<void> {
  stopListening(); // the next signal does what it does to any process
  await closeAll();
  // Others may listen too, to finish work of their own: then without us it would not have ended the process either.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

async function closeAll(): Promise<void> {
  stopListening();
  const storages = [...registered];
  registered.clear();
  await Promise.allSettled(storages.map(async ([storage, options]) => await storage.close(options)));
}
