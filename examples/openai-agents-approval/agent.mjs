// The agent: it looks up orders by itself, and pays money back after a person's approval.

import { Agent, setTracingDisabled, tool, Usage } from "@openai/agents-core";
import { z } from "zod";

setTracingDisabled(true); // nothing leaves this machine

const lookUpOrder = tool({
  name: "look_up_order",
  description: "Tells what was ordered, and what it has cost.",
  parameters: z.object({ order: z.string() }),
  execute: async ({ order }) => ({ order, item: "a lamp", cost: "40 €", delivered: "broken" }),
});

const refund = tool({
  name: "refund",
  description: "Pays back what an order has cost.",
  parameters: z.object({ order: z.string() }),
  needsApproval: true,
  execute: async ({ order }) => {
    console.log(`  refund        paid back what order ${order} has cost`);
    return `paid back, receipt R-${order}`;
  },
});

/** A scripted model in place of a language model, so that the example runs anywhere: its answers depend on the conversation. */
const model = {
  async getResponse({ input }) {
    const results = input.filter(({ type }) => type === "function_call_result");
    const done = new Set(results.map(({ name }) => name));
    const output = !done.has("look_up_order")
      ? call("look_up_order", "call-1")
      : !done.has("refund")
        ? call("refund", "call-2")
        : say(JSON.stringify(results.at(-1).output).includes("receipt") ? PAID : REFUSED);
    return { usage: new Usage({ requests: 1 }), output: [output] };
  },
  getStreamedResponse() {
    throw new Error("this example does not stream");
  },
};

const PAID = "I am sorry about the lamp. You have your 40 € back; the receipt is R-1017.";
const REFUSED = "I am sorry about the lamp. A colleague will write to you about the 40 €.";

function call(name, callId) {
  return { type: "function_call", name, callId, status: "completed", arguments: JSON.stringify({ order: "1017" }) };
}

function say(text) {
  return { type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text }] };
}

/** The same agent in both processes: a run is resumed with the agent that it began with. */
export const agent = new Agent({
  name: "support",
  instructions: "Help the customer. Look an order up before you refund it.",
  model,
  tools: [lookUpOrder, refund],
});
