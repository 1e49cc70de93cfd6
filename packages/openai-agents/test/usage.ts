// A program that uses the package as an application does: sdk-versions.test.ts compiles and runs it with several versions of the
// SDK.

import {
  Agent,
  type AgentInputItem,
  MemorySession,
  type Model,
  type ModelResponse,
  type RunContext,
  Runner,
  type Session,
  setTraceProcessors,
  tool,
  Usage,
} from "@openai/agents-core";
import {
  type StoredRunState,
  WaymarkRunStates,
  WaymarkSession,
  type WaymarkSessionOptions,
} from "@waymark/openai-agents";
import { createSQLiteStorage } from "@waymark/sqlite";
import { z } from "zod";

interface Customer {
  readonly name: string;
}

setTraceProcessors([]);
const refunded: string[] = [];
const refund = tool({
  name: "refund",
  description: "Pays back what an order has cost.",
  parameters: z.object({ order: z.string() }),
  needsApproval: true,
  execute: async ({ order }, context?: RunContext<Customer>) => {
    refunded.push(`${order} of ${context?.context.name}`);
    return "refunded";
  },
});

const lookUp = tool({
  name: "look_up",
  description: "Tells what was ordered.",
  parameters: z.object({ order: z.string() }),
  execute: async ({ order }) => ({ order, item: "a lamp" }),
});

function agentWith(...replies: ModelResponse["output"][]): Agent<Customer> {
  const model: Model = {
    getResponse: async () => ({ usage: new Usage(), output: replies.shift() ?? [] }),
    getStreamedResponse: () => {
      throw new Error("nothing is streamed here");
    },
  };
  return new Agent<Customer>({
    name: "support",
    model,
    tools: [lookUp, refund],
    outputGuardrails: [
      {
        name: "no secrets",
        execute: async ({ agentOutput }) => ({
          tripwireTriggered: String(agentOutput).includes("secret"),
          outputInfo: {},
        }),
      },
    ],
  });
}

const says = (text: string): ModelResponse["output"] => [
  { type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text }] },
];
const calls = (name: string, callId: string): ModelResponse["output"] => [
  { type: "function_call", name, callId, status: "completed", arguments: '{"order":"7"}' },
];

const storage = createSQLiteStorage({ databasePath: ":memory:" });
const runs = new WaymarkRunStates({ storage, agentId: "customer 1" });

async function scenario(session: Session): Promise<AgentInputItem[]> {
  const runner = new Runner();
  const context: Customer = { name: "Zoë" };
  const first = await runner.run(agentWith(calls("refund", "call 1")), "My money!", { session, context });
  await runs.save(first.state, { name: "waits" });

  const agent = agentWith(says("It is paid back."), calls("look_up", "call 2"), says("a secret"), says("Bye."));
  const saved: StoredRunState<Customer, typeof agent> | null = await runs.load<Customer, typeof agent>(agent);
  if (saved === null) throw new Error("no run state");
  for (const interruption of saved.state.getInterruptions()) saved.state.approve(interruption);
  await runs.save(saved.state, { name: "decided", ifLatest: saved.id });
  const second = await runner.run(agent, saved.state, { session });
  if (second.finalOutput !== "It is paid back.") throw new Error("another end");
  await runner.run(agent, "Tell me.", { session, context }).catch(() => {});
  await runner.run(agent, "Then bye.", { session, context });
  return await session.getItems();
}

const options: WaymarkSessionOptions = { storage, sessionId: "customer 1" };
const [kept, inMemory] = [await scenario(new WaymarkSession(options)), await scenario(new MemorySession())];
const rows = await storage.listCheckpoints({ agentId: "customer 1", namespace: "session" });
await storage.close();
console.log(JSON.stringify({ refunded, rows: rows.map(({ name }) => name), kept, inMemory }));
