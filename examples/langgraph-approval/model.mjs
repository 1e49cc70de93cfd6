// A scripted model in place of a language model: its answers depend on the messages. No network, no key.

import { AIMessage } from "@langchain/core/messages";

export async function askModel(messages) {
  const last = messages.at(-1);
  const id = `model ${messages.length}`;
  if (last.getType() === "human") {
    const [invoice] = last.content.match(/INV-\d+/);
    return calls(id, "readInvoice", { invoice });
  }
  const read = last.content.match(/^(INV-\d+): (.+) wants (\d+) euros/);
  if (read) return calls(id, "pay", { invoice: read[1], to: read[2], euros: Number(read[3]) });
  return new AIMessage({
    id,
    content: last.content.startsWith("Refused") ? `I did not pay. ${last.content}` : `Done. ${last.content}`,
  });
}

function calls(id, name, args) {
  return new AIMessage({ id, content: "", tool_calls: [{ type: "tool_call", id: `call of ${id}`, name, args }] });
}
