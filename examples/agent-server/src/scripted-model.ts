import type { Model } from "./agent.ts";

/** In place of a model that costs money: what it answers depends on the conversation alone. */
export const scriptedModel: Model = async (messages) =>
  `That was turn ${(messages.length + 1) / 2}: "${messages.at(-1)?.content}".`;
