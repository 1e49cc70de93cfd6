// The agent itself: what it knows, and what it does in one turn. Nothing in here knows of checkpoints.

import { askModel, callTool, hearUser, systemPrompt } from "./replay.mjs";

/** Everything that the agent knows. What is not in here is gone after a crash. */
export function newState() {
  return {
    turn: 0,
    messages: [{ role: "system", content: systemPrompt }],
    todo: [],
    scratchpad: {},
    spent: { inputTokens: 0, outputTokens: 0, costUSD: 0, toolCalls: {} },
  };
}

/** Takes a turn: the user's message if one is due, the model's reply, and its tool calls. `false`: the user has nothing more to say. */
export async function takeTurn(state) {
  const { messages, spent } = state;

  const last = messages.at(-1);
  if (last.role === "system" || last.calls?.length === 0) {
    const words = await hearUser(messages);
    if (words === null) return false;
    messages.push({ role: "user", content: words });
  }

  state.turn += 1;
  const { usage, ...reply } = await askModel(messages);
  messages.push({ role: "assistant", ...reply });
  spent.inputTokens += usage.inputTokens;
  spent.outputTokens += usage.outputTokens;
  spent.costUSD += usage.costUSD;

  for (const call of reply.calls) {
    const ownTool = ownTools[call.tool];
    const result = ownTool ? ownTool(state, call.arguments) : await callTool(call);
    messages.push({ role: "tool", callId: call.id, result });
    spent.toolCalls[call.tool] = (spent.toolCalls[call.tool] ?? 0) + 1;
  }
  return true;
}

/** The tools that work on the agent's own state. All others reach into the world outside. */
const ownTools = {
  todo({ todo }, { add = [], change = [] }) {
    for (const { before, ...item } of add) {
      const at = todo.findIndex(({ id }) => id === before);
      todo.splice(at === -1 ? todo.length : at, 0, { ...item, status: "open" });
    }
    for (const { id, ...changes } of change) {
      Object.assign(
        todo.find((item) => item.id === id),
        changes,
      );
    }
    return { open: todo.filter(({ status }) => status !== "done").map(({ id }) => id) };
  },

  note({ scratchpad }, { key, text }) {
    scratchpad[key] = text;
    return { kept: Object.keys(scratchpad).length };
  },
};
