import type { Model } from "./agent.ts";

/** A scripted model, which costs no money: its answers depend on the conversation alone. */
export const scriptedModel: Model = async (messages) =>
  `That was turn ${(messages.length + 1) / 2}: "${messages.at(-1)?.content}".`;
