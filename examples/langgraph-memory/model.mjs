// A scripted model in place of a language model: its answers depend on the messages and the memories. No network, no key.

import { AIMessage } from "@langchain/core/messages";

const topics = [
  { topic: "food", words: /allergic|eat|vegan/ },
  { topic: "home", words: /live|moved/ },
];

/**
 * @param {import("@langchain/core/messages").BaseMessage[]} messages
 * @param {string[]} memories what is known of the user, the nearest to the message first
 */
export async function askModel(messages, memories) {
  const last = messages.at(-1);
  const id = `model ${messages.length}`;
  if (last.getType() === "tool") return new AIMessage({ id, content: `I will remember: ${last.content}` });
  if (!last.content.endsWith("?")) {
    const { topic } = topics.find(({ words }) => words.test(last.content)) ?? { topic: "else" };
    const args = { topic, text: last.content };
    return new AIMessage({
      id,
      content: "",
      tool_calls: [{ type: "tool_call", id: `call of ${id}`, name: "remember", args }],
    });
  }
  const known = memories.length === 0 ? "I know nothing about that." : `You told me: ${memories.join(" ")}`;
  return new AIMessage({ id, content: known });
}
