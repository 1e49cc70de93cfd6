import { once } from "node:events";
import { CheckpointError, type CheckpointStorage, openCheckpointStorage } from "@waymark/core";
import { Agent } from "./agent.ts";
import { withDefect } from "./faulty-storage.ts";
import { Journal, readJournal } from "./journal.ts";
import { Ledger } from "./ledger.ts";
import { type Habit, journalOf, type Notice, type Order, type Request } from "./order.ts";
import { randomNumbers, seedOf } from "./random.ts";
import { States } from "./states.ts";

/**
 * Worker: a process with a storage and agents of its own, as an application has. It reads in the journals what its agents did in
 * earlier processes, which may have been killed, and goes on from there.
 */

const order = JSON.parse(process.argv[2] as string) as Order;
const opened = await openCheckpointStorage({ config: { checkpoint: order.checkpoint } });
const storage: CheckpointStorage = order.defect === null ? opened : withDefect(opened, order.defect);
const ledgers = new Map<string, Ledger>();
const released = new Set<string>();

let { turns } = order;
let habit: Habit = "random";

process.setMaxListeners(64);
process.on("message", (request: Request) => {
  if ("take" in request) {
    for (const agent of request.take) void runAgent(agent);
  } else if ("release" in request) {
    for (const agent of request.release) released.add(agent);
  } else if ("turns" in request) {
    ({ turns, habit } = request);
  } else {
    const { call, method, args } = request;
    const work = Reflect.get(opened, method) as (...args: readonly unknown[]) => Promise<unknown>;
    work.apply(opened, [...args]).then(
      (value) => send({ call, value: withSource(value) }),
      (error: Error) => {
        const retryable = error instanceof CheckpointError && error.retryable;
        send({ call, error: `${error.name}: ${error.message}`, retryable });
      },
    );
  }
});
// The parent has ended, or needs this worker no more. Once the storage is closed, nothing keeps this process alive.
process.on("disconnect", () => void opened.close().catch(() => {}));

for (const agent of order.agents) void runAgent(agent);
send({ ready: true });

async function runAgent(agentId: string): Promise<void> {
  const { seed, patienceMs } = order;
  const path = journalOf(order.journals, agentId);
  const ledger = Ledger.of(agentId, readJournal(path));
  const journal = new Journal(path);
  ledgers.set(agentId, ledger);
  released.delete(agentId);
  const next = randomNumbers(seedOf(seed, agentId, ledger.operations));
  const states = new States(seedOf(seed, agentId));
  const allowStale = order.checkpoint.staleReads === "allow";
  const agent = new Agent({ storage, journal, ledger, states, next, allowStale, patienceMs });
  try {
    await agent.resume();
    while (!released.has(agentId)) {
      sendAcknowledged();
      if (ledger.turns < turns) await agent.turn(habit);
      // Only the channel to the parent keeps this process alive now.
      else await once(process, "message");
    }
    journal.close();
    ledgers.delete(agentId);
    sendAcknowledged();
    send({ released: agentId });
  } catch (error) {
    send({ stuck: error instanceof Error ? error.message : String(error) });
  }
}

function sendAcknowledged(): void {
  send({ acknowledged: [...ledgers.values()].reduce((sum, { turns: made }) => sum + made, 0) });
}

/** Copies a checkpoint's `source` into an enumerable property, since JSON leaves it out otherwise. */
function withSource(value: unknown): unknown {
  const source = typeof value === "object" && value !== null ? Reflect.get(value, "source") : undefined;
  return source === undefined ? value : { ...(value as object), source };
}

function send(notice: Notice): void {
  if (process.connected) process.send?.(notice);
}
