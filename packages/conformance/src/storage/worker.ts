import type { CheckpointError, CheckpointStorage } from "@waymark/core";
import type { WorkerAnswer, WorkerCall, WorkerOrder } from "./workers.ts";

/**
 * A process that opens a storage of its own and calls the methods that its parent sends. Only the channel to the parent keeps
 * it alive: if it does not exit after the channel is closed, the storage holds it.
 */

const order = JSON.parse(process.argv[2] as string) as WorkerOrder;

// Before the import below: the module may keep a reference to the clock.
const now = Date.now;
Date.now = () => now() + order.skewMs;

const { createCheckpointStorage } = (await import(order.module)) as {
  createCheckpointStorage(options: WorkerOrder["options"]): CheckpointStorage;
};
const storage = createCheckpointStorage(order.options);

process.on("message", ({ call, method, args }: WorkerCall) => {
  const work = storage[method] as (...args: readonly unknown[]) => Promise<unknown>;
  work.apply(storage, [...args]).then(
    (value) => answer({ call, value }),
    ({ code, message }: CheckpointError) => answer({ call, error: { code, message } }),
  );
});
answer({ ready: true });

function answer(message: WorkerAnswer): void {
  process.send?.(message);
}
