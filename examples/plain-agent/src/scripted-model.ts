import type { Model } from "./agent.ts";

/** A scripted model, which costs no money: its answers depend on the conversation alone. */
export const scriptedModel: Model = async (messages) => {
  const asked = messages.filter(({ role }) => role === "user").map(({ content }) => content);
  const before = asked.at(-2);
  const memory = before === undefined ? "Nothing came before." : `Before, it was "${before}".`;
  return `You said "${asked.at(-1)}". ${memory}`;
};
