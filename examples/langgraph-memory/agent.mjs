// An agent that remembers what its users tell it, across conversations.

import { ToolMessage } from "@langchain/core/messages";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { askModel } from "./model.mjs";

/** Memories that are farther from the message than this have nothing to do with it. */
const MIN_SCORE = 0.25;

/**
 * @param {import("@langchain/langgraph").BaseCheckpointSaver} checkpointer
 * @param {import("@langchain/langgraph").BaseStore} store
 */
export function createAgent(checkpointer, store) {
  return new StateGraph(MessagesAnnotation)
    .addNode("model", answer)
    .addNode("remember", remember)
    .addEdge(START, "model")
    .addConditionalEdges("model", ({ messages }) => (callIn(messages) ? "remember" : END), ["remember", END])
    .addEdge("remember", "model")
    .compile({ checkpointer, store });
}

/** Returns the tool call of the last message, if it has one. */
const callIn = (messages) => messages.at(-1).tool_calls?.[0];

/** Each user's memories are a namespace of their own: no search of another user's finds them. */
const namespaceOf = ({ configurable }) => ["memories", configurable.user_id];

async function answer({ messages }, config) {
  const { content: query } = messages.findLast((message) => message.getType() === "human");
  const found = await config.store.search(namespaceOf(config), { query, limit: 3 });
  const memories = found.filter(({ score }) => score >= MIN_SCORE).map(({ value }) => value.text);
  return { messages: [await askModel(messages, memories)] };
}

/** The key is the topic: what the user says of it now takes the place of what was there, also if this node runs twice. */
async function remember({ messages }, config) {
  const { id, args } = callIn(messages);
  await config.store.put(namespaceOf(config), args.topic, { text: args.text });
  return { messages: [new ToolMessage({ tool_call_id: id, content: args.text })] };
}
