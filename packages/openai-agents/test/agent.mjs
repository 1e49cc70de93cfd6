// An agent whose model plays a script: everything else about it is the SDK's.

import { Agent, setTraceProcessors, tool, Usage } from "@openai/agents-core";
import { z } from "zod";

setTraceProcessors([]); // nothing is printed, and nothing sent

/** A model that answers with these outputs, one after the other, and remembers what it was asked. */
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
 * Looks up orders by itself, and refunds them when somebody has approved it.
 * @param {import("@openai/agents-core").Model} model
 * @param {string[]} refunded where refunds are written down
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
