import { once } from "node:events";
import { CheckpointError, type CheckpointStorage, openCheckpointStorage } from "@waymark/core";
import { Agent } from "./agent.ts";
import { Journal, readJournal } from "./journal.ts";
import { Ledger } from "./ledger.ts";
import { liar } from "./liar.ts";
import { type Habit, journalOf, type Notice, type Order, type Request } from "./order.ts";
import { numbers, seedOf } from "./random.ts";
import { States } from "./states.ts";

/**
 * A process with a storage and agents of its own, as an application is one. What its agents did in a process before it, which
 * may have been killed, it finds in the journal, and goes on from there.
 */

const order = JSON.parse(process.argv[2] as string) as Order;
const opened = await openCheckpointStorage({ config: { checkpoint: order.checkpoint } });
const storage: CheckpointStorage = order.lie === null ? opened : liar(opened, order.lie);
const ledgers = new Map<string, Ledger>();
const released = new Set<string>();

let { turns } = order;
let habit: Habit = "as it comes";

process.setMaxListeners(64);
process.on("message", (request: Request) => {
  if ("take" in request) {
    for (const agent of request.take) void live(agent);
  } else if ("release" in request) {
    for (const agent of request.release) released.add(agent);
  } else if ("turns" in request) {
    ({ turns, habit } = request);
  } else {
    const { call, method, args } = request;
    const work = Reflect.get(opened, method) as (...args: readonly unknown[]) => Promise<unknown>;
    work.apply(opened, [...args]).then(
      (value) => tell({ call, value: withSource(value) }),
      (error: Error) => {
        const retryable = error instanceof CheckpointError && error.retryable;
        tell({ call, error: `${error.name}: ${error.message}`, retryable });
      },
    );
  }
});
// The parent is gone, or has no more to ask: nothing but the storage could keep this process.
process.on("disconnect", () => void opened.close().catch(() => {}));

for (const agent of order.agents) void live(agent);
tell({ ready: true });

async function live(agentId: string): Promise<void> {
  const { seed, patienceMs } = order;
  const path = journalOf(order.journals, agentId);
  const ledger = Ledger.of(agentId, readJournal(path));
  const journal = new Journal(path);
  ledgers.set(agentId, ledger);
  released.delete(agentId);
  const next = numbers(seedOf(seed, agentId, ledger.operations));
  const states = new States(seedOf(seed, agentId));
  const allowStale = order.checkpoint.staleReads === "allow";
  const agent = new Agent({ storage, journal, ledger, states, next, allowStale, patienceMs });
  try {
    await agent.resume();
    while (!released.has(agentId)) {
      tellAcknowledged();
      if (ledger.turns < turns) await agent.turn(habit);
      // Nothing but the channel to the parent keeps this process now.
      else await once(process, "message");
    }
    journal.close();
    ledgers.delete(agentId);
    tellAcknowledged();
    tell({ released: agentId });
  } catch (error) {
    tell({ stuck: error instanceof Error ? error.message : String(error) });
  }
}

function tellAcknowledged(): void {
  tell({ acknowledged: [...ledgers.values()].reduce((sum, { turns: made }) => sum + made, 0) });
}

/** Which JSON leaves out. */
function withSource(value: unknown): unknown {
  const source = typeof value === "object" && value !== null ? Reflect.get(value, "source") : undefined;
  return source === undefined ? value : { ...(value as object), source };
}

function tell(notice: Notice): void {
  if (process.connected) process.send?.(notice);
}
