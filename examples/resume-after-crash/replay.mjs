// The environment of the agent, replayed from a recording: the user, the model and the tools answer in every run as they did
// when it was recorded. So two runs of the agent can be compared byte by byte, and no API key is needed.

import { once } from "node:events";
import { readFileSync } from "node:fs";

const [head, ...turns] = readFileSync(new URL("./run.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));

export const systemPrompt = head.system;

/** Returns the user's next message, or null at the end of the recording. */
export async function hearUser(messages) {
  return nextTurn(messages)?.user ?? null;
}

/** Like a real model it keeps nothing of its own: what it says depends on the messages alone. */
export async function askModel(messages) {
  const turn = nextTurn(messages);
  await report({ turn: turn.turn, step: "model" });
  return turn.reply;
}

export async function callTool({ id, tool }) {
  const turn = turns.find(({ results }) => Object.hasOwn(results, id));
  await report({ turn: turn.turn, step: "tool", tool });
  return turn.results[id];
}

/** The turn that follows a conversation: there is one reply to a turn, so as many turns are over as replies were given. */
function nextTurn(messages) {
  return turns[messages.filter(({ role }) => role === "assistant").length];
}

/**
 * Tells what the agent does. Under demo.mjs it goes to the driver, and the agent waits for its answer: so the driver can kill
 * it at exactly this point. By itself, the agent prints what it has stored.
 */
export async function report(event) {
  if (process.send) {
    const answer = once(process, "message");
    process.send(event);
    await answer;
  } else if (event.step !== "model" && event.step !== "tool") {
    console.log(`turn ${event.turn} ${event.step}`);
  }
}
