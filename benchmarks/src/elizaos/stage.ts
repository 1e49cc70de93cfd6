import { setTimeout as delay } from "node:timers/promises";
import { type Conversation, conversationWith, createRuntime, importEliza } from "./agent.ts";
import { AGENT, createMemories, memoryOf, settleIn } from "./ground.ts";
import type { Adapter, ElizaSystem, StoredMemory, Target } from "./system.ts";

/** An initialized agent with plugin-bootstrap, whose adapter is measured alone and as it answers messages. */
export interface Stage {
  /** The runtime's own. */
  readonly adapter: Adapter;
  readonly conversation: Conversation;
  /** Returns a number that was not used. */
  next(): number;
  /** Waits until the agent has nothing left to do, and returns when that was, as `performance.now()`. */
  untilIdle(): Promise<number>;
  close(): Promise<void>;
}

/** The room that is read, and in which new memories are compared with those that are there. */
export const ROOM = 0;
const MEMORIES = 200;

/** Time without a call after which nothing is left to do: queues of bootstrap and of ours are looked at more often. */
const IDLE_MS = 300;

/** Starts an agent on an empty database. Its poll for tasks, a statement each second, is stopped. */
export async function openStage({ product }: ElizaSystem, target: Target): Promise<Stage> {
  const eliza = await importEliza();
  await product.migrate?.(target, AGENT);
  const runtime = await createRuntime(eliza, product, target, AGENT);
  await runtime.initialize();
  await (await runtime.getServiceLoadPromise("task")).stop();
  const activity: Activity = { pending: 0, last: performance.now() };
  const adapter = observed(runtime.adapter, activity) as Adapter;
  runtime.adapter = adapter;
  let last = 0;
  const stage: Stage = {
    adapter,
    conversation: conversationWith(eliza, runtime),
    next: () => last++,
    async untilIdle() {
      while (activity.pending > 0 || performance.now() - activity.last < IDLE_MS) await delay(10);
      return activity.last;
    },
    async close() {
      await runtime.stop();
      await runtime.close();
    },
  };
  await settleIn(adapter, 1);
  await createMemories(adapter, newMemories(stage, MEMORIES, ROOM));
  return stage;
}

export function newMemories({ next }: Stage, count: number, room: number): StoredMemory[] {
  return Array.from({ length: count }, () => memoryOf(next(), room));
}

/** The use of an adapter. */
interface Activity {
  /** Calls that are under way. */
  pending: number;
  /** Time at which the last call has ended. */
  last: number;
}

/** Notes the calls of an object's methods. */
function observed<T extends object>(target: T, activity: Activity): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name);
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        activity.pending += 1;
        try {
          return await value.apply(object, args);
        } finally {
          activity.pending -= 1;
          activity.last = performance.now();
        }
      };
    },
  });
}
