// An agent that pays invoices, but never without a person's approval.

import { AIMessage, ToolMessage } from "@langchain/core/messages";
import { END, interrupt, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { askModel } from "./model.mjs";
import { tools } from "./tools.mjs";

/**
 * @param {import("@langchain/langgraph").BaseCheckpointSaver} checkpointer
 */
export function createAgent(checkpointer) {
  return new StateGraph(MessagesAnnotation)
    .addNode("model", async ({ messages }) => ({ messages: [await askModel(messages)] }))
    .addNode("approval", approve)
    .addNode("tool", useTool)
    .addEdge(START, "model")
    .addConditionalEdges("model", afterModel, ["approval", "tool", END])
    .addConditionalEdges("approval", ({ messages }) => (callIn(messages) ? "tool" : "model"), ["tool", "model"])
    .addEdge("tool", "model")
    .compile({ checkpointer });
}

/** Returns the tool call of the last message, if it has one. */
const callIn = (messages) => messages.at(-1).tool_calls?.[0];

function afterModel({ messages }) {
  const call = callIn(messages);
  if (!call) return END;
  return tools[call.name].dangerous ? "approval" : "tool";
}

/**
 * Asks for approval, and does nothing else: with the answer this node runs again from its start, so any effect before the
 * question would happen twice. The tool is a node of its own, which runs once.
 */
function approve({ messages }) {
  const call = callIn(messages);
  const decision = interrupt({ tool: call.name, args: call.args });
  if (!decision.approved) {
    return { messages: [new ToolMessage({ tool_call_id: call.id, content: `Refused: ${decision.reason}` })] };
  }
  if (decision.args === undefined) return {};
  // The same message with other arguments replaces the model's: messages are identified by their ids.
  const { id, content } = messages.at(-1);
  const tool_calls = [{ ...call, args: { ...call.args, ...decision.args } }];
  return { messages: [new AIMessage({ id, content, tool_calls })] };
}

async function useTool({ messages }) {
  const call = callIn(messages);
  const content = await tools[call.name].run(call.args);
  return { messages: [new ToolMessage({ tool_call_id: call.id, content })] };
}
