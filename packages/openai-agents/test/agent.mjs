// An agent with a scripted model. Everything else is the SDK's own.

import { Agent, setTraceProcessors, tool, Usage } from "@openai/agents-core";
import { z } from "zod";

setTraceProcessors([]); // nothing is printed or sent

/** A model that returns these outputs, one after the other, and records its requests. */
export class ScriptedModel {
  /** @type {import("@openai/agents-core").ModelRequest[]} */
  requests = [];
  #replies;

  /** @param {import("@openai/agents-core").AgentOutputItem[][]} replies */
  constructor(replies) {
    this.#replies = [...replies];
  }

  /** @param {import("@openai/agents-core").ModelRequest} request */
  async getResponse(request) {
    this.requests.push(structuredClone({ ...request, signal: undefined, tracing: false }));
    const output = this.#replies.shift();
    if (output === undefined) throw new Error("the script has no more replies");
    return { usage: new Usage({ requests: 1 }), output, responseId: `response ${this.requests.length}` };
  }

  /**
   * @param {import("@openai/agents-core").ModelRequest} request
   * @returns {AsyncIterable<any>}
   */
  async *getStreamedResponse(request) {
    const { output, responseId } = await this.getResponse(request);
    const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
    yield { type: "response_done", response: { id: responseId, usage, output } };
  }
}

/**
 * @param {string} text
 * @returns {import("@openai/agents-core").AgentOutputItem[]}
 */
export function says(text) {
  return [{ type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text }] }];
}

/**
 * @param {string} name
 * @param {string} callId
 * @param {object} parameters
 * @returns {import("@openai/agents-core").AgentOutputItem[]}
 */
export function calls(name, callId, parameters) {
  return [{ type: "function_call", name, callId, status: "completed", arguments: JSON.stringify(parameters) }];
}

/**
 * Makes an agent that looks up orders, and refunds them after an approval.
 * @param {import("@openai/agents-core").Model} model
 * @param {string[]} refunded receives the refunded orders
 */
export function supportAgent(model, refunded = []) {
  const lookUp = tool({
    name: "look_up_order",
    description: "Tells what was ordered.",
    parameters: z.object({ order: z.string() }),
    execute: async ({ order }) => ({ order, total: 40, text: "Zoë's 📦" }),
  });
  const refund = tool({
    name: "refund",
    description: "Pays back what an order has cost.",
    parameters: z.object({ order: z.string() }),
    needsApproval: true,
    execute: async ({ order }) => {
      refunded.push(order);
      return `refunded ${order}`;
    },
  });
  return new Agent({ name: "support", instructions: "Be kind.", model, tools: [lookUp, refund] });
}
