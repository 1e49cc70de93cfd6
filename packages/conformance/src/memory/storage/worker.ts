import type { CheckpointError } from "@waymark/core";
import type { MemoryStorage } from "@waymark/core/memory";
import type { RemoteMemory } from "./target.ts";
import type { WorkerAnswer, WorkerCall } from "./workers.ts";

/**
 * A process that opens a memory of its own and calls the methods that its parent sends. Only the channel to the parent keeps it alive: if
 * it does not exit after the channel is closed, the memory holds it.
 */

const { module, options } = JSON.parse(process.argv[2] as string) as RemoteMemory;
const { createMemoryStorage } = (await import(module)) as {
  createMemoryStorage(options: RemoteMemory["options"]): MemoryStorage;
};
const memory = createMemoryStorage(options);

process.on("message", ({ call, method, args }: WorkerCall) => {
  const work = memory[method] as (...args: readonly unknown[]) => Promise<unknown>;
  work.apply(memory, [...args]).then(
    (value) => answer({ call, value }),
    ({ code, message }: CheckpointError) => answer({ call, error: { code, message } }),
  );
});
answer({ ready: true });

function answer(message: WorkerAnswer): void {
  process.send?.(message);
}
